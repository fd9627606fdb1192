"""The one check of images: what passes, what is refused, and in which words."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.images import LUMA, check_images

GREY = np.full((2, 4, 5, 1), 0.5, np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_floats_in_0_1_pass_as_float32(dtype, value):
    images = tf.fill(GREY.shape, tf.cast(value, dtype))
    for given in (images, images.numpy()):
        checked = check_images(given)
        assert isinstance(checked, np.ndarray) and checked.dtype == np.float32
        np.testing.assert_array_equal(checked, tf.cast(images, tf.float32))


def one(value, dtype=np.float32):
    """Grey images in which one channel of one pixel is different."""
    images = GREY.astype(dtype)
    images[1, 2, 3, 0] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (one(-0.004), r"photos: values must be in \[0, 1\]; .* from -0.004 to 0.5"),
        (one(1.004), r"from 0.5 to 1.004\. Divide .* 255, .*\(images \+ 1\).*np\.clip"),
        (one(255), r"from 0.5 to 255\. Divide"),
        (one(np.nan), r"photos: .*\[0, 1\]; .* nan to nan\. Look for a diverged loss"),
        (one(np.inf), r"to inf\. Look for a diverged loss"),
        (one(1e300, np.float64), r"to inf\. Look for a diverged loss"),
        (one(-np.inf, np.float64), r"from -inf to 0.5\. Look for a diverged loss"),
        (one(1, np.uint8), r"photos: floats.*got uint8 of shape \(2, 4, 5, 1\)"),
        (one(1, np.int64), "got int64.*Divide 8-bit images by 255"),
        (GREY > 0, "got bool"),
        (GREY[0], r"got float32 of shape \(4, 5, 1\).*image\[None\]"),
        (GREY[..., 0], r"got float32 of shape \(2, 4, 5\)"),
        (GREY[None], r"shape \(1, 2, 4, 5, 1\)"),
        (GREY[:0], r"shape \(0, 4, 5, 1\)"),
        (GREY[:, :, :0], r"shape \(2, 4, 0, 1\)"),
        (0.5, r"shape \(\)"),
        ("photos", r"got str192 of shape \(\)"),
        (None, r"got object of shape \(\)"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images, "photos")


def test_a_rounding_error_passes_where_it_may():
    for value in (-1e-7, 1 + 1e-6):
        images = one(value, np.float64)
        with pytest.raises(ValueError):
            check_images(images)
        passed = check_images(images, tolerance=2e-6)
        np.testing.assert_array_equal(passed, np.float32(images))
        with pytest.raises(ValueError):
            check_images(one(5 * value), tolerance=1e-7)


def test_in_a_graph_shape_and_type_alone_are_checked():
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    traced = tf.function(check_images, input_signature=[spec])
    for value in (0.5, 7.0):
        images = np.full((2, 4, 5, 3), value, np.float32)
        np.testing.assert_array_equal(traced(images), images)
    assert tf.function(check_images)(images.astype("float64")).dtype == "float32"
    for spec, message in [
        (tf.TensorSpec((None, None, 3), tf.float32), r"\(None, None, 3\)"),
        (tf.TensorSpec((None, 4, 5, 3), tf.uint8), "uint8"),
        (tf.TensorSpec(None, tf.float32), "<unknown>"),
    ]:
        with pytest.raises(ValueError, match=message):
            tf.function(check_images).get_concrete_function(spec)


def test_luma_is_that_of_tensorflow():
    colours = np.random.default_rng(0).random((3, 4, 5, 3))
    expected = tf.image.rgb_to_grayscale(colours)[..., 0]
    np.testing.assert_allclose(colours @ LUMA, expected, atol=2e-4)
    assert LUMA.sum() == pytest.approx(1)
