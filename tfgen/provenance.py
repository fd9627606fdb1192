"""What a picture file says of how the picture was made, and files that say so.

IPTC's *Digital Source Type* is one address out of a list, in the file's XMP, which is
text in XML: https://cv.iptc.org/newscodes/digitalsourcetype/. Anyone can write it, and
anyone can delete it: it is a statement, not a proof.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, PngImagePlugin

from tfgen.images import check_images
from tfgen.writing import check_path, write_whole

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TYPES = {  # from what a camera saw to what no camera saw
    "digitalCapture": "taken by a digital camera",
    "computationalCapture": "computed from several pictures of a camera",
    "multiFrameComputationalCapture": "computed from several pictures of a camera",
    "negativeFilm": "digitised from a negative",
    "positiveFilm": "digitised from a slide",
    "print": "digitised from a print",
    "minorHumanEdits": "with minor edits by a person",
    "algorithmicallyEnhanced": "enhanced by an algorithm",
    "humanEdits": "edited by a person",
    "screenCapture": "a picture of a screen",
    "virtualRecording": "recorded in a virtual world",
    "compositeCapture": "put together from pictures of cameras",
    "composite": "put together from several parts",
    "digitalArt": "drawn by a person on a computer",
    "digitalCreation": "made by a person on a computer",
    "softwareImage": "made by software",
    "dataDrivenMedia": "made from data by software",
    "algorithmicMedia": "made by an algorithm that was not trained",
    "compositeSynthetic": "put together, some of it synthetic",
    "compositeWithTrainedAlgorithmicMedia": "partly made by a trained model",
    "trainedAlgorithmicMedia": "made by a trained model",
}
SOURCES = {  # of what tfgen makes
    "enhanced": "algorithmicallyEnhanced",
    "mixed": "compositeWithTrainedAlgorithmicMedia",
    "generated": "trainedAlgorithmicMedia",
}
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
OPTIONS = {"JPEG": {"quality": 95, "subsampling": "4:4:4"}, "WEBP": {"quality": 95}}
LONGEST = 10_000_000  # bytes of XMP that are read
PNG_KEY = "XML:com.adobe.xmp"
TIFF_TAG = 700
GIF_KEY = b"!\xff\x0bXMP DataXMP"
GIF_END = bytes([1, *range(255, -1, -1), 0])  # leads any reader out of the text


def save_image(path, image, *, source):
    """Write an image as a file that says how it was made.

    Parameters
    ----------
    path : str or Path
        Ends in .png, .jpg, .jpeg, .webp, .tif or .tiff; a JPEG or WebP file has the
        quality 95. A file that is there is replaced, as a whole.
    image : array or tensor, (height, width, 1 or 3)
        Values in [0, 1], rounded to 8 bits.
    source : {"generated", "mixed", "enhanced"}, name of IPTC's list, or None
        Made by a trained model; partly so, such as where a hole was filled; denoised
        or enlarged. It is written as IPTC's Digital Source Type. None writes nothing:
        for a real photo, of which the caller may know more, such as "digitalCapture".

    Raises
    ------
    ValueError
        For another shape, type or values of the image, an unknown source, or a path
        that cannot be written.
    """
    form = check_source(path, source)
    if form is None:
        endings = " ".join(FORMATS)
        raise ValueError(f"Cannot write {path}: the name must end in one of {endings}.")
    check_path(path)
    shape = np.shape(image)
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            f"image: got shape {shape}, need (height, width, 1) or (height, width, 3)."
        )
    pixels = np.rint(255 * check_images(np.asarray(image)[None], "image")[0])
    pixels = pixels.astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels)
    options = OPTIONS.get(form, {}) | save_options(form, source)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    write_whole(path, buffer.getvalue())


def check_source(path, source, ending=None):
    """The format of a file that can hold its source, or ValueError.

    None for another format, if there is no source to hold. The `ending` is by default
    that of the path.
    """
    form = FORMATS.get(ending or Path(os.fsdecode(path)).suffix.lower())
    if source is not None:
        name_source(source)
        if form is None:
            raise ValueError(
                f"Cannot write {path} with the source {source!r}: it must end in one "
                f"of {' '.join(FORMATS)}, or have source=None."
            )
    return form


def save_options(form, source):
    """What `PIL.Image.Image.save` is told to write the source of a picture."""
    return {} if source is None else xmp_options(form, add_source(None, source))


def xmp_options(form, xmp):
    """What `PIL.Image.Image.save` is told to write XMP into a file of a format."""
    if form == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt(PNG_KEY, xmp.decode("utf-8", "replace"))
        return {"pnginfo": text}
    if form == "TIFF":
        exif = Image.Exif()
        exif[TIFF_TAG] = xmp
        return {"exif": exif}
    return {"xmp": xmp}


def put_into_gif(content, xmp):
    """The bytes of a GIF file with XMP, which Pillow does not write there."""
    colors = 3 * 2 ** (content[10] % 8 + 1) if content[10] & 128 else 0
    start = 13 + colors
    return content[:start] + GIF_KEY + xmp + GIF_END + content[start:]


# --- XMP --------------------------------------------------------------------

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
BASIC = "http://ns.adobe.com/xap/1.0/"
ROOT, NODE, SOURCE = f"{RDF} RDF", f"{RDF} Description", f"{IPTC} DigitalSourceType"
TOOL = f"{BASIC} CreatorTool"
TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")
ATTRIBUTE = re.compile(rb"""\s[^\s=:]+:DigitalSourceType\s*=\s*("[^"]*"|'[^']*')""")
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="{}">
{}</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def read_source(xmp):
    """The source that XMP states: a name of `TYPES`, another text, or None.

    ValueError if the XMP is damaged, too long, or defines entities, with which a few
    bytes can become gigabytes.
    """
    return _Reader(xmp).source if xmp else None


def read_tool(xmp):
    """The software that XMP names as the maker of a picture, or None."""
    return _Reader(xmp).tool if xmp else None


def add_source(xmp, source):
    """XMP that states a source; all else in it stays, byte for byte.

    Of two sources the one that is further from a camera's picture stays, in the order
    of `TYPES`: what a model made is not a photo because it was denoised. A source that
    is not in the list gives way to a trained model only.

    Parameters
    ----------
    xmp : bytes or None
        As Pillow reads it; None is made anew.
    source : str
        As for `save_image`.

    Raises
    ------
    ValueError
        As `read_source`, and for an unknown source.
    """
    name = name_source(source)
    reader = _Reader(xmp) if xmp else None
    if reader is None or reader.end is None:  # nothing to add to
        tool = {"xmp": (BASIC, "CreatorTool", "tfgen")}
        more = tool if source == "generated" else {}
        return PACKET.format(RDF, _describe("", name, more)).encode()
    if reader.source is not None and rank_source(reader.source) >= rank_source(name):
        return xmp
    parts, start = [], 0
    for place in sorted([*reader.cuts, (reader.end, reader.end)]):
        parts.append(reader.xmp[start : place[0]])
        start = place[1]
        if place[0] == reader.end:
            parts.append(_describe(reader.about, name).encode())
    changed = b"".join([*parts, reader.xmp[start:]])
    if read_source(changed) != name:
        raise ValueError("its XMP is of an unusual form")
    return changed


def only_source(xmp):
    """XMP with nothing but the source that another one states; None without one."""
    with contextlib.suppress(ValueError):
        source = read_source(xmp)
        if source in TYPES:
            return add_source(None, source)
    return None


def name_source(source):
    """The name in IPTC's list of a source, or ValueError."""
    name = SOURCES.get(source, source)
    if name not in TYPES:
        raise ValueError(
            f"source={source!r}: it must be one of {', '.join(SOURCES)}, a name of "
            f"IPTC's list such as digitalCapture, or None."
        )
    return name


def rank_source(name):
    """How far a source is from a camera's picture, in the order of `TYPES`."""
    return list(TYPES).index(name if name in TYPES else "compositeSynthetic")


def _describe(about, name, more=()):
    """A node of RDF with its own prefixes, whatever those around it are."""
    facts = {"Iptc4xmpExt": (IPTC, "DigitalSourceType", VOCABULARY + name)}
    lines = [
        f'\n  xmlns:{prefix}="{space}" {prefix}:{key}="{value}"'
        for prefix, (space, key, value) in {**facts, **dict(more)}.items()
    ]
    about = quoteattr(about)
    return f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={about}{"".join(lines)}/>\n'


class _Reader:
    """What XMP says of the picture as a whole, and the places of the bytes that do.

    What it says of other pictures, such as the parts of a collage, lies deeper.
    """

    def __init__(self, xmp):
        if len(xmp) > LONGEST:
            raise ValueError(f"its XMP is longer than {LONGEST / 1e6:.0f} MB")
        self.xmp = xmp.strip(b"\0 \t\r\n")
        self.about, self.tool, self.end = "", None, None
        self.cuts, self._values = [], []
        self._path, self._depth = [], None  # elements that are open; that of the root
        self._start, self._text = None, None
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._read
        try:
            parser.Parse(self.xmp, True)
        except expat.ExpatError as error:
            raise ValueError(f"its XMP is damaged ({error})") from None

    @property
    def source(self):
        """The strongest, if there are several."""
        return max(map(self._name, self._values), key=rank_source, default=None)

    @staticmethod
    def _name(value):
        address = value.strip().replace("https:", "http:")
        return address.removeprefix(VOCABULARY) or None

    def _refuse(self, *_):
        raise ValueError("its XMP defines entities, which no XMP may")

    def _open(self, name, attributes):
        self._path.append(name)
        if name == ROOT and self._depth is None:
            self._depth = len(self._path)
        start = self._parser.CurrentByteIndex
        if name == NODE and self._is_below_root(1):
            self.about = attributes.get(f"{RDF} about", self.about)
            self.tool = attributes.get(TOOL, self.tool)
            if SOURCE in attributes:
                self._values.append(attributes[SOURCE])
                tag = TAG.match(self.xmp, start)
                place = ATTRIBUTE.search(self.xmp, start, tag.end())
                self.cuts.append(place.span())
        elif name in (SOURCE, TOOL) and self._is_below_root(2):
            self._start, self._text = start, [attributes.get(f"{RDF} resource", "")]

    def _read(self, text):
        if self._text is not None:
            self._text.append(text)

    def _close(self, name):
        place = self._parser.CurrentByteIndex
        if self._text is not None and self._is_below_root(2):
            text = "".join(self._text).strip()
            if name == TOOL:
                self.tool = text
            else:
                self._values.append(text)
                tag = TAG.match(self.xmp, self._start)
                if not tag[0].endswith(b"/>"):
                    tag = TAG.match(self.xmp, place)
                self.cuts.append((self._start, tag.end()))
            self._text = None
        if len(self._path) == self._depth and self.xmp.startswith(b"</", place):
            self.end = place  # of <rdf:RDF/> there is none
        self._path.pop()

    def _is_below_root(self, steps):
        """Whether the element that is open is a node, or a statement of one."""
        at = self._depth is not None and len(self._path) == self._depth + steps
        return at and self._path[self._depth] == NODE


# --- Files ------------------------------------------------------------------


def read_xmp(image):
    """The XMP of a file that Pillow has opened, as bytes, or None."""
    xmp = image.info.get("xmp")
    if xmp is None and image.format == "GIF":
        with _kept_place(image.fp) as file:
            found = file.read().partition(GIF_KEY)[2]
        xmp = found.partition(GIF_END[:3])[0] or None
    return xmp.encode() if isinstance(xmp, str) else xmp


def has_manifest(image):
    """Whether a file that Pillow has opened holds a signed manifest of C2PA.

    None if it is not known where one would be: in other formats than PNG, JPEG, WebP
    and TIFF. The signature is not checked.
    """
    if image.format == "TIFF":
        return 0xCD41 in image.tag_v2
    search = {"PNG": _search_png, "WEBP": _search_webp}
    search |= dict.fromkeys(("JPEG", "MPO"), _search_jpeg)
    if image.format not in search:
        return None
    with _kept_place(image.fp) as file:
        return search[image.format](file)


def _search_png(file):
    file.seek(8)
    while len(head := file.read(8)) == 8:
        if head[4:] == b"caBX":
            return True
        file.seek(int.from_bytes(head[:4]) + 4, 1)
    return False


def _search_webp(file):
    file.seek(12)
    while len(head := file.read(8)) == 8:
        if head[:4] == b"C2PA":
            return True
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return False


def _search_jpeg(file):
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        content = file.read(max(2, int.from_bytes(head[2:])) - 2)
        if head[1] == 0xEB and content[:2] == b"JP" and b"c2pa" in content:
            return True
    return False


@contextlib.contextmanager
def _kept_place(file):
    place = file.tell()
    file.seek(0)
    try:
        yield file
    finally:
        file.seek(place)
