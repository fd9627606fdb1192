"""Filling with patches: what comes back exactly, what never changes, what is wrong."""

import re
import time
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import tfgen
from tfgen.filling import find_deep, find_surroundings
from tfgen.tiles import fill_depths

BOX = (30, 60, 34, 62)  # top, bottom, left, right


def cut(image, *boxes):
    """An image with black boxes, and their mask."""
    mask = np.zeros(image.shape[:2], np.float32)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return image * (1 - mask[..., None]), mask


def draw(function, size=96, channels=3):
    """An image of values between 0.2 and 0.8."""
    y, x = np.indices((size, size))
    values = np.float32(0.2 + 0.6 * function(y, x))
    return np.repeat(values[..., None], channels, axis=2)


TEXTURES = {
    "constant": lambda y, x: 0 * y + 0.5,
    "stripes": lambda y, x: y // 3 % 2,
    "diagonals": lambda y, x: (x + y) // 4 % 2,
    "checkerboard": lambda y, x: (y // 4 + x // 4) % 2,
    "an edge": lambda y, x: y > 40,
}


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


@pytest.mark.parametrize("name", TEXTURES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_texture_that_repeats_goes_on_exactly(name, channels):
    image = draw(TEXTURES[name], channels=channels)
    damaged, mask = cut(image, BOX)
    np.testing.assert_array_equal(tfgen.fill_patches(damaged, mask), image)


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 30, 0, 30)],  # a corner
        [(20, 50, 66, 96)],  # a side
        [(30, 58, 0, 96)],  # whole rows
        [(0, 96, 30, 58)],  # whole columns
        [(10, 30, 10, 30), (60, 85, 50, 90), (5, 8, 40, 96), (50, 51, 3, 4)],
    ],
)
def test_stripes_go_on_wherever_the_holes_are(boxes):
    image = draw(TEXTURES["diagonals"])
    damaged, mask = cut(image, *boxes)
    np.testing.assert_array_equal(tfgen.fill_patches(damaged, mask), image)


@pytest.mark.parametrize("shape", [(80, 70, 3), (80, 70, 1), (80, 70)])
def test_known_pixels_stay_and_holes_take_values_of_the_photo(shape):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 2**15
    mask = np.zeros(shape[:2], bool)
    mask[0:33, 40:70] = mask[60:62] = True
    damaged = image.copy()
    damaged[mask] = np.nan  # ignored
    filled = tfgen.fill_patches(damaged, mask)
    assert filled.shape == shape and filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    assert np.isin(filled[mask], image[~mask]).all()  # copied, nothing is mixed


def test_without_holes_an_image_stays():
    image = noise(20, 30, 3)
    mask = np.zeros((20, 30, 1))
    np.testing.assert_array_equal(tfgen.fill_patches(image, mask), image)


def test_equal_seeds_give_equal_fillings():
    damaged, mask = cut(noise(96, 96, 1), BOX)
    first, again, other = (
        tfgen.fill_patches(damaged, mask, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("size", "boxes", "patch"),
    [
        (64, [(0, 64, 0, 60)], 7),  # a rim of 4 columns is left
        (64, [(y, y + 1, 0, 64) for y in range(0, 64, 4)], 7),  # lines, too close
        (5, [(1, 3, 1, 3)], 7),  # a photo smaller than a patch
    ],
)
def test_where_no_patch_is_known_the_filling_is_smooth(size, boxes, patch):
    image = noise(size, size, 3)
    damaged, mask = cut(image, *boxes)
    smooth, _ = fill_depths(damaged, mask[..., None], sight=0)
    filled = tfgen.fill_patches(damaged, mask, patch=patch)
    np.testing.assert_array_equal(filled, smooth)


def test_a_hole_that_leaves_little_is_filled_from_it():
    image = draw(TEXTURES["stripes"], size=128)
    damaged, mask = cut(image, (0, 128, 0, 110))
    filled = tfgen.fill_patches(damaged, mask)
    np.testing.assert_array_equal(filled[:, 110:], image[:, 110:])
    assert (filled == image).mean() > 0.6 and filled.min() == image.min()


def test_only_the_surroundings_are_searched():
    holes = np.zeros((700, 900), bool)
    holes[100:130, 200:230] = holes[600, 800] = True
    assert find_surroundings(holes) == [
        (slice(0, 320), slice(64, 384)),
        (slice(448, 704), slice(640, 960)),
    ]
    image = np.zeros((700, 900, 1), np.float32)
    image[:320, 64:384] = noise(320, 256 + 64, 1) / 2
    image[image == 0] = 1
    filled = tfgen.fill_patches(image, holes)
    assert filled[100:130, 200:230].max() <= 0.5 and filled[600, 800] == 1


def test_holes_in_windows_that_overlap_are_filled_once(capsys):
    holes = np.zeros((700, 700), bool)
    holes[10:30, 10:680] = holes[10:680, 10:30] = holes[400:430, 400:430] = True
    image = np.where(holes, 0, np.float32(0.7))[..., None]
    filled = tfgen.fill_patches(image, holes, verbose=1)
    np.testing.assert_array_equal(filled, np.float32(0.7))
    counts = re.findall(rf"(\d+)/{holes.sum()}", capsys.readouterr().out)
    assert np.diff(np.int64(counts)).min() >= 0 and int(counts[-1]) == holes.sum()


def test_a_large_photo_with_a_hole_takes_seconds_and_little_memory():
    image = np.tile(data.camera() / np.float32(255), (4, 4))  # 2048 x 2048
    mask = np.zeros(image.shape, bool)
    mask[1000:1100, 1000:1100] = True
    tracemalloc.start()
    start = time.process_time()
    tfgen.fill_patches(image, mask)
    seconds = time.process_time() - start
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 30  # 3 on a quiet core
    assert most < 5 * image.nbytes


def test_only_the_depths_of_holes_are_filled_if_asked():
    image = draw(TEXTURES["stripes"], size=128)
    holes = np.zeros((128, 128), bool)
    holes[30:70, 30:70] = holes[50, 70:] = holes[100:110] = True
    holes[120:, 100:] = True  # 8 rows: known pixels are near
    image[120:, 100:] = 0.9
    damaged = image.copy()
    damaged[30:70, 30:70] = 0.5
    filled = tfgen.fill_patches(damaged, holes, deeper=16)
    np.testing.assert_array_equal(filled, image)


def test_deep_is_far_from_all_known_pixels():
    rng = np.random.default_rng(0)
    holes = ndimage.gaussian_filter(rng.random((90, 110)), 6) > 0.5
    depth = ndimage.distance_transform_cdt(holes, "chessboard")
    padded = np.pad(holes, 60, mode="edge")
    depth = ndimage.distance_transform_cdt(padded, "chessboard")[60:-60, 60:-60]
    deep = find_deep(holes, 5)
    assert deep[depth > 5].all() and 0 < deep.sum() < holes.sum()
    assert not deep[~holes].any()
    near = ndimage.distance_transform_cdt(depth <= 5, "chessboard") <= 10
    np.testing.assert_array_equal(deep, holes & near)
    np.testing.assert_array_equal(find_deep(holes, 0), holes)
    holes = np.arange(90)[:, None] < np.full(110, 20)  # known pixels on one side only
    np.testing.assert_array_equal(find_deep(holes, 16), holes)
    assert not find_deep(holes, 20).any()


def test_patches_continue_grass_where_a_smooth_filling_has_none():
    grass = data.camera()[380:, 100:380, None] / np.float32(255)
    damaged, mask = cut(grass, (34, 98, 100, 180))
    inside = ndimage.binary_erosion(mask, iterations=4)

    def detail(image):
        blurred = ndimage.gaussian_filter(image[..., 0], 2)
        return (image[..., 0] - blurred)[inside].std()

    smooth, _ = fill_depths(damaged, mask[..., None], sight=0)
    assert detail(smooth) < 0.1 * detail(grass)
    assert 0.6 < detail(tfgen.fill_patches(damaged, mask)) / detail(grass) < 1.4


def test_a_hole_in_a_rough_place_is_filled_roughly():
    image = np.full((160, 200, 1), 0.5, np.float32)  # smooth on the left
    image[:, 80:] += 0.3 * (noise(160, 120, 1) - 0.5)
    damaged, mask = cut(image, (50, 110, 110, 170))
    filled = tfgen.fill_patches(damaged, mask)
    assert filled[mask > 0].std() > 0.8 * image[mask > 0].std()


def test_a_filling_fits_to_what_is_around():
    """Steps across the edges of holes are not much larger than those of the photo."""
    image = data.coffee() / np.float32(255)
    ratios = []
    for top, left in ((280, 60), (40, 470), (300, 480), (200, 120)):
        damaged, mask = cut(image, (top, top + 64, left, left + 64))
        filled, steps = tfgen.fill_patches(damaged, mask), []
        for x in (filled, image):
            changes = [
                np.abs(np.diff(x, axis=axis))[np.diff(mask, axis=axis) != 0]
                for axis in (0, 1)
            ]
            steps.append(np.mean(np.concatenate(changes)))
        ratios.append(steps[0] / steps[1])
    assert np.mean(ratios) < 1.35


def test_progress_counts_the_pixels(capsys):
    damaged, mask = cut(noise(64, 64, 1), (20, 30, 20, 40))
    tfgen.fill_patches(damaged, mask)
    assert not capsys.readouterr().out
    tfgen.fill_patches(damaged, mask, verbose=1)
    assert "200/200" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": np.ones((32, 32))}, "nothing is known"),
        ({"mask": np.zeros((32, 30))}, "pixels high"),
        ({"mask": np.full((32, 32), 0.5)}, "1 in the holes and 0 elsewhere"),
        ({"image": np.zeros((32, 32, 3), np.uint8)}, "Divide 8-bit"),
        ({"image": np.full((32, 32), 2.0)}, "0, 1"),
        ({"image": np.full((32, 32), np.nan)}, "0, 1"),
        ({"image": np.zeros((1, 32, 32, 3))}, "One image"),
        ({"image": np.zeros((32, 32, 4))}, "1 or 3 channels"),
        ({"patch": 1}, "no texture"),
        ({"patch": 7.0}, "whole number"),
        ({"deeper": -1}, "whole number"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_filled_is_refused(changes, message):
    mask = np.zeros((32, 32))
    mask[10:20, 10:20] = 1
    given = {"image": np.zeros((32, 32)), "mask": mask} | changes
    with pytest.raises(ValueError, match=message):
        tfgen.fill_patches(**given)
