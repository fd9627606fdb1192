"""Run a restoring network over photos of any size, tile by tile.

A network takes a dictionary with ``"image"`` and what else it is told, and its
convolutions are the only layers that look at more than one pixel. Any other layer that
does says how far in an attribute ``reach``, in pixels of the input; one that makes
pixels of channels says how many times in ``enlarges``; and one that fills holes says in
``sight`` how many pixels deep.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .model import OUT_OF_RANGE, check_counts, require

LUMA = 0.299, 0.587, 0.114  # of red, green and blue (BT.601), as in images.py


class Tiler:
    """A network, ready for images of any size and number of channels.

    Parameters
    ----------
    network : keras.Model
        As `Restorer` takes it.
    """

    def __init__(self, network):
        self.network = network
        self.run = tf.function(network, reduce_retracing=True)
        self.channels = network.output_shape[-1]
        self.told = set(network.input) - {"image"}
        parts = network._flatten_layers(include_self=False)
        sights = [part.sight for part in parts if hasattr(part, "sight")]
        self.sight = min(sights, default=None)

    @functools.cached_property
    def scale(self):
        """How many times larger than the damaged image the restored one is."""
        side = 16
        zeros = {
            name: tf.zeros((1, *(size or side for size in tensor.shape[1:])))
            for name, tensor in self.network.input.items()
        }
        return self.network(zeros).shape[1] // side

    def restore(self, images, *, tile=512, ensemble=False, verbose=0, **known):
        """Restored images; `Restorer.restore` describes what it takes."""
        images = np.asarray(images)
        batch = as_batch(images)
        known = self.check_known(batch, known)
        check_counts(tile=tile)
        windows = cut_windows(batch.shape[1:3], tile, round_up(reach(self.network)))
        progress = keras.utils.Progbar(
            len(windows) * len(batch), verbose=verbose, unit_name="tile"
        )
        count, height, width, channels = batch.shape
        shape = (count, height * self.scale, width * self.scale, channels)
        restored = np.empty(shape, np.float32)
        for index, image in enumerate(batch):
            told = {key: values[index] for key, values in known.items()}
            if self.sight is not None:
                image, told["mask"] = fill_depths(image, told["mask"], self.sight)
            for window in windows:
                self.restore_tile(restored[index], image, told, ensemble, *window)
                progress.add(1)
        if images.ndim == 4:
            return restored
        return restored.reshape(*shape[1:3], *images.shape[2:])

    def check_known(self, batch, known):
        """What the network is told, one for each image, or ValueError."""
        if self.told == {"sigma"} and known.get("sigma") is None:
            check_range(batch, margin=np.inf)  # NaN has no noise
            known["sigma"] = estimate_noise(batch)
        require(
            self.told == set(known),
            f"This network must be told {' and '.join(sorted(self.told)) or 'nothing'} "
            f"beside the images; got {' and '.join(sorted(known)) or 'nothing'}.",
        )
        margin = 0
        if "sigma" in known:
            known["sigma"] = check_sigma(known["sigma"], len(batch))
            margin = max(0.999, 6 / 255 * known["sigma"].max())
        check_range(batch, margin)
        if "mask" in known:
            known["mask"] = check_mask(known["mask"], batch)
        return known

    def restore_tile(self, restored, image, told, ensemble, y, x):
        """Fill one tile of the restored image, from the window around it."""
        # Networks may need whole pairs: past its end the image is mirrored.
        pixels = np.ix_(mirror(y, image.shape[0]), mirror(x, image.shape[1]))
        window = {"image": image, **told}
        window = {
            key: tf.constant(value[pixels] if value.ndim == 3 else value)[None]
            for key, value in window.items()
        }
        (top, bottom), (left, right) = (
            (start * self.scale, end * self.scale) for *_, start, end in (y, x)
        )
        above, before = y[0] * self.scale, x[0] * self.scale
        run = self.restore_eight_ways if ensemble else self.restore_window
        result = run(window)
        result = result[top - above : bottom - above, left - before : right - before]
        np.clip(result, 0, 1, out=restored[top:bottom, left:right])

    def restore_eight_ways(self, damaged):
        """The mean over all turns and mirror images."""
        total = 0.0
        for turns in range(4):
            for step in (1, -1):
                turned = {
                    key: tf.image.rot90(x, turns)[:, :, ::step] if key != "sigma" else x
                    for key, x in damaged.items()
                }
                result = self.restore_window(turned)
                total += np.rot90(result[:, ::step], -turns)
        return total / 8

    def restore_window(self, damaged):
        """Run the network on one image of any number of channels."""
        image = damaged["image"]
        channels = image.shape[-1]
        if channels == self.channels:
            return self.run(damaged)[0].numpy()
        if channels == 1:  # grey for a network of several channels
            repeated = {**damaged, "image": tf.repeat(image, self.channels, axis=-1)}
            return self.run(repeated)[0].numpy().mean(-1, float, keepdims=True)
        if self.scale > 1:
            luma = tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)
            size = self.scale * np.array(image.shape[1:3])
            color = tf.image.resize(image - luma, size, "bicubic")
            return (self.run({**damaged, "image": luma}) + color)[0].numpy()
        separate = {
            key: tf.repeat(value, channels, axis=0) for key, value in damaged.items()
        }
        separate["image"] = tf.transpose(image, (3, 1, 2, 0))
        return tf.transpose(self.run(separate)[..., 0], (1, 2, 0)).numpy()


# --- Windows ----------------------------------------------------------------


def cut_windows(size, tile, overlap):
    """Cut an image into tiles, each inside a window that shows the network all it looks
    at: pairs for height and width of (start of the window, its length, start and end of
    the tile)."""

    def cut(side):
        padded = round_up(side)
        if padded <= tile + 2 * overlap:
            return [(0, padded, 0, side)]
        step = round_up(side / math.ceil(side / tile))
        length = min(padded, step + 2 * overlap)
        starts = range(0, side, step)
        first = [min(max(start - overlap, 0), padded - length) for start in starts]
        return [
            (before, length, start, min(start + step, side))
            for before, start in zip(first, starts, strict=True)
        ]

    return [(y, x) for y in cut(size[0]) for x in cut(size[1])]


def reach(network):
    """At most how many pixels away from its place an output pixel is influenced."""
    total, pixel = 0, 1.0  # of the input, that a pixel of this layer stands for
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, layers.Conv2DTranspose):
            pixel /= max(layer.strides)
            total += pixel * max(layer.kernel_size)
        elif isinstance(layer, layers.Conv2D):
            spread = (np.array(layer.kernel_size) - 1) * layer.dilation_rate
            total += pixel * math.ceil(max(spread) / 2)
            pixel *= max(layer.strides)
        elif hasattr(layer, "reach"):  # in pixels of the input
            total += layer.reach
        elif hasattr(layer, "enlarges"):
            total += pixel
            pixel /= layer.enlarges
    return total


def round_up(size, multiple=8):
    """The next multiple: networks that halve the resolution need whole pairs."""
    return math.ceil(size / multiple) * multiple


def mirror(window, side):
    """Indices of the pixels in a window; beyond the end they run backwards."""
    start, length, *_ = window
    indices = np.arange(start, start + length) % (2 * side)
    return np.where(indices < side, indices, 2 * side - 1 - indices)


# --- Holes and noise --------------------------------------------------------


def fill_depths(image, mask, sight=16):
    """Fill the depths of large holes, and take them for known.

    The known pixels are averaged in the cells of ever coarser grids, until each cell
    has some; from the coarsest grid on, the empty cells of the next finer one are
    interpolated (Gortler et al., "The lumigraph", 1996). Only pixels more than `sight`
    pixels from all known ones take the result.

    Parameters
    ----------
    image, mask : array, (height, width, channels) and (height, width, 1)
        The mask is 1 in the holes.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        The image and the mask, of the same shapes; as given if no hole is so deep.
    """
    weight = tf.constant(1 - mask[None])
    size = 2 * sight + 1
    seen = tf.nn.max_pool2d(weight, (size, 1), 1, "SAME")
    deep = tf.nn.max_pool2d(seen, (1, size), 1, "SAME")[0].numpy() == 0
    if not deep.any() or mask.all():
        return image, mask
    total, means = image * weight, []
    while tf.reduce_min(weight) == 0:
        means.append((tf.math.divide_no_nan(total, weight), weight))
        total, weight = (tf.nn.avg_pool2d(x, 2, 2, "SAME") for x in (total, weight))
    filled = total / weight
    for mean, weight in reversed(means):
        coarse = tf.image.resize(filled, mean.shape[1:3])
        filled = tf.where(weight > 0, mean, coarse)
    return np.where(deep, filled[0], image), np.where(deep, 0, mask).astype(np.float32)


def estimate_noise(images):
    """Estimate the level of white Gaussian noise.

    The median of the finest diagonal differences, over 0.6745, is the standard
    deviation of the noise where a channel is smooth (Donoho and Johnstone, "Ideal
    spatial adaptation by wavelet shrinkage", 1994); fine texture is taken for noise.
    The mean over the channels is returned.

    Parameters
    ----------
    images : array, (n, height, width, channels)
        In [0, 1] but for the noise; both sides at least 2, otherwise the estimate is 0.

    Returns
    -------
    numpy.ndarray, (n,)
        Standard deviations where white is 255.
    """
    images = np.asarray(images, np.float32)
    if min(images.shape[1:3]) < 2:
        return np.zeros(len(images))

    def level(channel):
        detail = channel[1:, 1:] - channel[1:, :-1]
        detail -= channel[:-1, 1:] - channel[:-1, :-1]
        return 255 / 0.6745 * np.median(np.abs(detail, out=detail)) / 2

    channels = np.moveaxis(images, -1, 1)
    return np.array([np.mean([level(x) for x in image]) for image in channels])


# --- Checks -----------------------------------------------------------------


def as_batch(images):
    """Images as float32 (n, height, width, channels), or ValueError."""
    if images.dtype.kind != "f":
        raise ValueError(
            f"Images must be floats in [0, 1]; got {images.dtype}. Divide 8-bit "
            "images by 255."
        )
    shape = (*images.shape, 1) if images.ndim == 2 else images.shape
    shape = shape if len(shape) == 4 else (1, *shape)
    if len(shape) != 4 or 0 in shape or shape[-1] not in (1, 3):
        raise ValueError(
            "Images have shape (height, width), (height, width, channels) or (n, "
            f"height, width, channels), with 1 or 3 channels; got {images.shape}."
        )
    return images.astype(np.float32, copy=False).reshape(shape)


def check_range(images, margin):
    """Raise ValueError for values further outside [0, 1] than the noise can be."""
    low, high = float(images.min()), float(images.max())
    if not (low >= -margin and high <= 1 + margin):  # also for NaN
        raise ValueError(OUT_OF_RANGE.format(f"{low:.4g}", f"{high:.4g}"))


def check_sigma(sigma, count):
    """A level of noise for each image, float32 (n, 1), or ValueError."""
    levels = np.asarray(sigma, np.float32).reshape(-1, 1)
    if len(levels) not in (1, count) or not (0 <= levels).all():  # also for NaN
        raise ValueError(
            "sigma is a number, at least 0, or one for each image; got "
            f"{sigma} for {count} images."
        )
    return np.broadcast_to(levels, (count, 1))


def check_mask(mask, images):
    """A mask for each image, float32 (n, height, width, 1), or ValueError."""
    mask = np.asarray(mask, np.float32)
    if mask.shape[-1:] != (1,) or mask.ndim == 2:
        mask = mask[..., None]
    wanted = (*images.shape[:3], 1)
    if mask.shape not in (wanted, wanted[1:]):
        raise ValueError(
            f"The mask has shape {mask.shape}, but the images are {images.shape[1]} "
            f"pixels high and {images.shape[2]} wide: (height, width) is needed."
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError("A mask is 1 in the holes and 0 elsewhere, nothing between.")
    return np.broadcast_to(mask, wanted)
