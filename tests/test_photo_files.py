import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from tfgen.commands import photo_files
from tfgen.commands.photo_files import Photo, read_photo, write_photo

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), np.uint16)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png(width, height, color, content, depth=8):
    """A PNG file of any header, however little it contains."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(content)),
            chunk(b"IEND", b""),
        ]
    )


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


def test_cmyk_becomes_rgb(tmp_path):
    path = tmp_path / "print.jpg"
    white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    white.save(path)
    photo = read_photo(path)
    assert photo.pixels.shape == (8, 8, 3) and photo.pixels.min() > 250


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
@pytest.mark.parametrize("pixels", [COLOR, DEEP], ids=["color", "deep"])
def test_photos_are_turned_upright(tmp_path, orientation, pixels):
    path, copy = tmp_path / "turned.png", tmp_path / "copy.png"
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


@pytest.mark.parametrize("values", [[[0.5]], [[70000]], [[-1]]])
def test_other_numbers_are_refused(tmp_path, values):
    path = tmp_path / "numbers.tif"
    dtype = np.float32 if values == [[0.5]] else np.int32
    Image.fromarray(np.array(values, dtype)).save(path)
    with pytest.raises(ValueError, match="numbers.tif: its pixels are not 8- or 16-"):
        read_photo(path)


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


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bits_are_written(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write_photo(path, Photo(DEEP[..., None]))
    np.testing.assert_array_equal(read_photo(path).pixels[..., 0], DEEP)


def test_a_profile_is_kept_where_it_fits(tmp_path):
    for extension in (".png", ".jpg", ".tif", ".webp"):
        path = tmp_path / f"out{extension}"
        write_photo(path, Photo(COLOR, icc_profile=SRGB))
        assert read_photo(path).icc_profile == SRGB, extension
        write_photo(path, Photo(COLOR[..., :1], icc_profile=SRGB))
        fits = extension == ".webp"  # it has no grey
        assert (read_photo(path).icc_profile == SRGB) == fits, extension


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
