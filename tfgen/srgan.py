"""SRGAN: enlarging that is also told what looks real (Ledig et al., 2016,
arXiv:1609.04802).

A discriminator learns to tell clean images from enlarged ones, and the network to
pass for clean; it is a `Restorer` with one loss more. To use it elsewhere, copy this
file and `restoration.py` with what the latter needs.
"""

import keras
import tensorflow as tf
from keras import layers

from .checks import (
    check_counts,
    check_logits,
    check_single,
    finite,
    fits,
    require,
)
from .model import in_float32, usual_settings
from .restoration import (
    Bicubic,
    Restorer,
    SubPixel,
    batch_psnr,
    residual_block,
)

# --- The networks -----------------------------------------------------------


@usual_settings()
def build_sharp_upscaler(scale=4, channels=1, width=64, blocks=8):
    """Build a network that enlarges images and has room to draw texture.

    To what `build_upscaler` computes on the small image, which ends in a detail as
    there, it adds layers that draw at twice the size, and so on up to the full one:
    pixels that a single convolution makes side by side, each alone, show a grid.

    Parameters
    ----------
    scale : {2, 4, 8}
        Factor of both sides.
    channels, blocks
        As in `build_denoiser`.
    width : int
        Channels of the residual blocks, a multiple of 8.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels)}`` to (n, scale height, scale
        width, channels). It begins as a bicubic enlargement with a small correction.

    Raises
    ------
    ValueError
        For another scale or width.
    """
    check_counts(scale=scale, channels=channels, width=width, blocks=blocks)
    require(scale in (2, 4, 8), f"scale must be 2, 4 or 8; got {scale}.")
    require(width % 8 == 0, f"width must be a multiple of 8; got {width}.")
    image = layers.Input((None, None, channels), name="image")
    x = layers.Conv2D(width, 5, padding="same")(image)
    for _ in range(blocks):
        x = residual_block(x, width)
    detail = layers.Conv2D(
        scale**2 * channels, 3, padding="same", dtype="float32", name="detail"
    )(x)
    detail = SubPixel(scale, dtype="float32")(detail)
    smooth = Bicubic(scale, dtype="float32")(image)
    leaky = {"padding": "same", "activation": "leaky_relu"}  # slope 0.2
    maps = width // 2
    for step in range(scale.bit_length() - 1):
        if step:
            x = residual_block(x, maps)
            maps //= 2
        x = SubPixel(2)(layers.Conv2D(4 * maps, 3, **leaky)(x))
    x = layers.Concatenate()([x, smooth, detail])
    for _ in range(2):
        x = layers.Conv2D(3 * width // 8, 3, **leaky)(x)
    last = layers.Conv2D(  # begins without texture
        channels, 3, padding="same", kernel_initializer="zeros", dtype="float32"
    )
    enlarged = layers.Add(dtype="float32")([smooth, detail, last(x)])
    return keras.Model({"image": image}, enlarged, name=f"sharp_upscaler_x{scale}")


@usual_settings()
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


# --- The losses -------------------------------------------------------------


@in_float32
def adversarial_loss(fake_output):
    """``-E[log D(G(x))]`` from logits of restored images, in nats: low where the
    discriminator takes them for real. The expectation is over *damaged* images x
    (arXiv:1609.04802, equation 6)."""
    return tf.reduce_mean(tf.nn.softplus(-fake_output))


@in_float32
def discriminator_loss(real_output, fake_output):
    """``-E[log D(y)] - E[log(1 - D(G(x)))]`` from logits of clean images y and of
    restored ones, in nats; 2 ln 2 where they cannot be told apart."""
    real_loss = tf.reduce_mean(tf.nn.softplus(-real_output))
    return real_loss + tf.reduce_mean(tf.nn.softplus(fake_output))


# --- The model --------------------------------------------------------------


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
        for name, network in (("discriminator", discriminator), ("features", features)):
            if network is not None:
                check_single(**{name: network})
                require(
                    fits(self.image_shape, *network.input_shape[1:]),
                    f"The network makes images of {self.image_shape}, but the {name} "
                    f"model takes some of {network.input_shape[1:]}.",
                )
        check_logits(discriminator=discriminator)
        require(
            min(feature_weight, adversarial_weight) >= 0,
            f"Weights of losses must be at least 0; got {feature_weight} for the "
            f"features and {adversarial_weight} for the discriminator.",
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
        self.discriminator_optimizer = self.prepare(
            discriminator_optimizer or keras.optimizers.Adam(2e-4), self.discriminator
        )
        super().compile(optimizer or keras.optimizers.Adam(2e-4), loss, **kwargs)

    def train_step(self, data):
        images = self.check_images(data)
        damaged = self.corruption(images, self.next_seed())
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
                tf.reduce_mean(self.pixel_loss(images, restored))
                + self.feature_weight * losses["feature_loss"]
                + self.adversarial_weight * losses["adversarial_loss"]
            )
            scaled_loss = self.scaled(loss, self.optimizer)
            scaled_d_loss = self.scaled(
                finite(losses["discriminator_loss"]), self.discriminator_optimizer
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
