"""Quality: the shipped restoration networks against classical methods.

    python benchmarks/restoration_quality.py                     # everything
    python benchmarks/restoration_quality.py --tasks upscale     # one task
    python benchmarks/restoration_quality.py --folder Set12      # other clean images

PSNR in dB and SSIM on the five test photos of the embedded set, or on a folder of
clean images, which no network was trained on. Denoise: white noise, neither clipped
nor rounded, told to every method; grey at sigma 15, 25 and 50 and colour at 25; the
classical methods have constants tuned on the training photos. Inpaint: scratches on
the 256 x 256 pixels in the middle. Upscale: 2, 3 and 4 times, from small images of 8
bits, bicubic by Pillow's rules; the luma (BT.601, 16 to 235) of colour photos is
compared, the scale left out as a border; "eight ways" is the network's mean over
turned and mirrored images. No result is rounded. The first column is the input as it
is.
"""

import argparse
import functools

import numpy as np

import tfgen
from tfgen.data import Photos
from tfgen.measures.classics import CLASSICS, enlarge_bicubic
from tfgen.measures.restoring import compare, print_scores, untouched


def load_images(folder, channels):
    """The clean images by name, (height, width, channels) each."""
    source, split = (folder, "all") if folder else ("photos", "test")
    dataset = tfgen.load_dataset(
        source, split, channels=channels, batch_size=None, shuffle=False
    )
    images = list(dataset.as_numpy_iterator())
    if folder:
        names = [f"image {number}" for number in range(1, len(images) + 1)]
    else:
        examples = Photos().as_dataset(split=split).as_numpy_iterator()
        names = [example["name"].decode() for example in examples]
    return dict(zip(names, images, strict=True))


def crop(image, multiple, side=None):
    """The middle of an image, with sides that are multiples of a number."""
    sizes = [min(size, side or size) // multiple * multiple for size in image.shape[:2]]
    top, left = (
        (size - kept) // 2 for size, kept in zip(image.shape[:2], sizes, strict=True)
    )
    return image[top : top + sizes[0], left : left + sizes[1]]


def print_table(title, images, corrupt, methods, **options):
    """Corrupt every image, restore it in every way and print the scores."""
    print(f"\n{title}")
    scores = (
        compare(image, corrupt(image[None], seed=seed), methods, **options)
        for seed, image in enumerate(images.values())
    )
    print_scores(images, methods, scores)


def compare_denoisers(folder, side):
    for channels, sigma in ((1, 15), (1, 25), (1, 50), (3, 25)):
        images = load_images(folder, channels)
        network = "denoise" if channels == 1 else "denoise_color"
        print_table(
            f"denoise, {'grey' if channels == 1 else 'colour'}, sigma {sigma}",
            {name: crop(image, 1, side) for name, image in images.items()},
            functools.partial(tfgen.add_gaussian_noise, sigma=float(sigma)),
            {
                "noisy": untouched,
                **CLASSICS["denoise"],
                network: tfgen.load_pretrained(network).restore,
            },
        )


def compare_inpainters(folder, side):
    images = load_images(folder, 3)
    print_table(
        "inpaint, scratches",
        {name: crop(x, 1, min(side or 256, 256)) for name, x in images.items()},
        tfgen.mask_scratches,
        {
            "damaged": untouched,
            **CLASSICS["inpaint"],
            "inpaint": tfgen.load_pretrained("inpaint").restore,
        },
    )


def compare_upscalers(folder, side):
    images = {
        name: image if np.ptp(image, axis=-1).any() else image[..., :1]
        for name, image in load_images(folder, 3).items()
    }
    for scale in (2, 3, 4):
        network = f"upscale_x{scale}"
        restore = tfgen.load_pretrained(network).restore
        print_table(
            f"upscale, {scale} times, luma",
            {name: crop(image, scale, side) for name, image in images.items()},
            functools.partial(tfgen.downsample, scale=scale),
            {
                "bicubic": functools.partial(enlarge_bicubic, scale=scale),
                "eight ways": functools.partial(restore, ensemble=True),
                network: restore,
            },
            luma=True,
            border=scale,
        )


TASKS = {
    "denoise": compare_denoisers,
    "inpaint": compare_inpainters,
    "upscale": compare_upscalers,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--folder", help="clean images in place of the test photos")
    parser.add_argument("--side", type=int, help="only so many pixels in the middle")
    options = parser.parse_args()
    for task in options.tasks:
        TASKS[task](options.folder, options.side)


if __name__ == "__main__":
    main()
