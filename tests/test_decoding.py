"""What the numbers of image files mean, for the commands and for folders alike."""

import io
import itertools
import struct

import numpy as np
import pytest
from image_files import ink_profile, png, tiff
from PIL import Image, UnidentifiedImageError

from tfgen.commands.photo_files import read_photo
from tfgen.data.decoding import decode
from tfgen.data.folder import read_image
from tfgen.data.loading import load_dataset

RNG = np.random.default_rng(0)
SIGNED, FLOATS = {339: [2]}, {339: [3]}  # formats of the numbers of a TIFF
WHITE_IS_0, BLACK_IS_0, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8


def read(content):
    """The picture of a file as floats in [0, 1], with its transparency behind."""
    photo = decode(Image.open(io.BytesIO(content)))
    image = photo.pixels / np.iinfo(photo.pixels.dtype).max
    if photo.alpha is not None:
        image = np.dstack([image, photo.alpha / 255])
    return image


def describe(values, interpretation, bits, extra):
    """What `read` must give for the numbers of a TIFF."""
    image = values / (2**bits - 1)
    if interpretation == WHITE_IS_0:
        image[..., 0] = 1 - image[..., 0]
    if extra == 0:
        image = image[..., :-1]  # no transparency, but of no known use
    if interpretation == CMYK:
        image = (1 - image[..., :3]) * (1 - image[..., 3:])
    if extra == 1:  # the rest is multiplied with it
        image[..., :-1] = np.minimum(image[..., :-1] / image[..., -1:], 1)
    return image


# --- TIFF -------------------------------------------------------------------

READABLE = {  # interpretation: bits that must be readable in the plainest form
    WHITE_IS_0: {1, 2, 4, 8, 16},
    BLACK_IS_0: {1, 2, 4, 8, 12, 16},
    RGB: {8, 16},
    CMYK: {8, 16},
}


@pytest.mark.parametrize("deflate", [False, True], ids=["raw", "deflate"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 32])
@pytest.mark.parametrize("interpretation", READABLE)
def test_a_tiff_is_read_as_its_tags_say_or_refused(interpretation, bits, deflate):
    """All byte orders, planes, orders of bits, more channels and kinds of numbers."""
    colors = {RGB: 3, CMYK: 4}.get(interpretation, 1)
    for order, apart, turned, extra, numbers in itertools.product(
        "<>", (None, 2), (None, 2), (None, 0, 1, 2), (None, 1, 2, 3)
    ):
        if turned and deflate:
            continue  # what is turned there is no matter of the numbers
        channels = colors + (extra is not None)
        values = RNG.integers(0, 2**bits, (8, 13, channels))
        if extra == 1:  # enough for 8 bits to tell what was multiplied
            values[..., -1] = np.maximum(values[..., -1], 3 * 2**bits // 4)
        tags = {
            284: [apart],
            266: [turned],
            338: [extra],
            339: [numbers] * channels,
        }
        content = tiff(values, interpretation, bits, order, deflate, tags)
        plain = apart is turned is None and numbers in (None, 1)
        if bits != 8 or interpretation not in (BLACK_IS_0, RGB):
            plain = plain and extra is None and (order == "<" or bits == 8)
        try:
            image = read(content)
        except (ValueError, UnidentifiedImageError, OSError):
            assert not (plain and bits in READABLE[interpretation]), tags
            continue
        assert numbers in (None, 1)  # the rest is signed or floating
        expected = describe(values, interpretation, bits, extra)
        assert image.shape == expected.shape, tags
        tolerance = 1.1 if extra != 1 and interpretation != CMYK else 2.5
        assert abs(image - expected).max() < tolerance / 255, tags


@pytest.mark.parametrize("bits", [8, 16])
def test_where_0_is_white_the_number_is_turned(bits, tmp_path, capsys):
    values = RNG.integers(0, 2**bits, (12, 9, 1))
    right = 1 - values / (2**bits - 1)
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff(values, WHITE_IS_0, bits))
    photo = read_photo(path)
    assert photo.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_allclose(photo.pixels / (2**bits - 1), right, atol=1e-9)
    image = next(iter(load_dataset(tmp_path, channels=1, batch_size=None)))
    np.testing.assert_allclose(image, right, atol=0.6 / 255)
    assert capsys.readouterr().err == ""


def test_12_bits_reach_white():
    image = read(tiff(np.array([[[0], [4095], [2048]]] * 2), BLACK_IS_0, 12))
    np.testing.assert_allclose(image[0, :, 0], [0, 1, 2048 / 4095], atol=1e-5)


SCALE = np.repeat(np.arange(256), 3).reshape(256, 3)  # a palette of greys
SMALL = RNG.integers(0, 255, (8, 8, 1))


@pytest.mark.parametrize(
    ("channels", "interpretation", "bits", "tags", "reason"),
    [
        (1, None, 8, {}, "whether 0 is black or white"),
        (1, None, 16, {}, "whether 0 is black or white"),
        (3, RGB, 8, {254: [1]}, "a small preview in front of the photo"),
        (1, BLACK_IS_0, 8, SIGNED, "not 8- or 16-bit numbers"),
        (1, BLACK_IS_0, 16, SIGNED, "not 8- or 16-bit numbers"),
        (1, BLACK_IS_0, 32, {}, "not 8- or 16-bit numbers"),
        (1, BLACK_IS_0, 32, SIGNED, "not 8- or 16-bit numbers"),
        (1, BLACK_IS_0, 32, FLOATS, "not 8- or 16-bit numbers"),
        (1, WHITE_IS_0, 32, FLOATS, "not 8- or 16-bit numbers"),
        (3, RGB, 16, {284: [2]}, "its channels are stored apart"),
        (4, CMYK, 16, {284: [2]}, "its channels are stored apart"),
        (3, RGB, 8, {284: [2], 266: [2]}, "its channels are stored apart"),
        (3, RGB, 8, {532: [15.0, 235.0] * 3}, "least and the largest number"),
        (1, PALETTE, 8, {320: SCALE.T.ravel().tolist()}, "palette is not of 16 bits"),
        (4, CMYK, 8, {332: [2]}, "not cyan, magenta, yellow and black from 0 on"),
        (4, CMYK, 8, {336: [255, 0]}, "not cyan, magenta, yellow and black from 0 on"),
        (3, YCBCR, 8, {}, "its colours are coarser than its brightness"),
        (
            3,
            YCBCR,
            8,
            {529: [0.2126, 0.7152, 0.0722]},
            "its luma is not that of BT.601",
        ),
        (
            3,
            YCBCR,
            8,
            {532: [16.0, 235.0, 128.0, 240.0, 128.0, 240.0]},
            "its black and",
        ),
    ],
)
def test_a_tiff_that_cannot_be_trusted(
    tmp_path, channels, interpretation, bits, tags, reason
):
    path = tmp_path / "scan.tif"
    values = np.repeat(SMALL, channels, axis=-1)
    path.write_bytes(tiff(values, interpretation, bits, tags=tags))
    with pytest.raises(
        ValueError, match=f"scan.tif: .*{reason}.*; save it as an 8-bit"
    ):
        read_photo(path)
    with pytest.raises(ValueError, match=reason):
        read_image(path, 1)


def test_what_a_tiff_says_though_it_goes_without_saying():
    values = np.repeat(SMALL, 4, axis=-1)
    said = {332: [1], 336: [0, 255] * 4, 339: [1] * 4, 284: [1], 266: [1]}
    for more in ({}, said):
        expected = describe(values, CMYK, 8, None)
        image = read(tiff(values, CMYK, 8, tags=more))
        np.testing.assert_allclose(image, expected, atol=1.1 / 255)
    image = read(tiff(values[..., :3], RGB, 8, tags={532: [0.0, 255.0] * 3}))
    np.testing.assert_allclose(image, values[..., :3] / 255)
    palette = {320: (SCALE.T * 257).ravel().tolist()}
    image = read(tiff(SMALL, PALETTE, 8, tags=palette))
    np.testing.assert_allclose(image, values[..., :3] / 255)


@pytest.mark.parametrize("compression", [None, "jpeg"])
def test_ycbcr_of_a_tiff(compression):
    file = io.BytesIO()
    quality = {"quality": 100} if compression else {}
    image = Image.new("YCbCr", (16, 16), (100, 90, 200))
    image.save(file, "TIFF", compression=compression, **quality)
    cb, cr = 90 - 128, 200 - 128
    color = 100 + np.array([1.402 * cr, -0.344136 * cb - 0.714136 * cr, 1.772 * cb])
    image = read(file.getvalue())
    np.testing.assert_allclose(255 * image[8, 8], color, atol=1.5)


# --- Inks -------------------------------------------------------------------


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize("ink", [(255, 0, 0, 0), (0, 255, 0, 0), (128, 0, 0, 0)])
def test_inks_become_colours_through_their_profile(tmp_path, capsys, form, ink):
    path, options = tmp_path / "print", {"quality": 100} if form == "JPEG" else {}
    image = Image.new("CMYK", (16, 16), ink)
    image.save(path, form, icc_profile=ink_profile(), **options)
    lightness = 100 - 40 * ink[0] / 255
    linear = ((lightness + 16) / 116) ** 3
    level = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    photo = read_photo(path)
    assert abs(photo.pixels[8, 8] - level).max() < 1.5
    assert photo.icc_profile is None
    note = f"note: {path}: CMYK was turned into sRGB with its colour profile\n"
    assert capsys.readouterr().err == note
    np.testing.assert_array_equal(read_image(path, 3), photo.pixels)


@pytest.mark.parametrize("profile", [None, b"\0" * 16 + b"RGB " + b"\0" * 108])
def test_inks_without_a_profile_that_fits(tmp_path, capsys, profile):
    path = tmp_path / "print.tif"
    Image.new("CMYK", (8, 8), (0, 255, 0, 0)).save(path, icc_profile=profile)
    photo = read_photo(path)
    assert photo.pixels[0, 0].tolist() == [255, 0, 255] and photo.icc_profile is None
    assert "sRGB with no colour profile" in capsys.readouterr().err


def test_a_damaged_profile_of_inks_is_refused(tmp_path):
    path = tmp_path / "print.tif"
    image, profile = Image.new("CMYK", (8, 8)), ink_profile()
    for damaged in (profile[:140], profile[:128] + bytes(len(profile) - 128)):
        image.save(path, icc_profile=damaged)
        with pytest.raises(
            ValueError, match="print.tif: its colour profile is damaged"
        ):
            read_photo(path)


def test_the_inks_of_a_jpeg_are_trusted_where_adobe_marks_them(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 0, 0)).save(path, quality=100)
    assert read_photo(path).pixels[8, 8].tolist() == [255, 0, 255]
    content = path.read_bytes()
    start = content.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", content, start + 2)
    path.write_bytes(content[:start] + content[start + 2 + length :])
    for reader in (read_photo, lambda path: read_image(path, 3)):
        with pytest.raises(
            ValueError, match="whether 0 is no ink or full ink; save it"
        ):
            reader(path)


def test_lab_becomes_srgb(tmp_path, capsys):
    path = tmp_path / "lab.tif"
    grey, red = [153, 0, 0], [153, 40, 0]  # the others run from -128 to 127
    green = [153, 256 - 40, 0]
    path.write_bytes(tiff(np.array([[grey, red, green]] * 2), LAB, 8))
    grey, red, green = read_photo(path).pixels[0].astype(int)
    level = 255 * (1.055 * (76 / 116) ** (3 / 2.4) - 0.055)  # of L = 153 / 2.55
    assert abs(grey - level).max() < 1.5
    assert red[0] > level + 20 and red[1] < level - 20
    assert green[0] < level - 20 and green[1] > level + 10
    assert capsys.readouterr().err == f"note: {path}: Lab was turned into sRGB\n"


# --- PNG and others ---------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_level_of_few_bits(bits):
    top = 2**bits - 1
    for key in range(0, top + 1, max(top // 3, 1)):
        row = np.unpackbits(np.array([[key], [top - key]], np.uint8), axis=1)[:, -bits:]
        content = b"\0" + np.packbits(row).tobytes()
        chunks = [(b"tRNS", struct.pack(">H", key))]
        image = read(png(2, 1, 0, content, bits, chunks))
        expected = [[[key / top, 0], [1 - key / top, 1]]]
        np.testing.assert_allclose(image, expected)


@pytest.mark.parametrize("color", [0, 2])
def test_a_transparent_level_of_16_bits_is_opaque_and_said(tmp_path, capsys, color):
    path = tmp_path / "key.png"
    channels = 3 if color else 1
    content = b"\0" + struct.pack(">6H", *[1000, 9] * 3)[: 4 * channels]
    chunks = [(b"tRNS", struct.pack(">3H", 3, 3, 3)[: 2 * channels])]
    path.write_bytes(png(2, 1, color, content, 16, chunks))
    photo = read_photo(path)
    assert photo.alpha is None and photo.pixels.shape == (1, 2, channels)
    assert "a level that is transparent was read as opaque" in capsys.readouterr().err


def test_a_deep_pgm_is_read_in_its_own_range():
    content = b"P5 2 1 1000\n" + struct.pack(">2H", 1000, 500)
    np.testing.assert_allclose(read(content), [[[1], [0.5]]], atol=1e-4)


def test_other_deep_numbers_are_refused(tmp_path):
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": 2, "NAXIS2": 2}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items())
    files = {
        "sky.fits": (head + "END").ljust(2880).encode() + bytes(2880),
        "floats.pfm": b"Pf\n2 2\n-1.0\n" + bytes(16),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not 8- or 16-bit numbers; save it as"):
            read_photo(path)
