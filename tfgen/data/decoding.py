"""What the numbers of an image file mean: one decoder, for commands and folders.

Pillow gives numbers and a mode. Whether 0 is white, how many bits are in use and which
inks are meant stands elsewhere in the file, and is looked up here.
"""

import dataclasses
import io

import numpy as np
from PIL import ImageCms, ImageOps
from PIL.ExifTags import Base

from tfgen.images import LUMA

WHITE_IS_ZERO, RGB, INKS, YCBCR = 0, 2, 5, 6  # interpretations of the numbers of a TIFF


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
    exif, xmp : bytes or None
        What else is known of the photo, such as date and place; `decode` leaves it out.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def decode(image):
    """Decode a file that Pillow has just opened, as a `Photo`.

    Upright (EXIF), of an animation the first picture. 0 is black, also where the file
    says that it is white. A palette and the like become red, green and blue; CMYK does
    so through its colour profile, if it has one. Grey of 16 bits stays so, of 12 bits
    it becomes 16; Pillow reads colour of 16 bits as 8.

    ValueError if the meaning of the numbers is not known, or one that Pillow gets
    wrong. Pillow raises more kinds of errors for damaged files.
    """
    for doubt in _find_doubts(image):
        raise ValueError(f"{doubt}; save it as an 8-bit PNG")
    layout = str(image.tile)  # such as "LA;16B", read in the mode "RGBA"
    tags = getattr(image, "tag_v2", {})  # of TIFF
    _mend_transparency(image.info, layout)
    image.filename = ""  # Pillow maps files with a name, and garbles some turned TIFFs
    image = ImageOps.exif_transpose(image)
    icc_profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.uint16)
        if tags.get(Base.BitsPerSample) == (12,):
            pixels = np.rint(pixels * (65535 / 4095)).astype(np.uint16)
        if tags.get(Base.PhotometricInterpretation) == WHITE_IS_ZERO:
            pixels = 65535 - pixels  # Pillow has done so in 8 bits, not in 16
        return Photo(pixels[..., None], None, icc_profile)

    if image.mode in ("CMYK", "LAB"):
        image, icc_profile = _convert_to_srgb(image), None
    if image.mode == "La":  # grey times alpha, which becomes nothing else
        image = image.convert("LA")
    grey = image.mode in ("1", "L", "LA") or "LA;16" in layout
    transparent = image.has_transparency_data
    mode = ("L" if grey else "RGB") + ("A" if transparent else "")
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(image).reshape(image.height, image.width, len(mode))
    alpha = pixels[..., -1] if transparent else None
    return Photo(pixels[..., : len(mode) - transparent], alpha, icc_profile)


def has_ink_profile(image):
    """Whether the image is of inks, and its colour profile says which colours."""
    profile = image.info.get("icc_profile") or b""
    return image.mode == "CMYK" and profile[16:20] == b"CMYK"


def _convert_to_srgb(image):
    if not has_ink_profile(image):
        return image.convert("RGB")
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, inks, srgb, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        raise ValueError("its colour profile is damaged; save it as sRGB") from None


def _mend_transparency(info, layout):
    """Say which level of a PNG is transparent in the depth in which it is read."""
    if ";16" in layout:  # 8 bits cannot tell it from levels beside it
        info.pop("transparency", None)
    for kind, step in (("'L;2'", 85), ("'L;4'", 17)):
        if kind in layout and "transparency" in info:
            info["transparency"] *= step


# --- What cannot be trusted -------------------------------------------------


def _find_doubts(image):
    not_integers = "its pixels are not 8- or 16-bit numbers"
    safe = image.format in ("PNG", "TIFF", "JPEG2000", "PPM")
    if image.mode == "F" or (image.mode.startswith("I") and not safe):
        yield not_integers
    if image.format in ("JPEG", "MPO") and image.mode == "CMYK":
        if image.info.get("adobe_transform") not in (0, 2):  # Adobe's full ink is 0
            yield "it does not say whether 0 is no ink or full ink"
    if image.format != "TIFF":
        return

    def read(tag, *default):
        return np.ravel(image.tag_v2.get(tag, default)).tolist()

    if read(Base.NewSubfileType, 0)[0] & 1:
        yield "it holds a small preview in front of the photo"
    interpretation = image.tag_v2.get(Base.PhotometricInterpretation)
    if interpretation is None:
        yield "it does not say whether 0 is black or white"
    bits = read(Base.BitsPerSample, 1)
    if max(bits) > 16 or {*read(Base.SampleFormat, 1)} != {1}:  # 1: unsigned integers
        yield not_integers
    top = 2 ** max(bits) - 1
    if read(Base.PlanarConfiguration, 1) == [2]:
        plain = {*bits} == {8} and read(Base.FillOrder, 1) == [1]
        plain = plain and interpretation != WHITE_IS_ZERO
        if not plain or image.mode not in ("L", "RGB", "RGBA", "CMYK"):
            yield "its channels are stored apart"
    if image.mode in ("P", "PA") and max(read(Base.ColorMap)) < 256:
        yield "its palette is not of 16 bits"
    if interpretation == INKS:
        dots = read(Base.DotRange, 0, top)
        if read(Base.InkSet, 1) != [1] or dots != [0, top] * (len(dots) // 2):
            yield "its inks are not cyan, magenta, yellow and black from 0 on"
    if interpretation in (RGB, YCBCR):
        ends = [0, top] * 3 if interpretation == RGB else [0, 255, 128, 255, 128, 255]
        if read(Base.ReferenceBlackWhite, *ends) != ends:
            yield "its black and white are not the least and the largest number"
    if interpretation == YCBCR:
        if not np.allclose(read(Base.YCbCrCoefficients, *LUMA), LUMA, atol=0.001):
            yield "its luma is not that of BT.601"
        coarse = read(Base.YCbCrSubSampling, 2, 2) != [1, 1]
        if coarse and image.info["compression"] == "raw":
            yield "its colours are coarser than its brightness"
