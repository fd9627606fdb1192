"""Blends, details and levels: what each formula promises."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from tfgen.commands.finishing import (
    TIMES,
    blend,
    find_detail,
    find_levels,
    spare_grid,
    spare_texture,
    stretch,
)
from tfgen.images import LUMA
from tfgen.measures.perception import grid_share

RNG = np.random.default_rng(0)
BLACK = np.zeros((128, 128, 1), np.float32)
NOISE = RNG.normal(0, 0.05, BLACK.shape).astype(np.float32)
LINE = BLACK.copy()
LINE[20:100, 60:63] = 0.3


def energy(values):
    return np.square(values, dtype=np.float64).sum()


def test_a_blend_lies_between():
    image, restored = RNG.random((2, 5, 6, 3), np.float32)
    np.testing.assert_array_equal(blend(image, restored, 0), image)
    np.testing.assert_allclose(blend(image, restored, 1), restored, atol=1e-7)
    mean = (image + 3 * restored) / 4
    np.testing.assert_allclose(blend(image, restored, 0.75), mean, atol=1e-6)
    assert blend(image, restored, 0.75).dtype == np.float32


# --- Texture ----------------------------------------------------------------


def change(levels, size=(192, 125, 3)):
    """An image and one that differs by noise whose level is that of each row."""
    image = RNG.uniform(0.3, 0.7, size).astype(np.float32)
    noise = RNG.normal(0, 1, size) * np.reshape(levels, (-1, 1, 1))
    return image, (image + noise).astype(np.float32)


def size_of(image, restored, rows):
    return np.sqrt(np.mean(np.square(restored - image)[rows]))


def test_what_changes_everywhere_is_kept():
    """A change that is up to four times as large in one half: bright noise."""
    for levels in (np.full(192, 0.05), np.linspace(0.01, 0.04, 192), np.zeros(192)):
        image, restored = change(levels)
        kept = restored.copy()
        spare_texture(image, kept)
        np.testing.assert_array_equal(kept, restored)


def test_what_changes_in_few_places_is_taken_back():
    """A quarter of the rows changes a hundred times as much as the others."""
    image, restored = change(np.where(np.arange(192) < 144, 0.001, 0.1))
    kept = restored.copy()
    spare_texture(image, kept)
    np.testing.assert_array_equal(kept[:96], restored[:96])
    left = size_of(image, kept, slice(160, 192))
    assert left == pytest.approx(0.001 * TIMES, rel=0.1)


def test_black_and_white_places_do_not_say_what_is_usual():
    image, restored = change(np.where(np.arange(192) < 144, 0, 0.03))
    image[:144], restored[:144] = 1, 1
    kept = restored.copy()
    spare_texture(image, kept)
    np.testing.assert_array_equal(kept, restored)
    image[:144:3], kept[:144:3] = 0.9, 0.9
    spare_texture(image, kept)
    assert size_of(image, kept, slice(160, 192)) < 1e-6


def test_places_of_one_colour_do_not_say_what_is_usual():
    """A noisy photo in a cream border, which is not noisy: drawn, or a window."""
    image, restored = change(np.where(np.arange(192) < 144, 0, 0.03))
    image[:144] = restored[:144] = (0.9, 0.8, 0.7)
    kept = restored.copy()
    spare_texture(image, kept)
    np.testing.assert_array_equal(kept, restored)
    for row in (image, kept):
        row[:144, ::4, 2] = 0.71  # some contrast in one channel: a clean place
    spare_texture(image, kept)
    assert size_of(image, kept, slice(160, 192)) < 1e-6


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 9, 3), (8, 8, 1), (17, 16, 3)])
def test_texture_is_spared_in_small_images(size):
    image, restored = change(np.full(size[0], 0.05), size)
    kept = restored.copy()
    spare_texture(image, kept)
    np.testing.assert_array_equal(kept, restored)


def test_a_grid_is_taken_back_and_texture_is_not():
    exact = np.full((160, 320, 3), 0.5, np.float32)
    texture = RNG.normal(0, 0.03, exact.shape).astype(np.float32)
    sharp = exact + texture
    sharp[:, :128] += np.where(np.arange(128) % 4 < 2, 0.04, -0.04)[:, None]
    kept = sharp.copy()
    spare_grid(exact, kept)
    np.testing.assert_allclose(kept[:, :96], exact[:, :96], atol=0.01)
    np.testing.assert_array_equal(kept[:, 224:], sharp[:, 224:])
    assert grid_share(kept[None]) == 0 < grid_share(sharp[None])
    small = sharp[:40, :40].copy()
    spare_grid(exact[:40, :40], small)  # too small to search
    np.testing.assert_array_equal(small, sharp[:40, :40])


# --- Details ----------------------------------------------------------------


def test_noise_that_was_removed_stays_removed():
    detail = find_detail(NOISE, BLACK)
    assert energy(detail) < 0.005 * energy(NOISE)
    grain = ndimage.gaussian_filter(NOISE, (1.5, 1.5, 0))  # hangs together
    assert energy(find_detail(grain, BLACK)) < 0.02 * energy(grain)


def test_a_line_that_was_removed_comes_back_without_the_noise():
    detail = find_detail(LINE + NOISE, BLACK)
    on = LINE[..., 0] > 0
    assert 0.5 < detail[on].mean() / 0.3 < 1.1
    assert detail[:, 80:].std() < 0.1 * NOISE.std()
    error = energy(detail - LINE[..., 0])
    assert error < 0.5 * energy(LINE) and error < 0.5 * energy(NOISE)


def test_what_stands_alone_comes_back_whole():
    """With no noise around all but the coarsest is given back."""
    spot = BLACK.copy()
    spot[50, 70] = -0.5
    detail = find_detail(spot, BLACK)
    assert abs(detail - spot[..., 0]).max() < 0.01
    np.testing.assert_allclose(find_detail(BLACK + 0.3, BLACK), 0, atol=1e-6)


def test_only_brightness_comes_back():
    color = np.repeat(LINE, 3, axis=-1)
    red = color * (1, 0, 0)
    for image, share in ((color, 1), (red, LUMA[0])):
        detail = find_detail(image.astype(np.float32), 0 * color)
        np.testing.assert_allclose(detail, share * find_detail(LINE, BLACK), atol=1e-6)
    tint = red - color * LUMA[0]  # of no brightness
    np.testing.assert_allclose(find_detail(tint, 0 * tint), 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 3), (7, 9, 1), (33, 50, 3)])
def test_details_of_any_size(shape):
    detail = find_detail(RNG.random(shape, np.float32), np.zeros(shape, np.float32))
    assert detail.shape == shape[:2] and np.isfinite(detail).all()


# --- Colours ----------------------------------------------------------------

COFFEE = data.coffee()[::2, ::2].astype(np.float32) / 255


def mend(image):
    return stretch(image, find_levels(image))


@pytest.mark.parametrize("fade", [(0.6, 0.6, 0.6), (0.7, 0.5, 0.45)])
def test_faded_colours_come_back(fade):
    faded = COFFEE * np.float32(fade) + np.float32((0.2, 0.15, 0.1))
    for dust in (0, 0.004):  # less than what is left aside
        dirty = np.where(RNG.random(COFFEE.shape[:2])[..., None] < dust, 1, faded)
        before, after = (abs(x - COFFEE).mean() for x in (faded, mend(dirty)))
        assert after < before / 3


def test_levels_are_percentiles_of_each_channel():
    ramp = np.linspace(0.2, 0.6, 1001, dtype=np.float32)[None, :, None]
    levels = find_levels(np.concatenate([ramp, 1 - ramp], axis=-1))
    np.testing.assert_allclose(levels, [[0.202, 0.402], [0.598, 0.798]], atol=1e-6)
    np.testing.assert_allclose(stretch(ramp, levels[:, :1])[0, [0, 500, 1000], 0],
                               [0, 0.5, 1], atol=1e-6)  # fmt: skip


def test_good_photos_stay():
    np.testing.assert_array_equal(mend(COFFEE), COFFEE)
    for level in (0, 0.3, 1):  # a channel that is constant
        np.testing.assert_array_equal(mend(BLACK + np.float32(level)), BLACK + level)


def test_levels_of_a_large_photo_are_those_of_a_smaller_one():
    large = np.tile(COFFEE * 0.5, (8, 8, 1))
    np.testing.assert_allclose(find_levels(large), find_levels(COFFEE * 0.5), atol=0.01)
