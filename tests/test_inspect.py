"""`python -m tfgen inspect` as it is typed, on good, odd and hostile files."""

import sys
import zlib

import numpy as np
import pytest
from image_files import png
from PIL import Image, PngImagePlugin
from skimage import data
from test_provenance import HOSTILE, build_signed

import tfgen
from tfgen import provenance
from tfgen.__main__ import main

CUP = data.coffee()[:256, :256].astype(np.float32) / 255


def inspect(capsys, *words):
    """The lines that are printed, by their names; the first one is `file`."""
    assert main(["inspect", *map(str, words)]) == 0
    printed = capsys.readouterr()
    first, *rest = printed.out.splitlines()
    lines = {"file": first, "notes": printed.err}
    for line in rest:
        name, text = line.split(":", 1)
        lines[name] = text.strip()
    return lines


def test_a_generated_image(tmp_path, capsys):
    path = tmp_path / "cup.jpg"
    marked = tfgen.add_mark(CUP[None], "my key")[0]
    tfgen.save_image(path, marked, source="generated")
    lines = inspect(capsys, path, "--key", "my key")
    assert lines.pop("mark").startswith("found: 6")
    assert lines == {
        "file": f"{path}: JPEG, 256 x 256 pixels",
        "notes": "",
        "source": "made by a trained model (trainedAlgorithmicMedia)",
        "software": "tfgen",
        "C2PA": "no manifest",
    }
    mark = inspect(capsys, path, "--key", "another")["mark"]
    assert mark.startswith("not found: ") and "by chance so many with pro" in mark
    assert "mark" not in inspect(capsys, path)


def test_a_file_without_metadata(tmp_path, capsys):
    for ending in ("png", "jpg", "webp", "bmp", "gif", "tif"):
        path = tmp_path / f"grey.{ending}"
        Image.new("L", (60, 200)).save(path)
        lines = inspect(capsys, path, "--key", "k")
        assert lines["source"] == lines["software"] == "nothing is said"
        unknown = ending in ("bmp", "gif")
        assert lines["C2PA"].startswith("not looked for" if unknown else "no manifest")
        assert lines["mark"].startswith("not looked for: images: 60 x 200 pixels are")
        assert lines["notes"] == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_and_hostile_xmp(tmp_path, capsys, name):
    for path in (tmp_path / "image.jpg", tmp_path / "image.webp"):
        Image.new("L", (8, 8)).save(path, xmp=HOSTILE[name].encode())
        lines = inspect(capsys, path)
        assert lines["source"].startswith("not known: its XMP ")
        assert lines["software"] == "nothing is said"


def test_software_is_named_once(tmp_path, capsys):
    path, exif = tmp_path / "image.png", Image.Exif()
    exif[0x0131] = "Cam\x1b[1mera 5"
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "Paint")
    xmp = provenance.add_source(None, "generated")
    text.add_itxt("XML:com.adobe.xmp", xmp.decode().replace('"tfgen"', '"Paint"'))
    Image.new("L", (8, 8)).save(path, exif=exif, pnginfo=text)
    assert inspect(capsys, path)["software"] == r"Cam\x1b[1mera 5, Paint"


def test_other_sources(tmp_path, capsys):
    path = tmp_path / "image.jpg"
    known = provenance.add_source(None, "negativeFilm").decode()
    for value, expected in (
        ("negativeFilm", "digitised from a negative (negativeFilm)"),
        ("quantumFoam", "not in the list of IPTC (quantumFoam)"),
        ("a&#10;b" * 100, r"not in the list of IPTC (a"),
    ):
        xmp = known.replace("negativeFilm", value).encode()
        Image.new("L", (8, 8)).save(path, xmp=xmp)
        source = inspect(capsys, path)["source"]
        assert source.startswith(expected) and len(source) < 200


def test_a_signed_file(tmp_path, capsys, monkeypatch):
    path = tmp_path / "image.png"
    path.write_bytes(build_signed("PNG"))
    monkeypatch.setitem(sys.modules, "c2pa", None)  # see test_signing.py for more
    lines = inspect(capsys, path)
    assert lines["C2PA"].startswith("a manifest, whose signature was not checked: that")
    assert lines["notes"] == ""


def zipped(length):
    return b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * length, 9)


def test_huge_texts(tmp_path, fails):
    rows = (b"\0" + bytes(8)) * 8
    chunks = {
        "packed": [(b"iTXt", zipped(20_000_000))],
        "zTXt": [(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 20_000_000, 9))],
        "plain": [(b"tEXt", b"Comment\0" + b"x" * 70_000_000)],
    }
    for name, more in chunks.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(png(8, 8, 0, rows, chunks=more))
        fails(f"inspect {path}", f"{name}.png: a text in it is too long")
        path.unlink()


def test_long_xmp_that_is_read(tmp_path, capsys):
    path = tmp_path / "image.png"
    rows = (b"\0" + bytes(8)) * 8
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * (provenance.LONGEST + 1)
    path.write_bytes(png(8, 8, 0, rows, chunks=[(b"iTXt", text)]))
    assert inspect(capsys, path)["source"] == "not known: its XMP is longer than 10 MB"


def test_what_is_no_picture(here, fails):
    (here / "text.png").write_text("no picture")
    (here / "empty.jpg").write_bytes(b"")
    Image.new("L", (8, 8)).save(here / "cut.png")
    content = (here / "cut.png").read_bytes()
    (here / "cut.png").write_bytes(content[:45])
    (here / "large.png").write_bytes(png(100_000, 100_000, 0, b""))
    fails("inspect missing.png", "No such file")
    fails("inspect text.png", "it is not an image that Pillow knows")
    fails("inspect empty.jpg", "the file is empty")
    fails("inspect cut.png", "Cannot read cut.png")
    fails("inspect large.png", "million pixels")
    fails("inspect .", "Cannot read .")


def test_what_restore_writes_is_inspected(here, capsys, asked):
    assert main("restore color.png --task denoise --sigma 20 -o out.png".split()) == 0
    capsys.readouterr()
    lines = inspect(capsys, "out.png")
    assert lines["source"] == "enhanced by an algorithm (algorithmicallyEnhanced)"
