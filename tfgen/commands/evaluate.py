"""`python -m tfgen evaluate`: restoration measured on a folder of images."""

import csv
import functools
import io
import itertools
from pathlib import Path

import numpy as np

from tfgen.commands.networks import (
    check_options,
    check_sigma,
    choose_network,
    run_network,
)
from tfgen.commands.photo_files import check_output, read_photo, to_floats
from tfgen.data.corruptions import add_gaussian_noise, downsample, mask_scratches
from tfgen.data.folder import EXTENSIONS
from tfgen.measures.classics import CLASSICS
from tfgen.measures.restoring import compare, print_scores, untouched
from tfgen.writing import replacing


def evaluate(
    folder, task, *, sigma, scale, luma, border, seed, table, ensemble, weights, force
):
    """Print a table of scores; the parser's help describes the options."""
    check_options(task, sigma=sigma, scale=scale)
    sigma = check_sigma(25 if sigma is None else sigma)
    scale = (scale or 4) if task == "upscale" else 1
    if border is None:
        border = scale if task == "upscale" else 0
    if table:
        check_output(table, force)
    pairs = list_images(folder, task, scale)
    corrupt, classics, what = choose_protocol(task, sigma, scale, seed)
    choose = functools.partial(choose_network, task, scale=scale, weights=weights)
    load_network = functools.cache(choose)  # one for grey, one for colour

    def score(number, large, small):
        clean, image = read_pair(large, small, scale)
        if image is None:
            damaged = corrupt(clean[None], np.array((seed, number)))
        else:
            damaged = {"image": image[None]}
        restorer = load_network(clean.shape[-1])
        network = functools.partial(run_network, restorer, ensemble=ensemble)
        methods = {**classics, "network": network}
        options = {"round_to_bytes": True, "luma": luma, "border": border}
        try:
            return compare(clean, damaged, methods, **options)
        except ValueError as error:
            raise ValueError(f"{large}: {error}") from None

    where = f"{'luma' if luma else 'all channels'}, border {border}"
    ways = "; network: mean of eight ways" if ensemble else ""
    print(f"{task}: {what}; scored in 8 bits: {where}{ways}")
    names = [large.name for large, _ in pairs]
    methods = [*classics, "network"]
    scores = (score(number, *pair) for number, pair in enumerate(pairs))
    rows = print_scores(names, methods, scores)
    if table:
        write_table(table, [*names, "mean"], methods, rows)


def choose_protocol(task, sigma, scale, seed):
    """The corruption of a task, the methods to beat, and the protocol in words."""
    classics = CLASSICS[task]
    if task == "denoise":
        return (
            functools.partial(add_gaussian_noise, sigma=sigma),
            {"noisy": untouched, **classics},
            f"noise of sigma {sigma:g}, not clipped or rounded, seed {seed}",
        )
    if task == "inpaint":
        methods = {"masked": untouched, **classics}
        return mask_scratches, methods, f"scratches, seed {seed}"
    return (
        functools.partial(downsample, scale=scale),
        {name: functools.partial(f, scale=scale) for name, f in classics.items()},
        f"{scale} times, from small images of 8 bits",
    )


def list_images(folder, task, scale):
    """The image files of a folder, each with that of its small version or None."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    parts = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    paired = task == "upscale" and {"hr", "lr"} <= parts.keys()
    large = find_images(parts["hr"] if paired else folder)
    if not paired:
        return [(path, None) for path in large]
    small = {path.stem: path for path in find_images(parts["lr"])}
    pairs = [
        (path, small.get(f"{path.stem}x{scale}", small.get(path.stem)))
        for path in large
    ]
    for path, found in pairs:
        if found is None:
            raise ValueError(f"{parts['lr']} has no image for {path}.")
    return pairs


def find_images(folder):
    found = [path for path in sorted(folder.iterdir()) if is_image(path)]
    if not found:
        raise ValueError(
            f"There is no image in {folder}; files that end in "
            f"{' '.join(EXTENSIONS)} are looked for."
        )
    return found


def is_image(path):
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


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
    photo = read_photo(path)
    image = to_floats(photo.pixels)
    if photo.alpha is not None:
        image = 1 - to_floats(photo.alpha)[..., None] * (1 - image)
    return image


def write_table(path, names, methods, rows):
    """Write the scores as CSV, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    heads = itertools.product(methods, ("PSNR", "SSIM"))
    writer.writerow(["image", *map(" ".join, heads)])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([name, *row.ravel()])
    with replacing(path) as file:
        file.write(text.getvalue().encode())
