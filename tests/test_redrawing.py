"""New pictures in the manner of one: against brute force, and what is known of them."""

import numpy as np
import pytest
from scipy import ndimage

import tfgen
from tfgen import redrawing


def picture(height=40, width=36, channels=3, seed=0):
    """A soft random picture in [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, channels))
    soft = ndimage.gaussian_filter(noise, (1.5, 1.5, 0), mode="wrap")
    return np.float32((soft - soft.min()) / np.ptp(soft))


def patches(image, side):
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
    return windows.reshape(-1, side * side * image.shape[-1])


@pytest.mark.parametrize("size", [(30, 50), (50, 20), (7, 7)])
def test_a_picture_has_the_size_that_is_asked_for(size):
    for image in (picture(), picture(channels=1), picture()[..., 0]):
        drawn = tfgen.redraw(image, size)
        assert drawn.shape == (*size, *image.shape[2:]) and drawn.dtype == np.float32
        assert 0 <= drawn.min() and drawn.max() <= 1


def test_equal_seeds_give_equal_pictures():
    first, again, other = (tfgen.redraw(picture(), (30, 30), seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


def test_without_noise_a_picture_of_the_same_size_is_the_same():
    image = picture()
    drawn = tfgen.redraw(image, image.shape[:2], noise=0)
    np.testing.assert_allclose(drawn, image, atol=1e-4)


def test_what_is_even_stays_even():
    drawn = tfgen.redraw(np.full((30, 30, 3), 0.3, np.float32), (20, 60))
    np.testing.assert_allclose(drawn, 0.3, atol=1e-5)


def test_patches_are_nearer_to_the_model_than_those_of_another_picture():
    image = picture()
    _, drawn = tfgen.nearest_neighbors(
        patches(tfgen.redraw(image, (30, 44)), 5), patches(image, 5)
    )
    other = patches(picture(30, 44, seed=1), 5)
    _, others = tfgen.nearest_neighbors(other, patches(image, 5))
    assert np.median(drawn) < 0.5 * np.median(others)


def test_colours_go_where_there_is_room_in_their_proportion():
    image = np.zeros((32, 32, 1), np.float32)
    image[:16] = 1  # white above, black below
    drawn = tfgen.redraw(image, (32, 64), noise=0.3)
    assert 0.4 < drawn.mean() < 0.6
    assert drawn[:8].mean() > 0.9 and drawn[-8:].mean() < 0.1


def test_the_search_is_that_of_brute_force(monkeypatch):
    monkeypatch.setattr(redrawing, "BLOCK", (7, 11))
    rng = np.random.default_rng(0)
    wanted, keys = rng.random((40, 5), np.float32), rng.random((60, 5), np.float32)
    squares = ((wanted[:, None] - keys) ** 2).sum(-1)
    expected = (squares / (0.01 + squares.min(0))).argmin(1)
    np.testing.assert_array_equal(redrawing.search_all(wanted, keys, 0.01), expected)


def test_the_search_nearby_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    wanted, keys = rng.random((20, 5), np.float32), rng.random((42, 5), np.float32)
    start = np.full((4, 5), 3), np.full((4, 5), 3)
    found = redrawing.search_near(wanted, keys, start, (-1, 7), reach=6)
    expected = ((wanted[:, None] - keys) ** 2).sum(-1).argmin(1).reshape(4, 5)
    np.testing.assert_array_equal(7 * found[0] + found[1], expected)


def test_a_vote_of_every_patch_for_its_own_place_is_the_model():
    image = picture(12, 15)
    places = np.indices((8, 11))
    np.testing.assert_allclose(redrawing.vote(places, image, 5), image, atol=1e-6)


def test_a_large_picture_is_searched_near_to_what_was_found(monkeypatch):
    monkeypatch.setattr(redrawing, "PAIRS", 1e5)
    image = picture(60, 60)
    drawn = tfgen.redraw(image, image.shape[:2], noise=0)
    np.testing.assert_allclose(drawn, image, atol=0.02)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image": np.zeros((30, 30, 3), np.uint8)}, "uint8"),
        ({"image": np.zeros((1, 30, 30, 3), np.float32)}, "One image"),
        ({"image": np.full((30, 30, 3), 2.0)}, r"from 2 to 2"),
        ({"image": np.zeros((5, 30, 3), np.float32)}, "side of 5 is less than a patch"),
        ({"size": (30, 6)}, "side of 6"),
        ({"size": (30,)}, "height, width"),
        ({"size": (30, 20.5)}, "whole number"),
        ({"patch": 1}, "no texture"),
        ({"noise": -1}, "noise is a standard deviation"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_redrawn_is_refused(change, message):
    options = {"image": picture(), "size": (30, 30)} | change
    with pytest.raises(ValueError, match=message):
        tfgen.redraw(**options)
