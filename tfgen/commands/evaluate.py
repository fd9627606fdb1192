"""`python -m tfgen evaluate`: restoration measured on a folder of images."""

import csv
import functools
import io
import itertools
import os
import sys
from pathlib import Path

import numpy as np

from tfgen.commands import networks, photo_files
from tfgen.commands.screen import shown
from tfgen.data.corruptions import (
    add_gaussian_noise,
    compress_jpeg,
    downsample,
    mask_scratches,
)
from tfgen.data.folder import EXTENSIONS
from tfgen.data.photo_damage import add_sensor_noise
from tfgen.images import LUMA
from tfgen.measures.classics import CLASSICS
from tfgen.measures.restoring import compare, print_scores, untouched
from tfgen.writing import write_whole

TASKS = {  # of the options that not all tasks have
    "quality": ("photo",),
    "sigma": ("photo", "denoise"),
    "scale": ("upscale",),
}


def evaluate(
    folder,
    task,
    *,
    quality,
    sigma,
    scale,
    luma,
    border,
    seed,
    table,
    ensemble,
    weights,
    force,
):
    """Print a table of scores; the parser's help describes the options.

    Returns the exit status: 1 if some images have no scores.
    """
    given = {"quality": quality, "sigma": sigma, "scale": scale}
    networks.check_options(task, TASKS, **given)
    if quality is not None and sigma is not None:
        raise ValueError("Give --quality or --sigma, not both: one damage at a time.")
    if quality is not None and not 1 <= quality <= 95:
        raise ValueError(f"--quality is {quality}, but must be from 1 to 95.")
    if task == "photo" and sigma is None:
        quality = quality or 20
    sigma = networks.check_sigma(25 if sigma is None else sigma)
    scale = (scale or 4) if task == "upscale" else 1
    if border is None:
        border = scale if task == "upscale" else 0
    if border < 0:
        raise ValueError(f"--border is {border}, but must be at least 0.")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"--seed is {seed}, which is no number of 64 bits.")
    if table is not None:
        photo_files.check_output(table, force)
    pairs = list_images(folder, task, scale)
    corrupt, methods = choose_protocol(task, quality=quality, sigma=sigma, scale=scale)

    @functools.cache
    def load_network(channels):
        restorer = networks.choose_network(task, channels, scale, weights=weights)
        return functools.partial(networks.run_network, restorer, ensemble=ensemble)

    def score(number, large, small):
        """PSNR and SSIM of each method, or the reason why there are none."""
        try:
            clean, image = read_pair(large, small, scale)
        except ValueError as error:
            return shown(error)
        if task == "photo" and luma and clean.shape[-1] == 3:
            clean = find_luma(clean)
        if image is None:
            damaged = corrupt(clean[None], np.array((seed, number)))
        else:
            damaged = {"image": image[None]}
        ways = {**methods, "network": load_network(clean.shape[-1])}
        options = {"luma": luma, "border": border, "round_to_bytes": True}
        try:
            return compare(clean, damaged, ways, **options)
        except ValueError as error:
            return shown(f"{large}: {error}")

    noise = f"noise of sigma {sigma:g}, clipped and rounded, seed {seed}"
    what = {
        "photo": f"JPEG of quality {quality}" if quality else noise,
        "denoise": f"noise of sigma {sigma:g}, not clipped or rounded, seed {seed}",
        "inpaint": f"scratches, seed {seed}",
        "upscale": f"{scale} times, from small images of 8 bits",
    }[task]
    where = f"{'luma' if luma else 'all channels'}, border {border}"
    mean = "; network: mean of eight ways" if ensemble else ""
    print(f"{task}: {what}; scored in 8 bits: {where}{mean}")
    names, columns = [large.name for large, _ in pairs], [*methods, "network"]
    scores = (score(number, *pair) for number, pair in enumerate(pairs))
    rows = print_scores(list(map(shown, names)), columns, scores)
    if table is not None:
        write_table(table, [*names, "mean"], columns, rows)
    unscored = int(np.isnan(rows).any(axis=(1, 2)).sum())
    if unscored:
        print(
            f"error: {unscored} of {len(names)} images have no scores; their rows say "
            "why",
            file=sys.stderr,
        )
    return 1 if unscored else 0


def choose_protocol(task, *, quality=None, sigma=None, scale=1):
    """The corruption of a task, and the methods by name that a network must beat."""
    if task == "photo":
        noise = functools.partial(add_sensor_noise, read=sigma, shot=0)  # in 8 bits
        file = functools.partial(compress_jpeg, quality=quality)
        return file if quality else noise, {"damaged": untouched}
    classics = CLASSICS[task]
    if task == "denoise":
        corrupt = functools.partial(add_gaussian_noise, sigma=sigma)
        return corrupt, {"noisy": untouched, **classics}
    if task == "inpaint":
        return mask_scratches, {"masked": untouched, **classics}
    enlarge = functools.partial(classics["bicubic"], scale=scale)
    return functools.partial(downsample, scale=scale), {"bicubic": enlarge}


def find_luma(image):
    """The luma of a colour image in [0, 1], of 8 bits and with the range of television,
    as published tables of JPEG files take it: grey, 16 to 235 of 255."""
    luma = image @ (219 * LUMA[:, None]) + 16
    return np.rint(luma).astype(np.float32) / 255


def list_images(folder, task, scale):
    """The image files of a folder, each with that of its small version or None.

    Where that is missing, its path is the one where it would be.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"{folder} is not a folder.")
    folder = Path(folder)
    parts = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    paired = task == "upscale" and {"hr", "lr"} <= parts.keys()
    large = find_images(parts["hr"] if paired else folder)
    if not paired:
        return [(path, None) for path in large]
    small = {path.stem: path for path in find_images(parts["lr"])}

    def find_small(path):
        found = small.get(path.stem, parts["lr"] / path.name)
        return small.get(f"{path.stem}x{scale}", found)

    return [(path, find_small(path)) for path in large]


def find_images(folder):
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    ]
    if not found:
        raise ValueError(
            f"There is no image in {folder}; files that end in {' '.join(EXTENSIONS)} "
            "are looked for."
        )
    return found


def read_pair(large, small, scale):
    """A clean image, cropped to multiples of a scale, and its small version or None."""
    clean = read_clean(large)
    if small is None:
        height, width = (side // scale * scale for side in clean.shape[:2])
        if min(height, width) == 0:
            raise ValueError(f"{large} is too small to be shrunk {scale} times.")
        return clean[:height, :width], None
    image = read_clean(small)
    height, width = scale * np.array(image.shape[:2])
    extra = np.subtract(clean.shape[:2], (height, width))
    same = image.shape[-1] == clean.shape[-1]
    if not same or extra.min() < 0 or extra.max() >= scale:
        raise ValueError(f"{small} is not {large} shrunk {scale} times.")
    return clean[:height, :width], image


def read_clean(path):
    """An image file as floats; transparent pixels over white."""
    photo = photo_files.read_photo(path)
    image = photo_files.to_floats(photo.pixels)
    if photo.alpha is not None:
        image = 1 - photo_files.to_floats(photo.alpha)[..., None] * (1 - image)
    return image


def write_table(path, names, methods, rows):
    """Write the scores as CSV, whole or not at all; no score is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    heads = itertools.product(methods, ("PSNR", "SSIM"))
    writer.writerow(["image", *map(" ".join, heads)])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([name, *("" if np.isnan(x) else x for x in row.ravel())])
    write_whole(path, text.getvalue().encode("utf-8", "backslashreplace"))
