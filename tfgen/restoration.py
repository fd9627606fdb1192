"""Image restoration: networks that undo noise, holes and lost pixels.

The denoiser works on half of the resolution and is told the noise level (Zhang, Zuo
and Zhang, "FFDNet", 2017, arXiv:1710.04026); all networks add a correction to their
input (Zhang et al., "DnCNN", 2016, arXiv:1608.03981), which residual blocks without
normalisation compute (Lim et al., "EDSR", 2017, arXiv:1707.02921). The upscaler ends
in a sub-pixel convolution (Shi et al., 2016, arXiv:1609.05158). SRGAN: Ledig et al.,
2016 (arXiv:1609.04802). The file needs Keras 3 on TensorFlow and nothing else: copy
it whole.
"""

import contextlib
import functools
import math
import re
import weakref

import keras
import numpy as np
import tensorflow as tf
from keras import layers

# --- The networks -----------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class SubPixel(layers.Layer):
    """Turn groups of scale x scale channels into pixels: (n, height, width,
    scale^2 channels) to (n, scale height, scale width, channels)."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        return tf.nn.depth_to_space(x, self.scale) if self.scale > 1 else x

    def compute_output_shape(self, shape):
        n, height, width, channels = shape
        sides = [side and side * self.scale for side in (height, width)]
        return (n, *sides, channels // self.scale**2)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("tfgen")
class Bicubic(layers.Layer):
    """Enlarge images of any size bicubically: Keras' UpSampling2D needs a known one."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        return tf.image.resize(x, self.scale * tf.shape(x)[1:3], "bicubic")

    def compute_output_shape(self, shape):
        n, height, width, channels = shape
        sides = [side and side * self.scale for side in (height, width)]
        return (n, *sides, channels)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("tfgen")
class SmoothFilling(layers.Layer):
    """Fill holes smoothly: near to the biharmonic surface in holes up to 6 pixels wide.

    Called with [known, mask]: images that are 0 in the holes, and 1 in the holes. The
    first filling is a mean of the known pixels around, near ones weighing most; some
    steps of the Chebyshev iteration (Golub and Varga, 1961) take it towards a surface
    whose squared Laplacian is 0. No step sums over the image, so that a pixel depends
    on its surroundings only: more than `sight` pixels from all known ones it is 0.
    """

    windows = 3, 5, 9, 17, 33
    sight = windows[-1] // 2  # pixels
    steps = 8
    lowest, highest = 1.0, 64.0  # eigenvalues of the squared Laplacian
    reach = sight + 2 * (steps + 1)  # pixels

    def call(self, inputs):
        known, mask = inputs
        total, weight = 0.0, 0.0
        for size in self.windows:
            total += size**-6.0 * _window_mean(known, size)
            weight += size**-6.0 * _window_mean(1 - mask, size)
        filled = known + mask * tf.math.divide_no_nan(total, weight)
        center = (self.highest + self.lowest) / 2
        radius = (self.highest - self.lowest) / 2
        ratio = radius / center
        change = -mask * _squared_laplacian(filled) / center
        for _ in range(self.steps):
            filled += change
            bending = mask * _squared_laplacian(filled)
            new = 1 / (2 * center / radius - ratio)
            change = new * ratio * change - 2 * new / radius * bending
            ratio = new
        return filled

    def compute_output_shape(self, shapes):
        return shapes[0]


def _window_mean(x, size):
    rows = tf.nn.avg_pool2d(x, (size, 1), 1, "SAME")
    return tf.nn.avg_pool2d(rows, (1, size), 1, "SAME")


def _squared_laplacian(x):
    stencil = [
        [0, 0, 1, 0, 0],
        [0, 2, -8, 2, 0],
        [1, -8, 20, -8, 1],
        [0, 2, -8, 2, 0],
        [0, 0, 1, 0, 0],
    ]
    weights = tf.constant(stencil, x.dtype)[..., None, None]
    padded = tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], "SYMMETRIC")
    weights = tf.tile(weights, (1, 1, x.shape[-1], 1))
    return tf.nn.depthwise_conv2d(padded, weights, [1, 1, 1, 1], "VALID")


def fill_depths(image, mask, sight=SmoothFilling.sight):
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


def residual_block(x, width):
    """Two convolutions whose result is added to their input."""
    y = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.Add()([x, y])


def build_denoiser(channels=1, width=64, blocks=6):
    """Build a network that removes noise of a known level.

    It halves the resolution, computes the noise there, a quarter of the work, and
    subtracts it.

    Parameters
    ----------
    channels : int
        1 for grey, 3 for colour.
    width : int
        Channels of the residual blocks.
    blocks : int
        Number of residual blocks, each of two convolutions.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels), "sigma": (n, 1)}``, for any
        even sides, to images of the same shape. Sigma is the standard deviation of
        the noise where white is 255.
    """
    check_counts(channels=channels, width=width, blocks=blocks)
    image = layers.Input((None, None, channels), name="image")
    sigma = layers.Input((1,), name="sigma")
    level = layers.Reshape((1, 1, 1))(layers.Rescaling(1 / 255)(sigma))
    level_map = keras.ops.ones_like(image[..., :1]) * level
    x = layers.Concatenate()([image, level_map])
    x = layers.Conv2D(width, 6, strides=2, padding="same")(x)
    for _ in range(blocks):
        x = residual_block(x, width)
    x = layers.Conv2D(4 * channels, 3, padding="same", dtype="float32")(x)
    noise = SubPixel(2, dtype="float32")(x)
    clean = layers.Subtract(dtype="float32")([image, noise])
    return keras.Model({"image": image, "sigma": sigma}, clean, name="denoiser")


def build_inpainter(channels=3, width=64, blocks=6):
    """Build a network that fills holes and leaves all other pixels as they are.

    It corrects a smooth filling, which begins at the edge of a hole: more than 16
    pixels from all known ones a hole stays black, unless `fill_depths` fills it
    before, as `Restorer.restore` does.

    Parameters
    ----------
    channels, width, blocks
        As in `build_denoiser`.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels), "mask": (n, height, width,
        1)}``, for any even sides, to images of the same shape. The mask is 1 in
        the holes, whose pixels are ignored, and 0 elsewhere.
    """
    check_counts(channels=channels, width=width, blocks=blocks)
    image = layers.Input((None, None, channels), name="image")
    mask = layers.Input((None, None, 1), name="mask")
    known = layers.Multiply(dtype="float32")([image, 1 - mask])
    smooth = SmoothFilling(dtype="float32")([known, mask])
    x = layers.Concatenate()([smooth, mask])
    x = layers.Conv2D(width, 6, strides=2, padding="same")(x)
    for _ in range(blocks):
        x = residual_block(x, width)
    last = layers.Conv2D(  # begins as the smooth filling
        4 * channels, 3, padding="same", kernel_initializer="zeros", dtype="float32"
    )
    x = last(x)
    detail = layers.Multiply(dtype="float32")([SubPixel(2, dtype="float32")(x), mask])
    filled = layers.Add(dtype="float32")([smooth, detail])
    return keras.Model({"image": image, "mask": mask}, filled, name="inpainter")


def build_upscaler(scale, channels=1, width=48, blocks=7):
    """Build a network that enlarges images.

    It corrects a bicubic enlargement; everything but the last step works on the
    small image.

    Parameters
    ----------
    scale : int
        Factor of both sides, at least 2.
    channels, width, blocks
        As in `build_denoiser`.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels)}`` to (n, scale height, scale
        width, channels).
    """
    check_counts(scale=scale, channels=channels, width=width, blocks=blocks)
    image = layers.Input((None, None, channels), name="image")
    x = layers.Conv2D(width, 5, padding="same")(image)
    for _ in range(blocks):
        x = residual_block(x, width)
    x = layers.Conv2D(scale**2 * channels, 3, padding="same", dtype="float32")(x)
    detail = SubPixel(scale, dtype="float32")(x)
    smooth = Bicubic(scale, dtype="float32")(image)
    enlarged = layers.Add(dtype="float32")([smooth, detail])
    return keras.Model({"image": image}, enlarged, name=f"upscaler_x{scale}")


def build_patch_discriminator(channels=3, width=32):
    """Build a Sequential network that judges each patch of an image.

    Returns
    -------
    keras.Sequential
        Maps (n, height, width, channels) in [0, 1] to a map of logits (n, height /
        8, width / 8, 1), each for the patch around it (Isola et al., "PatchGAN",
        2016, arXiv:1611.07004).
    """
    check_counts(channels=channels, width=width)
    network = keras.Sequential(
        [layers.Input((None, None, channels)), layers.Rescaling(2.0, offset=-1.0)],
        name="patch_discriminator",
    )
    for level in range(3):
        network.add(layers.Conv2D(width * 2**level, 4, strides=2, padding="same"))
        network.add(layers.LeakyReLU(negative_slope=0.2))
    network.add(layers.Conv2D(1, 3, padding="same", dtype="float32"))
    return network


# --- The losses of SRGAN ----------------------------------------------------


def adversarial_loss(fake_output):
    """``-E[log D(G(x))]`` from logits of restored images, in nats: low where the
    discriminator takes them for real. The expectation is over *damaged* images x
    (arXiv:1609.04802, equation 6)."""
    return tf.reduce_mean(tf.nn.softplus(-fake_output))


def discriminator_loss(real_output, fake_output):
    """``-E[log D(y)] - E[log(1 - D(G(x)))]`` from logits of clean images y and of
    restored ones, in nats; 2 ln 2 where they cannot be told apart."""
    real_loss = tf.reduce_mean(tf.nn.softplus(-real_output))
    return real_loss + tf.reduce_mean(tf.nn.softplus(fake_output))


# --- The models -------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class Restorer(keras.Model):
    """A network that learns to undo a corruption.

    Parameters
    ----------
    network : keras.Model
        Maps a dictionary with ``"image"``, the damaged images, and what else the
        corruption tells, such as ``"sigma"`` or ``"mask"``, to restored images. Its
        convolutions are the only layers that look at more than one pixel.
    corruption : callable
        ``corruption(images, seed)`` makes that dictionary from clean images, such
        as ``functools.partial(add_gaussian_noise, sigma=25)``; it is given a
        tensor of two integers as seed. It can be saved if it is, or is a partial
        of, a function registered with `keras.saving`.
    average_decay : float
        Decay of the running average of the weights, in [0, 1). The averaged network
        is the one that is evaluated and used; 0 turns the averaging off. Early in
        training the decay is lower.
    seed : int, optional
        Seed of the damage done in training. Without it, Keras' global seed decides.

    Raises
    ------
    ValueError
        If the network does not take a dictionary with an image, or a parameter is
        out of range.

    Notes
    -----
    Train with ``fit(images, validation_data=...)``: arrays or `tf.data.Dataset`s of
    clean float32 images in [0, 1]. Each batch is damaged afresh in training, and
    always in the same way in evaluation. Metrics: ``loss``; ``psnr`` (dB) and, in
    evaluation, ``ssim``, both means over images; ``input_psnr`` and ``input_ssim``
    are those of the damaged image itself, enlarged bicubically if it is smaller.
    """

    def __init__(self, network, corruption, average_decay=0.999, seed=None, **kwargs):
        super().__init__(**kwargs)
        _check_network(network)
        if not callable(corruption):
            raise ValueError(
                "corruption is a function of (images, seed), such as "
                f"tfgen.add_gaussian_noise; got {corruption!r}."
            )
        if not 0 <= average_decay < 1:
            raise ValueError(f"average_decay must be in [0, 1); got {average_decay}.")
        self.network = network
        self.corruption = corruption
        self.average_decay = average_decay
        self.seed = seed
        self.averaged_network = _copy(network)
        self.channels = network.output_shape[-1]
        self.seeds = keras.random.SeedGenerator(seed)
        self.step_metrics = {
            name: keras.metrics.Mean(name) for name in self.metric_names
        }
        self.run_network = tf.function(self.averaged_network, reduce_retracing=True)
        self.built = True

    metric_names = "loss", "psnr", "ssim", "input_psnr", "input_ssim"

    @property
    def metrics(self):
        return list(self.step_metrics.values())

    def compile(self, optimizer=None, loss="mean_absolute_error", **kwargs):
        """Choose the optimizer and the loss of (clean, restored) images.

        The default is Adam with a learning rate of 1e-3 and the mean absolute
        error. XLA is off by default: it drops the checks for values out of range.
        """
        optimizer = optimizer or keras.optimizers.Adam(1e-3)
        super().compile(optimizer, loss, **{"jit_compile": False, **kwargs})
        self.optimizer.build(self.network.trainable_variables)

    def train_step(self, data):
        images = self.check_images(data)
        damaged = self.corruption(images, tf.cast(self.seeds.next(), tf.int64))
        with tf.GradientTape() as tape:
            restored = self.network(damaged, training=True)
            loss = finite(self.compute_loss(y=images, y_pred=restored))
            scaled_loss = self.optimizer.scale_loss(loss)

        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        self.average_weights()
        return self.track(loss=loss, psnr=batch_psnr(images, restored))

    def test_step(self, data):
        images = self.check_images(data)
        # A fixed seed for each batch: the same damage whenever it is evaluated, and
        # one that training, whose seeds are not negative, never meets.
        seen = tf.cast(self.step_metrics["psnr"].count, tf.int64)
        damaged = self.corruption(images, tf.stack([-1, seen]))
        restored = self.averaged_network(damaged)
        untouched = _resize(damaged["image"], tf.shape(images)[1:3])
        return self.track(
            loss=tf.fill(
                tf.shape(images)[:1],  # so that a small last batch counts less
                finite(self.compute_loss(y=images, y_pred=restored)),
            ),
            psnr=batch_psnr(images, restored),
            ssim=batch_ssim(images, restored),
            input_psnr=batch_psnr(images, untouched),
            input_ssim=batch_ssim(images, untouched),
        )

    def average_weights(self):
        """Move the averaged network a step towards the trained one."""
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.average_decay, (1 + step) / (10 + step))
        weights = zip(self.averaged_network.weights, self.network.weights, strict=True)
        for average, weight in weights:
            average.assign_add((1 - decay) * (weight - average))

    def track(self, **values):
        """Add one batch to the metrics and return their running means."""
        for name, value in values.items():
            self.step_metrics[name].update_state(value)
        return {name: self.step_metrics[name].result() for name in values}

    def call(self, damaged, training=False):
        """Restored images, not clipped, for what the corruption returns."""
        return self.averaged_network(damaged, training=training)

    def restore(self, images, *, tile=512, ensemble=False, verbose=0, **known):
        """Restore photos of any size.

        Parameters
        ----------
        images : array, (height, width), (height, width, channels) or (n, height,
            width, channels)
            Damaged images in [0, 1]. A network that is told ``sigma`` takes noisy
            values outside, by less than 1 or by six standard deviations. Grey and
            colour both work: a network for colour is given grey in every channel;
            one for grey is given the channels in turn or, if it enlarges, the luma
            (BT.601), and the colour is enlarged bicubically.
        tile : int
            Larger images are restored in tiles of this side, which overlap by as
            much as the network sees: the result is that of the whole image.
        ensemble : bool
            Whether to return the mean of the results for the image turned and
            mirrored in all eight ways, each turned back: a little better, in eight
            times the time (Timofte et al., 2015, arXiv:1511.02228).
        verbose : {0, 1}
            1 shows progress over the tiles.
        **known
            What the network must be told: ``sigma``, a number or one for each
            image; without it, `estimate_noise` decides. Or ``mask``, (height, width)
            or (height, width, 1), or one for each image, 1 in holes and 0 elsewhere;
            the depths of large holes are blurred surroundings (`fill_depths`).

        Returns
        -------
        numpy.ndarray
            float32 in [0, 1]; shaped like `images`, with larger sides if the
            network enlarges.

        Raises
        ------
        ValueError
            For another shape or range, a mask that does not fit, or a network that
            needs to be told something else.
        """
        images = np.asarray(images)
        batch = _as_batch(images)
        asked = set(self.network.input) - {"image"}
        if asked == {"sigma"} and known.get("sigma") is None:
            _check_range(batch, margin=np.inf)  # NaN has no noise
            known["sigma"] = estimate_noise(batch)
        if asked != set(known):
            raise ValueError(
                f"This network must be told {' and '.join(sorted(asked)) or 'nothing'} "
                f"beside the images; got {' and '.join(sorted(known)) or 'nothing'}."
            )
        if "sigma" in known:
            known["sigma"] = _check_sigma(known["sigma"], len(batch))
            _check_range(batch, max(0.999, 6 / 255 * known["sigma"].max()))
        else:
            _check_range(batch, margin=0)
        if "mask" in known:
            known["mask"] = _check_mask(known["mask"], batch)
        check_counts(tile=tile)
        windows = self._windows(batch.shape[1:3], tile)
        progress = keras.utils.Progbar(
            len(windows) * len(batch), verbose=verbose, unit_name="tile"
        )
        count, height, width, channels = batch.shape
        shape = (count, height * self.scale, width * self.scale, channels)
        restored = np.empty(shape, np.float32)
        for index, image in enumerate(batch):
            told = {key: values[index] for key, values in known.items()}
            if self._fills_smoothly:
                image, told["mask"] = fill_depths(image, told["mask"])
            for window in windows:
                self._restore_tile(restored[index], image, told, ensemble, *window)
                progress.add(1)
        if images.ndim == 4:
            return restored
        return restored.reshape(*shape[1:3], *images.shape[2:])

    @functools.cached_property
    def _fills_smoothly(self):
        parts = self.network._flatten_layers()
        return any(isinstance(layer, SmoothFilling) for layer in parts)

    @functools.cached_property
    def scale(self):
        """How many times larger than the damaged image the restored one is."""
        side = 16
        zeros = {
            name: tf.zeros((1, *(size or side for size in tensor.shape[1:])))
            for name, tensor in self.network.input.items()
        }
        return self.network(zeros).shape[1] // side

    def _windows(self, size, tile):
        """Cut an image into tiles, each inside a window that shows the network all
        it looks at: pairs for height and width of (start of the window, its length,
        start and end of the tile)."""
        overlap = _round_up(_reach(self.network))

        def cut(side):
            padded = _round_up(side)
            if padded <= tile + 2 * overlap:
                return [(0, padded, 0, side)]
            step = _round_up(side / math.ceil(side / tile))
            length = min(padded, step + 2 * overlap)
            return [
                (
                    min(max(start - overlap, 0), padded - length),
                    length,
                    start,
                    min(start + step, side),
                )
                for start in range(0, side, step)
            ]

        return [(y, x) for y in cut(size[0]) for x in cut(size[1])]

    def _restore_tile(self, restored, image, told, ensemble, y, x):
        """Fill one tile of the restored image, from the window around it."""
        # Networks may need whole pairs: past its end the image is mirrored.
        pixels = np.ix_(_mirror(y, image.shape[0]), _mirror(x, image.shape[1]))
        window = {"image": image, **told}
        window = {
            key: tf.constant(value[pixels] if value.ndim == 3 else value)[None]
            for key, value in window.items()
        }
        (top, bottom), (left, right) = (
            (start * self.scale, end * self.scale) for *_, start, end in (y, x)
        )
        above, before = y[0] * self.scale, x[0] * self.scale
        run = self._restore_eight_ways if ensemble else self._restore_window
        result = run(window)
        result = result[top - above : bottom - above, left - before : right - before]
        np.clip(result, 0, 1, out=restored[top:bottom, left:right])

    def _restore_eight_ways(self, damaged):
        """The mean over all turns and mirror images."""
        total = 0.0
        for turns in range(4):
            for step in (1, -1):
                turned = {
                    key: tf.image.rot90(x, turns)[:, :, ::step] if key != "sigma" else x
                    for key, x in damaged.items()
                }
                result = self._restore_window(turned)
                total += np.rot90(result[:, ::step], -turns)
        return total / 8

    def _restore_window(self, damaged):
        """Run the network on one image of any number of channels."""
        image = damaged["image"]
        channels = image.shape[-1]
        if channels == self.channels:
            return self.run_network(damaged)[0].numpy()
        if channels == 1:  # grey for a network of several channels
            repeated = {**damaged, "image": tf.repeat(image, self.channels, axis=-1)}
            return self.run_network(repeated)[0].numpy().mean(-1, float, keepdims=True)
        if self.scale > 1:
            luma = tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)
            size = self.scale * np.array(image.shape[1:3])
            color = _resize(image - luma, size, clip=False)
            return (self.run_network({**damaged, "image": luma}) + color)[0].numpy()
        separate = {
            key: tf.repeat(value, channels, axis=0) for key, value in damaged.items()
        }
        separate["image"] = tf.transpose(image, (3, 1, 2, 0))
        return tf.transpose(self.run_network(separate)[..., 0], (1, 2, 0)).numpy()

    # --- What Keras asks of a model. ---

    def check_form(self, data):
        """The images of a batch or of its description, or ValueError for labels, a
        shape or a type that cannot be used."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if labels is not None:
            raise ValueError(
                "A Restorer trains on clean images alone and damages them itself, but "
                "the data holds something else too. Drop it: "
                "dataset.map(lambda image, label: image)."
            )
        if not hasattr(images, "shape"):
            raise ValueError(
                f"A Restorer trains on images alone, but the data is a "
                f"{type(images).__name__}. "
                'Take the images out of it: dataset.map(lambda x: x["image"]).'
            )
        expected = (None, None, None, self.channels)
        if not tf.TensorShape(images.shape).is_compatible_with(expected):
            raise ValueError(
                f"The network is built for images of shape (n, height, width, "
                f"{self.channels}); got {tuple(images.shape)}. Load the images with "
                f"channels={self.channels}, or build the network for others."
            )
        if not tf.as_dtype(images.dtype).is_floating:
            raise ValueError(
                f"Images must be float32 in [0, 1]; got "
                f"{tf.as_dtype(images.dtype).name}. Divide 8-bit images by 255."
            )
        return images

    def check_images(self, data):
        """The images of one batch, checked: no labels, shape, type and range."""
        images = self.check_form(data)
        low, high = tf.reduce_min(images), tf.reduce_max(images)
        in_range = tf.debugging.Assert(
            (low >= 0) & (high <= 1),
            [tf.strings.format(OUT_OF_RANGE, (low, high))],
        )
        with tf.control_dependencies([in_range]):
            return tf.identity(images)

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
        if isinstance(x, tf.data.Dataset):
            callbacks.append(_DataOrder(x))
            kwargs.setdefault("shuffle", False)  # the dataset shuffles itself
        with self._plain_errors(x):
            return super().fit(x, y, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        with self._plain_errors(x):
            return super().evaluate(x, *args, **kwargs)

    def get_config(self):
        function, keywords = self.corruption, {}
        if isinstance(function, functools.partial):
            function, keywords = function.func, function.keywords
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "corruption": keras.saving.serialize_keras_object(function),
            "keywords": keywords,
            "average_decay": self.average_decay,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("network", "corruption", "discriminator", "features")
            if name in config
        }
        keywords = config.pop("keywords")
        if keywords:
            parts["corruption"] = functools.partial(parts["corruption"], **keywords)
        return cls(**{**config, **parts})

    def get_compile_config(self):
        if not self.compiled:
            return None
        serialize = keras.saving.serialize_keras_object
        return {"optimizer": serialize(self.optimizer), "loss": serialize(self.loss)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    @contextlib.contextmanager
    def _plain_errors(self, data=None):
        """Check the form of arrays and datasets first, and replace TensorFlow's
        report of a failed check in the graph by the check's message."""
        if isinstance(data, tf.data.Dataset):
            self.check_form(data.element_spec)
            empty = data.cardinality() == 0
        elif isinstance(data, np.ndarray | tf.Tensor):
            self.check_form(data)
            empty = len(data) == 0
        else:
            empty = False
        if empty:
            raise ValueError("There is no image: at least one is needed.")
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            text = str(error)
            if NOT_FINITE in text:
                raise FloatingPointError(NOT_FINITE + ".") from None
            pattern = re.escape(OUT_OF_RANGE).replace(r"\{\}", ".*?")
            if found := re.search(pattern, text):
                raise ValueError(found[0]) from None
            raise

    def _random_states(self):
        """The states of every random generator: Keras does not save those, and a
        resumed run needs them."""
        return [v for v in self.variables if v.name == "seed_generator_state"]

    def save_own_variables(self, store):
        for index, state in enumerate(self._random_states()):
            store[str(index)] = state.numpy()

    def load_own_variables(self, store):
        for index, state in enumerate(self._random_states()):
            state.assign(store[str(index)])


@keras.saving.register_keras_serializable("tfgen")
class AdversarialRestorer(Restorer):
    """A restorer that is also told what looks real (SRGAN; arXiv:1609.04802).

    Parameters
    ----------
    network, corruption, average_decay, seed
        As in `Restorer`. Begin with a network that a `Restorer` has trained.
    discriminator : keras.Model
        Maps images in [0, 1] to logits, such as `build_patch_discriminator`'s.
    features : keras.Model, optional
        Maps images in [0, 1] to features, such as a layer of a classifier; the loss
        then includes their mean squared difference.
    feature_weight, adversarial_weight : float
        Weights of the two losses beside that of the pixels; at least 0.

    Raises
    ------
    ValueError
        If the networks do not fit together, or a parameter is out of range.

    Notes
    -----
    Metrics are those of `Restorer`, in training also ``feature_loss``,
    ``adversarial_loss`` and ``discriminator_loss`` (the latter two in nats; the
    last is 2 ln 2 where the discriminator cannot tell).
    """

    metric_names = (
        *Restorer.metric_names,
        "feature_loss",
        "adversarial_loss",
        "discriminator_loss",
    )

    def __init__(
        self,
        network,
        discriminator,
        corruption,
        features=None,
        feature_weight=1.0,
        adversarial_weight=1e-3,
        **kwargs,
    ):
        super().__init__(network, corruption, **kwargs)
        for name, model in (("discriminator", discriminator), ("features", features)):
            if model and model.input_shape[-1] not in (None, self.channels):
                raise ValueError(
                    f"The network makes images of {self.channels} channels, but the "
                    f"{name} model takes {model.input_shape[-1]}."
                )
        if min(feature_weight, adversarial_weight) < 0:
            raise ValueError(
                f"Weights of losses must be at least 0; got {feature_weight} for the "
                f"features and {adversarial_weight} for the discriminator."
            )
        self.discriminator = discriminator
        self.features = features
        self.feature_weight = feature_weight
        self.adversarial_weight = adversarial_weight

    def compile(
        self,
        optimizer=None,
        discriminator_optimizer=None,
        loss="mean_absolute_error",
        **kwargs,
    ):
        """Choose both optimizers, by default Adam with a learning rate of 2e-4, and
        the loss of the pixels."""
        super().compile(optimizer or keras.optimizers.Adam(2e-4), loss, **kwargs)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(
            2e-4
        )
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def train_step(self, data):
        images = self.check_images(data)
        damaged = self.corruption(images, tf.cast(self.seeds.next(), tf.int64))
        with tf.GradientTape(persistent=True) as tape:
            restored = self.network(damaged, training=True)
            real_output = self.discriminator(images, training=True)
            fake_output = self.discriminator(restored, training=True)
            losses = {
                "feature_loss": self.feature_loss(images, restored),
                "adversarial_loss": adversarial_loss(fake_output),
                "discriminator_loss": discriminator_loss(real_output, fake_output),
            }
            loss = finite(
                self.compute_loss(y=images, y_pred=restored)
                + self.feature_weight * losses["feature_loss"]
                + self.adversarial_weight * losses["adversarial_loss"]
            )
            scaled_loss = self.optimizer.scale_loss(loss)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(
                finite(losses["discriminator_loss"])
            )

        variables = self.network.trainable_variables
        d_variables = self.discriminator.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        d_gradients = tape.gradient(scaled_d_loss, d_variables)
        self.optimizer.apply(gradients, variables)
        self.discriminator_optimizer.apply(d_gradients, d_variables)
        self.average_weights()
        return self.track(loss=loss, psnr=batch_psnr(images, restored), **losses)

    def feature_loss(self, images, restored):
        """Mean squared difference of the features of clean and restored images."""
        if self.features is None:
            return tf.constant(0.0)
        difference = self.features(images) - self.features(restored)
        return tf.reduce_mean(tf.square(tf.cast(difference, tf.float32)))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "discriminator": serialize(self.discriminator),
            "features": serialize(self.features),
            "feature_weight": self.feature_weight,
            "adversarial_weight": self.adversarial_weight,
        }

    def get_compile_config(self):
        config = super().get_compile_config()
        if config:
            config["discriminator_optimizer"] = keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            )
        return config


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


# --- Measures in the graph --------------------------------------------------

LUMA = 0.299, 0.587, 0.114  # of red, green and blue (BT.601)


def batch_psnr(images, restored):
    return tf.image.psnr(images, tf.clip_by_value(restored, 0.0, 1.0), 1.0)


def batch_ssim(images, restored):
    return tf.image.ssim(images, tf.clip_by_value(restored, 0.0, 1.0), 1.0)


def _resize(images, size, clip=True):
    """Enlarge images bicubically to a size, if they do not have it."""
    resized = tf.image.resize(images, size, "bicubic")
    return tf.clip_by_value(resized, 0.0, 1.0) if clip else resized


def finite(loss):
    """The loss, or an error that stops training if it is not finite."""
    return tf.debugging.check_numerics(loss, NOT_FINITE)


# --- Windows over large images ----------------------------------------------


def _reach(network):
    """At most how many pixels away from its place an output pixel is influenced."""
    reach, pixel = 0, 1.0  # of the input, that a pixel of this layer stands for
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, Bicubic):
            reach += 2
        elif isinstance(layer, SmoothFilling):
            reach += layer.reach
        elif isinstance(layer, SubPixel):
            reach += pixel
            pixel /= layer.scale
        elif isinstance(layer, layers.Conv2DTranspose):
            pixel /= max(layer.strides)
            reach += pixel * max(layer.kernel_size)
        elif isinstance(layer, layers.Conv2D):
            spread = (np.array(layer.kernel_size) - 1) * layer.dilation_rate
            reach += pixel * math.ceil(max(spread) / 2)
            pixel *= max(layer.strides)
    return reach


def _round_up(size, multiple=8):
    """The next multiple: networks that halve the resolution need whole pairs."""
    return math.ceil(size / multiple) * multiple


def _mirror(window, side):
    """Indices of the pixels in a window; beyond the end they run backwards."""
    start, length, *_ = window
    indices = np.arange(start, start + length) % (2 * side)
    return np.where(indices < side, indices, 2 * side - 1 - indices)


# --- Checks -----------------------------------------------------------------

OUT_OF_RANGE = (
    "Images must be float32 in [0, 1]; this batch runs from {} to {}. Divide "
    "8-bit images by 255; bring images in [-1, 1] back with (images + 1) / 2."
)
NOT_FINITE = (
    "The loss is no longer finite; this step changed no weight. Try a lower "
    "learning rate, a larger batch, or float32 in place of mixed_float16"
)


def check_counts(**counts):
    """Raise ValueError for a number that is not a whole one above 0."""
    for name, count in counts.items():
        if isinstance(count, bool) or int(count) != count or count < 1:
            raise ValueError(f"{name} must be a whole number above 0; got {count!r}.")


def _check_network(network):
    """Raise ValueError unless the network takes a dictionary with an image."""
    inputs = getattr(network, "input", None)
    if not isinstance(inputs, dict) or "image" not in inputs:
        raise ValueError(
            "The network must take a dictionary: keras.Model({'image': image, ...}, "
            f"restored). This one takes {inputs}."
        )


def _as_batch(images):
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


def _check_range(images, margin):
    """Raise ValueError for values further outside [0, 1] than the noise can be."""
    low, high = float(images.min()), float(images.max())
    if not (low >= -margin and high <= 1 + margin):  # also for NaN
        raise ValueError(OUT_OF_RANGE.format(f"{low:.4g}", f"{high:.4g}"))


def _check_sigma(sigma, count):
    """A level of noise for each image, float32 (n, 1), or ValueError."""
    levels = np.asarray(sigma, np.float32).reshape(-1, 1)
    if len(levels) not in (1, count) or not (0 <= levels).all():  # also for NaN
        raise ValueError(
            "sigma is a number, at least 0, or one for each image; got "
            f"{sigma} for {count} images."
        )
    return np.broadcast_to(levels, (count, 1))


def _check_mask(mask, images):
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


def _copy(network):
    """A network with the same layers and weights that is not trained."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


class _DataOrder(keras.callbacks.Callback):
    """Start a resumed run where the shuffling of the data had arrived.

    A dataset that reshuffles counts how often an iterator was made. A new
    process begins at 0, so those of the epochs already trained are made again.
    """

    made = weakref.WeakKeyDictionary()

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset
        # Keras makes a second one after an epoch whose length it knows.
        self.per_epoch = 2 if dataset.cardinality() > 0 else 1

    def on_epoch_begin(self, epoch, logs=None):
        made = self.made.get(self.dataset, 0)
        for _ in range(made, epoch * self.per_epoch):
            iter(self.dataset)
            made += 1
        self.made[self.dataset] = made + self.per_epoch
