"""The one form of images at every public boundary: floats in [0, 1], (n, height, width,
channels)."""

import numpy as np
import tensorflow as tf

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in the brightness of a pixel (BT.601)."""


def check_images(images, name="images", tolerance=0.0):
    """Check the shape, type and range of images.

    Parameters
    ----------
    images : array or tensor, (n, height, width, channels)
    name : str
        What the error calls them.
    tolerance : float
        How far outside [0, 1] a value may be.

    Returns
    -------
    numpy.ndarray
        The images as float32; in a graph, where values are not known and not checked,
        a tensor.

    Raises
    ------
    ValueError
        For another shape, no image, a type that is no float, or values outside [0, 1].
    """
    eager = tf.executing_eagerly()
    images = np.asarray(images) if eager else tf.convert_to_tensor(images)
    shape, dtype = tf.TensorShape(images.shape), images.dtype
    if shape.rank != 4 or 0 in shape or not tf.as_dtype(dtype).is_floating:
        raise ValueError(
            f"{name}: floats in [0, 1] of shape (n, height, width, channels) are "
            f"needed; got {dtype.name} of shape {shape}. Divide 8-bit images by 255; "
            "write image[None] for a single one."
        )
    if not eager:
        return tf.cast(images, tf.float32)
    with np.errstate(over="ignore"):  # infinite then, and refused
        images = images.astype(np.float32, copy=False)
    low, high = float(images.min()), float(images.max())
    if low >= -tolerance and high <= 1 + tolerance:  # for NaN neither is true
        return images
    fix = (
        "Divide 8-bit images by 255, turn [-1, 1] into [0, 1] with (images + 1) / 2, "
        "or clip what a network overshoots with np.clip(images, 0, 1)."
    )
    if not np.isfinite([low, high]).all():
        fix = "Look for a diverged loss or a division by zero."
    raise ValueError(
        f"{name}: values must be in [0, 1]; these run from {low:.4g} to {high:.4g}. "
        f"{fix}"
    )
