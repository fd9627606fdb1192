"""`python -m tfgen inspect`: what a picture file says of itself."""

import contextlib
import importlib.util
import io

from PIL import Image
from PIL.ExifTags import Base

from tfgen.commands import photo_files
from tfgen.commands.screen import shown
from tfgen.marks import BITS, find_mark
from tfgen.provenance import TYPES, has_manifest, read_source, read_tool, read_xmp
from tfgen.signing import INSTALL, read_manifest

FOUND = 1e-6  # the chance from which on a mark is said to be there


def inspect(file, key=None, trust=None):
    """Print what a file states, and whether its pixels hold the mark of a key.

    Signers are trusted that a certificate in the PEM file `trust` vouches for.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # notes on what is not read
        photo = photo_files.read_photo(file)
    with Image.open(file) as image:
        kind, (width, height) = image.format, image.size
        signed, xmp = describe_manifest(image, file, trust), read_xmp(image)
        image.load()  # a PNG may say more behind the pixels
        xmp = xmp or image.info.get("xmp")
        lines = {
            "source": describe_source(xmp),
            "software": describe_software(image, xmp),
            **signed,
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
    return describe_name(source)


def describe_name(source):
    """A name of IPTC's list in words."""
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


def describe_manifest(image, file, trust=None):
    """Whether a file is signed, what that says, and who signed."""
    signed = has_manifest(image)
    if not signed:
        unknown = f"not looked for in {image.format}"
        return {"C2PA": unknown if signed is None else "no manifest"}
    if importlib.util.find_spec("c2pa") is None:
        text = f"a manifest, whose signature was not checked: that needs {INSTALL}"
        return {"C2PA": text}
    kind = {"MPO": "jpeg"}.get(image.format, image.format.lower())
    with open(file, "rb") as content:
        found = read_manifest(f"image/{kind}", content, trust)
    lines = {"C2PA": f"a signature that is not valid: {found['problem']}"}
    if found["problem"] is None:
        lines = {"C2PA": f"a valid signature under: {describe_name(found['source'])}"}
    if found["signer"]:
        untrusted = "not trusted: anyone can have written that (see --trust)"
        trusted = f"trusted by {trust}" if found["trusted"] else untrusted
        lines["signer"] = f"{found['signer']}; {trusted}"
    return lines


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
