"""Read and write image files, losing nothing on the way and leaving no half a file.

`tfgen.data.folder` reads images to train on. Here a photo keeps its depth, its
transparency and its colour profile, and what cannot be done is a ValueError that
names the file.
"""

import dataclasses
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tfgen.commands.screen import shown
from tfgen.writing import check_path, replacing

MAX_PIXELS = 150_000_000  # of a photo to read or to write


@dataclasses.dataclass
class Photo:
    """An upright picture.

    Attributes
    ----------
    pixels : ndarray of uint8 or uint16, (height, width, channels)
        Grey, 1 channel, or red, green and blue.
    alpha : ndarray of uint8, (height, width), or None
        255 where the picture is opaque.
    icc_profile : bytes or None
        What the numbers mean, as colours.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None


def to_floats(pixels):
    """Integers as float32 in [0, 1]."""
    return np.divide(pixels, np.iinfo(pixels.dtype).max, dtype=np.float32)


def to_integers(image, dtype=np.uint8):
    """Floats in [0, 1], rounded to integers row by row, to save memory."""
    pixels = np.empty(image.shape, dtype)
    for row, values in zip(pixels, image, strict=True):
        row[:] = np.rint(values * np.iinfo(dtype).max)
    return pixels


# --- Reading ----------------------------------------------------------------


def read_photo(path):
    """Read an image file of any kind that Pillow knows as a `Photo`.

    Upright (EXIF), of an animation the first picture; a palette, CMYK and the like
    become red, green and blue. Grey of 16 bits stays so; Pillow reads colour of 16
    bits as 8. A note on standard error says what the file holds but the photo does
    not. ValueError if the file is missing, damaged, no image, or has more than
    `MAX_PIXELS`, which is found out before they are decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised
        try:
            with Image.open(path) as image:
                check_size(*image.size)
                losses = list(_find_losses(image))  # before decoding changes the tiles
                photo = _decode(image)
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise ValueError(f"Cannot read {path}: {_reason(error, path)}.") from None
    for loss in losses:
        print(f"note: {shown(path)}: {loss}", file=sys.stderr)
    return photo


def check_size(width, height):
    """Raise ValueError for more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"A picture of {width} x {height} has more than {MAX_PIXELS / 1e6:.0f} "
            "million pixels."
        )


def _find_losses(image):
    layout = str(image.tile)  # such as "RGB;16B", which the mode "RGB" does not tell
    if ";16" in layout and not image.mode.startswith("I"):
        yield "16-bit colour or transparency was read as 8 bits"
    if "I;16" in image.mode and "transparency" in image.info:
        yield "a grey level that is transparent was read as opaque"
    if getattr(image, "n_frames", 1) > 1:
        yield f"only the first of {image.n_frames} pictures was read"


def _decode(image):
    layout = str(image.tile)  # such as "LA;16B", read in the mode "RGBA"
    icc_profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        pixels, alpha = np.asarray(image), None
        if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("its pixels are not 8- or 16-bit numbers")
        pixels = pixels.astype(np.uint16)[..., None]
    else:
        grey = image.mode in ("1", "L", "LA") or "LA;16" in layout
        transparent = image.has_transparency_data
        mode = ("L" if grey else "RGB") + ("A" if transparent else "")
        if image.mode != mode:
            image = image.convert(mode)
        pixels = np.asarray(image).reshape(image.height, image.width, len(mode))
        alpha = pixels[..., -1] if transparent else None
        pixels = pixels[..., : len(mode) - transparent]
    return Photo(pixels, alpha, icc_profile)


def _reason(error, path):
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own, higher limit
        return f"it has more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, UnidentifiedImageError):
        empty = os.path.getsize(path) == 0
        return "the file is empty" if empty else "it is not an image that Pillow knows"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.rstrip(".")


# --- Writing ----------------------------------------------------------------


class Format(NamedTuple):
    """How files with an extension are written, and what they can hold."""

    name: str
    options: dict
    alpha: bool = True
    deep: bool = False  # 16 bits
    longest: int = 10**9  # pixels of a side


PNG = Format("PNG", {}, deep=True)
JPEG = Format(
    "JPEG", {"quality": 95, "subsampling": "4:4:4"}, alpha=False, longest=65500
)
TIFF = Format("TIFF", {}, deep=True)
FORMATS = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".webp": Format("WEBP", {"quality": 95}, longest=16383),
    ".bmp": Format("BMP", {}, alpha=False),
}


def check_output(path, force, source=None):
    """Raise ValueError unless `path` can be written, before the work is done.

    `force` lets a file be overwritten that is there; `source` is the file that is read.
    """
    if os.path.isfile(path) and not force:
        if source and os.path.exists(source) and os.path.samefile(path, source):
            raise ValueError(f"{path} is the input itself; --force overwrites it.")
        raise ValueError(f"{path} exists; --force overwrites it.")
    check_path(path)


def choose_format(path, photo, scale=1):
    """The format of an extension, or ValueError if it cannot hold the photo.

    The picture will be `scale` times larger than the photo; None checks the extension
    alone.
    """
    form = FORMATS.get(Path(path).suffix.lower())
    if form is None:
        raise ValueError(
            f"Cannot write {path}: the name must end in one of {' '.join(FORMATS)}."
        )
    if photo is not None:
        height, width = (scale * side for side in photo.pixels.shape[:2])
        check_size(width, height)
        if max(height, width) > form.longest:
            raise ValueError(
                f"Cannot write {path}: the picture is {width} x {height}, but "
                f"{form.name} ends at {form.longest}."
            )
        if photo.alpha is not None and not form.alpha:
            raise ValueError(
                f"Cannot write {path}: {form.name} cannot hold the photo's "
                "transparency; choose .png, .tif or .webp."
            )
    return form


def write_photo(path, photo):
    """Write a `Photo` in the format of the extension, whole or not at all.

    A colour profile is kept where it fits the channels that are written. Other
    metadata are not written: the picture is upright already.
    """
    form = choose_format(path, photo)
    pixels = photo.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    if form.name == "WEBP" and image.mode in ("L", "LA"):  # knows no grey
        image = image.convert("RGB" if image.mode == "L" else "RGBA")
    options = dict(form.options)
    space = b"RGB " if image.mode.startswith("RGB") else b"GRAY"
    if photo.icc_profile and photo.icc_profile[16:20] == space:
        options["icc_profile"] = photo.icc_profile
    with replacing(path) as file:
        image.save(file, form.name, **options)
