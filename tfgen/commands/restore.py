"""`python -m tfgen restore`: read a photo, restore it, write the result."""

import contextlib
import sys
import time

import numpy as np
from PIL import Image

from tfgen.commands import networks, photo_files
from tfgen.commands.screen import shown
from tfgen.tiles import estimate_noise

LARGE = 1_000_000  # pixels from which on progress is shown


def restore(photo, output, task, *, sigma, mask, scale, ensemble, weights, force):
    """Restore an image file; the parser's help describes the options."""
    start = time.perf_counter()
    given = networks.check_options(task, sigma=sigma, mask=mask, scale=scale)
    if task != "denoise" and not given:
        raise ValueError(f"--task {task} needs --{networks.TOLD[task]}.")
    photo_files.choose_format(output, None)
    photo_files.check_output(output, force, photo)
    source = photo_files.read_photo(photo)
    form = photo_files.choose_format(output, source, scale or 1)
    known, summary = {}, ""
    if task == "inpaint":
        known["mask"] = read_mask(mask, source)
    restorer = networks.choose_network(task, source.pixels.shape[-1], scale, weights)

    image = photo_files.to_floats(source.pixels)
    if task == "denoise":
        estimated = sigma in (None, "auto")
        sigma = networks.check_sigma(
            estimate_noise(image[None])[0] if estimated else sigma
        )
        known["sigma"] = sigma
        summary = f", sigma {sigma:.1f}{' (estimated)' if estimated else ''}"
    large = image.shape[0] * image.shape[1] >= LARGE
    with contextlib.redirect_stdout(sys.stderr):  # progress is not the result
        restored = networks.run_network(
            restorer, image, ensemble, verbose=int(large), **known
        )

    source.pixels = photo_files.to_integers(
        restored, source.pixels.dtype if form.deep else np.uint8
    )
    height, width = source.pixels.shape[:2]
    if source.alpha is not None:
        alpha = Image.fromarray(source.alpha)
        alpha = alpha.resize((width, height), Image.Resampling.BICUBIC)
        source.alpha = np.asarray(alpha)
    photo_files.write_photo(output, source)
    seconds = time.perf_counter() - start
    print(f"{shown(output)}: {width} x {height} pixels, {seconds:.1f} s{summary}")


def read_mask(path, photo):
    """The holes of a photo, bool (height, width): where a mask is bright.

    That is at least half as bright as its brightest pixel: 0 and 1 will do as well as 0
    and 255, and what a JPEG leaves around a hole is none. Transparent pixels are dark.
    """
    mask = photo_files.read_photo(path)
    (height, width), sides = mask.pixels.shape[:2], photo.pixels.shape[:2]
    if (height, width) != sides:
        raise ValueError(
            f"The mask {path} is {width} x {height} pixels, but the photo is "
            f"{sides[1]} x {sides[0]}."
        )
    levels = photo_files.to_floats(mask.pixels.max(axis=-1))
    if mask.alpha is not None:
        levels *= photo_files.to_floats(mask.alpha)
    darkest, brightest = levels.min(), levels.max()
    holes = (levels > 0) & (levels >= brightest / 2)
    if holes.all() or not holes.any():
        raise ValueError(
            f"The mask {path} has {'only' if holes.all() else 'no'} holes: those are "
            "the bright pixels, the others are kept."
        )
    if ((darkest < levels) & (levels < brightest)).any():
        photo_files.note(
            path,
            "it has more than two values; a hole is what is at least half as bright as "
            "the brightest",
        )
    if holes.mean() > 0.5:
        text = f"{holes.mean():.0%} of the photo are holes; if not, invert the mask"
        photo_files.note(path, text)
    return holes
