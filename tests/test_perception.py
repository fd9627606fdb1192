"""Measures of how enlarged images look, on images whose values are known."""

import numpy as np
import pytest
from scipy import ndimage

from tfgen.measures.perception import (
    RINGS,
    gradient_distance,
    grid_share,
    kurtosis,
    patch_distance,
    ring_powers,
)


def noise(sigma, seed=0, size=(2, 128, 144, 1)):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0.5, sigma, size), 0, 1).astype(np.float32)


# --- the spectrum ---


def test_white_noise_has_its_variance_in_every_ring():
    powers = ring_powers(noise(0.1))
    assert powers.shape == (2, len(RINGS) - 1)
    np.testing.assert_allclose(powers, 0.01, rtol=0.25)
    np.testing.assert_allclose(powers[:, 3:], 0.01, rtol=0.06)  # of many frequencies


@pytest.mark.parametrize("ring", range(len(RINGS) - 1))
def test_a_wave_lies_in_the_ring_of_its_frequency(ring):
    y, x = np.mgrid[:128, :128]
    frequency = (RINGS[ring] + RINGS[ring + 1]) / 2
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * frequency * (0.6 * y + 0.8 * x))
    (powers,) = ring_powers(wave[None, ..., None])
    assert powers.argmax() == ring
    assert np.delete(powers, ring).max() < 1e-3 * powers[ring]


def test_a_blur_takes_fine_structures():
    image = noise(0.1)
    shares = ring_powers(ndimage.gaussian_filter(image, (0, 1, 1, 0)))
    shares /= ring_powers(image)
    middle = (np.array(RINGS[1:]) + RINGS[:-1]) / 2
    expected = np.exp(-((2 * np.pi * middle) ** 2))
    assert (np.diff(shares) < 0).all()
    np.testing.assert_allclose(shares[:, :4], np.tile(expected[:4], (2, 1)), rtol=0.3)


# --- a grid ---


def plant(pattern, levels, period=4, size=(256, 288)):
    """A smooth picture with a little noise and a pattern of a standard deviation."""
    y, x = np.mgrid[: size[0], : size[1]]
    pattern = {
        "columns": np.cos(2 * np.pi * x / period),
        "rows": np.cos(2 * np.pi * y / period),
        "dots": np.cos(2 * np.pi * x / period) * (1 + np.cos(2 * np.pi * y / 9)),
    }[pattern]
    image = 0.5 + 0.2 * np.sin(x / 50 + y / 30) + levels / 255 * pattern / pattern.std()
    image += np.random.default_rng(0).normal(0, 0.3 / 255, size)
    return image[None, ..., None]


@pytest.mark.parametrize("pattern", ["columns", "rows", "dots"])
def test_a_grid_is_seen_from_a_level_on(pattern):
    for levels, share in ((0, 0), (0.6, 0), (1.5, 1), (20, 1)):
        assert grid_share(plant(pattern, levels)) == share
    assert grid_share(plant(pattern, 1.5), level=2) == 0


def test_a_grid_in_a_part_of_an_image_is_found_there():
    image = plant("columns", 0)
    image[:, :, :144] = plant("columns", 3)[:, :, :144]
    assert 0.4 < grid_share(image)[0] < 0.65


@pytest.mark.parametrize("period", [3, 5, 6])
def test_other_patterns_are_no_grid(period):
    assert grid_share(plant("columns", 5, period)) == 0


def test_texture_is_no_grid_and_hides_one():
    texture = noise(0.1, size=(1, 256, 288, 1))
    assert grid_share(texture) == 0
    assert grid_share(0.5 * texture + 0.5 * plant("columns", 2)) == 0


# --- patches ---


def test_the_distance_of_noises_is_that_of_normal_distributions():
    quiet, loud = noise(0.05, 0), noise(0.1, 1)
    expected = 255 * 0.05 * (2 / np.pi) ** 0.5
    assert patch_distance(quiet, loud) == pytest.approx(expected, rel=0.06)
    assert (patch_distance(loud, noise(0.1, 2)) < 0.04 * expected).all()
    np.testing.assert_array_equal(patch_distance(loud, loud), 0)


def test_it_counts_how_a_texture_looks_and_not_where_it_lies():
    texture = ndimage.gaussian_filter(noise(0.4, 0), (0, 1, 1, 0), mode="wrap")
    moved = np.roll(texture, (60, 31), (1, 2))
    blurred = ndimage.gaussian_filter(texture, (0, 1, 1, 0))
    assert np.square(moved - texture).mean() > np.square(blurred - texture).mean()
    assert (
        patch_distance(moved, texture) < 0.1 * patch_distance(blurred, texture)
    ).all()


def test_the_shape_of_patches_counts_and_not_their_contrast_alone():
    lines = noise(0.1, 0, (1, 128, 1, 1)) * np.ones((1, 1, 128, 1), np.float32)
    columns = lines.transpose(0, 2, 1, 3)
    assert patch_distance(lines, columns) > 1


# --- what all take ---


@pytest.mark.parametrize("measure", [ring_powers, grid_share])
def test_the_luma_of_colour_counts(measure):
    color = noise(0.1, size=(1, 64, 64, 3))
    luma = color @ np.array([[0.299], [0.587], [0.114]], np.float32)
    np.testing.assert_allclose(measure(color), measure(luma), rtol=1e-4)
    np.testing.assert_array_equal(patch_distance(color, color), 0)
    np.testing.assert_allclose(patch_distance(color, luma), 0, atol=1e-3)


def test_what_is_no_image_is_refused():
    for measure in (ring_powers, grid_share, lambda x: patch_distance(x, x)):
        with pytest.raises(ValueError, match="Divide 8-bit images by 255"):
            measure(np.full((1, 16, 16, 1), 200.0, np.float32))
    with pytest.raises(ValueError, match=r"equally large .*\(2, 16, 16\) and"):
        patch_distance(noise(0, size=(2, 16, 16, 1)), noise(0, size=(1, 16, 16, 1)))
    with pytest.raises(ValueError, match="64 x 64 do not fit into images of 63 x 90"):
        grid_share(noise(0, size=(1, 63, 90, 1)))
    with pytest.raises(ValueError, match="at least 7 x 7"):
        patch_distance(noise(0, size=(1, 6, 16, 1)), noise(0, size=(1, 6, 16, 1)))


# --- how steep, how rare ---


def test_the_distance_of_slopes_at_values_computed_by_hand():
    ramp = np.tile(np.arange(32) * 0.01, (1, 32, 1))[..., None]
    steep, flat = 3 * ramp, np.full_like(ramp, 0.5)
    # of the differences, half along the ramp, half across it
    np.testing.assert_allclose(gradient_distance(steep, ramp), 255 * 0.02 / 2)
    np.testing.assert_allclose(gradient_distance(flat, ramp), 255 * 0.01 / 2)
    np.testing.assert_allclose(gradient_distance(ramp[:, ::-1, ::-1], ramp), 0)


def test_slopes_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="equally large images are needed"):
        gradient_distance(np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 9, 1)))


def test_rare_details_have_a_high_kurtosis():
    np.testing.assert_allclose(kurtosis(noise(0.1)), 3, atol=0.1)
    spots = np.zeros((1, 128, 128, 1))
    spots[:, 16::32, 16::32] = 1
    waves = 0.5 + 0.2 * np.cos(np.arange(128) / 2) * np.ones((1, 128, 1))
    assert kurtosis(spots) > 20 > 2 > kurtosis(waves[..., None])
