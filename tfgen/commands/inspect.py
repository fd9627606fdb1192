"""`python -m tfgen inspect`: what a picture file says of itself."""

import contextlib
import io

from PIL import Image
from PIL.ExifTags import Base

from tfgen.commands import photo_files
from tfgen.commands.screen import shown
from tfgen.marks import BITS, find_mark
from tfgen.provenance import TYPES, has_manifest, read_source, read_tool, read_xmp

FOUND = 1e-6  # the chance from which on a mark is said to be there


def inspect(file, key=None):
    """Print what a file states, and whether its pixels hold the mark of a key."""
    with contextlib.redirect_stderr(io.StringIO()):  # notes on what is not read
        photo = photo_files.read_photo(file)
    with Image.open(file) as image:
        kind, (width, height) = image.format, image.size
        signed, xmp = describe_manifest(image), read_xmp(image)
        image.load()  # a PNG may say more behind the pixels
        xmp = xmp or image.info.get("xmp")
        lines = {
            "source": describe_source(xmp),
            "software": describe_software(image, xmp),
            "C2PA": signed,
        }
    if key is not None:
        lines["mark"] = describe_mark(photo, key)
    print(f"{shown(file)}: {kind}, {width} x {height} pixels")
    for name, text in lines.items():
        print(f"{name + ':':10}{shown(text)}")


def describe_source(xmp):
    """What XMP says of how a picture was made."""
    try:
        source = read_source(xmp)
    except ValueError as error:
        return f"not known: {error}"
    if source is None:
        return "nothing is said"
    words = TYPES.get(source, "not in the list of IPTC")
    return f"{words} ({source[:100]})"


def describe_software(image, xmp):
    """The programs that a file names."""
    names = [image.getexif().get(Base.Software), image.info.get("Software")]
    try:
        names.append(read_tool(xmp))
    except ValueError:
        pass  # said of the source
    names = dict.fromkeys(str(name)[:100] for name in names if name)
    return ", ".join(names) or "nothing is said"


def describe_manifest(image):
    """Whether a file is signed."""
    found = has_manifest(image)
    if found is None:
        return f"not looked for in {image.format}"
    return "a manifest, whose signature was not checked" if found else "no manifest"


def describe_mark(photo, key):
    """Whether the pixels hold the mark of a key, and how sure that is."""
    try:
        found = find_mark(photo_files.to_floats(photo.pixels)[None], key)
    except ValueError as error:
        return f"not looked for: {error}"
    chance, matches = found.probability[0], found.matches[0]
    return (
        f"{'found' if chance < FOUND else 'not found'}: {matches} of {BITS} signs as "
        f"with this key; by chance so many with probability {chance:.2g}"
    )
