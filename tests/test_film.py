"""Films: what neighbouring frames are good for, and when they are left alone."""

import numpy as np
import pytest
from scipy import ndimage
from small_networks import build_restorer

import tfgen
from tfgen.measures.restoring import flicker

SIGMA = 20


def draw_scene(height, width, channels=1, seed=0):
    """A cloudy picture, as smooth as things are, from 0.05 to 0.95."""
    noise = np.random.default_rng(seed).standard_normal((height, width, channels))
    scene = ndimage.gaussian_filter(noise, (3, 3, 0))
    return np.float32(0.5 + 0.45 * scene / np.abs(scene).max())


def add_noise(films, seed=1):
    noise = np.random.default_rng(seed).standard_normal(films.shape, np.float32)
    return films + SIGMA / 255 * noise


def know(clean):
    """A perfect network: it gives the clean frames in turn and, of what is left of the
    noise when neighbours have helped, nothing away."""
    answers = iter(clean)
    return lambda frame, sigma: next(answers) if sigma == SIGMA else frame


def blur(frame, sigma):
    return ndimage.gaussian_filter(frame, (1.5, 1.5, 0))


def restore(frames, network, **options):
    return np.array(list(tfgen.restore_film(frames, network, **options)))


def noise_left(restored, clean, border=0):
    inside = (..., slice(border, -border or None), slice(border, -border or None))
    error = np.moveaxis(restored - clean, -1, 1)[inside]
    return 255 * error.std(axis=(1, 2, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_of_a_still_film_falls_with_the_root_of_the_frames(channels):
    clean = np.stack([draw_scene(64, 81, channels)] * 6)
    restored = restore(add_noise(clean), know(clean), sigma=SIGMA, neighbors=2)
    used = np.array([3, 4, 5, 5, 4, 3])
    left = noise_left(restored, clean)
    np.testing.assert_allclose(left, SIGMA / np.sqrt(used), rtol=0.05)


def test_motion_by_whole_pixels_is_as_good_as_none():
    scene = draw_scene(120, 140)
    clean = np.stack([scene[2 * t : 2 * t + 96, 3 * t : 3 * t + 112] for t in range(5)])
    restored = restore(add_noise(clean), know(clean), sigma=SIGMA, neighbors=1)
    left = noise_left(restored, clean, border=8)[1:4]
    np.testing.assert_allclose(left, SIGMA / np.sqrt(3), rtol=0.1)


def test_beyond_a_cut_nothing_is_taken():
    scenes = [draw_scene(48, 64, seed=seed) for seed in (0, 1)]
    film = add_noise(np.stack([scenes[0]] * 3 + [scenes[1]] * 3))
    parts = [restore(part, blur, sigma=SIGMA) for part in (film[:3], film[3:])]
    whole = restore(film, blur, sigma=SIGMA)
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_a_flash_stays_and_leaves_no_ghost():
    clean = np.stack([draw_scene(48, 64)] * 3)
    clean[1] += 0.3
    film = add_noise(clean)
    restored = restore(film, know(clean), sigma=SIGMA, neighbors=1)
    np.testing.assert_array_equal(restored, clean)


def test_a_thing_that_comes_and_goes_leaves_no_ghost():
    clean = np.stack([np.full((64, 64, 1), 0.4, np.float32)] * 3)
    clean[1, 24:40, 24:40] = 0.9
    restored = restore(add_noise(clean), know(clean), sigma=SIGMA, neighbors=1)
    error = (restored - clean)[:, 24:40, 24:40]  # noise is left, of what was 0.5
    assert np.abs(error).max() < 0.3
    np.testing.assert_allclose(error.mean(axis=(1, 2, 3)), 0, atol=0.015)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("neighbors", [0, 1, 2])
def test_short_films_have_as_many_frames_afterwards(count, neighbors):
    film = add_noise(np.stack([draw_scene(33, 45, 3)] * 2))[:count]
    restored = list(tfgen.restore_film(film, blur, neighbors=neighbors))
    assert len(restored) == count
    for frame in restored:
        assert frame.shape == (33, 45, 3) and frame.dtype == np.float32


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 64), (31, 33)])
def test_small_and_even_frames(size):
    film = np.full((3, *size, 1), 0.5)
    np.testing.assert_allclose(restore(film, blur, sigma=5), film, atol=1e-6)
    np.testing.assert_allclose(restore(film, blur), film, atol=1e-6)


def test_without_neighbors_each_frame_is_restored_alone():
    restorer = build_restorer("denoise")
    film = np.clip(add_noise(np.stack([draw_scene(33, 45)] * 3)), 0, 1)
    restored = restore(film, restorer, sigma=SIGMA, neighbors=0)
    np.testing.assert_allclose(restored, restorer.restore(film, sigma=SIGMA), atol=1e-5)


def test_networks_are_told_what_they_ask_for():
    film = np.clip(add_noise(np.stack([draw_scene(32, 32, 3)] * 2)), 0, 1)
    for name in ("photo", "denoise_color"):
        assert restore(film, build_restorer(name)).shape == film.shape


def test_the_noise_of_a_film_is_estimated_once():
    told = []

    def note(frame, sigma):
        told.append(sigma)
        return blur(frame, sigma)

    clean = np.stack([draw_scene(96, 96)] * 4)
    restore(add_noise(clean), note, neighbors=0)
    assert len(set(told)) == 1
    np.testing.assert_allclose(told[0], SIGMA, rtol=0.05)


@pytest.mark.parametrize(("sigma", "first"), [(SIGMA, 3), (None, 8)])
def test_only_the_frames_that_are_needed_are_read(sigma, first):
    read = []

    def frames():
        for index in range(99):
            read.append(index)
            yield np.zeros((8, 8, 1))

    film = tfgen.restore_film(frames(), blur, sigma=sigma, neighbors=2)
    assert not read
    for index in range(20):
        next(film)
        assert len(read) == max(first, index + 3)


def test_what_cannot_be_restored_is_refused():
    frame = np.zeros((8, 8, 1))
    for neighbors in (-1, 1.5):
        with pytest.raises(ValueError, match="whole number from 0"):
            tfgen.restore_film([frame], blur, neighbors=neighbors)
    with pytest.raises(ValueError, match="at least 0"):
        tfgen.restore_film([frame], blur, sigma=-1)
    with pytest.raises(ValueError, match=r"number 1 has \(8, 9, 1\)"):
        restore([frame, np.zeros((8, 9, 1))], blur)
    with pytest.raises(ValueError, match="floats"):
        restore([np.zeros((8, 8, 1), np.uint8)], blur)


def test_moved_neighbours_may_overshoot():
    """A network that is not told sigma takes [0, 1] only, also of what is moved."""
    rows = np.indices((48, 48))[0][..., None]
    scene = [np.float32((rows + move) // 6 % 2) for move in (0, 0.5, 1)]
    assert restore(scene, build_restorer("photo"), sigma=10).shape == (3, 48, 48, 1)
    noisy = add_noise(np.stack(scene))
    assert restore(noisy, build_restorer("photo"), sigma=10).max() <= 1
    with pytest.raises(ValueError, match="0, 1"):
        restore([200 * image for image in scene], build_restorer("photo"), sigma=10)


def test_a_result_can_be_changed_in_place():
    """It is no part of what the next frames are compared with."""
    frames = [draw_scene(32, 32, seed=seed) for seed in range(4)]  # no neighbour helps
    expected = restore(frames, blur, sigma=SIGMA)
    film = tfgen.restore_film(frames, blur, sigma=SIGMA)
    for one, other in zip(film, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        one *= 0


def test_a_network_that_enlarges_is_refused():
    with pytest.raises(ValueError, match="enlarges"):
        tfgen.restore_film([draw_scene(8, 8)], build_restorer("upscale_x2"))


def test_flicker_is_the_change_where_nothing_moves():
    clean = np.full((3, 8, 8, 3), 0.5, np.float32)
    clean[1:, :4] += 0.1  # moves
    film = clean.copy()
    film[1, 4:] += 3 / 255
    assert flicker(clean, clean) == 0
    # 64 pixels of the lower half change by 3, of the upper 32 stand still, once.
    np.testing.assert_allclose(flicker(film, clean), 3 * 64 / 96, rtol=1e-4)


def test_flicker_of_noise_is_that_of_two_draws():
    clean = np.full((2, 128, 128, 3), 0.5, np.float32)
    expected = SIGMA * 2 / np.sqrt(np.pi)  # the mean absolute difference of normals
    noisy = np.clip(add_noise(clean), 0, 1)
    np.testing.assert_allclose(flicker(noisy, clean), expected, rtol=0.01)


def test_flicker_needs_two_frames_and_something_still():
    still = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match="two frames"):
        flicker(still[:1], still[:1])
    with pytest.raises(ValueError, match="No pixel"):
        flicker(still, np.stack([still[0], still[0] + 1]))
