"""Run a restoring network over photos of any size, tile by tile.

A network takes a dictionary with ``"image"`` and what else it is told. How many times
larger it makes an image, which sides it takes and how far it looks is measured: it is
run on noise. A layer that fills holes says in ``sight`` how many pixels deep.
"""

import functools
import itertools
import math
import warnings
import zlib

import keras
import numpy as np
import tensorflow as tf

from .checks import (
    OUT_OF_RANGE,
    check_counts,
    require,
)

LUMA = 0.299, 0.587, 0.114  # of red, green and blue (BT.601), as in images.py
FARTHEST = 256  # pixels that a network may look away for its image to be cut
SWEEPS = 100  # steps towards the harmonic surface, at each size of a hole


class Tiler:
    """A network, ready for images of any size and number of channels.

    Parameters
    ----------
    network : keras.Model
        As `Restorer` takes it.
    made : int, optional
        How many channels the network makes of an image of any number of them, as large
        as it; without this, as many as the image has.
    """

    def __init__(self, network, made=None):
        self.network = network
        self.made = made
        self.channels = network.input["image"].shape[-1] or network.output_shape[-1]
        self.fixed = network.input["image"].shape[1:3]
        self.told = set(network.input) - {"image"}
        parts = network._flatten_layers(include_self=False)
        sights = [part.sight for part in parts if hasattr(part, "sight")]
        self.sight = min(sights, default=None)
        self.measured = None, None  # the weights, and how far the network looks

    @property
    def scale(self):
        """How many times larger than the damaged image the restored one is."""
        return self.form[0]

    def restore(self, images, *, tile=512, ensemble=False, verbose=0, **known):
        """Restored images; `Restorer.restore` describes what it takes."""
        images = np.asarray(images)
        batch = as_batch(images)
        known = self.check_known(batch, known)
        check_counts(tile=tile)
        windows = self.cut_windows(batch.shape[1:3], tile)
        progress = keras.utils.Progbar(
            len(windows) * len(batch), verbose=verbose, unit_name="tile"
        )
        count, height, width, channels = batch.shape
        made = self.made or channels
        shape = (count, height * self.scale, width * self.scale, made)
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
        return restored.reshape(shape[1 : images.ndim + 1])

    def cut_windows(self, size, tile):
        """For each tile of an image a pair, for height and width, as of `cut_side`."""
        units = [fixed or self.form[1] for fixed in self.fixed]
        sides = list(zip(size, units, self.fixed, strict=True))
        if any(fixed and side > fixed for side, _, fixed in sides):
            raise ValueError(TOO_LARGE.format(*size, *self.fixed))
        large = any(side > max(tile, unit) for side, unit, _ in sides)
        overlap = self.find_reach() if large else 0
        if overlap == math.inf:
            warnings.warn(WHOLE, stacklevel=4)
        cuts = [cut_side(side, tile, unit, overlap) for side, unit, _ in sides]
        return list(itertools.product(*cuts))

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
        for name, values in known.items():
            wanted, given = self.network.input[name].shape, ("n", *values.shape[1:])
            fits = len(wanted) == len(given) and wanted[-1] in (None, given[-1])
            require(fits, OTHER_SHAPE.format(name, wanted, str(given).replace("'", "")))
        return known

    def restore_tile(self, restored, image, told, ensemble, y, x):
        """Fill one tile of the restored image, from the window around it."""
        # Networks may need multiples of 8 or more: past its end the image is mirrored.
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
            result = self.run(repeated)[0].numpy()
            return result if self.made else result.mean(-1, float, keepdims=True)
        separable = self.channels == 1 and not self.made
        require(separable, OTHER_CHANNELS.format(self.channels, channels))
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

    def run(self, damaged):
        """What the network makes of images, float32, or ValueError."""
        _, height, width, _ = damaged["image"].shape
        try:
            result = tf.cast(self.function(damaged), tf.float32)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(ODD_SIZE.format(height, width)) from error
        size = (self.scale * height, self.scale * width)
        require(tuple(result.shape[1:3]) == size, ODD_SIZE.format(height, width))
        return result

    @functools.cached_property
    def function(self):
        """The network as one graph for all sizes; as it is, if a layer must know
        them."""
        inputs = self.network.input.items()
        shapes = {k: tf.TensorSpec((None, *x.shape[1:]), tf.float32) for k, x in inputs}
        try:
            function = tf.function(self.network, input_signature=[shapes])
            function.get_concrete_function()
        except Exception:  # a layer can raise anything
            return self.network
        return function

    # --- What is measured ---

    @functools.cached_property
    def form(self):
        """The scale, and the number that height and width must be multiples of."""
        for unit in sorted([25, 27, *range(8, 129, 8)]):  # 5 * 5, 3 * 3 * 3
            sizes = [(unit, 2 * unit), (2 * unit, unit), (3 * unit, 3 * unit)]
            scale = self.measure_scale(sizes[0])
            if scale and all(self.measure_scale(size) == scale for size in sizes[1:]):
                return scale, unit
        given, made = self.try_size(sizes[0])
        rule = NO_SCALE if self.made is None else NO_MAP.format(self.made)
        raise ValueError(rule + MADE.format(given[1:], made[1:] or "only an error"))

    def measure_scale(self, size):
        """How many times larger an image of a size becomes; 0 if something else."""
        (_, height, width, channels), made = self.try_size(size)
        scale = made[1] // height if len(made) == 4 else 0
        wanted = (scale * height, scale * width, self.made or channels)
        return scale * (made[1:] == wanted and (scale == 1 or not self.made))

    def try_size(self, size):
        """The shapes of an image and of the network's result, () for an error."""
        noise = self.draw(size)
        try:
            made = self.run_on_cpu(noise).shape
        except Exception:  # a layer can raise anything
            made = ()
        return noise["image"].shape, made

    def find_reach(self):
        """What `measure_reach` finds, anew if the weights are others than before."""
        weights = [zlib.crc32(w.numpy().tobytes()) for w in self.network.weights]
        if self.measured[0] != weights:
            try:
                reach = self.measure_reach()
            except Exception:  # a layer can raise anything
                reach = math.inf
            self.measured = weights, reach
        return self.measured[1]

    def measure_reach(self):
        """At most how many pixels away from its place an output pixel is influenced;
        infinite if that is far, or if the result depends on the place itself."""
        unit = self.form[1]
        lengths = [coprime(math.ceil(n / unit)) * unit for n in (64, FARTHEST)]
        for near in lengths:  # nearly all networks look less far than the first
            reach = self.look(near, lengths[-1])
            if reach < near:
                break
        return reach if reach <= FARTHEST else math.inf

    def look(self, near, far):
        """How many of `near` rows or columns of noise come out otherwise if `far` more
        lie before or behind them.

        These are NaN, which nearly all that is computed from it inherits, or values so
        large that they leave traces.
        """
        (scale, unit), reach = self.form, 0
        fills = np.reshape([np.nan, 1000], (2, 1, 1, 1))
        for axis, count in itertools.product((1, 2), (near, -near)):
            if self.fixed[axis - 1]:
                continue
            size = [round_up(16, unit)] * 2
            size[axis - 1] = near + far
            strip, longer = self.draw(size), {}
            for key, x in strip.items():
                longer[key] = np.repeat(x, 2, axis=0)
                if x.ndim == 4:
                    strip[key] = cut_end(x, axis, count)
                    longer[key] = fills * (x - 0.5)
                    cut_end(longer[key], axis, count)[:] = strip[key]
            alone = self.run_on_cpu(strip)
            other = cut_end(self.run_on_cpu(longer), axis, scale * count)
            differs = ~np.isclose(other, alone, rtol=1e-5, atol=1e-5)
            rows = np.nonzero(differs)[axis]
            depths = rows + 1 if count < 0 else scale * near - rows
            reach = max(reach, math.ceil(depths.max(initial=0) / scale))
        return reach

    def draw(self, size):
        """Noise for all that the network takes, its images of a size."""
        size = [fixed or side for fixed, side in zip(self.fixed, size, strict=True)]
        rng, noise = np.random.default_rng(0), {}
        for name, tensor in self.network.input.items():
            sides = size if tensor.ndim == 4 else ()
            shape = (1, *sides, tensor.shape[-1] or 1)
            noise[name] = rng.random(shape, np.float32)
        return noise

    def run_on_cpu(self, noise):
        """The network's result; others round in ways that depend on the size."""
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"remapping": False})
        try:  # operations that are made one, such as a convolution and ReLU, lose NaN
            with tf.device("CPU"):
                return tf.cast(self.function(noise), tf.float32).numpy()
        finally:
            tf.config.optimizer.set_experimental_options({"remapping": True, **options})


# --- Windows ----------------------------------------------------------------


def cut_side(side, tile, multiple, overlap):
    """Cut one side of an image into tiles, each inside a window that shows the network
    all it looks at: (start of the window, its length, start and end of the tile)."""
    padded = round_up(side, multiple)
    if padded <= max(tile + 2 * overlap, multiple):
        return [(0, padded, 0, side)]
    overlap = round_up(overlap, multiple)
    step = round_up(side / math.ceil(side / tile), multiple)
    length = min(padded, step + 2 * overlap)
    starts = range(0, side, step)
    first = [min(max(start - overlap, 0), padded - length) for start in starts]
    return [
        (before, length, start, min(start + step, side))
        for before, start in zip(first, starts, strict=True)
    ]


def round_up(size, multiple):
    return math.ceil(size / multiple) * multiple


def coprime(count):
    """The next number that 2, 3 and 5 do not divide: of so many units, no network that
    pads its images to a multiple of its own takes them as they are."""
    return count if math.gcd(count, 30) == 1 else coprime(count + 1)


def cut_end(x, axis, count):
    """The first rows or columns of an array or, for a negative count, the last."""
    part = slice(count) if count > 0 else slice(count, None)
    return x[(slice(None),) * axis + (part,)]


def mirror(window, side):
    """Indices of the pixels in a window; beyond the end they run backwards."""
    start, length, *_ = window
    indices = np.arange(start, start + length) % (2 * side)
    return np.where(indices < side, indices, 2 * side - 1 - indices)


# --- Holes and noise --------------------------------------------------------


def fill_depths(image, mask, sight=16):
    """Fill the depths of large holes, and take them for known.

    The filling is nearly harmonic: each unknown pixel is the mean of its neighbours, as
    on a rubber sheet that is held at the edge of the hole. (In holes of 24, 48 and 96
    pixels in 18 training photos it is 0.4, 0.9 and 1.4 dB ahead of the biharmonic
    surface.) The known pixels are averaged in the cells of ever coarser grids, until
    each cell has some; from the coarsest grid on, the empty cells of the next finer one
    are interpolated (Gortler et al., "The lumigraph", 1996), and some steps of the
    Jacobi iteration follow. Only pixels more than `sight` pixels from all known ones
    take the result.

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
        filled = tf.where(weight > 0, mean, coarse).numpy()
        relax(filled[0], weight[0, ..., 0].numpy() == 0)
    return np.where(deep, filled[0], image), np.where(deep, 0, mask).astype(np.float32)


def relax(image, holes):
    """Replace each pixel of holes by the mean of the four beside it, again and again;
    beyond the border of the image, a pixel itself is taken."""
    y, x = np.nonzero(holes)
    bottom, right = np.subtract(holes.shape, 1)
    above, below = np.maximum(y - 1, 0), np.minimum(y + 1, bottom)
    before, behind = np.maximum(x - 1, 0), np.minimum(x + 1, right)
    for _ in range(SWEEPS):
        image[y, x] = (
            image[above, x] + image[below, x] + image[y, before] + image[y, behind]
        ) / 4


def estimate_noise(images, scales=None):
    """Estimate the level of white Gaussian noise, or of other noise at several scales.

    The median of the finest diagonal differences, over 0.6745, is the standard
    deviation of the noise where a channel is smooth (Donoho and Johnstone, "Ideal
    spatial adaptation by wavelet shrinkage", 1994); fine texture is taken for noise.
    The mean over the channels is returned.

    JPEG wipes grains away where they are finest, and less at half of the size. The
    texture is stronger there, so at coarser scales only the flattest blocks count. On
    the training photos, a level of 20 in grains of radius 1, stored as JPEG of quality
    50, is taken for 4 at full size and 12 at half; the photos themselves for 2 and 2;
    white noise of 10 for 11 and 10 (medians).

    Parameters
    ----------
    images : array, (n, height, width, channels)
        In [0, 1] but for the noise.
    scales : int, optional
        How many sizes to look at: the full one, half of it, a quarter and so on, each
        of means of 2 x 2 pixels. Without it, the full size only.

    Returns
    -------
    numpy.ndarray, (n,) or, with `scales`, (n, scales)
        Standard deviations where white is 255; 0 where a side is less than 2. What is
        found at half of the size counts double, and so on, so that white noise has the
        same level at all scales.

    Raises
    ------
    ValueError
        For images that are no floats or have another shape, or scales that are no whole
        number from 1.
    """
    check_counts(scales=1 if scales is None else scales)
    channels = np.moveaxis(as_batch(np.asarray(images)), -1, 1)
    levels = [[noise_levels(x, scales or 1) for x in image] for image in channels]
    levels = np.mean(levels, axis=1)
    return levels[:, 0] if scales is None else levels


def noise_levels(channel, scales):
    """The level of noise at each scale of (height, width) values."""
    levels = []
    for scale in range(scales):
        if min(channel.shape) < 2:
            return levels + [0.0] * (scales - scale)
        detail = channel[1:, 1:] - channel[1:, :-1]
        detail -= channel[:-1, 1:] - channel[:-1, :-1]
        find = find_flattest if scale else lambda detail, _: np.median(detail)
        median = find(np.abs(detail, out=detail), channel)
        levels.append(2**scale * 255 / 0.6745 * median / 2)
        pairs = tf.nn.avg_pool2d(channel[None, ..., None], 2, 2, "VALID")
        channel = pairs[0, ..., 0].numpy()
    return levels


def find_flattest(detail, channel, side=16, share=0.05):
    """The median in those blocks where it is least: a `share` of all that are neither
    black nor white, as these hide the noise."""
    side = min(side, *detail.shape)
    height, width = (length // side for length in detail.shape)

    def blocks(x):
        x = x[: height * side, : width * side]
        return x.reshape(height, side, width, side)

    medians = np.median(blocks(detail), axis=(1, 3))
    brightness = blocks(channel).mean(axis=(1, 3))
    gray = (0.05 < brightness) & (brightness < 0.95)
    return np.quantile(medians[gray] if gray.any() else medians, share)


# --- Checks -----------------------------------------------------------------

WHOLE = (
    "The image is restored whole, not in tiles, which needs more memory: this network "
    f"looks further than {FARTHEST} pixels, or its result depends on place or size."
)
TOO_LARGE = (
    "The image is {} x {} pixels, but the network takes {} x {} and no larger ones. "
    "Build it for keras.Input((None, None, channels))."
)
OTHER_SHAPE = "The network wants {} of shape {}, but is told it in shape {}."
OTHER_CHANNELS = "The network restores images of {} channels; this one has {}."
ODD_SIZE = "The network cannot restore {} x {} pixels, though it does restore fewer."
NO_SCALE = (
    "A network must make an image of as many channels as the damaged one, as large or "
    "a whole number of times larger"
)
NO_MAP = "This network must make {} channel of an image, as large as it"
MADE = "; of {} this one makes {}. Convolutions need padding='same'."


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
