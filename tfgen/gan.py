"""Generative adversarial networks: two networks, their losses, one training step.

Goodfellow et al., "Generative Adversarial Networks", 2014 (arXiv:1406.2661);
the convolutional networks follow Radford, Metz and Chintala, "Unsupervised
Representation Learning with Deep Convolutional GANs", 2015 (arXiv:1511.06434).
To use it elsewhere, copy this file with `model.py`, `checks.py` and
`saving.py` beside it.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .checks import (
    check_counts,
    check_logits,
    check_seed,
    check_single,
    check_sizes,
    class_counts,
    finite,
    fits,
    output_range,
    require,
)
from .model import ImageModel, copy_of, in_float32, usual_settings

# --- The networks -----------------------------------------------------------


@usual_settings()
def build_generator(image_shape=(32, 32, 1), latent_dim=64, width=48, classes=()):
    """Build the network that turns latent vectors into images.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels). If the longer side has up to 16 pixels, both must
        be even; up to 32, multiples of 4; up to 64, multiples of 8; and so on.
    latent_dim : int
        Length of a latent vector.
    width : int
        Filters of the last hidden layer; each layer before it has twice as
        many, up to ``8 * width``.
    classes : int or tuple of int
        How many values each label has, for a conditional `GAN`: 26 for letters,
        (26, 21) for letters and typefaces.

    Returns
    -------
    keras.Sequential
        Maps (n, latent_dim + sum(classes)), a vector drawn from a standard normal
        distribution and the one-hot labels, to (n, height, width, channels) float32
        in [0, 1].

    Raises
    ------
    ValueError
        If the networks cannot make this size; the message names the nearest
        sizes that work.
    """
    halvings = check_sizes(image_shape, latent_dim=latent_dim, width=width)
    height, columns = (side // 2**halvings for side in image_shape[:2])
    *hidden, first = (width * min(2**level, 8) for level in range(halvings))
    inputs = latent_dim + sum(class_counts(classes))
    network = keras.Sequential([layers.Input((inputs,))], name="generator")
    network.add(layers.Dense(height * columns * first, use_bias=False))
    network.add(layers.Reshape((height, columns, first)))
    for filters in (*reversed(hidden), image_shape[2]):
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.Conv2DTranspose(filters, 4, strides=2, padding="same"))
    network.add(layers.Activation("tanh", dtype="float32"))
    network.add(layers.Rescaling(0.5, offset=0.5, dtype="float32"))  # to [0, 1]
    return network


@usual_settings()
def build_discriminator(
    image_shape=(32, 32, 1), width=32, classes=(), normalization="batch"
):
    """Build the network that tells real images from generated ones.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), with the same limits as `build_generator`.
    width : int
        Filters of the first layer; each following layer has twice as many, up
        to ``8 * width``.
    classes : int or tuple of int
        As in `build_generator`.
    normalization : {"batch", "layer", None}
        What follows the convolutions but the first. Losses with a penalty need one
        that treats each image by itself: "layer" (over all of an image) or None.

    Returns
    -------
    keras.Sequential
        Maps images, (n, height, width, channels) float32 in [0, 1], to logits
        float32: above 0 means "real", below 0 "generated". One for each image, (n,
        1), or with `classes` one for each value of each label, (n, sum(classes));
        the `GAN` adds up those of the labels that the image is said to have, as in
        the projection discriminator (Miyato and Koyama, 2018, arXiv:1802.05637).

    Raises
    ------
    ValueError
        If the networks cannot take this size; the message names the nearest
        sizes that work.
    """
    require(
        normalization in ("batch", "layer", None),
        f"normalization is 'batch', 'layer' or None; got {normalization!r}.",
    )
    halvings = check_sizes(image_shape, width=width)
    network = keras.Sequential([layers.Input(image_shape)], name="discriminator")
    network.add(layers.Rescaling(2.0, offset=-1.0))  # [0, 1] to [-1, 1]
    for level in range(halvings + 1):  # one more than the generator doubles
        filters = width * min(2**level, 8)
        network.add(
            layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)
        )
        if level > 0 and normalization == "batch":
            network.add(layers.BatchNormalization(momentum=0.9))
        elif level > 0 and normalization == "layer":
            network.add(layers.GroupNormalization(groups=1))
        network.add(layers.LeakyReLU(negative_slope=0.2))
    network.add(layers.Flatten())
    network.add(layers.Dense(sum(class_counts(classes)) or 1, dtype="float32"))
    return network


# --- The losses -------------------------------------------------------------


@in_float32
def discriminator_loss(real_output, fake_output):
    """Cross-entropy of the discriminator; 2 ln 2 where it cannot tell.

    Parameters
    ----------
    real_output, fake_output : tensor, (n, 1)
        Logits for real and for generated images.

    Returns
    -------
    tensor, scalar
        ``-E[log D(x)] - E[log(1 - D(G(z)))]`` in nats, with D the sigmoid of
        the logit (arXiv:1406.2661, equation 1).
    """
    real_loss = tf.reduce_mean(tf.nn.softplus(-real_output))  # -log D(x)
    fake_loss = tf.reduce_mean(tf.nn.softplus(fake_output))  # -log(1 - D(G(z)))
    return real_loss + fake_loss


@in_float32
def minimax_generator_loss(fake_output):
    """The generator's side of the minimax game: ``E[log(1 - D(G(z)))]``.

    Its gradient vanishes where the discriminator is sure, as it is once it gets
    ahead; see `non_saturating_generator_loss`.
    """
    return -tf.reduce_mean(tf.nn.softplus(fake_output))


@in_float32
def non_saturating_generator_loss(fake_output):
    """The generator's loss used in practice: ``-E[log D(G(z))]``.

    Same fixed point as `minimax_generator_loss`, but its gradient is largest
    where the discriminator is sure (arXiv:1406.2661, section 3).
    """
    return tf.reduce_mean(tf.nn.softplus(-fake_output))


@in_float32
def least_squares_discriminator_loss(real_output, fake_output):
    """``E[(D(x) - 1)^2] / 2 + E[D(G(z))^2] / 2``, where D is the output itself
    (Mao et al., "Least squares GAN", 2016, arXiv:1611.04076, equation 9)."""
    real_loss = tf.reduce_mean(tf.square(real_output - 1))
    return (real_loss + tf.reduce_mean(tf.square(fake_output))) / 2


@in_float32
def least_squares_generator_loss(fake_output):
    """``E[(D(G(z)) - 1)^2] / 2`` (arXiv:1611.04076, equation 9)."""
    return tf.reduce_mean(tf.square(fake_output - 1)) / 2


@in_float32
def hinge_discriminator_loss(real_output, fake_output):
    """``E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]``: outputs beyond -1 and 1 are
    good enough (Lim and Ye, "Geometric GAN", 2017, arXiv:1705.02894)."""
    real_loss = tf.reduce_mean(tf.nn.relu(1 - real_output))
    return real_loss + tf.reduce_mean(tf.nn.relu(1 + fake_output))


@in_float32
def wasserstein_discriminator_loss(real_output, fake_output):
    """``E[D(G(z))] - E[D(x)]``: with a D of slope at most 1, minus the distance of
    the two distributions (Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875)."""
    return tf.reduce_mean(fake_output) - tf.reduce_mean(real_output)


@in_float32
def wasserstein_generator_loss(fake_output):
    """``-E[D(G(z))]``, which the hinge loss uses too."""
    return -tf.reduce_mean(fake_output)


@in_float32
def relativistic_discriminator_loss(real_output, fake_output):
    """``E[log(1 + exp(D(G(z)) - D(x)))]`` over pairs of a real and a generated image;
    ln 2 where it cannot tell (Jolicoeur-Martineau, "The relativistic
    discriminator", 2018, arXiv:1807.00734)."""
    return tf.reduce_mean(tf.nn.softplus(fake_output - real_output))


@in_float32
def relativistic_generator_loss(real_output, fake_output):
    """``E[log(1 + exp(D(x) - D(G(z))))]``: each generated image shall look more real
    than the real one of its pair (arXiv:1807.00734)."""
    return tf.reduce_mean(tf.nn.softplus(real_output - fake_output))


@in_float32
def gradient_penalty(judge, real_images, fake_images, alpha):
    """``E[(|grad D(x')| - 1)^2]`` at points x' between real and generated images.

    Keeps the slope of the discriminator near 1 (Gulrajani et al., 2017,
    arXiv:1704.00028, whose weight is 10).

    Parameters
    ----------
    judge : callable
        Maps images to the discriminator's output, (n, 1).
    real_images, fake_images : tensor, (n, height, width, channels)
    alpha : tensor, (n, 1, 1, 1)
        Where between the two each point lies, drawn *uniformly* from [0, 1).
    """
    between = real_images + alpha * (fake_images - real_images)
    return tf.reduce_mean(tf.square(tf.sqrt(_slopes(judge, between) + 1e-12) - 1))


@in_float32
def r1_penalty(judge, real_images, fake_images, alpha):
    """``E[|grad D(x)|^2] / 2`` at real images; takes what `gradient_penalty` takes.

    Keeps the discriminator flat around the data (Mescheder, Geiger and Nowozin,
    2018, arXiv:1801.04406, equation 9).
    """
    return tf.reduce_mean(_slopes(judge, real_images)) / 2


@in_float32
def r1_r2_penalty(judge, real_images, fake_images, alpha):
    """`r1_penalty` at the real images plus the same, R2, at the generated ones.

    With the relativistic losses this makes R3GAN (Huang et al., "The GAN is dead;
    long live the GAN!", 2025, arXiv:2501.05441).
    """
    r2 = tf.reduce_mean(_slopes(judge, fake_images)) / 2
    return r1_penalty(judge, real_images, fake_images, alpha) + r2


def _slopes(judge, images):
    """Squared length of the gradient of the output at each image, (n,)."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = judge(images)
    gradient = tf.cast(tape.gradient(output, images), tf.float32)
    return tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3))


# name: the loss of the discriminator, the loss of the generator
LOSSES = {
    "minimax": (discriminator_loss, minimax_generator_loss),
    "non_saturating": (discriminator_loss, non_saturating_generator_loss),
    "least_squares": (least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": (hinge_discriminator_loss, wasserstein_generator_loss),
    "wasserstein": (wasserstein_discriminator_loss, wasserstein_generator_loss),
    "r1": (discriminator_loss, non_saturating_generator_loss),
    "r3gan": (relativistic_discriminator_loss, relativistic_generator_loss),
}
# of those that have one: the penalty and its weight
PENALTIES = {
    "wasserstein": (gradient_penalty, 10.0),
    "r1": (r1_penalty, 1.0),
    "r3gan": (r1_r2_penalty, 1.0),
}


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class GAN(ImageModel):
    """A generator and a discriminator that train each other.

    Parameters
    ----------
    generator : keras.Model
        Maps latent vectors (n, latent_dim + sum(classes)) to images in [0, 1].
    discriminator : keras.Model
        Maps such images to logits (n, 1), or (n, sum(classes)) with `classes`:
        numbers of any sign and size, with every loss.
    loss : str
        ``"non_saturating"``, ``"minimax"``, ``"least_squares"``, ``"hinge"``,
        ``"wasserstein"`` (with the gradient penalty), ``"r1"`` (non-saturating with
        the R1 penalty) or ``"r3gan"`` (relativistic, with R1 and R2): a name in
        `LOSSES`.
    classes : int or tuple of int
        How many values each label has, if the images have labels and samples are
        to be drawn by label; both networks are built with the same.
    n_critic : int
        Steps of the discriminator for each step of the generator.
    penalty_weight : float, optional
        Weight of the penalty, if the loss has one; by default 10 for "wasserstein",
        1 for "r1" and "r3gan".
    average_decay : float
        Decay of the running average of the generator's weights, in [0, 1),
        shorter in the first steps t: at most ``t / (10 + t)``. The averaged
        generator is the one that draws samples; 0 turns the averaging off
        (Yazici et al., arXiv:1806.04498).
    seed : int, optional
        Seed of the latent vectors used in training. Without it, Keras' global
        seed decides (`keras.utils.set_random_seed`).

    Raises
    ------
    ValueError
        If the two networks do not fit together, their last activation does not fit,
        or a parameter is out of range.

    Notes
    -----
    Train with ``fit(images)``, where ``images`` is an array or a
    `tf.data.Dataset` of float32 images in [0, 1], without labels; with `classes`,
    with ``fit(images, labels)`` or a dataset of such pairs, labels being integers of
    shape (n,), or (n, k) for k of them. `fit` raises ValueError for images of
    another shape, type or range, or labels out of range, and FloatingPointError if
    a loss stops being finite; the step at fault changes no weight.

    Metrics: both losses, with cross-entropies in nats, without the penalty; and the
    shares of real and of generated images that the discriminator judges rightly,
    the sign of its output being the judgement (without meaning for "wasserstein" and
    "r3gan", where only differences count). Two accuracies near 1 mean a
    discriminator that wins; near 0.5, one that cannot tell.
    """

    metric_names = (
        "discriminator_loss",
        "generator_loss",
        "real_accuracy",
        "fake_accuracy",
    )
    averaged = ("generator",)

    def __init__(
        self,
        generator,
        discriminator,
        loss="non_saturating",
        average_decay=0.99,
        seed=None,
        classes=(),
        n_critic=1,
        penalty_weight=None,
        **kwargs,
    ):
        classes = class_counts(classes)
        check_networks(generator, discriminator, sum(classes))
        check_options(loss, discriminator, n_critic, penalty_weight)
        image_shape = generator.output_shape[1:]
        super().__init__(image_shape, classes, average_decay, seed, **kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.averaged_generator = copy_of(generator)
        self.loss_name = loss
        self.n_critic = n_critic
        self.penalty, weight = PENALTIES.get(loss, (None, None))
        self.penalty_weight = weight if penalty_weight is None else penalty_weight
        self.latent_dim = generator.input_shape[-1] - sum(classes)

    def get_config(self):  # `loss` itself is Keras' own
        return {**super().get_config(), "loss": self.loss_name}

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Choose the optimizers; everything has a default.

        Parameters
        ----------
        generator_optimizer, discriminator_optimizer : keras.optimizers.Optimizer
            Default: Adam with ``beta_1=0.5`` and a learning rate of 2e-3 for
            the generator and 5e-4 for the discriminator. Callbacks such as
            `keras.callbacks.LearningRateScheduler` are given the generator's rate;
            the discriminator's keeps its proportion to it.
        **kwargs
            Passed to `keras.Model.compile`. With ``jit_compile=True`` XLA leaves out
            the checks of values: see `ImageModel.compile`.

        Raises
        ------
        ValueError
            For ``n_critic`` above 1 on several devices.
        """
        require(
            self.n_critic == 1 or self.distribute_strategy.num_replicas_in_sync == 1,
            f"n_critic={self.n_critic} works on one device only: under a strategy of "
            "several, choose a loss that trains with n_critic=1.",
        )
        self.generator_optimizer = self.prepare(
            generator_optimizer or keras.optimizers.Adam(2e-3, beta_1=0.5),
            self.generator,
        )
        self.discriminator_optimizer = self.prepare(
            discriminator_optimizer or keras.optimizers.Adam(5e-4, beta_1=0.5),
            self.discriminator,
        )
        super().compile(self.generator_optimizer, **kwargs)

    def train_step(self, data):
        real_images, labels = self.check_batch(data)
        latents = self.draw_latents(tf.shape(real_images)[0], labels, self.next_seed())

        # One pass through the generator serves both players.
        with tf.GradientTape(persistent=True) as tape:
            fake_images = self.generator(latents, training=True)
            real_output = self.judge(real_images, labels, training=True)
            fake_output = self.judge(fake_images, labels, training=True)
            penalty = self.penalty_of(real_images, fake_images, labels)
            d_loss, g_loss = self.losses_of(real_output, fake_output, penalty)
            scaled_d_loss = self.scaled(d_loss, self.discriminator_optimizer)
            scaled_g_loss = self.scaled(g_loss, self.generator_optimizer)

        def update_generator():
            g_variables = self.generator.trainable_variables
            g_gradients = tape.gradient(scaled_g_loss, g_variables)
            self.generator_optimizer.apply(g_gradients, g_variables)
            self.average_weights()

        d_variables = self.discriminator.trainable_variables
        d_gradients = tape.gradient(scaled_d_loss, d_variables)
        step = self.discriminator_optimizer.iterations + 1
        self.discriminator_optimizer.apply(d_gradients, d_variables)
        if self.n_critic == 1:
            update_generator()
        else:
            tf.cond(step % self.n_critic == 0, update_generator, lambda: None)
        return self.track(d_loss - penalty, g_loss, real_output, fake_output)

    def test_step(self, data):
        real_images, labels = self.check_batch(data)
        # A fixed seed: equal weights and images give equal figures.
        latents = self.draw_latents(tf.shape(real_images)[0], labels, seed=(0, 0))
        fake_output = self.judge(self(latents), labels)
        real_output = self.judge(real_images, labels)
        d_loss, g_loss = self.losses_of(real_output, fake_output)
        return self.track(d_loss, g_loss, real_output, fake_output)

    def draw_latents(self, count, labels, seed):
        """Inputs of the generator: standard normal vectors, then one-hot labels."""
        latents = tf.random.stateless_normal((count, self.latent_dim), seed)
        return tf.concat([latents, *self.one_hot(labels)], axis=-1)

    def one_hot(self, labels):
        """A list with one matrix for each label: labels (n, k) to k of (n, size)."""
        return [tf.one_hot(labels[:, i], size) for i, size in enumerate(self.classes)]

    def judge(self, images, labels, training=False):
        """The discriminator's output for images that have these labels, (n, 1)."""
        output = tf.cast(self.discriminator(images, training=training), tf.float32)
        if not self.classes:
            return output
        chosen = tf.concat(self.one_hot(labels), axis=-1)
        return tf.reduce_sum(output * chosen, axis=-1, keepdims=True)

    def losses_of(self, real_output, fake_output, penalty=0.0):
        """Both losses from the outputs; an error if either is not finite."""
        discriminator_loss, generator_loss = LOSSES[self.loss_name]
        d_loss = discriminator_loss(real_output, fake_output) + penalty
        if self.loss_name == "r3gan":  # its generator too is asked about pairs
            g_loss = generator_loss(real_output, fake_output)
        else:
            g_loss = generator_loss(fake_output)
        return tf.unstack(finite(tf.stack([d_loss, g_loss])))

    def penalty_of(self, real_images, fake_images, labels):
        """The weighted penalty of the loss; 0 for a loss without."""
        if self.penalty is None:
            return 0.0
        count = tf.shape(real_images)[0]
        alpha = tf.random.stateless_uniform((count, 1, 1, 1), self.next_seed())

        def judge(images):
            return self.judge(images, labels, training=True)

        penalty = self.penalty(judge, real_images, fake_images, alpha)
        return self.penalty_weight * penalty

    def track(self, d_loss, g_loss, real_output, fake_output):
        """Add one batch to the metrics and return their running means."""
        return super().track(
            discriminator_loss=d_loss,
            generator_loss=g_loss,
            real_accuracy=tf.cast(real_output > 0, tf.float32),
            fake_accuracy=tf.cast(fake_output < 0, tf.float32),
        )

    def call(self, latents, training=False):
        """Images in [0, 1] for latent vectors (n, latent_dim + sum(classes)), by
        the averaged generator."""
        return self.averaged_generator(latents, training=training)

    def check_inputs(self, latents):
        length = self.latent_dim + sum(self.classes)
        shape = getattr(latents, "shape", None)
        require(
            shape is not None and fits(shape, None, length),
            f"The generator takes latent vectors of shape (n, {length}); got "
            f"{shape or type(latents).__name__}.",
        )

    def sample(self, count=None, seed=None, labels=None, averaged=True):
        """Draw images.

        Parameters
        ----------
        count : int
            How many, at least 1; with `labels` as many as there are labels.
        seed : int, optional
            Equal seeds draw the same latent vectors. Without it, Keras' seed decides.
        labels : array of int, optional
            What to draw, if the GAN has `classes`: (n,), or (n, k) for k labels.
            Without it each label is drawn uniformly.
        averaged : bool
            Whether the averaged generator draws, or the one in training.

        Returns
        -------
        numpy.ndarray
            (count, height, width, channels) float32 in [0, 1].

        Raises
        ------
        ValueError
            If count is not a positive integer, or labels do not fit.
        """
        if labels is not None:
            require(self.classes, "This GAN knows no labels: build it with classes=...")
            self.check_labels_form(np.asarray(labels))
            with self.plain_errors():
                labels = self.check_labels(labels)
            count = len(labels) if count is None else count
        check_counts(count=count)
        seed = check_seed(seed)
        seed = int(keras.random.randint((), 0, 2**31 - 1)) if seed is None else seed
        if labels is None:
            random = np.random.default_rng(seed)
            labels = random.integers(self.classes, size=(count, len(self.classes)))
        require(
            len(labels) == count,
            f"{count} images need as many labels; got {len(labels)}.",
        )
        latents = self.draw_latents(count, labels, (seed, 0))
        network = self.averaged_generator if averaged else self.generator
        images = network.predict(latents, batch_size=256, verbose=0)
        return images.astype(np.float32, copy=False)


# --- Checks -----------------------------------------------------------------


def check_networks(generator, discriminator, labels):
    """ValueError unless the two networks fit together and the one-hot labels."""
    check_single(generator=generator, discriminator=discriminator)
    length = generator.input_shape[-1]
    require(
        len(generator.input_shape) == 2 and length and length > labels,
        "The generator must take latent vectors of shape (n, latent_dim"
        f"{f' + {labels} for the one-hot labels' if labels else ''}); it takes "
        f"{generator.input_shape}. Build it and the GAN with the same classes.",
    )
    made, judged = generator.output_shape[1:], discriminator.input_shape[1:]
    require(
        len(made) == 3 and None not in made,
        f"The generator must make images of one shape, (height, width, channels); it "
        f"makes {made}. End it in a Reshape.",
    )
    require(
        fits(judged, *made),
        f"The generator makes images of shape {made}, but the discriminator judges "
        f"images of shape {judged}. Build both with one image_shape.",
    )
    require(
        discriminator.output_shape[1:] == (labels or 1,),
        f"The discriminator must give {labels or 1} logit per image, shape (n, "
        f"{labels or 1}), one for each value of a label if there are classes; it ends "
        f"in {discriminator.output_shape}. Build it and the GAN with the same classes, "
        "or end it in Flatten and Dense.",
    )
    low, high = output_range(generator)
    require(
        not (low < -1e-3 or high > 1 + 1e-3),
        "The generator must make images in [0, 1], but with some weights it made "
        f"{low:.3g} to {high:.3g}. End it in a sigmoid, or a tanh and "
        "Rescaling(0.5, offset=0.5).",
    )
    check_logits(discriminator=discriminator)


def check_options(loss, discriminator, n_critic, penalty_weight):
    """ValueError for options that are unknown, out of range or at odds."""
    require(loss in LOSSES, f"Unknown loss {loss!r}; choose from {sorted(LOSSES)}.")
    check_counts(n_critic=n_critic)
    require(
        penalty_weight is None or loss in PENALTIES and penalty_weight >= 0,
        f"penalty_weight={penalty_weight} must be at least 0, and the loss one of "
        f"{sorted(PENALTIES)}; it is {loss!r}.",
    )
    mixes = any(
        isinstance(layer, layers.BatchNormalization) and layer.trainable
        for layer in discriminator._flatten_layers()  # at whatever depth
    )
    require(
        loss not in PENALTIES or not mixes,
        f"The penalty of {loss!r} is on the slope at each image by itself, but batch "
        "normalisation makes an output depend on the whole batch. Build the "
        'discriminator with normalization="layer" or None.',
    )
