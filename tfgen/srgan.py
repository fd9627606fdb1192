"""SRGAN: enlarging that is also told what looks real (Ledig et al., 2016,
arXiv:1609.04802).

A discriminator learns to tell clean images from enlarged ones, and the network to
pass for clean; it is a `Restorer` with some losses more. What keeps the two in balance
came later: pairs of a clean and a restored image (Jolicoeur-Martineau, 2018,
arXiv:1807.00734), and logits that must not change much where noise is added to an
image (Lin et al., 2025, arXiv:2501.08316). To use it elsewhere, copy this file and
`restoration.py` with what the latter needs.
"""

import keras
import tensorflow as tf
from keras import layers

from .checks import (
    check_built,
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
    enlarge,
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
def adversarial_loss(real_output, fake_output):
    """``E[log(1 + exp(D(y) - D(G(x))))]`` from logits of clean images y and of restored
    ones, in nats: low where the restored look more real than the clean, ln 2 where
    they cannot be told apart (arXiv:1807.00734)."""
    return tf.reduce_mean(tf.nn.softplus(real_output - fake_output))


@in_float32
def discriminator_loss(real_output, fake_output):
    """``E[log(1 + exp(D(G(x)) - D(y)))]``: the game of `adversarial_loss` from the
    other side."""
    return tf.reduce_mean(tf.nn.softplus(fake_output - real_output))


@in_float32
def mean_difference(a, b):
    return tf.reduce_mean(tf.abs(a - b))


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class AdversarialRestorer(Restorer):
    """A restorer that is also told what looks real (SRGAN; arXiv:1609.04802).

    Parameters
    ----------
    network, corruption, average_decay, seed
        As in `Restorer`. Begin with a network that a `Restorer` has trained.
    discriminator : keras.Model
        Maps images in [0, 1] to logits, such as `build_patch_discriminator`'s, or to
        a list: logits, and the maps inside that lead to them. If it takes twice the
        channels, it is given four times what the image adds to the bicubic enlargement
        of the damaged one, and four times that enlargement, less 1/2.
    features : keras.Model, optional
        Maps images in [0, 1] to features, such as a layer of a classifier, which the
        restored images shall share with the clean ones. Without it they are the maps
        inside the discriminator, if it gives them (Wang et al., "pix2pixHD", 2017,
        arXiv:1711.11585).
    feature_weight, adversarial_weight, pixel_weight, consistency_weight : float
        Weights of the losses of the network; at least 0. Consistent is what, shrunk
        again, equals the shrunk clean image.
    penalty_weight : float
        Weight of the discriminator's `find_steepness`; at least 0.
    warmup : int
        For so many steps the network learns from the loss of the pixels alone, with
        weight 1, while the discriminator learns; over as many more the weights come
        into force.

    Raises
    ------
    ValueError
        If the networks do not fit together, or a parameter is out of range.

    Notes
    -----
    Metrics are those of `Restorer`, in training also the losses, without their
    weights, and ``accuracy``: in how many pairs the discriminator finds the clean
    image the more real one.
    """

    metric_names = (
        *Restorer.metric_names,
        "consistency_loss",
        "feature_loss",
        "adversarial_loss",
        "discriminator_loss",
        "penalty",
        "accuracy",
    )

    def __init__(
        self,
        network,
        discriminator,
        corruption,
        features=None,
        feature_weight=1.0,
        adversarial_weight=1e-3,
        pixel_weight=1.0,
        consistency_weight=0.0,
        penalty_weight=1.0,
        warmup=0,
        **kwargs,
    ):
        super().__init__(network, corruption, **kwargs)
        check_built(discriminator=discriminator)
        logits = discriminator
        if isinstance(discriminator.outputs, list) and len(discriminator.outputs) > 1:
            logits = keras.Model(discriminator.inputs, discriminator.outputs[0])
        for name, network in (("discriminator", logits), ("features", features)):
            if network is not None:
                check_single(**{name: network})
                *sides, channels = network.input_shape[1:]
                if name == "discriminator" and channels == 2 * self.image_shape[-1]:
                    channels //= 2
                require(
                    fits(self.image_shape, *sides, channels),
                    f"The network makes images of {self.image_shape}, but the {name} "
                    f"model takes some of {network.input_shape[1:]}.",
                )
        check_logits(discriminator=logits)
        require(
            min(feature_weight, adversarial_weight) >= 0,
            f"Weights of losses must be at least 0; got {feature_weight} for the "
            f"features and {adversarial_weight} for the discriminator.",
        )
        require(
            min(pixel_weight, consistency_weight, penalty_weight, warmup) >= 0,
            f"Weights of losses must be at least 0; got {pixel_weight} for the pixels, "
            f"{consistency_weight} for consistency, {penalty_weight} for the penalty, "
            f"and a warm-up of {warmup} steps.",
        )
        self.discriminator = discriminator
        self.features = features
        self.feature_weight = feature_weight
        self.adversarial_weight = adversarial_weight
        self.pixel_weight = pixel_weight
        self.consistency_weight = consistency_weight
        self.penalty_weight = penalty_weight
        self.warmup = warmup

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
            losses, accuracy = self.compare(images, restored, damaged)
            pixel_loss = tf.reduce_mean(self.pixel_loss(images, restored))
            loss = finite(self.weigh(pixel_loss, losses))
            d_loss = losses["discriminator_loss"]
            d_loss = finite(d_loss + self.penalty_weight * losses["penalty"])
            scaled_loss = self.scaled(loss, self.optimizer)
            scaled_d_loss = self.scaled(d_loss, self.discriminator_optimizer)

        variables = self.network.trainable_variables
        d_variables = self.discriminator.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        d_gradients = tape.gradient(scaled_d_loss, d_variables)
        self.optimizer.apply(gradients, variables)
        self.discriminator_optimizer.apply(d_gradients, d_variables)
        self.average_weights()
        psnr = batch_psnr(images, restored)
        return self.track(loss=loss, psnr=psnr, accuracy=accuracy, **losses)

    def compare(self, images, restored, damaged):
        """The losses by name, and in how many pairs the clean image looks more real."""
        smooth = enlarge(damaged["image"], images)
        real, real_maps = self.judge(images, smooth)
        fake, fake_maps = self.judge(restored, smooth)
        differences = list(map(mean_difference, fake_maps, real_maps))
        small, again = (shrink(x, damaged["image"]) for x in (images, restored))
        losses = {
            "consistency_loss": mean_difference(again, small),
            "feature_loss": tf.reduce_mean(differences or [0.0]),
            "adversarial_loss": adversarial_loss(real, fake),
            "discriminator_loss": discriminator_loss(real, fake),
            "penalty": self.find_steepness(images, smooth, real)
            + self.find_steepness(restored, smooth, fake),
        }
        return losses, tf.reduce_mean(tf.cast(real > fake, tf.float32))

    def judge(self, images, smooth):
        """The discriminator's logits, and the maps or features to be shared."""
        if self.discriminator.input_shape[-1] > images.shape[-1]:
            seen = 4 * tf.concat([images - smooth, smooth - 0.5], axis=-1)
        else:
            seen = images
        logits, *maps = tf.nest.flatten(self.discriminator(seen, training=True))
        if self.features is not None:
            maps = [self.features(images)]
        return logits, maps

    def find_steepness(self, images, smooth, logits, sigma=0.03):
        """How much logits change where noise is added: with many steps, in proportion
        to the squared gradient, which costs more."""
        noise = tf.random.stateless_normal(tf.shape(images), self.next_seed())
        noisy = tf.stop_gradient(images) + sigma * noise
        change = tf.cast(self.judge(noisy, smooth)[0] - logits, tf.float32)
        return tf.reduce_mean(tf.square(change))

    def weigh(self, pixel_loss, losses):
        """The loss of the network: of the pixels alone, later the weighted sum."""
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        share = (steps + 1 - self.warmup) / max(self.warmup, 1)
        share = tf.clip_by_value(share, 0.0, 1.0)
        others = (
            self.consistency_weight * losses["consistency_loss"]
            + self.feature_weight * losses["feature_loss"]
            + self.adversarial_weight * losses["adversarial_loss"]
        )
        weight = 1 - (1 - self.pixel_weight) * share
        return weight * pixel_loss + share * others


def shrink(images, small):
    """As `tfgen.downsample` does, to the size of small images, also images that
    overshoot [0, 1]."""
    size = tf.shape(small)[1:3]
    return tf.image.resize(images, size, "bicubic", antialias=True)
