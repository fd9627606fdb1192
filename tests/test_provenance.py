"""What files say of how a picture was made: in every format, beside what was there."""

import io
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
from image_files import png
from PIL import Image

import tfgen
from tfgen import provenance
from tfgen.provenance import TYPES, add_source, only_source, read_source, read_tool

GREY = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8, 1)
COLOR = np.stack([GREY[..., 0], GREY[::-1, :, 0], GREY[:, ::-1, 0]], axis=-1)
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
WORDS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
NAME = f"{{{IPTC}}}DigitalSourceType"


def packet(inside, attributes="", about=""):
    """XMP as an editor writes it, with prefixes that are not the usual ones."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- a > b -->
 <r:RDF xmlns:r="{RDF}">
  <r:Description r:about="{about}" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:i="{IPTC}" dc:format='a "quoted" > text'{attributes}>
   <dc:rights><r:Alt><r:li xml:lang="x-default">© Zoë</r:li></r:Alt></dc:rights>
   {inside}
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


def find_stated(xmp):
    """The sources that another reader of XML finds, at the picture's own nodes."""
    root = ElementTree.fromstring(xmp)
    nodes = root.findall(f"{{{RDF}}}RDF/{{{RDF}}}Description")
    stated = [node.get(NAME) for node in nodes]
    for child in (child for node in nodes for child in node.findall(NAME)):
        stated.append(child.get(f"{{{RDF}}}resource") or child.text)
    return [text for text in stated if text]


def list_rest(xmp):
    """All that XML says, but the source."""
    root = ElementTree.fromstring(xmp)
    rest = []
    for node in root.iter():
        if node.tag != NAME and len({*node.keys()} - {NAME, f"{{{RDF}}}about"}) > 0:
            rest.append((node.tag, {k: v for k, v in node.items() if k != NAME}))
    return rest, "".join(root.itertext()).split()


FORMS = {  # of a source in XMP, all allowed
    "attribute": ("", f' i:DigitalSourceType="{WORDS}%s"'),
    "single quotes": ("", f"\n  i:DigitalSourceType = '{WORDS}%s'"),
    "element": (f"<i:DigitalSourceType>{WORDS}%s</i:DigitalSourceType>", ""),
    "spaces": (f"<i:DigitalSourceType >\n {WORDS}%s\n</i:DigitalSourceType\n>", ""),
    "resource": (f'<i:DigitalSourceType r:resource="{WORDS}%s"/>', ""),
    "long empty": (
        f'<i:DigitalSourceType r:resource="{WORDS}%s"></i:DigitalSourceType>',
        "",
    ),
    "data": (
        f"<i:DigitalSourceType><![CDATA[{WORDS}%s]]></i:DigitalSourceType>",
        "",
    ),
}


# --- XMP --------------------------------------------------------------------


@pytest.mark.parametrize("source", [*provenance.SOURCES, "digitalCapture"])
def test_new_xmp(source):
    xmp = add_source(None, source)
    name = provenance.SOURCES.get(source, source)
    assert find_stated(xmp) == [WORDS + name]
    assert read_source(xmp) == name
    assert read_tool(xmp) == ("tfgen" if source == "generated" else None)


@pytest.mark.parametrize("form", FORMS)
def test_a_source_is_read_and_replaced_in_every_form(form):
    inside, attributes = (text.replace("%s", "negativeFilm") for text in FORMS[form])
    xmp = packet(inside, attributes, about="uuid:a&amp;b")
    assert read_source(xmp) == "negativeFilm"
    assert find_stated(xmp)[0].strip() == WORDS + "negativeFilm"
    changed = add_source(xmp, "enhanced")
    assert find_stated(changed) == [WORDS + "algorithmicallyEnhanced"]
    assert list_rest(changed) == list_rest(packet("", about="uuid:a&amp;b"))
    abouts = [
        node.get(f"{{{RDF}}}about")
        for node in ElementTree.fromstring(changed).iter(f"{{{RDF}}}Description")
    ]
    assert abouts == ["uuid:a&b"] * 2  # of one picture, as XMP wants it


def test_what_was_there_stays_byte_for_byte():
    xmp = packet("<dc:source>a &amp; b</dc:source>")
    assert read_source(xmp) is None
    changed = add_source(xmp, "generated")
    start = xmp.index(b"</r:RDF>")
    assert changed.startswith(xmp[:start]) and changed.endswith(xmp[start:])
    assert add_source(changed, "generated") == changed


def test_the_stronger_statement_stays():
    for place, old in enumerate(TYPES):
        xmp = add_source(None, old)
        for source, new in provenance.SOURCES.items():
            expected = max(old, new, key=[*TYPES].index)
            assert read_source(add_source(xmp, source)) == expected
            assert (add_source(xmp, source) == xmp) == (place >= [*TYPES].index(new))
    generated = add_source(None, "generated")
    assert read_source(add_source(generated, "enhanced")) == "trainedAlgorithmicMedia"
    film = add_source(None, "negativeFilm")
    assert read_source(add_source(film, "enhanced")) == "algorithmicallyEnhanced"


def test_an_unknown_source_gives_way_to_a_trained_model_only():
    inside = "<i:DigitalSourceType>drawn by my cat</i:DigitalSourceType>"
    xmp = packet(inside)
    assert read_source(xmp) == "drawn by my cat"
    assert add_source(xmp, "enhanced") == xmp
    assert read_source(add_source(xmp, "mixed")) == provenance.SOURCES["mixed"]


def test_of_several_sources_the_strongest_counts_and_one_is_left():
    twice = FORMS["element"][0].replace("%s", "print")
    attribute = FORMS["attribute"][1].replace("%s", "composite")
    xmp = packet(twice, attribute)
    assert read_source(xmp) == "composite"
    assert find_stated(add_source(xmp, "mixed")) == [
        WORDS + "compositeWithTrainedAlgorithmicMedia"
    ]


def test_the_source_of_a_part_is_not_that_of_the_picture():
    part = (
        "<dc:relation><r:Description>"
        + FORMS["element"][0].replace("%s", "trainedAlgorithmicMedia")
        + "</r:Description></dc:relation>"
    )
    xmp = packet(part)
    assert read_source(xmp) is None
    assert read_source(add_source(xmp, "enhanced")) == "algorithmicallyEnhanced"
    assert part.encode() in add_source(xmp, "enhanced")


def test_padding_and_empty_xmp():
    xmp = add_source(None, "print")
    assert read_source(b" \n" + xmp + b"\0\0 \n") == "print"
    for empty in (b"<a/>", f'<r:RDF xmlns:r="{RDF}"/>'.encode()):
        assert read_source(empty) is None
        assert read_source(add_source(empty, "mixed")) == provenance.SOURCES["mixed"]


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
HOSTILE = {
    "laughs": f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><x>&a11;</x>',
    "file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "outside": '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>',
    "unknown": "<x>&a;</x>",
    "cut off": add_source(None, "print")[:-80].decode(),
    "no XML": "source: print",
    "two roots": "<x/><x/>",
    "wide": packet("").decode().encode("utf-16").decode("latin-1"),
    "unbound": '<x i:DigitalSourceType="print"/>',
    "zero": packet("\0").decode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_xmp_is_refused(name):
    xmp = HOSTILE[name].encode()
    reason = "entities" if name in ("laughs", "file", "outside") else "damaged"
    for function in (read_source, read_tool, lambda xmp: add_source(xmp, "mixed")):
        with pytest.raises(ValueError, match=f"its XMP .*{reason}"):
            function(xmp)
    assert only_source(xmp) is None


def test_long_and_deep_xmp():
    with pytest.raises(ValueError, match="longer than 10 MB"):
        read_source(b" " * (provenance.LONGEST + 1))
    deep = 50_000
    xmp = packet("<dc:a>" * deep + "</dc:a>" * deep)
    assert read_source(add_source(xmp, "enhanced")) == "algorithmicallyEnhanced"


def test_only_the_source_is_left():
    inside, attributes = (text.replace("%s", "print") for text in FORMS["element"])
    xmp = only_source(packet(inside, attributes))
    assert read_source(xmp) == "print" and b"Zo" not in xmp
    assert only_source(packet("")) is None and only_source(None) is None
    other = FORMS["element"][0].replace(f"{WORDS}%s", "my cat")
    assert only_source(packet(other)) is None


# --- Files ------------------------------------------------------------------


def read_file(path):
    with Image.open(path) as image:
        return read_source(provenance.read_xmp(image)), np.asarray(image)


@pytest.mark.parametrize("ending", [*provenance.FORMATS, ".PNG"])
@pytest.mark.parametrize("image", [GREY, COLOR], ids=["grey", "color"])
def test_an_image_is_saved_with_its_source(tmp_path, ending, image):
    path = tmp_path / f"image{ending}"
    for source in ("generated", "mixed", "enhanced", "digitalCapture", None):
        tfgen.save_image(path, image, source=source)
        stated, pixels = read_file(path)
        assert stated == provenance.SOURCES.get(source, source)
        expected = np.rint(255 * image)
        if ending != ".webp" or image is COLOR:
            expected = expected.squeeze()
            assert pixels.shape == expected.shape
        lossless = ending.lower() in (".png", ".tif", ".tiff")
        assert abs(pixels - expected).max() <= (0 if lossless else 30)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "image.png"
    with pytest.raises(TypeError, match="source"):  # is never forgotten
        tfgen.save_image(path, COLOR)
    for source in ("real", "", 1):
        with pytest.raises(ValueError, match="one of enhanced, mixed, generated, a na"):
            tfgen.save_image(path, COLOR, source=source)
    with pytest.raises(ValueError, match="with the source 'mixed': it must end in one"):
        tfgen.save_image(tmp_path / "image.svg", COLOR, source="mixed")
    with pytest.raises(ValueError, match="must end in one of .png .jpg"):
        tfgen.save_image(tmp_path / "image", COLOR, source=None)
    with pytest.raises(ValueError, match="folder does not exist"):
        tfgen.save_image(tmp_path / "a" / "image.png", COLOR, source=None)
    for image in (COLOR[None], COLOR[..., 0], COLOR[..., :2], COLOR[:0]):
        with pytest.raises(ValueError, match="image: "):
            tfgen.save_image(path, image, source=None)
    with pytest.raises(ValueError, match="values must be in"):
        tfgen.save_image(path, 2 * COLOR, source=None)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("show", ["images", "comparison"])
@pytest.mark.parametrize("ending", ["", *provenance.FORMATS])
def test_figures_say_what_they_are_told(tmp_path, show, ending):
    path = tmp_path / f"figure{ending}"
    show = {
        "images": lambda **more: tfgen.show_images(COLOR[None], ["a"], **more),
        "comparison": lambda **more: tfgen.show_comparison({"a": COLOR[None]}, **more),
    }[show]
    show(path=path)
    stated, pixels = read_file(path)
    assert stated is None
    show(path=path, source="generated")
    stated, again = read_file(path)
    assert stated == "trainedAlgorithmicMedia"
    np.testing.assert_array_equal(pixels, again)
    show(source="generated")  # without a file there is nothing to say
    with pytest.raises(ValueError, match="source='real'"):
        show(source="real")
    for name in ("figure.svg", "figure.pdf", "figure.gif"):
        show(path=tmp_path / name)
        with pytest.raises(ValueError, match="with the source 'mixed': it must end"):
            show(path=tmp_path / name, source="mixed")


def test_a_gif_holds_xmp_and_plays_as_before():
    for colors in (2, 256):
        frames = [Image.new("P", (9, 7), number % colors) for number in range(3)]
        for frame in frames:
            frame.putpalette(list(range(256)) * 3 if colors == 256 else [0] * 3 * 2)
        buffer = io.BytesIO()
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], loop=0)
        content = provenance.put_into_gif(
            buffer.getvalue(), add_source(None, "generated")
        )
        with Image.open(buffer) as old, Image.open(io.BytesIO(content)) as new:
            assert provenance.read_xmp(old) is None
            assert read_source(provenance.read_xmp(new)) == "trainedAlgorithmicMedia"
            assert old.n_frames == new.n_frames and new.info["loop"] == 0
            for number in range(old.n_frames):
                old.seek(number), new.seek(number)
                assert old.convert("RGB").tobytes() == new.convert("RGB").tobytes()


# --- Manifests --------------------------------------------------------------

BOX = b"JP\0\1\0\0\0\1\0\0\0\x40jumb\0\0\0\x26jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38"


def encode(form, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, form, **options)
    return buffer.getvalue()


def build_signed(form):
    """A file with the place of a manifest filled, its signature aside."""
    content = encode(form, **({"exif": b"Exif\0\0"} if form == "WEBP" else {}))
    if form == "PNG":
        return png(8, 8, 2, (b"\0" + bytes(24)) * 8, chunks=[(b"caBX", BOX)])
    if form == "JPEG":
        return (
            content[:2]
            + b"\xff\xeb"
            + struct.pack(">H", len(BOX) + 2)
            + BOX
            + (content[2:])
        )
    if form == "WEBP":
        chunk = b"C2PA" + struct.pack("<I", len(BOX)) + BOX + bytes(len(BOX) % 2)
        content = (
            content[:4]
            + struct.pack("<I", len(content) + len(chunk) - 8)
            + (content[8:] + chunk)
        )
    return content


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_manifests_are_found(form):
    for content, expected in ((encode(form), False), (build_signed(form), True)):
        with Image.open(io.BytesIO(content)) as image:
            assert provenance.has_manifest(image) is expected
            assert image.convert("RGB").size == (8, 8)  # still to be decoded


def test_manifests_of_other_formats():
    exif = Image.Exif()
    exif[0xCD41] = BOX
    for content, expected in (
        (encode("TIFF"), False),
        (encode("TIFF", exif=exif), True),
        (encode("BMP"), None),
        (encode("GIF"), None),
        (encode("JPEG", xmp=b"c2pa"), False),
    ):
        with Image.open(io.BytesIO(content)) as image:
            assert provenance.has_manifest(image) is expected


def test_damaged_chunks_end_the_search():
    for content in (
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 40,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 9,
    ):
        for search in (provenance._search_png, provenance._search_jpeg):
            assert search(io.BytesIO(content)) is False
