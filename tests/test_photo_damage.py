"""What people's photos have: against formulas, Pillow and scipy."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage
from test_corruptions import photos, plain

from tfgen import add_poisson_noise, add_sensor_noise, blur, compress_jpeg
from tfgen.data import photo_damage
from tfgen.data.photo_damage import corrupt_like_a_photo

QUARTERS = np.repeat([0.2, 0.4, 0.6, 0.8], 100 * 100).reshape(4, 100, 100, 1)


def pillow_jpeg(image, quality, subsampling="4:2:0"):
    file = io.BytesIO()
    pixels = Image.fromarray(np.rint(image * 255).astype(np.uint8).squeeze())
    pixels.save(file, "jpeg", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file), np.float32).reshape(image.shape) / 255


def noise_of(images, **options):
    """The noise on images, where white is 255, not rounded."""
    noisy = add_sensor_noise(images, 0, round_to_bytes=False, **options)["image"]
    return 255 * (noisy.numpy() - images)


# --- noise ---


@pytest.mark.parametrize("read, shot", [(0, 0), (5, 0), (0, 20), (10, 20)])
@pytest.mark.parametrize("grain", [0, 1.2])
def test_the_variance_is_what_its_formula_says(read, shot, grain):
    noise = noise_of(QUARTERS, read=read, shot=shot, grain=grain)
    expected = read**2 + shot**2 * QUARTERS[:, 0, 0, 0]
    found = noise.var(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=0.15 if grain else 0.06, atol=1e-6)
    np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), 0, atol=1.5)


def test_shot_noise_is_that_of_photons():
    photons = 255 * (add_poisson_noise(QUARTERS, 0, peak=400)["image"] - QUARTERS)
    noise = noise_of(QUARTERS, read=0, shot=255 / math.sqrt(400))
    for first, second in zip(photons, noise, strict=True):
        assert np.std(first) == pytest.approx(np.std(second), rel=0.04)


@pytest.mark.parametrize("radius", [0.7, 1.0, 1.5, 2.5])
def test_grains_are_as_wide_as_they_are_asked_for(radius):
    """Noise that a Gaussian has smoothed is correlated over d pixels by
    exp(-d^2 / 4 radius^2)."""
    noise = noise_of(plain(0.5, (2, 300, 300, 1)), read=10, shot=0, grain=radius)
    for axis in (1, 2):
        for distance in (1, 2, 3):
            moved = np.roll(noise, distance, axis)
            inside = [slice(None)] * 4
            inside[axis] = slice(distance, None)
            found = np.mean((noise * moved)[tuple(inside)]) / noise.var()
            expected = math.exp(-(distance**2) / 4 / radius**2)
            assert found == pytest.approx(expected, abs=0.03)


def test_grains_are_as_strong_at_the_border():
    noise = noise_of(plain(0.5, (600, 16, 16, 1)), read=10, shot=0, grain=1.5)
    deviations = noise.std(axis=(0, 3))
    np.testing.assert_allclose(deviations, 10, rtol=0.15)
    assert deviations[0].mean() == pytest.approx(10, rel=0.05)


def test_noise_is_equal_in_all_channels_of_gray_images_only():
    images = plain(0.5, (300, 16, 16, 3))
    for share in (0, 0.3, 1):
        noise = noise_of(images, gray=share)
        equal = (noise == noise[..., :1]).all(axis=(1, 2, 3))
        assert equal.mean() == pytest.approx(share, abs=0.09)  # standard error 0.026
    colored = noise_of(images, gray=0).reshape(-1, 3)
    assert np.abs(np.corrcoef(colored.T) - np.eye(3)).max() < 0.02


def test_each_image_draws_its_own_noise_from_the_range():
    images = plain(0.25, (400, 16, 16, 1))
    deviations = noise_of(images, read=(10, 50), shot=0).std(axis=(1, 2, 3))
    assert 8 < deviations.min() < 13 and 46 < deviations.max() < 60
    assert deviations.mean() == pytest.approx(30, abs=2)
    deviations = noise_of(images, read=0, shot=(20, 100)).std(axis=(1, 2, 3))
    assert 8 < deviations.min() < 13 and 46 < deviations.max() < 60
    noise = noise_of(images, read=10, shot=0, grain=(0.5, 2))
    similar = np.mean(noise[:, 1:] * noise[:, :-1], axis=(1, 2, 3)) / 100
    assert similar.min() < math.exp(-1) < math.exp(-1 / 16) < similar.max() + 0.05
    both = noise_of(images, read=(10, 50), shot=(0, 200)).std(axis=(1, 2, 3))
    assert both.max() > 75  # a high one of each: drawn apart


def test_noise_is_stored_as_in_a_file():
    images = photos(2)
    free = add_sensor_noise(images, 3, 20.0, 20.0, round_to_bytes=False)["image"]
    stored = add_sensor_noise(images, 3, 20.0, 20.0)["image"]
    expected = np.round(np.clip(free, 0, 1) * 255) / 255
    np.testing.assert_allclose(stored, expected, atol=1e-6)
    assert np.min(free) < 0 < 1 < np.max(free)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"read": -1}, "read must be at least 0; got -1"),
        ({"shot": (5, 2)}, r"shot.*range must rise; got \(5, 2\)"),
        ({"grain": -0.5}, "grain is a number of pixels, at least 0; got -0.5"),
        ({"gray": 1.5}, r"gray is a probability in \[0, 1\]; got 1.5"),
        ({"read": np.ones(4)}, r"each of the 3 images; got shape \(4,\)"),
        ({"read": tf.constant(-2.0)}, "read must be at least 0"),
    ],
)
def test_noise_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        add_sensor_noise(plain(0.5), 0, **options)


# --- JPEG and blur ---


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_each_image_draws_its_own_quality(subsampling):
    """Each is Pillow's at just one quality, as the tables of these all differ."""
    images = photos(24, 33, 45)
    options = {"quality": (20, 30), "subsampling": subsampling}
    found = []
    for image, result in zip(
        images, compress_jpeg(images, 5, **options)["image"].numpy(), strict=True
    ):
        found += [
            quality
            for quality in range(1, 101)
            if np.allclose(result, pillow_jpeg(image, quality, subsampling), atol=1e-6)
        ]
    assert len(found) == 24
    assert set(found) <= set(range(20, 31)) and len(set(found)) > 5


def test_each_image_can_have_a_quality_of_its_own():
    images, qualities = photos(3), np.array([7, 50, 99])
    result = compress_jpeg(images, quality=qualities)["image"]
    for image, quality, found in zip(images, qualities, result, strict=True):
        expected = pillow_jpeg(image, int(quality))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_subsampling_is_drawn():
    images = photos(200, 16, 16)
    both = ("4:2:0", "4:4:4")
    drawn = compress_jpeg(images, 0, quality=50, subsampling=both)["image"].numpy()
    half, full = (
        compress_jpeg(images, quality=50, subsampling=kind)["image"].numpy()
        for kind in both
    )
    is_half, is_full = ((drawn == x).all(axis=(1, 2, 3)) for x in (half, full))
    assert (is_half != is_full).all()
    assert is_half.mean() == pytest.approx(0.5, abs=0.11)  # standard error 0.035


def test_the_blocks_begin_where_they_are_drawn():
    """The result is Pillow's of the image with some mirrored rows and columns more."""
    images = photos(12, 40, 40)
    damaged = compress_jpeg(images, 1, quality=20, shift=True)["image"].numpy()
    places = []
    for image, result in zip(images, damaged, strict=True):
        for place in np.ndindex(16, 16):
            padded = np.pad(image, [*((n, 0) for n in place), (0, 0)], "symmetric")
            expected = pillow_jpeg(padded, 20)[place[0] :, place[1] :]
            if np.allclose(result, expected, atol=1e-6):
                places.append(place)
    assert len(places) == 12 and len(set(places)) > 9
    assert min(map(min, places)) < 4 and max(map(max, places)) > 11
    assert any(top != left for top, left in places)


def test_blocks_of_a_tiny_image_begin_as_far_outside():
    """Then the mirrored image is mirrored once more."""
    images = photos(12, 5, 3)
    damaged = compress_jpeg(images, 1, quality=90, shift=True)["image"].numpy()
    least = []
    for image, result in zip(images, damaged, strict=True):
        found = []
        for place in np.ndindex(16, 16):
            padded = np.pad(image, [*((n, 0) for n in place), (0, 0)], "symmetric")
            expected = pillow_jpeg(padded, 90)[place[0] :, place[1] :]
            if np.allclose(result, expected, atol=1e-6):
                found.append(max(place))
        least.append(min(found))
    assert max(least) > 8


@pytest.mark.parametrize("damage", [compress_jpeg, corrupt_like_a_photo])
@pytest.mark.parametrize("channels", [2, 4])
def test_a_file_has_1_or_3_channels(damage, channels):
    with pytest.raises(ValueError, match=f"1 or 3 channels; got {channels}"):
        damage(plain(0.5, (1, 16, 16, channels)), 0)


def test_jpeg_clips_what_a_graph_does_not_check():
    images = 2 * photos(2) - 0.5
    compress = tf.function(compress_jpeg, autograph=False)
    expected = compress_jpeg(np.clip(images, 0, 1))["image"]
    np.testing.assert_allclose(compress(images)["image"], expected, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"quality": (0, 50)}, r"1 to 100; got \(0, 50\)"),
        ({"quality": (50, 20)}, r"must rise; got \(50, 20\)"),
        ({"quality": [20, 50, 101]}, "1 to 100"),
        ({"subsampling": "4:1:1"}, "'4:4:4', '4:2:0'.*'4:1:1'"),
        ({"subsampling": ()}, r"got \(\)"),
    ],
)
def test_jpeg_files_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        compress_jpeg(photos(3), 0, **options)


@pytest.mark.parametrize(
    "damage, options",
    [
        (compress_jpeg, {"quality": (20, 50)}),
        (compress_jpeg, {"shift": True}),
        (compress_jpeg, {"subsampling": ("4:2:0", "4:4:4")}),
        (blur, {"radius": (1, 2)}),
    ],
)
def test_what_is_drawn_needs_a_seed(damage, options):
    with pytest.raises(ValueError, match="A seed is needed"):
        damage(photos(2), **options)
    first, again, other = (damage(photos(2), n, **options)["image"] for n in (1, 1, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_image_can_have_a_blur_of_its_own():
    images, radii = photos(3), np.array([0.3, 1, 2.5])
    result = blur(images, radius=radii)["image"]
    for image, radius, found in zip(images, radii, result, strict=True):
        expected = ndimage.gaussian_filter(image, (radius, radius, 0), mode="reflect")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_range_of_blur_is_drawn_evenly():
    points = np.zeros((300, 21, 21, 1), np.float32)
    points[:, 10, 10] = 1
    result = blur(points, 0, radius=(0.8, 2))["image"].numpy()
    squares = (np.arange(21) - 10.0) ** 2
    radii = np.sqrt(np.einsum("nhwc,h->n", result, squares))
    assert 0.79 < radii.min() < 0.83 and 1.95 < radii.max() < 2.01
    assert radii.mean() == pytest.approx(1.4, abs=0.07)  # standard error 0.02
    assert radii.std() == pytest.approx(1.2 / 12**0.5, rel=0.1)


# --- all together ---


@pytest.fixture
def steps(monkeypatch):
    """Steps that add 1, 2, 4, 8 and 16 grey levels in place of the damage: what they
    were given."""
    given = []

    def stand_in(name):
        def step(images, seed, **options):
            given.append((name, options))
            return {"image": images + 2 ** (len(given) - 1) / 255}

        monkeypatch.setattr(photo_damage, name, step)

    for name in ("blur", "add_sensor_noise", "compress_jpeg"):
        stand_in(name)
    return given


def test_the_steps_are_as_likely_as_documented(steps):
    images = plain(0, (20000, 8, 8, 1))
    result = corrupt_like_a_photo(images, 0)["image"].numpy()
    assert (result == result[:, :1, :1]).all()
    marks = np.rint(255 * result[:, 0, 0, 0]).astype(int)
    had = marks[:, None] >> np.arange(5) & 1
    expected = np.array([0.3, 0.6, 0.1, 0.25, 0.8])
    np.testing.assert_allclose(had.mean(axis=0), 0.94 * expected, atol=0.012)
    untouched = 0.06 + 0.94 * np.prod(1 - expected)
    assert np.mean(marks == 0) == pytest.approx(untouched, abs=0.008)
    damaged = np.corrcoef(had[marks > 0].T) - np.eye(5)
    assert np.abs(damaged).max() < 0.2  # none decides of another


def test_the_strengths_are_as_documented(steps):
    images = plain(0.5, (4000, 8, 8, 3))
    images[:1000, 0, 0, 0] = 0  # with colour
    corrupt_like_a_photo(images, 0)
    names = [name for name, _ in steps]
    assert names == [
        "blur",
        "add_sensor_noise",
        "blur",
        "compress_jpeg",
        "compress_jpeg",
    ]
    lens, noise, scanner, first, last = (options for _, options in steps)
    assert lens == scanner == {"radius": (0.2, 1.0)}
    assert first["quality"] == (30, 95) and first["shift"] and "shift" not in last
    assert set(first["subsampling"]) == set(last["subsampling"]) == {"4:2:0", "4:4:4"}
    for name, low, high in (("read", 0.5, 30), ("shot", 0.8, 25)):
        level = noise[name].numpy()
        assert low <= level.min() < 1.02 * low and 0.98 * high < level.max() <= high
        assert np.median(level) == pytest.approx(math.sqrt(low * high), rel=0.15)
    assert abs(np.corrcoef(noise["read"], noise["shot"])[0, 1]) < 0.06
    grain = noise["grain"].numpy()
    assert np.mean(grain > 0) == pytest.approx(0.4, abs=0.03)
    assert 0.3 <= grain[grain > 0].min() < 0.31 and 1.39 < grain.max() <= 1.4
    np.testing.assert_allclose(noise["gray"], np.repeat([0.3, 1], [1000, 3000]))
    quality = last["quality"].numpy()
    assert 8 <= quality.min() < 8.1 and 95.8 < quality.max() <= 96
    assert np.mean(quality < 30) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("shape", [(17, 9), (8, 8), (64, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_photos_of_any_size_are_damaged_as_a_file_is(shape, channels):
    images = np.round(255 * photos(40, *shape, channels)) / 255
    result = corrupt_like_a_photo(images, seed=0)["image"].numpy()
    assert result.shape == images.shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1
    np.testing.assert_allclose(255 * result, np.rint(255 * result), atol=1e-4)
    errors = 255 * np.abs(result - images).mean(axis=(1, 2, 3))
    assert errors.min() < 0.5 and errors.max() > 8  # from not at all to badly


def test_photos_without_colour_get_none():
    grey = np.repeat(photos(40, 16, 16, 1), 3, axis=-1)
    for images, least, most in ((grey, 0, 1.01), (photos(40, 16, 16, 3), 5, 200)):
        result = corrupt_like_a_photo(images, seed=0)["image"].numpy()
        color = 255 * np.abs(result - result.mean(-1, keepdims=True)).max()
        assert least <= color <= most
