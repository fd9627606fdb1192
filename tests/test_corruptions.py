"""The damage: against Pillow, scipy and what a random distribution must give."""

import inspect
import io
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

import tfgen
from tfgen.data.corruptions import (
    add_gaussian_noise,
    add_poisson_noise,
    add_salt_and_pepper,
    blur,
    compress_jpeg,
    downsample,
    mask_boxes,
    mask_cracks,
    mask_scratches,
    mask_text,
)
from tfgen.data.defects import draw_defects
from tfgen.data.photo_damage import add_sensor_noise, corrupt_like_a_photo

MASKS = [mask_boxes, mask_cracks, mask_scratches, mask_text]
NOISES = [add_gaussian_noise, add_poisson_noise, add_salt_and_pepper, add_sensor_noise]
RANDOM = [*NOISES, *MASKS, corrupt_like_a_photo, draw_defects]
FIXED = [compress_jpeg, blur, downsample]


def photos(count=2, height=32, width=40, channels=3, seed=0):
    """Soft random pictures in [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, height, width, channels))
    images = ndimage.gaussian_filter(images, (0, 2, 2, 0), mode="wrap")
    low, high = images.min(), images.max()
    return (0.1 + 0.8 * (images - low) / (high - low)).astype(np.float32)


def plain(value, shape=(3, 100, 100, 1)):
    return np.full(shape, value, np.float32)


# --- what all have in common ---


@pytest.mark.parametrize("corrupt", RANDOM)
def test_the_seed_decides_the_damage(corrupt):
    images = photos(3)
    first, again, other = (corrupt(images, seed) for seed in (7, 7, 8))
    assert first.keys() == again.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert not np.array_equal(first["image"], other["image"])
    pair = corrupt(images, tf.constant([7, 1]))["image"]
    assert not np.array_equal(first["image"], pair)
    np.testing.assert_array_equal(pair, corrupt(images, [7, 1])["image"])
    small = corrupt(images, tf.constant([7, 1], tf.int32))["image"]
    np.testing.assert_array_equal(pair, small)


@pytest.mark.parametrize("corrupt", RANDOM)
def test_each_image_of_a_batch_has_damage_of_its_own(corrupt):
    damaged = corrupt(plain(0.5), seed=0)["image"]
    assert not np.array_equal(damaged[0], damaged[1])


@pytest.mark.parametrize("corrupt", FIXED)
def test_what_is_not_random_ignores_the_seed(corrupt):
    images = photos()
    np.testing.assert_array_equal(corrupt(images)["image"], corrupt(images, 3)["image"])


@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_the_damage_in_a_graph_of_unknown_sizes_is_the_same(corrupt):
    traced = tf.function(
        corrupt,
        autograph=False,  # as Keras traces a training step
        input_signature=[
            tf.TensorSpec((None, None, None, 3), tf.float32),
            tf.TensorSpec((2,), tf.int64),
        ],
    )
    for images in (photos(2), photos(1, 24, 16)):
        inside, outside = traced(images, [3, 4]), corrupt(images, [3, 4])
        assert inside.keys() == outside.keys()
        for key in inside:
            assert inside[key].dtype == tf.float32
            np.testing.assert_allclose(inside[key], outside[key], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_any_float_type_is_taken_as_float32(corrupt, dtype):
    images = photos().astype(dtype)
    expected = corrupt(images.astype(np.float32), seed=3)
    data = tf.data.Dataset.from_tensors(images).map(partial(corrupt, seed=3))
    results = corrupt(images, seed=3), corrupt(tf.constant(images), seed=3), *data
    for found in results:
        assert found.keys() == expected.keys()
        for key in found:
            assert found[key].dtype == tf.float32
            np.testing.assert_allclose(found[key], expected[key], atol=1e-6)


@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_the_channels_and_known_sizes_stay_known_in_a_dataset(corrupt):
    data = tf.data.Dataset.from_tensors(photos(2)).map(partial(corrupt, seed=1))
    shape = data.element_spec["image"].shape
    assert shape[0] == 2 and shape[-1] == 3
    assert next(iter(data))["image"].shape.is_compatible_with(shape)


@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_options_may_be_numbers_of_numpy(corrupt):
    numbers = {
        name: kind(parameter.default)
        for name, parameter in inspect.signature(corrupt).parameters.items()
        for kind in [{int: np.int64, float: np.float64}.get(type(parameter.default))]
        if kind
    }
    found, expected = corrupt(photos(), seed=0, **numbers), corrupt(photos(), seed=0)
    np.testing.assert_array_equal(found["image"], expected["image"])


@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_every_corruption_can_be_saved_by_its_name(corrupt):
    config = keras.saving.serialize_keras_object(corrupt)
    assert keras.saving.deserialize_keras_object(config) is corrupt


BAD = {
    "8 bit": (np.zeros((1, 16, 16, 3), np.uint8), "uint8.*255"),
    "64-bit integers": (np.zeros((1, 16, 16, 3), int), "int64.*255"),
    "0 to 255": (plain(200), r"from 200 to 200.*Divide"),
    "-1 to 1": (photos() * 2 - 1, r"\[0, 1\].*from -0\.8 to 0\.8.*\(images \+ 1\)"),
    "NaN": (plain(np.nan), r"\[0, 1\].*nan"),
    "none": (photos(3)[:0], r"\(0, 32, 40, 3\)"),
    "rank 3": (photos()[0], r"\(32, 40, 3\).*image\[None\]"),
    "rank 2": (photos()[0, ..., 0], r"\(32, 40\)"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("corrupt", [*RANDOM, *FIXED])
def test_bad_images_are_refused(corrupt, case):
    images, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        corrupt(images, seed=0)


@pytest.mark.parametrize(
    "corrupt, options, message",
    [
        (add_gaussian_noise, {"sigma": -1}, "at least 0; got -1"),
        (add_gaussian_noise, {"sigma": np.nan}, "at least 0; got nan"),
        (add_gaussian_noise, {"sigma": (50, 10)}, r"rise.*\(50, 10\)"),
        (add_gaussian_noise, {"sigma": (-5, 10)}, r"at least 0; got \(-5, 10\)"),
        (add_gaussian_noise, {"sigma": np.array([1, 2, -3])}, "at least 0"),
        (add_gaussian_noise, {"sigma": np.ones(4)}, r"each of the 3.*\(4,\)"),
        (add_gaussian_noise, {"sigma": np.ones((3, 1))}, r"shape \(3, 1\)"),
        (add_poisson_noise, {"peak": 0}, "above 0; got 0"),
        (add_poisson_noise, {"peak": -3}, "above 0; got -3"),
        (add_salt_and_pepper, {"amount": 1.1}, r"\[0, 1\]; got 1.1"),
        (add_salt_and_pepper, {"amount": -0.1}, r"\[0, 1\]; got -0.1"),
        (compress_jpeg, {"quality": 0}, "1 to 100; got 0"),
        (compress_jpeg, {"quality": 101}, "1 to 100; got 101"),
        (blur, {"radius": 0}, "above 0; got 0"),
        (blur, {"radius": -2}, "above 0; got -2"),
        (downsample, {"scale": 3}, "32 x 40 cannot be shrunk 3 times: crop"),
        (downsample, {"scale": 5}, "32 x 40 cannot be shrunk 5 times"),
    ],
)
def test_options_out_of_range_are_refused(corrupt, options, message):
    with pytest.raises(ValueError, match=message):
        corrupt(photos(3), seed=0, **options)


# --- noise ---


def test_gaussian_noise_has_the_deviation_it_is_asked_for():
    result = add_gaussian_noise(plain(0.5), seed=0, sigma=25)
    assert result["sigma"].shape == (3, 1)
    np.testing.assert_array_equal(result["sigma"], plain(25, (3, 1)))
    noise = 255 * (result["image"].numpy() - 0.5)
    for image in noise:  # 10,000 draws: the standard error is 0.25 and 0.18
        assert image.mean() == pytest.approx(0, abs=1)
        assert image.std() == pytest.approx(25, abs=0.8)
    assert 2.6 < np.mean(noise**4) / np.mean(noise**2) ** 2 < 3.4  # 3 for a Gaussian
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.03


def test_each_image_can_have_its_own_noise():
    levels = np.array([0, 10, 50])
    result = add_gaussian_noise(plain(0.5), seed=0, sigma=levels)
    np.testing.assert_array_equal(result["sigma"][:, 0], levels)
    deviations = 255 * result["image"].numpy().std(axis=(1, 2, 3))
    np.testing.assert_allclose(deviations, levels, rtol=0.04, atol=1e-4)


def test_a_range_of_noise_is_drawn_evenly():
    images = plain(0.5, (400, 16, 16, 1))
    result = add_gaussian_noise(images, seed=0, sigma=(10, 50))
    levels = result["sigma"][:, 0].numpy()
    assert 10 <= levels.min() < 11 and 49 < levels.max() <= 50
    assert levels.mean() == pytest.approx(30, abs=2)
    assert levels.std() == pytest.approx(40 / 12**0.5, rel=0.1)
    deviations = 255 * result["image"].numpy().std(axis=(1, 2, 3))
    np.testing.assert_allclose(deviations, levels, rtol=0.25)
    assert np.corrcoef(deviations, levels)[0, 1] > 0.95


def test_noise_leaves_the_range_unless_it_is_clipped():
    images = plain(0.02)
    free, clipped = (
        add_gaussian_noise(images, seed=0, sigma=25, clip=clip)["image"].numpy()
        for clip in (False, True)
    )
    assert free.min() < -0.2
    np.testing.assert_array_equal(clipped, np.clip(free, 0, 1))


def test_no_noise_changes_nothing():
    images = photos()
    np.testing.assert_array_equal(
        add_gaussian_noise(images, seed=0, sigma=0)["image"], images
    )


def test_photons_have_the_variance_of_their_number():
    result = add_poisson_noise(plain(0.25), seed=0, peak=40)["image"].numpy()
    counts = 40 * result
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    assert counts.mean() == pytest.approx(10, abs=0.08)  # standard error 0.018
    assert counts.var() == pytest.approx(10, rel=0.05)
    assert add_poisson_noise(plain(0.0), seed=0)["image"].numpy().max() == 0
    assert add_poisson_noise(plain(1.0), seed=0)["image"].numpy().max() == 1


def test_salt_and_pepper_hit_the_share_they_are_asked_for():
    images = plain(0.5, (2, 200, 200, 3))
    result = add_salt_and_pepper(images, seed=0, amount=0.2)["image"].numpy()
    assert (result == result[..., :1]).all()  # whole pixels
    shares = [(result[..., 0] == value).mean() for value in (0, 0.5, 1)]
    np.testing.assert_allclose(shares, [0.1, 0.8, 0.1], atol=0.006)
    for amount, left in ((0, 1), (1, 0)):
        result = add_salt_and_pepper(images, seed=0, amount=amount)["image"].numpy()
        assert (result == 0.5).mean() == left


# --- compression and blur ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 50, 95])
def test_jpeg_is_that_of_pillow(channels, quality):
    images = photos(1, 33, 45, channels)
    pixels = np.rint(images[0] * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "jpeg", quality=quality)
    expected = np.asarray(Image.open(file), np.float32).reshape(33, 45, channels) / 255
    result = compress_jpeg(images, quality=quality)["image"]
    np.testing.assert_allclose(result[0], expected, atol=1e-6)
    assert np.abs(images[0] - expected).max() > 2 / 255


def test_jpeg_is_worse_with_less_quality():
    images = photos(2)
    errors = [
        np.abs(compress_jpeg(images, quality=quality)["image"] - images).mean()
        for quality in (5, 20, 50, 100)
    ]
    assert errors == sorted(errors, reverse=True) and errors[0] > 4 * errors[-1]


@pytest.mark.parametrize("radius", [0.5, 1.5, 3.2])
def test_blur_is_that_of_scipy(radius):
    images = np.random.default_rng(0).random((2, 20, 31, 3), np.float32)
    expected = ndimage.gaussian_filter(images, (0, radius, radius, 0), mode="reflect")
    result = blur(images, radius=radius)["image"]
    np.testing.assert_allclose(result, expected, atol=1e-5)


# --- fewer pixels ---


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_downsample_is_pillows_bicubic(scale, channels):
    images = np.random.default_rng(0).random((2, 36, 48, channels), np.float32)
    result = downsample(images, scale=scale, round_to_bytes=False)["image"].numpy()
    assert result.shape == (2, 36 // scale, 48 // scale, channels)
    for image, small in zip(images, result, strict=True):
        for channel in range(channels):
            picture = Image.fromarray(image[..., channel])
            picture = picture.resize(
                (48 // scale, 36 // scale), Image.Resampling.BICUBIC
            )
            np.testing.assert_allclose(small[..., channel], picture, atol=2e-5)


def test_downsample_weighs_pixels_by_the_kernel_of_keys():
    """Two times smaller: weights at distances 1/4, 3/4, 5/4 and 7/4, halved."""
    image = np.zeros((1, 16, 16, 1), np.float32)
    image[:, :, 8] = 1  # a column
    result = downsample(image, scale=2, round_to_bytes=False)["image"].numpy()
    keys = {
        0.25: 1.5 * 0.25**3 - 2.5 * 0.25**2 + 1,
        0.75: 1.5 * 0.75**3 - 2.5 * 0.75**2 + 1,
        1.25: -0.5 * 1.25**3 + 2.5 * 1.25**2 - 4 * 1.25 + 2,
        1.75: -0.5 * 1.75**3 + 2.5 * 1.75**2 - 4 * 1.75 + 2,
    }
    # Pixel 8 has its centre at 8.5; result i has its own at 2 i + 1.
    distances = [abs(8.5 - (2 * i + 1)) / 2 for i in range(8)]
    expected = [keys.get(distance, 0) / 2 for distance in distances]
    assert expected[4] == pytest.approx(0.433594, abs=1e-6)
    np.testing.assert_allclose(result[0, 4, :, 0], expected, atol=1e-6)


def test_small_images_are_rounded_and_clipped_as_in_a_file():
    images = (np.random.default_rng(0).random((1, 32, 32, 3)) > 0.5).astype(np.float32)
    free, stored = (
        downsample(images, scale=2, round_to_bytes=flag)["image"].numpy()
        for flag in (False, True)
    )
    assert free.min() < 0 and free.max() > 1
    levels = stored * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    np.testing.assert_allclose(stored, np.clip(free, 0, 1), atol=0.5001 / 255)
    assert stored.min() == 0 and stored.max() == 1
    assert np.abs(free - stored).max() > 1e-3


# --- holes ---


@pytest.mark.parametrize("cut", MASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_holes_are_black_and_all_else_is_untouched(cut, channels):
    images = photos(3, 64, 80, channels)
    result = cut(images, seed=2)
    mask, damaged = result["mask"].numpy(), result["image"].numpy()
    assert mask.shape == (3, 64, 80, 1) and mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(damaged, np.where(mask == 1, 0, images))
    assert all(0.005 < share < 0.6 for share in mask.mean(axis=(1, 2, 3)))


def test_boxes_have_the_size_and_the_number_they_are_asked_for():
    for height, width in ((9, 12), (12, 9)):
        mask = mask_boxes(photos(40, height, width), seed=0, count=1, size=7)["mask"]
        for hole in mask.numpy()[..., 0]:
            rows, columns = np.nonzero(hole)
            assert len(rows) == 49  # inside the image, filled
            assert np.ptp(rows) == np.ptp(columns) == 6
        assert mask.numpy().max(axis=0).all()  # up to each border
    mask = mask_boxes(photos(1, 200, 200), seed=0, count=3, size=4)["mask"].numpy()
    assert ndimage.label(mask[0, ..., 0])[1] == 3
    assert mask_boxes(photos(1), seed=0, count=0)["mask"].numpy().sum() == 0
    assert mask_boxes(photos(1), seed=0, size=99)["mask"].numpy().all()


def test_more_and_wider_scratches_cover_more():
    images = photos(4, 96, 96)

    def share(**options):
        return mask_scratches(images, seed=0, **options)["mask"].numpy().mean()

    assert 0 < share(count=2, width=1) < share(count=10, width=1)
    assert share(count=6, width=2) < share(count=6, width=9)
    assert share(count=0) == 0


def test_scratches_are_long_and_thin():
    mask = mask_scratches(photos(20, 96, 96), seed=0, count=1, width=2)["mask"].numpy()
    for scratch in mask[..., 0]:
        depth = ndimage.distance_transform_edt(scratch)
        assert depth.max() <= 2
    lengths = [np.hypot(*map(np.ptp, np.nonzero(scratch))) for scratch in mask[..., 0]]
    assert np.mean(lengths) > 30


@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.3, 1])
def test_as_many_pixels_lie_in_cracks_as_are_asked_for(share):
    for height, width in ((96, 130), (7, 200)):
        mask = mask_cracks(photos(2, height, width), seed=0, share=share)["mask"]
        counts = np.sum(mask, axis=(1, 2, 3))
        np.testing.assert_array_equal(counts, round(share * height * width))


def test_cracks_are_as_wide_as_they_are_asked_to_be():
    for width in (2, 4):
        mask = mask_cracks(plain(0.5, (4, 200, 200, 1)), 1, 0.08, width)["mask"]
        # twice the area over the perimeter, counted along rows and columns: a bent line
        # has 4 / pi times as much of it there
        sides = sum(np.abs(np.diff(mask, axis=axis)).sum() for axis in (1, 2))
        measured = 2 * np.sum(mask) / (sides * np.pi / 4)
        assert 0.6 * width < measured < 1.4 * width


def test_cracks_hang_together_and_go_everywhere():
    mask = mask_cracks(plain(0.5, (4, 300, 300, 1)), seed=0)["mask"].numpy()[..., 0]
    for network in mask:
        labels, _ = ndimage.label(network, np.ones((3, 3)))
        sizes = np.bincount(labels[labels > 0])
        assert sizes.max() > 0.5 * sizes.sum()
        quarters = network.reshape(2, 150, 2, 150).mean(axis=(1, 3))
        assert 0.02 < quarters.min() and quarters.max() < 0.1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"share": 1.1}, "share is from 0 to 1; got 1.1"),
        ({"share": -0.1}, "share"),
        ({"share": float("nan")}, "share"),
        ({"width": 0}, "width is a number of pixels above 0; got 0"),
        ({"width": float("nan")}, "width"),
    ],
)
def test_impossible_cracks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mask_cracks(photos(), seed=0, **options)


def test_text_has_the_height_it_is_asked_for():
    for size in (10, 24):
        mask = mask_text(photos(8, 200, 200), seed=0, count=1, size=size)["mask"]
        heights = [np.ptp(np.nonzero(line)[0]) + 1 for line in mask.numpy()[..., 0]]
        assert all(0.65 * size < height < size for height in heights)  # capitals


@pytest.mark.parametrize("cut", MASKS)
def test_holes_fit_into_any_image(cut):
    result = cut(plain(0.5, (1, 1, 3, 1)), seed=0)
    assert result["mask"].shape == (1, 1, 3, 1)


@pytest.mark.parametrize("scale", [0, 2.5, -1])
def test_a_scale_must_be_a_whole_number(scale):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        tfgen.downsample(np.zeros((1, 20, 20, 1), np.float32), 0, scale=scale)


def test_a_blur_that_reaches_beyond_the_image_is_refused():
    with pytest.raises(ValueError, match="reaches 12 pixels"):
        tfgen.blur(np.zeros((1, 32, 11, 1), np.float32), radius=3)
