"""Read and write image files, losing nothing on the way and leaving no half a file.

`tfgen.data.folder` reads images to train on, with the same decoder. Here a photo keeps
its depth, its transparency, its colour profile, EXIF and XMP, and what cannot be done
is a ValueError that names the file.
"""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from tfgen.commands.screen import shown
from tfgen.data.decoding import decode, has_ink_profile
from tfgen.provenance import add_source, has_manifest, only_source, xmp_options
from tfgen.writing import check_path, replacing

try:  # iPhones' files, with the extra `heic`
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pass

MAX_PIXELS = 150_000_000  # of a photo to read or to write
HEIC = ".heic", ".heif"
KEPT = (  # of EXIF's first directory, which in a TIFF also tells where the pixels are
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.XResolution,
    Base.YResolution,
    Base.ResolutionUnit,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
    Base.Rating,
    Base.XPTitle,
    Base.XPComment,
    Base.XPAuthor,
    Base.XPKeywords,
    Base.XPSubject,
)
DROPPED = Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset


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


def read_photo(path, single=False):
    """Read an image file of any kind that Pillow knows as a `Photo`; see `decode`.

    A note on standard error says what the file holds but the photo does not. ValueError
    if the file is missing, damaged, no image, of numbers that cannot be trusted, or has
    more than `MAX_PIXELS`, which is found out before they are decoded; with `single`
    also if it is an animation or has several pages.
    """
    try:
        if Path(path).is_fifo():  # to open it might wait for ever
            raise ValueError("it is a pipe, not a file")
        with Image.open(path) as image:
            check_size(*image.size)
            frames = getattr(image, "n_frames", 1)
            if single and frames > 1 and image.format != "MPO":
                raise ValueError(f"it holds {frames} pictures; restore them one by one")
            losses = list(_find_losses(image))  # before decoding changes the tiles
            photo = decode(image)
            losses += _find_lost_colour(image)  # some tell it behind the pixels
            photo.xmp = _copy_xmp(image)
            try:
                photo.exif = _copy_exif(image)
            except Exception:  # whatever Pillow and struct say of damaged tags
                losses.append("its damaged EXIF was not kept")
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"Cannot read {path}: {_reason(error, path)}.") from None
    for loss in losses:
        note(path, loss)
    return photo


def note(path, text):
    """Tell on standard error what is to be known of a file."""
    line = f"note: {shown(path)}: {text}\n"
    print(line, end="", file=sys.stderr)  # at once: other threads print as well


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
    if ";16" in layout and "transparency" in image.info:
        yield "a level that is transparent was read as opaque"
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # a phone's extras
        yield f"only the first of {image.n_frames} pictures was read"
    if image.mode == "CMYK":
        profile = "its" if has_ink_profile(image) else "no"
        yield f"CMYK was turned into sRGB with {profile} colour profile"
    if image.mode == "LAB":
        yield "Lab was turned into sRGB"
    if image.format == "PNG" and _read_cicp(image) not in (b"", b"\1\15\0\1"):  # sRGB
        yield "its cICP was not used; colours may look different"
    if has_manifest(image):
        yield "its C2PA manifest was not kept, as it signs other pixels"


def _read_cicp(image):
    """The code of colours of a PNG, which Pillow does not give, or b""."""
    image.fp.seek(0)
    head = image.fp.read(image.tile[0][2])  # up to the pixels, where it was
    return head.partition(b"\0\0\0\4cICP")[2][:4]


def _find_lost_colour(image):
    """Note what says, if no colour profile does, that the numbers are not sRGB's."""
    info, exif = image.info, image.getexif()
    if info.get("icc_profile") or "srgb" in info:  # these go before all others
        return
    if "icc_profile" in info:
        yield "its damaged colour profile was not used; colours may look different"
    detail = exif.get_ifd(IFD.Exif)
    white, primaries = [0.3127, 0.329], [0.64, 0.33, 0.3, 0.6, 0.15, 0.06]
    for name, value, srgb in (
        ("gAMA", info.get("gamma"), 1 / 2.2),
        ("cHRM", info.get("chromaticity"), white + primaries),
        ("ColorSpace", detail.get(Base.ColorSpace), 1),
        ("Gamma", detail.get(Base.Gamma), 2.2),
        ("WhitePoint", exif.get(Base.WhitePoint), white),
        ("PrimaryChromaticities", exif.get(Base.PrimaryChromaticities), primaries),
        ("TransferFunction", exif.get(Base.TransferFunction), None),
        ("GrayResponseCurve", exif.get(Base.GrayResponseCurve), None),
    ):
        if value is not None and not _is_near(value, srgb):
            yield f"its {name} was not used; colours may look different"


def _is_near(value, expected):
    try:
        return np.allclose(np.float64(value), expected, atol=0.005)
    except (TypeError, ValueError):  # more or fewer numbers, or none
        return False


def _copy_exif(image):
    """What EXIF says of a photo, without what it says of the file and of its pixels,
    which are upright and perhaps more; None if there is nothing."""
    source, exif = image.getexif(), Image.Exif()
    exif.update(_encode({tag: source[tag] for tag in KEPT if tag in source}))
    for part in (IFD.Exif, IFD.GPSInfo):
        tags = source.get_ifd(part)
        tags = {tag: tags[tag] for tag in tags if tag not in DROPPED}
        if image.mode in ("CMYK", "LAB"):  # turned into sRGB
            tags.pop(Base.ColorSpace, None)
        if tags:
            exif[part] = tags
    return exif.tobytes() if exif else None


def _encode(tags):
    """Tags of EXIF's first directory, their text as bytes: Pillow reads Latin-1, but
    writes ASCII alone."""
    return {
        tag: value.encode("latin-1") if isinstance(value, str) else value
        for tag, value in tags.items()
    }


def _copy_xmp(image):
    """The XMP of a photo, without the orientation; or None."""
    xmp = image.info.get("xmp")
    pattern = rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>'
    return re.sub(pattern, b"", xmp) if isinstance(xmp, bytes) else None


def _reason(error, path):
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own, higher limit
        return f"it has more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, UnidentifiedImageError):
        if os.path.getsize(path) == 0:
            return "the file is empty"
        ending = Path(path).suffix.lower()
        if ending in HEIC and ending not in Image.registered_extensions():
            return "HEIC needs one more package: python -m pip install pillow-heif"
        return "it is not an image that Pillow knows; save it as an 8-bit PNG"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if "MAX_TEXT" in text:  # a limit of Pillow for PNG
        return "a text in it is too long; save the picture anew without its metadata"
    return text.rstrip(".")


# --- Writing ----------------------------------------------------------------


class Format(NamedTuple):
    """How files with an extension are written, and what they can hold."""

    name: str
    options: dict
    alpha: bool = True
    deep: bool = False  # 16 bits
    profile: bool = True
    longest: int = 10**9  # pixels of a side
    longest_text: int = 10**9  # bytes of EXIF or XMP


PNG = Format("PNG", {}, deep=True)
JPEG = Format(
    "JPEG",
    {"quality": 95, "subsampling": "4:4:4"},
    alpha=False,
    longest=65500,
    longest_text=65500,
)
TIFF = Format("TIFF", {}, deep=True)
FORMATS = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".webp": Format("WEBP", {"quality": 95}, longest=16383),
    ".bmp": Format("BMP", {}, alpha=False, profile=False, longest_text=0),
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


def write_photo(path, photo, source=None):
    """Write a `Photo` in the format of the extension, whole or not at all.

    Its XMP says what `source` says of how it was made, as of `tfgen.save_image`.

    A colour profile is kept where it fits the channels that are written; if not, a note
    says so. EXIF and XMP are kept where the format has them and they are not too long.
    """
    form = choose_format(path, photo)
    pixels = photo.pixels
    if pixels.dtype == np.uint16 and not form.deep:
        pixels = to_integers(to_floats(pixels))
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    if form.name == "WEBP" and image.mode in ("L", "LA"):  # knows no grey
        image = image.convert("RGB" if image.mode == "L" else "RGBA")
    options = dict(form.options)
    space = b"RGB " if image.mode.startswith("RGB") else b"GRAY"
    if photo.icc_profile and form.profile and photo.icc_profile[16:20] == space:
        options["icc_profile"] = photo.icc_profile
    elif photo.icc_profile:
        note(path, "its colours may look different, without the photo's profile")
    xmp = _state_source(path, photo.xmp, source)
    if photo.exif and len(photo.exif) <= form.longest_text:
        options["exif"] = photo.exif
    elif photo.exif:
        note(path, f"{form.name} cannot hold the photo's EXIF")
    if xmp and len(xmp) > form.longest_text:
        what = "photo's XMP" if photo.xmp else "statement that it was restored"
        note(path, f"{form.name} cannot hold the {what}")
        xmp = only_source(xmp) if form.longest_text else None
    more = xmp_options(form.name, xmp) if xmp else {}
    if form.name == "TIFF":
        exif = Image.Exif()
        exif.load(photo.exif)
        exif.update(_encode(exif))
        exif.update(more.get("exif", {}))
        more = {"exif": exif}
    options |= more
    with replacing(path) as file:
        image.save(file, form.name, **options)


def _state_source(path, xmp, source):
    """XMP with the source; what is damaged is made anew, which a note says."""
    if source is None:
        return xmp
    try:
        return add_source(xmp, source)
    except ValueError as error:
        note(path, f"{error}; it was replaced")
        return add_source(None, source)
