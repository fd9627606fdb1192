"""The invisible mark: what it survives, and how often chance looks like it."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from skimage import data

import tfgen
from tfgen import marks
from tfgen.marks import SCALES, add_mark, chance, find_mark

KEY = "a key of the tests"
HERE = (1,)  # the scale of images that were not resized
CUP = data.coffee()[20:340, 100:484].astype(np.float32) / 255
CAMERA = data.camera()[:320, 128:448, None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def marked():
    return {1: add_mark(CAMERA[None], KEY)[0], 3: add_mark(CUP[None], KEY)[0]}


def to_bytes(image):
    return Image.fromarray(
        np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8).squeeze()
    )


def to_floats(picture):
    return np.atleast_3d(np.asarray(picture, np.float32) / 255)


def resize(image, scale):
    picture = to_bytes(image)
    size = [round(scale * side) for side in picture.size]
    return to_floats(picture.resize(size, Image.Resampling.BICUBIC))


def compress(image, quality):
    return tfgen.compress_jpeg(image[None], quality=quality)["image"].numpy()[0]


def add_noise(image, sigma):
    noise = np.random.default_rng(0).normal(0, sigma / 255, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


# --- The mark ---------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("psnr", [38, 44])
def test_the_mark_is_as_weak_as_asked(channels, psnr):
    image = {1: CAMERA, 3: CUP}[channels]
    result = add_mark(image[None], KEY, psnr)
    assert result.dtype == np.float32 and result.shape == (1, *image.shape)
    assert result.min() >= 0 and result.max() <= 1
    assert psnr <= tfgen.psnr(image[None], result)[0] < psnr + 0.5
    grey = np.full((1, 128, 200, channels), 0.5, np.float32)  # nothing is clipped
    result = add_mark(grey, KEY, psnr)
    np.testing.assert_allclose(tfgen.psnr(grey, result), psnr, atol=1e-3)
    assert find_mark(result, KEY, HERE).matches == 64


def test_it_is_weaker_where_it_would_be_seen():
    image = np.full((128, 256, 1), 0.5, np.float32)
    image[:, :128] += np.random.default_rng(0).normal(0, 0.1, (128, 128, 1))
    image = np.clip(image, 0, 1)
    change = np.abs(add_mark(image[None], KEY)[0] - image)
    assert change[:, 150:].mean() < change[:, :110].mean() / 3


def test_each_image_is_marked_as_if_alone():
    images = np.stack([CUP[:200, :200], CUP[100:300, 50:250]])
    apart = [add_mark(image[None], KEY)[0] for image in images]
    np.testing.assert_array_equal(add_mark(images, KEY), apart)
    found = find_mark(np.concatenate([add_mark(images, KEY), images]), KEY, HERE)
    assert found.probability.shape == found.matches.shape == found.scale.shape == (4,)
    assert (found.matches[:2] >= 60).all() and (found.matches[2:] < 52).all()


def test_a_key_gives_the_same_mark_for_ever():
    """Otherwise what is marked today is not found tomorrow."""
    waves, signs = marks._draw_waves("tfgen")
    assert signs.shape == (64,) and set(signs) == {-1, 1}
    bits = int("".join("1" if sign > 0 else "0" for sign in signs), 2)
    place = np.argwhere(waves[0])[0]
    assert (bits, *place) == (6652478734805950554, 3, 27)


def test_waves_do_not_overlap_and_are_of_the_band():
    waves, _ = marks._draw_waves(KEY)
    used = np.abs(waves) > 0
    assert used.sum(axis=0).max() == 1
    assert np.ptp(used.sum(axis=(1, 2))) <= 1
    rows, columns = np.nonzero(used.any(axis=0))
    size = np.hypot(np.fft.fftfreq(128)[rows], columns / 128)
    assert size.min() >= marks.BAND[0] and size.max() <= marks.BAND[1]
    values = marks._correlate(np.random.default_rng(0).random((256, 300)), waves)
    np.testing.assert_allclose(np.mean(values**2, axis=(1, 2)), 1, rtol=1e-6)


# --- What it survives -------------------------------------------------------

DAMAGES = {  # and the scales at which it is looked for
    "bytes": (lambda image: to_floats(to_bytes(image)), HERE),
    "JPEG 90": (lambda image: compress(image, 90), HERE),
    "JPEG 70": (lambda image: compress(image, 70), HERE),
    "JPEG 50": (lambda image: compress(image, 50), HERE),
    "noise 10": (lambda image: add_noise(image, 10), HERE),
    "noise 25": (lambda image: add_noise(image, 25), HERE),
    "0.75 of the size": (lambda image: resize(image, 0.75), SCALES),
    "half the size": (lambda image: resize(image, 0.5), SCALES),
    "twice the size": (lambda image: resize(image, 2), SCALES),
    "cropped": (lambda image: image[37:277, 50:280], HERE),
    "cropped, JPEG 70": (lambda image: compress(image[13:250, 31:270], 70), HERE),
    "brighter": (lambda image: np.clip(0.1 + 0.9 * image, 0, 1) ** 0.7, HERE),
    "darker": (lambda image: 0.3 * image, HERE),
    "blurred": (lambda image: ndimage.gaussian_filter(image, (1, 1, 0)), HERE),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_mark_is_found(marked, damage, channels):
    spoil, scales = DAMAGES[damage]
    found = find_mark(spoil(marked[channels])[None], KEY, scales)
    assert found.probability[0] < 1e-6
    expected = {"0.75 of the size": 0.75, "half the size": 0.5, "twice the size": 2}
    assert found.scale[0] == expected.get(damage, 1)


def test_the_network_for_photos_does_not_erase_it(marked):
    restored = tfgen.load_pretrained("photo").restore(compress(marked[3], 50))
    assert find_mark(np.clip(restored, 0, 1)[None], KEY, HERE).probability < 1e-6


def test_grey_holds_the_mark_of_colour(marked):
    grey = marked[3] @ np.float32([0.299, 0.587, 0.114])
    assert find_mark(grey[None, ..., None], KEY, HERE).probability < 1e-6


def test_a_scale_that_is_nearly_right(marked):
    image = resize(marked[3], 0.5)
    for scale in (0.495, 0.505):
        assert find_mark(image[None], KEY, (scale,)).probability < 1e-6
    assert find_mark(image[None], KEY, (0.6,)).probability > 1e-6


def test_turned_and_mirrored_images_are_not_found(marked):
    for image in (marked[3][:, ::-1], np.rot90(marked[3])):
        assert find_mark(image[None], KEY, HERE).probability > 1e-4


def test_who_knows_the_key_takes_it_off_and_nobody_sees_it(marked):
    again = np.clip(2 * marked[3] - add_mark(marked[3][None], KEY)[0], 0, 1)
    assert find_mark(again[None], KEY, HERE).probability[0] > 1e-4
    assert tfgen.psnr(CUP[None], again[None])[0] > 50
    other = np.clip(2 * marked[3] - add_mark(marked[3][None], "another")[0], 0, 1)
    assert find_mark(other[None], KEY, HERE).probability[0] < 1e-6


# --- Chance -----------------------------------------------------------------


def test_chance_is_the_tail_of_the_binomial():
    for bits in (1, 8, 64):
        counts = np.arange(bits + 1)
        expected = stats.binom.sf(counts - 1, bits, 0.5)
        np.testing.assert_allclose(
            [chance(count, bits) for count in counts], expected, rtol=1e-12
        )
    assert chance(0) == 1 and chance(64) == 2.0**-64 and chance(65) == 0
    assert chance(32) == pytest.approx(0.5 + stats.binom.pmf(32, 64, 0.5) / 2)


def test_wrong_keys_match_as_thrown_coins():
    """Though each is looked for where it fits best, in a picture full of structure."""
    image = data.brick()[:256, :256, None].astype(np.float32) / 255
    image = add_mark(image[None], KEY)
    counts = [find_mark(image, f"key {n}", HERE).matches[0] for n in range(150)]
    edges = [0, 29, 32, 35, 65]
    seen = np.histogram(counts, edges)[0]
    expected = 150 * -np.diff([chance(edge) for edge in edges])
    assert stats.chisquare(seen, expected).pvalue > 1e-3
    assert min(map(chance, counts)) > 1e-4


@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_an_even_image_has_no_mark(level):
    image = np.full((2, 128, 128, 3), level, np.float32)
    assert (find_mark(image, KEY).probability > 1e-4).all()


# --- What is refused --------------------------------------------------------


def test_bad_arguments_are_named():
    for function, size in ((add_mark, (127, 300)), (find_mark, (63, 300))):
        least = size[0] + 1
        with pytest.raises(ValueError, match=f"300 x {least - 1} pixels .* {least} x"):
            function(np.zeros((1, *size, 3), np.float32), KEY)
        with pytest.raises(ValueError, match="1 or 3 channels are needed, not 4"):
            function(np.zeros((1, 128, 128, 4), np.float32), KEY)
        with pytest.raises(ValueError, match="of shape"):
            function(CUP, KEY)
        with pytest.raises(ValueError, match="values must be in"):
            function(255 * CUP[None], KEY)
        for key in ("", None, 5, b"key"):
            with pytest.raises(ValueError, match="key=.*: a text"):
                function(CUP[None], key)
    for psnr in (29, 61, float("nan")):
        with pytest.raises(ValueError, match="from 30 to 60 dB"):
            add_mark(CUP[None], KEY, psnr)
    for scales in ((), (0,), (1, 5), (float("nan"),)):
        with pytest.raises(ValueError, match="from 1/4 to 4"):
            find_mark(CUP[None], KEY, scales)
