"""Quality: the shipped restoration networks against classical methods.

    python benchmarks/restoration_quality.py                     # everything
    python benchmarks/restoration_quality.py --tasks upscale     # one task
    python benchmarks/restoration_quality.py --folder Set12      # other clean images

PSNR in dB and SSIM on the twelve test photos of the embedded set, or on a folder of
clean images, which no network was trained on. Denoise: white noise, neither clipped
nor rounded, told to every method; grey at sigma 15, 25 and 50 and colour at 25; the
classical methods have constants tuned on the training photos. Photo: a JPEG file of the
luma, noise in a colour file, and no damage; the network is told nothing. Inpaint:
scratches on the 256 x 256 pixels in the middle. Upscale: 2, 3 and 4 times, from small
images of 8 bits, bicubic by Pillow's rules; the luma (BT.601, 16 to 235) of colour
photos is compared, the scale left out as a border; "eight ways" is the network's mean
over turned and mirrored images. No result is rounded. The first column is the input as
it is.
"""

import argparse
import functools

import numpy as np

import tfgen
from tfgen.commands.evaluate import choose_protocol, find_luma
from tfgen.commands.finishing import spare_texture
from tfgen.commands.networks import choose_network
from tfgen.data import Photos
from tfgen.measures.restoring import compare, print_scores


def load_images(folder, channels, side, multiple=1):
    """The middle of the clean images by name, (height, width, channels) each."""
    source, split = (folder, "all") if folder else ("photos", "test")
    dataset = tfgen.load_dataset(
        source, split, channels=channels, batch_size=None, shuffle=False
    )
    images = [crop(image, side, multiple) for image in dataset.as_numpy_iterator()]
    if folder:
        names = [f"image {number}" for number in range(1, len(images) + 1)]
    else:
        examples = Photos().as_dataset(split=split).as_numpy_iterator()
        names = [example["name"].decode() for example in examples]
    return dict(zip(names, images, strict=True))


def crop(image, side, multiple):
    """The middle of an image, with sides that are multiples of a number."""
    sizes = [min(size, side or size) // multiple * multiple for size in image.shape[:2]]
    top, left = (
        (size - kept) // 2 for size, kept in zip(image.shape[:2], sizes, strict=True)
    )
    return image[top : top + sizes[0], left : left + sizes[1]]


def print_table(title, images, task, scale=1, names=(), damage=None, **options):
    """Corrupt every image, restore it in every way and print the scores.

    `damage` is what `choose_protocol` takes, `names` are those of further networks. The
    last line says how the network stands, image by image, to the method without one
    that has the best mean.
    """
    corrupt, methods = choose_protocol(task, scale=scale, **damage or {})
    rivals = list(methods)
    channels = next(iter(images.values())).shape[-1]
    restore = choose_network(task, channels, scale).restore
    if task == "upscale":
        methods["eight ways"] = functools.partial(restore, ensemble=True)
    for name in names:
        methods[name] = tfgen.load_pretrained(name).restore
    methods["network"] = restore
    if task == "photo":
        methods["command"] = functools.partial(restore_as_command, restore)
    print(f"\n{title}")
    scores = (
        compare(image, corrupt(image[None], seed=seed), methods, **options)
        for seed, image in enumerate(images.values())
    )
    rows = print_scores(images, methods, scores)
    decibels = dict(zip(methods, rows[:, :, 0].T, strict=True))
    best = max(rivals, key=lambda name: decibels[name][-1])
    lead = (decibels["network"] - decibels[best])[:-1]
    print(
        f"network over {best}: {lead.min():+.2f} to {lead.max():+.2f} dB, median "
        f"{np.median(lead):+.2f}, ahead on {np.sum(lead > 0)} of {len(lead)}"
    )


def restore_as_command(restore, image):
    """What `python -m tfgen restore` makes of a photo."""
    restored = restore(image)
    spare_texture(image, restored)
    return restored


def compare_denoisers(folder, side):
    for channels, sigma in ((1, 15.0), (1, 25.0), (1, 50.0), (3, 25.0)):
        images = load_images(folder, channels, side)
        title = f"denoise, {'grey' if channels == 1 else 'colour'}, sigma {sigma:g}"
        print_table(title, images, "denoise", damage={"sigma": sigma})


def compare_on_files(folder, side):
    photos = load_images(folder, 3, side)
    luma = {
        name: find_luma(image) if np.ptp(image, axis=-1).any() else image[..., :1]
        for name, image in photos.items()
    }
    for quality in (10, 20):
        title = f"photo, JPEG of quality {quality}, luma"
        print_table(title, luma, "photo", damage={"quality": quality})
    title = "photo, colour, noise of sigma 25 in a file"
    print_table(title, photos, "photo", damage={"sigma": 25.0})
    print_table("photo, nothing to do", photos, "photo", damage={"sigma": 0.0})


def compare_inpainters(folder, side):
    images = load_images(folder, 3, min(side or 256, 256))
    print_table("inpaint, scratches", images, "inpaint")


def compare_upscalers(folder, side):
    for scale in (2, 3, 4):
        images = {
            name: image if np.ptp(image, axis=-1).any() else image[..., :1]
            for name, image in load_images(folder, 3, side, multiple=scale).items()
        }
        options = {"luma": True, "border": scale}
        title = f"upscale, {scale} times, luma"
        names = ("upscale_x4_small", "upscale_x4_sharp") if scale == 4 else ()
        print_table(title, images, "upscale", scale, names, **options)


TASKS = {
    "denoise": compare_denoisers,
    "photo": compare_on_files,
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
