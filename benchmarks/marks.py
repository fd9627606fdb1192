"""What the invisible mark of `add_mark` survives, and how often chance looks like it.

    python benchmarks/marks.py --csv notebooks/tables/marks.csv
    python benchmarks/marks.py --keys 80

The middle of the twelve test photos, at most 384 x 384 pixels, is marked with a PSNR of
42 dB and rounded to bytes. Each is damaged, rounded again, and looked for at the
default scales: found is what chance would show at most once in a million. PSNR of the
damaged to the clean photo, where they lie on each other. Erasers are the networks of
`python -m tfgen restore`, alone, and after noise or halving that hides the mark first;
`restore_with_prior`, which draws the halved photo anew, for the first photos only; and
the denoiser as a prior that draws a noisy photo anew, with less noise in each of four
steps, the attack of Zhao et al. (2023, arXiv:2306.01953). The last row is what those
who know the key can do.

The second command looks for as many keys in each unmarked photo, at one scale: how
often is the probability that is told at most 0.5, 0.1 and so on, and how often would be
exact?
"""

import argparse
import csv
import io
import itertools
import time

import numpy as np
from PIL import Image
from restoration_quality import load_images

import tfgen
from tfgen.marks import chance
from tfgen.prior import add_noise as add_fresh_noise
from tfgen.writing import check_path, write_whole

SIDE, KEY, FOUND = 384, "the key of the benchmark", 1e-6
ANEW, FEW, STEPS = "halved, drawn anew", 3, 8  # photos and steps: it takes its time


def to_bytes(image):
    return Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))


def to_floats(picture):
    return np.asarray(picture, np.float32) / 255


def resize(image, scale):
    picture = to_bytes(image)
    size = [round(scale * side) for side in picture.size]
    return to_floats(picture.resize(size, Image.Resampling.BICUBIC))


def turn(image, degrees):
    return to_floats(to_bytes(image).rotate(degrees, Image.Resampling.BICUBIC))


def crop(image, share):
    """A part, not from a corner of the mark's tile."""
    height, width = (round(share * side) for side in image.shape[:2])
    return image[13 : 13 + height, 21 : 21 + width]


def compress(image, quality):
    return tfgen.compress_jpeg(image[None], quality=quality)["image"].numpy()[0]


def add_noise(image, sigma, clip=True):
    noise = np.random.default_rng(0).normal(0, sigma / 255, image.shape)
    noisy = (image + noise).astype(np.float32)
    return np.clip(noisy, 0, 1) if clip else noisy


def build_damages():
    photo, denoiser, upscaler = (
        tfgen.load_pretrained(name) for name in ("photo", "denoise_color", "upscale_x2")
    )

    def denoise(image, sigma=None):
        if sigma is None:  # as the command does
            sigma = tfgen.estimate_noise(image[None])[0]
        return denoiser.restore(image, sigma=sigma)

    return {
        "none": lambda image: image,
        "JPEG 90": lambda image: compress(image, 90),
        "JPEG 70": lambda image: compress(image, 70),
        "JPEG 50": lambda image: compress(image, 50),
        "JPEG 20": lambda image: compress(image, 20),
        "JPEG 10": lambda image: compress(image, 10),
        "0.75 of the size": lambda image: resize(image, 0.75),
        "half the size": lambda image: resize(image, 0.5),
        "half the size, JPEG 70": lambda image: compress(resize(image, 0.5), 70),
        "0.7 of each side": lambda image: crop(image, 0.7),
        "half of each side": lambda image: crop(image, 0.5),
        "noise 10": lambda image: add_noise(image, 10),
        "noise 25": lambda image: add_noise(image, 25),
        "turned by 1 degree": lambda image: turn(image, 1),
        "mirrored": lambda image: image[:, ::-1],
        "restore, photo": photo.restore,
        "restore, denoise": denoise,
        "denoised as sigma 15": lambda image: denoise(image, 15),
        "JPEG 50, photo": lambda image: photo.restore(compress(image, 50)),
        "noise 25, denoised": lambda image: denoise(add_noise(image, 25), 25),
        "noise 50, denoised": lambda image: denoise(add_noise(image, 50, False), 50),
        "noise 100, denoised": lambda image: denoise(add_noise(image, 100, False), 100),
        "noise 50, drawn anew": lambda image: draw_anew(denoiser, image, 50),
        "halved, enlarged": lambda image: upscaler.restore(resize(even(image), 0.5)),
        ANEW: lambda image: tfgen.restore_with_prior(
            denoiser, resize(even(image), 0.5), scale=2, steps=STEPS, seed=0
        ),
        "taken off with the key": remove_mark,
    }


def draw_anew(denoiser, image, sigma, steps=4):
    """Noise that hides the mark, and a walk back, half of its noise always new."""
    rng = np.random.default_rng(0)
    levels = [*np.geomspace(sigma, 1, steps), 0]
    noisy = add_noise(image, sigma, clip=False)
    for level, after in itertools.pairwise(levels):
        clean = denoiser.restore(noisy, sigma=level)
        noisy = add_fresh_noise(clean, noisy, level / 255, after / 255, 0.5, rng)
    return np.clip(clean, 0, 1)


def remove_mark(image):
    """Subtract the change that `add_mark` makes."""
    return np.clip(2 * image - tfgen.add_mark(image[None], KEY)[0], 0, 1)


def even(image):
    height, width = (side // 2 * 2 for side in image.shape[:2])
    return image[:height, :width]


def measure(photos, marked, damage):
    """What is found in each damaged photo, and its PSNR or None."""
    matches, decibels = [], []
    for clean, image in zip(photos, marked, strict=False):
        spoiled = to_floats(to_bytes(np.asarray(damage(image))))
        matches.append(tfgen.find_mark(spoiled[None], KEY).matches[0])
        near = even(clean) if spoiled.shape == even(clean).shape else clean
        if spoiled.shape == near.shape:
            decibels.append(tfgen.psnr(near[None], spoiled[None])[0])
    return np.array(matches), np.mean(decibels) if decibels else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="where to put the table")
    parser.add_argument("--damages", nargs="+", help="these only, by name")
    parser.add_argument("--keys", type=int, help="look for so many in vain, instead")
    options = parser.parse_args()
    if options.csv:
        check_path(options.csv)
    photos = [*load_images(None, 3, SIDE).values()]
    if options.keys:
        count_false_alarms(photos, options.keys)
        return
    marked = [tfgen.add_mark(photo[None], KEY)[0] for photo in photos]
    marked = [to_floats(to_bytes(image)) for image in marked]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow("damage photos found median least probability psnr".split())
    cases = {"not marked": (photos, lambda image: image)}
    cases |= {
        name: (marked[:FEW] if name == ANEW else marked, damage)
        for name, damage in build_damages().items()
    }
    for name in options.damages or cases:
        images, damage = cases[name]
        start = time.perf_counter()
        matches, decibels = measure(photos, images, damage)
        found = sum(chance(count) < FOUND for count in matches)
        median = np.median(matches)
        row = [name, len(images), found, f"{median:g}", matches.min()]
        row += [f"{chance(matches.min()):.1e}", f"{decibels:.1f}" if decibels else ""]
        if name in ("not marked", "turned by 1 degree", "mirrored"):
            row[-1] = ""
        writer.writerow(row)
        seconds = time.perf_counter() - start
        print(f"{name:24}", *row[1:], f"  ({seconds:.0f} s)", sep="\t", flush=True)
        if options.csv:
            write_whole(options.csv, table.getvalue().encode())


def count_false_alarms(photos, keys):
    counts = [
        tfgen.find_mark(photo[None], f"key {number}", scales=(1,)).matches[0]
        for photo in photos
        for number in range(keys)
    ]
    told = np.array([chance(count) for count in counts])
    print(
        f"{len(counts)} searches in vain; the least probability told {told.min():.1e}"
    )
    for limit in (0.5, 0.1, 0.01, 0.001):
        least = next(count for count in range(66) if chance(count) <= limit)
        print(
            f"told at most {limit}: in {np.mean(told <= limit):.4f} of them; exactly "
            f"{chance(least):.4f}"
        )


if __name__ == "__main__":
    main()
