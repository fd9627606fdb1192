"""Image restoration: networks that undo noise, holes and lost pixels.

The denoiser works on half of the resolution and is told the noise level (Zhang, Zuo
and Zhang, "FFDNet", 2017, arXiv:1710.04026); all networks add a correction to their
input (Zhang et al., "DnCNN", 2016, arXiv:1608.03981), which residual blocks without
normalisation compute (Lim et al., "EDSR", 2017, arXiv:1707.02921). The upscaler ends
in a sub-pixel convolution (Shi et al., 2016, arXiv:1609.05158). To use it elsewhere,
copy this file with `model.py`, `checks.py`, `saving.py` and `tiles.py` beside it.
"""

import keras
import tensorflow as tf
from keras import layers

from .checks import (
    check_built,
    check_counts,
    ends,
    ensure,
    finite,
    output_range,
    require,
)
from .model import ImageModel, copy_of, in_float32, usual_settings
from .tiles import Tiler

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
    """Enlarge images of any size bicubically: in a graph, Keras' UpSampling2D needs a
    known one."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.supports_jit = False  # XLA cannot resize bicubically

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


def residual_block(x, width):
    """Two convolutions whose result is added to their input."""
    y = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.Add()([x, y])


@usual_settings()
def build_denoiser(channels=1, width=64, blocks=6, blind=False):
    """Build a network that removes noise.

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
    blind : bool
        Whether the network must find out the level of the noise, or of other damage,
        by itself; it is told otherwise.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels), "sigma": (n, 1)}``, for any
        even sides, to images of the same shape; without ``"sigma"`` if blind. Sigma
        is the standard deviation of the noise where white is 255.
    """
    check_counts(channels=channels, width=width, blocks=blocks)
    image = layers.Input((None, None, channels), name="image")
    inputs, x = {"image": image}, image
    if not blind:
        sigma = inputs["sigma"] = layers.Input((1,), name="sigma")
        level = layers.Reshape((1, 1, 1))(layers.Rescaling(1 / 255)(sigma))
        level_map = keras.ops.ones_like(image[..., :1]) * level
        x = layers.Concatenate()([image, level_map])
    x = layers.Conv2D(width, 6, strides=2, padding="same")(x)
    for _ in range(blocks):
        x = residual_block(x, width)
    x = layers.Conv2D(4 * channels, 3, padding="same", dtype="float32")(x)
    noise = SubPixel(2, dtype="float32")(x)
    clean = layers.Subtract(dtype="float32")([image, noise])
    return keras.Model(inputs, clean, name="denoiser")


@usual_settings()
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


@usual_settings()
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


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class Restorer(ImageModel):
    """A network that learns to undo a corruption.

    Parameters
    ----------
    network : keras.Model
        Maps a dictionary with ``"image"``, the damaged images, and what else the
        corruption tells, such as ``"sigma"`` or ``"mask"``, to restored images: as
        large as the damaged ones, or a whole number of times larger.
    corruption : callable
        ``corruption(images, seed)`` makes that dictionary from clean images, such
        as ``functools.partial(add_gaussian_noise, sigma=25)``; it is given a
        tensor of two integers as seed. It can be saved if it is, or is a partial
        of, a function registered with `keras.saving`. A model that is loaded without
        it restores photos; to train or evaluate, set ``model.corruption`` again.
    average_decay : float
        Decay of the running average of the weights, in [0, 1). The averaged network
        is the one that is evaluated and used; 0 turns the averaging off. Early in
        training the decay is lower.
    seed : int, optional
        Seed of the damage done in training. Without it, Keras' global seed decides.

    Raises
    ------
    ValueError
        If the network does not take a dictionary with an image, ends in an activation
        that does not fit images in [0, 1], or a parameter is out of range.

    Notes
    -----
    Train with ``fit(images, validation_data=...)``: arrays or `tf.data.Dataset`s of
    clean float32 images in [0, 1]. Each batch is damaged afresh in training, and
    always in the same way in evaluation. Metrics: ``loss``; ``psnr`` (dB) and, in
    evaluation, ``ssim``, both means over images; ``input_psnr`` and ``input_ssim``
    are those of the damaged image itself, enlarged bicubically if it is smaller.
    """

    metric_names = "loss", "psnr", "ssim", "input_psnr", "input_ssim"
    averaged = ("network",)

    def __init__(self, network, corruption, average_decay=0.999, seed=None, **kwargs):
        check_network(network)
        require(
            callable(corruption),
            "corruption is a function of (images, seed), such as "
            f"tfgen.add_gaussian_noise; got {corruption!r}.",
        )
        image_shape = network.output_shape[1:]
        super().__init__(image_shape, (), average_decay, seed, **kwargs)
        self.network = network
        self.averaged_network = copy_of(network)
        self.corruption = corruption
        self.tiler = Tiler(self.averaged_network)

    def compile(self, optimizer=None, loss="mean_absolute_error", **kwargs):
        """Choose the optimizer and the loss of (clean, restored) images.

        The default is Adam with a learning rate of 1e-3 and the mean absolute error.
        With ``jit_compile=True`` XLA leaves out the checks of values (see
        `ImageModel.compile`); it has no masks, JPEG or Poisson noise, and a network
        that enlarges trains without it.
        """
        self.loss_function = keras.losses.get(loss)
        optimizer = optimizer or keras.optimizers.Adam(1e-3)
        super().compile(self.prepare(optimizer, self.network), **kwargs)
        self.loss = loss  # Keras builds no loss of its own: it would call the model

    def pixel_loss(self, images, restored):
        """The mean loss of the pixels of each image, (n,)."""
        count = tf.shape(images)[0]
        restored = tf.cast(restored, images.dtype)
        loss = tf.cast(self.loss_function(images, restored), tf.float32)
        if loss.shape.rank == 0:  # a `keras.losses.Loss` gives one mean for all
            return tf.fill((count,), loss)
        return tf.reduce_mean(tf.reshape(loss, (count, -1)), axis=1)

    def train_step(self, data):
        images = self.check_images(data)
        damaged = self.corruption(images, self.next_seed())
        with tf.GradientTape() as tape:
            restored = self.network(damaged, training=True)
            loss = finite(self.pixel_loss(images, restored))
            scaled_loss = self.scaled(loss, self.optimizer)

        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        self.average_weights()
        return self.track(loss=loss, psnr=batch_psnr(images, restored))

    def test_step(self, data):
        images = large_enough(self.check_images(data))
        # A fixed seed for each batch: the same damage whenever it is evaluated, and
        # one that training, whose seeds are not negative, never meets.
        seen = tf.cast(self.step_metrics["psnr"].count, tf.int64)
        damaged = self.corruption(images, tf.stack([-1, seen]))
        restored = self.averaged_network(damaged)
        untouched = enlarge(damaged["image"], images)
        return self.track(
            loss=finite(self.pixel_loss(images, restored)),
            psnr=batch_psnr(images, restored),
            ssim=batch_ssim(images, restored),
            input_psnr=batch_psnr(images, untouched),
            input_ssim=batch_ssim(images, untouched),
        )

    def call(self, damaged, training=False):
        """Restored images, not clipped, for what the corruption returns."""
        return self.averaged_network(damaged, training=training)

    def check_held_out(self, data):
        images, labels = super().check_held_out(data)
        height, width = (side or 11 for side in images.shape[1:3])
        require(min(height, width) >= 11, TOO_SMALL.format(height, width))
        return images, labels

    def check_inputs(self, damaged):
        needed, given = set(self.network.input), type(damaged).__name__
        if isinstance(damaged, dict):
            given = f"one with {sorted(damaged)}"
        require(
            isinstance(damaged, dict) and needed <= set(damaged),
            f"This {type(self).__name__} takes what its corruption returns, a "
            f"dictionary with {sorted(needed)}; got {given}. `restore` takes images.",
        )

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
            much as the network sees, which is measured: the result is that of the
            whole image. A network that sees more than 256 pixels around, or whose
            result depends on the place in the image, is given the whole image, with
            a warning.
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
            the depths of large holes are filled harmonically (`fill_depths`), and
            ``tfgen.fill_patches(restored, mask, deeper=16)`` gives them texture.

        Returns
        -------
        numpy.ndarray
            float32 in [0, 1]; shaped like `images`, with larger sides if the
            network enlarges.

        Raises
        ------
        ValueError
            For another shape or range, a mask that does not fit, a network that
            needs to be told something else, or one that does not make images of a
            whole number of times the size, at least where the sides are multiples of
            a number up to 128: past their ends images are mirrored to such a size.
        """
        self.refresh_averages()
        options = {"tile": tile, "ensemble": ensemble, "verbose": verbose}
        return self.tiler.restore(images, **options, **known)

    @property
    def scale(self):
        """How many times larger than the damaged image the restored one is."""
        return self.tiler.scale


# --- Measures in the graph --------------------------------------------------


@in_float32
def batch_psnr(images, restored):
    return tf.image.psnr(images, tf.clip_by_value(restored, 0.0, 1.0), 1.0)


@in_float32
def batch_ssim(images, restored):
    return tf.image.ssim(images, tf.clip_by_value(restored, 0.0, 1.0), 1.0)


def large_enough(images):
    """The images, if the windows of SSIM fit into them; else an error."""
    height, width = tf.unstack(tf.shape(images)[1:3])
    fits = tf.minimum(height, width) >= 11
    return ensure(images, fits, TOO_SMALL, height, width)


def enlarge(damaged, images):
    """Damaged images enlarged bicubically to the size of the clean ones, if they do not
    have it."""
    size = damaged.shape[1:3]
    if not (size.is_fully_defined() and size == images.shape[1:3]):  # XLA cannot resize
        damaged = tf.image.resize(damaged, tf.shape(images)[1:3], "bicubic")
    return tf.clip_by_value(damaged, 0.0, 1.0)


# --- Checks -----------------------------------------------------------------

TOO_SMALL = (
    "Evaluation measures SSIM, which looks at 11 x 11 pixels at a time, but these "
    "images are {} x {}. Evaluate larger ones."
)


def check_network(network):
    """ValueError unless the network takes a dictionary with an image, and its last
    activation fits images in [0, 1]."""
    check_built(network=network)
    inputs, output = ends(network)
    require(
        isinstance(inputs, dict) and "image" in inputs,
        "The network must take a dictionary: keras.Model({'image': image, ...}, "
        f"restored). This one takes {inputs}.",
    )
    require(
        isinstance(output, keras.KerasTensor) and len(output.shape) == 4,
        "The network must give images, one tensor of shape (n, height, width, "
        f"channels); it gives {output}.",
    )
    low, high = output_range(network)
    require(
        not (-1 <= low < -0.5 and high <= 1),
        f"The network's images run from {low:.3g} to {high:.3g}, as those of a tanh, "
        "but must be in [0, 1]. End it in a sigmoid, or in no activation.",
    )
