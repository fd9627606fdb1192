import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfgen.measures import classics
from tfgen.measures.classics import CLASSICS

DENOISERS = list(CLASSICS["denoise"].values())


def psnr(clean, image):
    return -10 * np.log10(np.mean((clean - image) ** 2))


def make_noisy(channels, sigma, size=96):
    photo = data.astronaut()[100 : 100 + size, 150 : 150 + size, :channels]
    clean = photo.astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(size=clean.shape)
    return clean, (clean + sigma / 255 * noise).astype(np.float32)


@pytest.mark.parametrize("denoise", DENOISERS, ids=CLASSICS["denoise"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("sigma", "gain"), [(15, 3), (50, 8)])
def test_denoisers_remove_noise(denoise, channels, sigma, gain):
    clean, noisy = make_noisy(channels, sigma)
    before = noisy.copy()
    restored = denoise(noisy, sigma)
    assert psnr(clean, restored) > psnr(clean, noisy) + gain
    assert restored.dtype == np.float32 and restored.shape == noisy.shape
    assert restored.min() >= 0 and restored.max() <= 1
    np.testing.assert_array_equal(noisy, before)


@pytest.mark.parametrize("denoise", DENOISERS, ids=CLASSICS["denoise"])
def test_without_noise_nothing_is_removed(denoise):
    clean, _ = make_noisy(3, 0)
    np.testing.assert_allclose(denoise(clean, 0), clean, atol=1e-6)


METHODS = [
    *((denoise, 25) for denoise in DENOISERS),
    (classics.inpaint_biharmonic, np.arange(80).reshape(8, 10) % 7 == 0),
    (classics.enlarge_bicubic, 2),
]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize(("method", "told"), METHODS, ids=lambda x: "")
def test_any_float_type_is_taken_as_float32(method, told, dtype):
    image = make_noisy(3, 25, 10)[1][:8].clip(0, 1).astype(dtype)
    restored, expected = method(image, told), method(image.astype(np.float32), told)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, atol=2e-3)


@pytest.mark.parametrize("denoise", DENOISERS, ids=CLASSICS["denoise"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 1), (5, 300, 3), (8, 8, 1)])
def test_denoisers_take_small_images(denoise, shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    restored = denoise(image, 25)
    assert restored.shape == shape and np.isfinite(restored).all()


def dct_slowly(image, sigma, threshold):
    """Both passes of `denoise_dct`, patch by patch."""
    from scipy import fft

    def sweep(change, size, *images):
        padded = [np.pad(x, size - 1, "symmetric") for x in images]
        total = np.zeros(padded[0].shape)
        for y in range(padded[0].shape[0] - size + 1):
            for x in range(padded[0].shape[1] - size + 1):
                place = slice(y, y + size), slice(x, x + size)
                patches = [fft.dctn(p[place], norm="ortho") for p in padded]
                total[place] += fft.idctn(change(*patches), norm="ortho")
        return total[size - 1 : 1 - size, size - 1 : 1 - size] / size**2

    s = sigma / 255
    first = sweep(lambda c: np.where(np.abs(c) > threshold * s, c, 0), 12, image)
    return sweep(lambda c, p: c * p * p / (p * p + s * s), 8, image, first)


@pytest.mark.parametrize("shape", [(14, 13), (70, 9)])
@pytest.mark.parametrize("band", [1, 20_000, 2**20])
def test_dct_is_the_mean_of_patches_in_two_passes(shape, band, monkeypatch):
    monkeypatch.setattr(classics, "BAND", band)
    image = make_noisy(1, 25)[1][: shape[0], : shape[1], 0]
    expected = np.clip(dct_slowly(image, 25, 2.7), 0, 1)
    found = classics.denoise_dct(image[..., None], 25, 2.7)[..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_dct_of_colour_is_that_of_three_orthogonal_greys():
    np.testing.assert_allclose(
        classics.OPPONENT @ classics.OPPONENT.T, np.eye(3), 0, 1e-6
    )
    grey = np.clip(0.5 + 0.1 * make_noisy(1, 25)[1], 0, 1)
    result = classics.denoise_dct(np.repeat(grey, 3, axis=-1), 25)
    expected = classics.denoise_dct(grey * 3**0.5 / 2, 12.5) * 2 / 3**0.5
    np.testing.assert_allclose(result, np.repeat(expected, 3, axis=-1), atol=1e-4)


def test_wavelets_of_a_shifted_image_differ_less_with_more_shifts():
    noisy = make_noisy(1, 25)[1]
    differences = []
    for shifts in (1, 8):
        shifted = classics.denoise_wavelet(np.roll(noisy, 1, 0), 25, shifts=shifts)
        result = classics.denoise_wavelet(noisy, 25, shifts=shifts)
        differences.append(np.std(np.roll(result, 1, 0) - shifted))
    assert differences[1] < differences[0] / 2


def test_biharmonic_continues_a_slope_and_leaves_the_rest():
    slope = np.linspace(0, 1, 40, dtype=np.float32)
    clean = np.stack([np.tile(slope, (30, 1)), np.tile(slope[::-1], (30, 1))], -1)
    mask = np.zeros((30, 40, 1), np.float32)
    mask[10:13, 5:30] = 1
    filled = classics.inpaint_biharmonic(clean * (1 - mask), mask)
    np.testing.assert_allclose(filled, clean, atol=1e-3)
    known = mask[..., 0] == 0
    np.testing.assert_array_equal(filled[known], clean[known])


def test_biharmonic_needs_something_to_continue():
    with pytest.raises(ValueError, match="covers the whole image"):
        classics.inpaint_biharmonic(np.zeros((4, 4, 1), np.float32), np.ones((4, 4)))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_that_of_pillow(scale):
    image = np.random.default_rng(0).uniform(0.3, 0.7, (20, 17, 1)).astype(np.float32)
    enlarged = classics.enlarge_bicubic(image, scale)
    assert enlarged.shape == (20 * scale, 17 * scale, 1)
    size = (17 * scale, 20 * scale)
    pillow = Image.fromarray(image[..., 0]).resize(size, Image.Resampling.BICUBIC)
    inside = slice(2 * scale, -2 * scale)  # at the border TensorFlow repeats pixels
    expected = np.asarray(pillow)[inside, inside]
    np.testing.assert_allclose(enlarged[inside, inside, 0], expected, atol=1e-3)


def test_nothing_heavy_is_imported_before_it_is_used():
    tree = ast.parse(Path(classics.__file__).read_text("utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.Import)]
    assert [alias.name for node in imports for alias in node.names] == ["numpy"]
    assert not any(isinstance(node, ast.ImportFrom) for node in tree.body)
