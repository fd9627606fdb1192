import errno
import io
import os
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from image_files import png, tiff
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from tfgen.commands import photo_files
from tfgen.commands.photo_files import read_photo, write_photo
from tfgen.data.decoding import Photo

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as the commands do
RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), np.uint16)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encode(array, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


# --- Numbers ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_survive_floats(dtype):
    every = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1)
    floats = photo_files.to_floats(every)
    assert floats.dtype == np.float32
    assert floats.min() == 0 and floats.max() == 1
    np.testing.assert_array_equal(photo_files.to_integers(floats, dtype), every)


def test_floats_are_rounded_not_cut():
    pixels = photo_files.to_integers(np.array([[0.4, 0.6, 254.6]], np.float32) / 255)
    assert pixels.tolist() == [[0, 1, 255]]


# --- Reading ----------------------------------------------------------------


def test_modes_keep_what_they_hold(tmp_path, capsys):
    alpha = Image.fromarray(ALPHA)
    grey_alpha, color_alpha = Image.fromarray(GREY), Image.fromarray(COLOR)
    grey_alpha.putalpha(alpha)
    color_alpha.putalpha(alpha)
    palette = Image.fromarray(COLOR).quantize(16)
    cases = {
        "grey": (Image.fromarray(GREY), GREY[..., None], None),
        "color": (Image.fromarray(COLOR), COLOR, None),
        "grey_alpha": (grey_alpha, GREY[..., None], ALPHA),
        "color_alpha": (color_alpha, COLOR, ALPHA),
        "deep": (Image.fromarray(DEEP), DEEP[..., None], None),
        "palette": (palette, np.asarray(palette.convert("RGB")), None),
        "bits": (
            Image.fromarray(GREY > 99),
            np.where(GREY > 99, 255, 0)[..., None],
            None,
        ),
    }
    for name, (image, pixels, transparency) in cases.items():
        path = tmp_path / f"{name}.png"
        image.save(path)
        photo = read_photo(path)
        np.testing.assert_array_equal(photo.pixels, pixels, err_msg=name)
        assert photo.pixels.dtype == (np.uint16 if name == "deep" else np.uint8)
        assert capsys.readouterr().err == "", name
        if transparency is None:
            assert photo.alpha is None, name
        else:
            np.testing.assert_array_equal(photo.alpha, transparency, err_msg=name)


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_a_transparent_value_becomes_alpha(tmp_path, mode):
    path = tmp_path / "keyed.png"
    image = Image.fromarray(GREY > 127 if mode == "1" else GREY // 128)
    if mode == "P":
        image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(path, transparency=0)
    photo = read_photo(path)
    assert photo.pixels.shape[-1] == (3 if mode == "P" else 1)
    np.testing.assert_array_equal(photo.alpha, np.where(GREY > 127, 255, 0))


def test_deep_color_is_read_as_8_bits_and_says_so(tmp_path, capsys):
    path = tmp_path / "deep.png"
    values = struct.pack(">6H", 0, 0x1234, 0x5678, 0x9ABC, 0xDEF0, 0xFFFF)
    path.write_bytes(png(2, 1, 2, b"\0" + values, depth=16))
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint8 and photo.pixels.shape == (1, 2, 3)
    assert abs(photo.pixels[0, 1] - np.array([0x9B, 0xDE, 0xFF])).max() <= 1
    assert "16-bit" in capsys.readouterr().err


def test_deep_grey_with_alpha_stays_grey(tmp_path, capsys):
    path = tmp_path / "deep.png"
    path.write_bytes(png(1, 2, 4, b"\0\x80\0\xff\xff\0\x10\0\0\0", depth=16))
    photo = read_photo(path)
    assert photo.pixels.ravel().tolist() == [0x80, 0x10]
    assert photo.alpha.ravel().tolist() == [255, 0]
    assert "16-bit" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [COLOR, GREY, DEEP], ids=["color", "grey", "deep"])
@pytest.mark.parametrize("name", ["turned.png", "turned.tif"])
def test_photos_are_turned_upright(tmp_path, name, orientation, pixels):
    path, copy = tmp_path / name, tmp_path / "copy.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    image.save(path, exif=exif)
    photo = read_photo(path)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert (expected.shape == pixels.shape) == (orientation < 5)
    np.testing.assert_array_equal(photo.pixels.squeeze(), expected)
    write_photo(copy, photo)
    assert 0x0112 not in Image.open(copy).getexif()
    np.testing.assert_array_equal(read_photo(copy).pixels, photo.pixels)


def test_the_first_picture_of_an_animation(tmp_path, capsys):
    path = tmp_path / "film.gif"
    white, black = Image.new("L", (9, 9), 255), Image.new("L", (9, 9))
    white.save(path, save_all=True, append_images=[black])
    photo = read_photo(path)
    assert photo.pixels.min() == 255
    note = f"note: {path}: only the first of 2 pictures was read\n"
    assert capsys.readouterr().err == note


def test_several_pictures_are_refused_where_one_is_wanted(tmp_path, capsys):
    frames = [Image.fromarray(image) for image in (COLOR, 255 - COLOR)]
    for name in ("film.gif", "pages.tif", "phone.jpg"):
        form = {"phone.jpg": {"format": "MPO"}}.get(name, {})
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], **form)
        if form:  # the first is the photo, the others are previews
            assert read_photo(path, single=True).pixels.shape == COLOR.shape
        else:
            with pytest.raises(ValueError, match=f"{name}: it holds 2 pictures; rest"):
                read_photo(path, single=True)
            assert read_photo(path).pixels.shape[:2] == COLOR.shape[:2]


# --- What else is known of a photo ------------------------------------------

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="Caf\xc3\xa9"/></x:x>'
DETAIL = {0x9003: "1999:12:31 23:59:59", 0x829A: 0.25, 0x927C: b"notes of the maker"}
PLACE = {1: "N", 2: (52.0, 31.0, 12.0)}


def save_with_exif(path, xmp=XMP, pixels=COLOR, **options):
    """Save a photo that lies on its side, with its date and place and with XMP."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Caméra".encode()
    exif[0x8769] = {**DETAIL, 0xA002: 30, 0xA003: 20}
    exif[0x8825] = PLACE
    if path.suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if path.suffix == ".tif":
        content, exif = exif.tobytes(), Image.Exif()
        exif.load(content)
        exif[0x010F], exif[700] = "Caméra".encode(), xmp
    Image.fromarray(pixels).save(path, exif=exif, xmp=xmp, **options)


@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("extension", photo_files.FORMATS)
def test_exif_and_xmp_are_kept(tmp_path, capsys, source, extension):
    path, copy = tmp_path / source, tmp_path / f"copy{extension}"
    save_with_exif(path)
    write_photo(copy, read_photo(path))
    with Image.open(copy) as image:
        image.load()
        assert image.size == (20, 30)  # upright
        exif, xmp = image.getexif(), image.info.get("xmp")
        detail, place = (dict(exif.get_ifd(part)) for part in (0x8769, 0x8825))
    if extension == ".bmp":
        assert not exif and not xmp
        note = f"note: {copy}: BMP cannot hold the photo's"
        assert capsys.readouterr().err == f"{note} EXIF\n{note} XMP\n"
        return
    assert 0x0112 not in exif
    assert exif[0x010F].encode("latin-1").decode() == "Caméra"
    assert detail == DETAIL and place == PLACE
    assert xmp == XMP.replace(b'tiff:Orientation="6"', b"")
    assert capsys.readouterr().err == ""
    if source == "a.tif":  # nothing of where the pixels were in the file
        assert not {0x0111, 0x0117, 0x0102} & {*exif} or extension.startswith(".tif")


def test_exif_that_is_damaged_or_too_long(tmp_path, capsys):
    path, copy = tmp_path / "a.png", tmp_path / "a.jpg"
    save_with_exif(path, xmp=b"x" * 70_000)
    write_photo(copy, read_photo(path))
    with Image.open(copy) as image:
        assert 0x010F in image.getexif() and "xmp" not in image.info
    note = f"note: {copy}: JPEG cannot hold the photo's XMP\n"
    assert capsys.readouterr().err == note
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(1, 200))
    Image.fromarray(COLOR).save(path, exif=exif)
    write_photo(copy, read_photo(path))
    np.testing.assert_array_equal(read_photo(path).pixels, COLOR)


def test_inks_that_became_srgb_do_not_keep_the_colour_space(tmp_path, capsys):
    path, copy = tmp_path / "a.jpg", tmp_path / "b.jpg"
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, **DETAIL}
    for mode in ("CMYK", "RGB"):
        Image.fromarray(COLOR).convert(mode).save(path, exif=exif)
        write_photo(copy, read_photo(path))
        with Image.open(copy) as image:
            assert (0xA001 in image.getexif().get_ifd(0x8769)) == (mode == "RGB")


WHITE, PRIMARIES = [31270, 32900], [64000, 33000, 30000, 60000, 15000, 6000]  # sRGB's
WIDE = [64000, 33000, 21000, 71000, 15000, 6000]  # Adobe RGB's
COLOUR_CHUNKS = [  # of PNG, and what is said of them
    ([(b"gAMA", struct.pack(">I", 100000))], "gAMA"),
    ([(b"gAMA", struct.pack(">I", 45455))], None),
    ([(b"cHRM", struct.pack(">8I", *WHITE, *WIDE))], "cHRM"),
    ([(b"cHRM", struct.pack(">8I", *WHITE, *PRIMARIES))], None),
    ([(b"cICP", bytes([9, 16, 0, 1]))], "cICP"),
    ([(b"cICP", bytes([1, 13, 0, 1]))], None),
    ([(b"sRGB", b"\0")], None),
    ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], None),
    ([(b"iCCP", b"broken\0\0profile")], "damaged colour profile"),
]


@pytest.mark.parametrize(("chunks", "name"), COLOUR_CHUNKS)
def test_what_a_png_says_of_its_colours_is_noted(tmp_path, capsys, chunks, name):
    path = tmp_path / "photo.png"
    path.write_bytes(png(2, 1, 2, bytes(range(7)), chunks=chunks))
    assert read_photo(path).pixels.ravel().tolist() == [1, 2, 3, 4, 5, 6]
    note = f"note: {path}: its {name} was not used; colours may look different\n"
    assert capsys.readouterr().err == (note if name else "")


COLOUR_TAGS = [  # of EXIF, and what is said of them
    ({0x8769: {0xA001: 1}}, None),
    ({0x8769: {0xA001: 2}}, "ColorSpace"),
    ({0x8769: {0xA001: 65535, 0xA005: {1: "R03"}}}, "ColorSpace"),
    ({0x8769: {0xA500: 2.2}}, None),
    ({0x8769: {0xA500: 1.0}}, "Gamma"),
    ({0x013E: (0.3127, 0.329)}, None),
    ({0x013E: (0.3457, 0.3585)}, "WhitePoint"),
    ({0x013F: tuple(x / 100000 for x in PRIMARIES)}, None),
    ({0x013F: tuple(x / 100000 for x in WIDE)}, "PrimaryChromaticities"),
]


@pytest.mark.parametrize(("tags", "name"), COLOUR_TAGS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_exif_says_of_colours_is_noted(tmp_path, capsys, form, tags, name):
    path = tmp_path / "photo"
    exif = Image.Exif()
    exif.update(tags)
    image = Image.fromarray(COLOR)
    image.save(path, form, exif=exif)
    read_photo(path)
    note = f"note: {path}: its {name} was not used; colours may look different\n"
    assert capsys.readouterr().err == (note if name else "")
    image.save(path, form, exif=exif, icc_profile=SRGB)  # which goes before it
    assert read_photo(path).icc_profile == SRGB
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({318: [0.3127, 0.329]}, None),
        ({318: [0.3457, 0.3585]}, "WhitePoint"),
        ({319: [0.64, 0.33, 0.21, 0.71, 0.15, 0.06]}, "PrimaryChromaticities"),
        ({301: list(range(0, 65536, 257))}, "TransferFunction"),
        ({290: [2], 291: list(range(256))}, "GrayResponseCurve"),
    ],
)
def test_what_a_tiff_says_of_its_colours_is_noted(tmp_path, capsys, tags, name):
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff(COLOR[..., :1], 1, 8, tags=tags))
    np.testing.assert_array_equal(read_photo(path).pixels, COLOR[..., :1])
    note = f"note: {path}: its {name} was not used; colours may look different\n"
    assert capsys.readouterr().err == (note if name else "")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("part", [0.5, 0.97])
def test_truncated_files_are_refused(tmp_path, form, part):
    path = tmp_path / "cut"
    whole = encode(COLOR, form)
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError, match=f"^Cannot read {path}: .+"):
        read_photo(path)


def test_what_is_no_image_is_refused(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(ValueError, match="No such file or directory"):
        read_photo(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="x.png: the file is empty"):
        read_photo(path)
    path.write_text("a letter")
    with pytest.raises(ValueError, match="x.png: it is not an image"):
        read_photo(path)
    with pytest.raises(ValueError, match="Is a directory|Permission denied"):
        read_photo(tmp_path)


@pytest.mark.parametrize("sides", [(40_000, 40_000), (12_000, 12_501)])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, monkeypatch, sides):
    def decode(self):
        raise AssertionError("decoded")

    path = tmp_path / "bomb.png"
    path.write_bytes(png(*sides, 0, bytes(10_000)))
    assert path.stat().st_size < 1000
    monkeypatch.setattr(Image.Image, "load", decode)
    monkeypatch.setattr(Image.core, "fill", decode)
    with pytest.raises(ValueError, match="bomb.png: .* more than 150 million pixels"):
        read_photo(path)


def test_large_photos_are_read_without_a_warning(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow warns above
    path.write_bytes(encode(GREY, "PNG"))
    assert read_photo(path).pixels.shape == (20, 30, 1)


# --- Writing ----------------------------------------------------------------


@pytest.mark.parametrize("extension", photo_files.FORMATS)
@pytest.mark.parametrize("pixels", [GREY[..., None], COLOR], ids=["grey", "color"])
def test_every_format_is_written(tmp_path, extension, pixels):
    path = tmp_path / f"out{extension.upper()}"
    write_photo(path, Photo(np.zeros_like(pixels) + 128))
    with Image.open(path) as image:
        assert image.format == photo_files.FORMATS[extension].name
        assert image.size == (30, 20)
    assert abs(read_photo(path).pixels.astype(int) - 128).max() <= 2
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("pixels", [GREY[..., None], COLOR], ids=["grey", "color"])
def test_transparency_is_written(tmp_path, extension, pixels):
    path = tmp_path / f"out{extension}"
    write_photo(path, Photo(pixels, ALPHA))
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.alpha, ALPHA)
    if extension != ".webp":
        np.testing.assert_array_equal(photo.pixels, pixels)


def test_16_bits_become_8_where_the_format_has_no_more(tmp_path):
    write_photo(tmp_path / "out.bmp", Photo(DEEP[..., None]))
    pixels = read_photo(tmp_path / "out.bmp").pixels[..., 0]
    np.testing.assert_array_equal(pixels, np.rint(DEEP / 257))


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bits_are_written(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write_photo(path, Photo(DEEP[..., None]))
    np.testing.assert_array_equal(read_photo(path).pixels[..., 0], DEEP)


@pytest.mark.parametrize("extension", photo_files.FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("space", [b"RGB ", b"GRAY", b"CMYK", b"Lab "])
def test_a_profile_is_kept_where_it_fits_or_noted(
    tmp_path, capsys, extension, channels, space
):
    path = tmp_path / f"out{extension}"
    profile = SRGB[:16] + space + SRGB[20:]
    alpha = ALPHA if channels in (2, 4) else None
    photo = Photo(COLOR[..., : 1 if channels < 3 else 3], alpha, profile)
    if alpha is not None and not photo_files.FORMATS[extension].alpha:
        return
    write_photo(path, photo)
    with Image.open(path) as image:
        kept = image.info.get("icc_profile") == profile
        fits = space == (b"RGB " if image.mode.startswith("RGB") else b"GRAY")
    assert kept == (fits and extension != ".bmp")
    note = f"note: {path}: its colours may look different, without the photo's profile"
    assert capsys.readouterr().err == ("" if kept else f"{note}\n")


def test_a_profile_of_deep_grey_is_kept(tmp_path, capsys):
    for extension in (".png", ".tif"):
        path = tmp_path / f"out{extension}"
        profile = SRGB[:16] + b"GRAY" + SRGB[20:]
        write_photo(path, Photo(DEEP[..., None], icc_profile=profile))
        photo = read_photo(path)
        assert photo.icc_profile == profile
        np.testing.assert_array_equal(photo.pixels[..., 0], DEEP)
    assert capsys.readouterr().err == ""


def test_output_that_cannot_be_written(tmp_path):
    there, link = tmp_path / "there.png", tmp_path / "link.png"
    there.write_text("precious")
    link.symlink_to(there)
    photo_files.check_output(tmp_path / "new.png", force=False)
    photo_files.check_output(there, force=True)
    with pytest.raises(ValueError, match="there.png exists; --force"):
        photo_files.check_output(there, force=False)
    with pytest.raises(ValueError, match="is the input itself; --force"):
        photo_files.check_output(there, force=False, source=link)
    for force in (False, True):
        with pytest.raises(ValueError, match="is a folder"):
            photo_files.check_output(tmp_path, force)
    with pytest.raises(ValueError, match="new.png: its folder does not exist"):
        photo_files.check_output(tmp_path / "missing" / "new.png", force=False)
    with pytest.raises(ValueError, match="new.png: Not a directory"):
        photo_files.check_output(there / "new.png", force=False)


def test_formats_that_cannot_hold_the_photo():
    photo = Photo(COLOR, ALPHA)
    for name in ("photo.gif", "photo", "photo.xyz", ".png"):
        with pytest.raises(ValueError, match=r"must end in one of \.png \.jpg"):
            photo_files.choose_format(name, None)
    for name in ("photo.jpg", "photo.bmp"):
        with pytest.raises(ValueError, match="cannot hold the photo's transparency"):
            photo_files.choose_format(name, photo)
    wide = Photo(np.zeros((1, 5000, 1), np.uint8))
    photo_files.choose_format("photo.webp", wide, scale=3)
    with pytest.raises(ValueError, match="20000 x 4, but WEBP ends at 16383"):
        photo_files.choose_format("photo.webp", wide, scale=4)
    large = Photo(np.zeros((4000, 4000, 1), np.uint8))
    photo_files.choose_format("photo.png", large, scale=3)
    with pytest.raises(ValueError, match="16000 x 16000 has more than 150 million"):
        photo_files.choose_format("photo.png", large, scale=4)


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (ValueError("encoding error 6"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("existed", [False, True])
def test_nothing_is_half_written(tmp_path, monkeypatch, failure, raised, existed):
    path = tmp_path / "out.png"
    if existed:
        path.write_text("precious")

    def fail(self, file, *arguments, **options):
        file.write(b"half a picture")
        file.flush()
        assert len(os.listdir(tmp_path)) == 1 + existed
        raise failure

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(raised) as caught:
        write_photo(path, Photo(COLOR))
    if isinstance(failure, OSError):
        assert str(caught.value) == f"Cannot write {path}: No space left on device."
    assert os.listdir(tmp_path) == (["out.png"] if existed else [])
    assert not existed or path.read_text() == "precious"


def test_files_are_as_readable_as_others(tmp_path):
    write_photo(tmp_path / "out.png", Photo(COLOR))
    (tmp_path / "other").write_text("")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows")
def test_pipes_are_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "x.png")
    monkeypatch.setattr(Image, "open", pytest.fail)
    with pytest.raises(ValueError, match="x.png: it is a pipe, not a file."):
        read_photo(tmp_path / "x.png")


def test_notes_of_several_threads_are_lines(monkeypatch):
    """What is written in two pieces, another thread can part."""
    pieces = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=pieces.append))
    photo_files.note("a.jpg", "something was lost")
    assert [piece for piece in pieces if piece] == ["note: a.jpg: something was lost\n"]
