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
from tfgen.measures.classics import CLASSICS


def load_images(folder, channels):
    """The names and the images, (height, width, channels) each."""
    if folder:
        source, split = folder, "all"
    else:
        source, split = "photos", "test"
    dataset = tfgen.load_dataset(
        source, split, channels=channels, batch_size=None, shuffle=False
    )
    images = list(dataset.as_numpy_iterator())
    if folder:
        return [f"image {number}" for number in range(1, len(images) + 1)], images
    examples = Photos().as_dataset(split=split).as_numpy_iterator()
    return [example["name"].decode() for example in examples], images


def crop(image, multiple, side=None):
    """The middle of an image, with sides that are multiples of a number."""
    sizes = [min(size, side or size) // multiple * multiple for size in image.shape[:2]]
    top, left = (
        (size - kept) // 2 for size, kept in zip(image.shape[:2], sizes, strict=True)
    )
    return image[top : top + sizes[0], left : left + sizes[1]]


def compare(title, names, images, corruption, network, methods, **options):
    """Damage every image, restore it in every way and print the scores.

    `methods` maps a name to a function of (damaged image, what is known of it);
    `options` are those of `tfgen.psnr`.
    """
    restorer = tfgen.load_pretrained(network)
    methods = {
        **methods,
        network: lambda image, known: restorer.restore(image, **known),
    }
    width = max(map(len, [*names, "mean"]))
    print(f"\n{title}")
    print(f"{'':{width}}", *(f"{name:>14}" for name in methods))
    table = []
    for seed, (name, image) in enumerate(zip(names, images, strict=True)):
        damaged = corruption(image[None], seed=seed)
        known = {key: values[0].numpy() for key, values in damaged.items()}
        damaged = known.pop("image")
        results = [
            np.clip(method(damaged, known), 0, 1)[None] for method in methods.values()
        ]
        table.append(
            [
                [measure(image[None], result, **options)[0] for result in results]
                for measure in (tfgen.psnr, tfgen.ssim)
            ]
        )
        print_row(f"{name:{width}}", table[-1])
    print_row(f"{'mean':{width}}", np.mean(table, axis=0))


def print_row(name, scores):
    cells = zip(*scores, strict=True)
    print(name, *(f"{psnr:7.2f} {ssim:.4f}" for psnr, ssim in cells), flush=True)


def untouched(image, known):
    return image


def compare_denoisers(folder, side):
    def tell(denoise):
        return lambda image, known: denoise(image, float(known["sigma"][0]))

    classics = {name: tell(f) for name, f in CLASSICS["denoise"].items()}
    for channels, sigma in ((1, 15), (1, 25), (1, 50), (3, 25)):
        names, images = load_images(folder, channels)
        compare(
            f"denoise, {'grey' if channels == 1 else 'colour'}, sigma {sigma}",
            names,
            [crop(image, 1, side) for image in images],
            functools.partial(tfgen.add_gaussian_noise, sigma=float(sigma)),
            "denoise" if channels == 1 else "denoise_color",
            {"noisy": untouched, **classics},
        )


def compare_inpainters(folder, side):
    fill = CLASSICS["inpaint"]["biharmonic"]
    names, images = load_images(folder, 3)
    compare(
        "inpaint, scratches",
        names,
        [crop(image, 1, min(side or 256, 256)) for image in images],
        tfgen.mask_scratches,
        "inpaint",
        {
            "damaged": untouched,
            "biharmonic": lambda image, known: fill(image, known["mask"]),
        },
    )


def compare_upscalers(folder, side):
    enlarge = CLASSICS["upscale"]["bicubic"]
    names, images = load_images(folder, 3)
    images = [x if np.ptp(x, axis=-1).any() else x[..., :1] for x in images]
    for scale in (2, 3, 4):
        network = f"upscale_x{scale}"
        restore = functools.partial(
            tfgen.load_pretrained(network).restore, ensemble=True
        )
        compare(
            f"upscale, {scale} times, luma",
            names,
            [crop(image, scale, side) for image in images],
            functools.partial(tfgen.downsample, scale=scale),
            network,
            {
                "bicubic": lambda image, known, scale=scale: enlarge(image, scale),
                "eight ways": lambda image, known, restore=restore: restore(image),
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
