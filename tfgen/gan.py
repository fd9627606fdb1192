"""Generative adversarial networks: two networks, their losses, one training step.

Goodfellow et al., "Generative Adversarial Networks", 2014 (arXiv:1406.2661);
the convolutional networks follow Radford, Metz and Chintala, "Unsupervised
Representation Learning with Deep Convolutional GANs", 2015 (arXiv:1511.06434).
The file needs Keras 3 on TensorFlow and nothing else: copy it whole.
"""

import contextlib
import re
import weakref

import keras
import numpy as np
import tensorflow as tf
from keras import layers

# --- The networks -----------------------------------------------------------


def _halvings(height, width):
    """How often both sides are halved to leave at most 8 pixels; None if they
    cannot be."""
    count = 1
    while max(height, width) > 8 * 2**count:
        count += 1
    unit = 2**count
    return None if min(height, width) < 4 or height % unit or width % unit else count


def check_sizes(image_shape, **others):
    """The number of halvings, or ValueError for a size that cannot be built."""
    sizes = (*image_shape, *others.values()) if np.ndim(image_shape) == 1 else ()
    if len(sizes) != 3 + len(others) or any(int(s) != s or s < 1 for s in sizes):
        raise ValueError(
            f"image_shape must be (height, width, channels), such as (32, 32, 1), and "
            f"all sizes at least 1; got image_shape={image_shape}, {others}."
        )
    height, width, _ = image_shape
    if count := _halvings(height, width):
        return count
    candidates = {
        (h + up, w + right)
        for unit in (2**k for k in range(1, 14))
        for h, w in [(height // unit * unit, width // unit * unit)]
        for up in (0, unit)
        for right in (0, unit)
        if _halvings(h + up, w + right)
    }
    if height == width:
        candidates = {size for size in candidates if size[0] == size[1]}
    nearest = sorted(
        candidates, key=lambda size: abs(size[0] - height) + abs(size[1] - width)
    )
    raise ValueError(
        f"The networks halve both sides of an image until at most 8 pixels are left, "
        f"and {height}x{width} does not come out even. The nearest sizes that work "
        f"are {nearest[0][0]}x{nearest[0][1]} and {nearest[1][0]}x{nearest[1][1]}."
    )


def build_generator(image_shape=(32, 32, 1), latent_dim=64, width=48, classes=()):
    """Build the network that turns latent vectors into images.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels). Sides up to 16 must be even, up to 32
        multiples of 4, up to 64 multiples of 8, and so on.
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
    inputs = latent_dim + sum(label_sizes(classes))
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
    if normalization not in ("batch", "layer", None):
        raise ValueError(
            f"normalization is 'batch', 'layer' or None; got {normalization!r}."
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
    network.add(layers.Dense(sum(label_sizes(classes)) or 1, dtype="float32"))
    return network


def label_sizes(classes):
    """How many values each label has, as a tuple; ValueError for fewer than 2."""
    sizes = (classes,) if np.ndim(classes) == 0 else tuple(classes)
    if any(isinstance(s, bool) or int(s) != s or s < 2 for s in sizes):
        raise ValueError(
            "classes is the number of values of the label, at least 2, or a tuple of "
            f"such numbers; got {classes!r}."
        )
    return sizes


# --- The losses -------------------------------------------------------------


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


def minimax_generator_loss(fake_output):
    """The generator's side of the minimax game: ``E[log(1 - D(G(z)))]``.

    Its gradient vanishes where the discriminator is sure, which is how
    training starts; see `non_saturating_generator_loss`.
    """
    return -tf.reduce_mean(tf.nn.softplus(fake_output))


def non_saturating_generator_loss(fake_output):
    """The generator's loss used in practice: ``-E[log D(G(z))]``.

    Same fixed point as `minimax_generator_loss`, but its gradient is largest
    where the discriminator is sure (arXiv:1406.2661, section 3).
    """
    return tf.reduce_mean(tf.nn.softplus(-fake_output))


def least_squares_discriminator_loss(real_output, fake_output):
    """``E[(D(x) - 1)^2] / 2 + E[D(G(z))^2] / 2``, where D is the output itself
    (Mao et al., "Least squares GAN", 2016, arXiv:1611.04076, equation 9)."""
    real_loss = tf.reduce_mean(tf.square(real_output - 1))
    return (real_loss + tf.reduce_mean(tf.square(fake_output))) / 2


def least_squares_generator_loss(fake_output):
    """``E[(D(G(z)) - 1)^2] / 2`` (arXiv:1611.04076, equation 9)."""
    return tf.reduce_mean(tf.square(fake_output - 1)) / 2


def hinge_discriminator_loss(real_output, fake_output):
    """``E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]``: outputs beyond -1 and 1 are
    good enough (Lim and Ye, "Geometric GAN", 2017, arXiv:1705.02894)."""
    real_loss = tf.reduce_mean(tf.nn.relu(1 - real_output))
    return real_loss + tf.reduce_mean(tf.nn.relu(1 + fake_output))


def wasserstein_discriminator_loss(real_output, fake_output):
    """``E[D(G(z))] - E[D(x)]``: with a D of slope at most 1, minus the distance of
    the two distributions (Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875)."""
    return tf.reduce_mean(fake_output) - tf.reduce_mean(real_output)


def wasserstein_generator_loss(fake_output):
    """``-E[D(G(z))]``, which the hinge loss uses too."""
    return -tf.reduce_mean(fake_output)


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


def r1_penalty(judge, real_images, fake_images, alpha):
    """``E[|grad D(x)|^2] / 2`` at real images; takes what `gradient_penalty` takes.

    Keeps the discriminator flat around the data (Mescheder, Geiger and Nowozin,
    2018, arXiv:1801.04406, equation 9).
    """
    return tf.reduce_mean(_slopes(judge, real_images)) / 2


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
}
# of those that have one: the penalty and its weight
PENALTIES = {"wasserstein": (gradient_penalty, 10.0), "r1": (r1_penalty, 1.0)}


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    Parameters
    ----------
    generator : keras.Model
        Maps latent vectors (n, latent_dim + sum(classes)) to images in [0, 1].
    discriminator : keras.Model
        Maps such images to logits (n, 1), or (n, sum(classes)) with `classes`.
    loss : str
        ``"non_saturating"``, ``"minimax"``, ``"least_squares"``, ``"hinge"``,
        ``"wasserstein"`` (with the gradient penalty) or ``"r1"`` (non-saturating
        with the R1 penalty): a name in `LOSSES`.
    classes : int or tuple of int
        How many values each label has, if the images have labels and samples are
        to be drawn by label; both networks are built with the same.
    n_critic : int
        Steps of the discriminator for each step of the generator.
    penalty_weight : float, optional
        Weight of the penalty, if the loss has one; by default 10 for "wasserstein"
        and 1 for "r1".
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
        If the two networks do not fit together, or a parameter is out of range.

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
    the sign of its output being the judgement (without meaning for
    "wasserstein", where only differences count). Two accuracies near 1 mean a
    discriminator that wins; near 0.5, one that cannot tell.
    """

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
        super().__init__(**kwargs)
        self.classes = label_sizes(classes)
        _check_networks(generator, discriminator, sum(self.classes))
        _check_options(loss, discriminator, average_decay, n_critic, penalty_weight)
        self.generator = generator
        self.discriminator = discriminator
        self.loss_name = loss
        self.n_critic = n_critic
        self.penalty, default_weight = PENALTIES.get(loss, (None, None))
        self.penalty_weight = (
            default_weight if penalty_weight is None else penalty_weight
        )
        self.average_decay = average_decay
        self.seed = seed
        self.averaged_generator = keras.models.clone_model(generator)
        self.averaged_generator.set_weights(generator.get_weights())
        self.averaged_generator.trainable = False
        self.latent_dim = generator.input_shape[-1] - sum(self.classes)
        self.image_shape = tuple(generator.output_shape[1:])
        self.noise = keras.random.SeedGenerator(seed)
        self.step_metrics = {
            name: keras.metrics.Mean(name)
            for name in (
                "discriminator_loss",
                "generator_loss",
                "real_accuracy",
                "fake_accuracy",
            )
        }
        self.built = True

    @property
    def metrics(self):
        return list(self.step_metrics.values())

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Choose the optimizers; everything has a default.

        Parameters
        ----------
        generator_optimizer, discriminator_optimizer : keras.optimizers.Optimizer
            Default: Adam with ``beta_1=0.5`` and a learning rate of 2e-3 for
            the generator and 5e-4 for the discriminator.
        **kwargs
            Passed to `keras.Model.compile`. XLA is off by default: it drops
            the checks for values out of range.
        """
        super().compile(optimizer=None, **{"jit_compile": False, **kwargs})
        self.generator_optimizer = _ready(
            generator_optimizer or keras.optimizers.Adam(2e-3, beta_1=0.5),
            self.generator,
        )
        self.discriminator_optimizer = _ready(
            discriminator_optimizer or keras.optimizers.Adam(5e-4, beta_1=0.5),
            self.discriminator,
        )

    def train_step(self, data):
        real_images, labels = self.check_images(data)
        latents = self.draw_latents(tf.shape(real_images)[0], labels, self.noise)

        # One pass through the generator serves both players.
        with tf.GradientTape(persistent=True) as tape:
            fake_images = self.generator(latents, training=True)
            real_output = self.judge(real_images, labels, training=True)
            fake_output = self.judge(fake_images, labels, training=True)
            penalty = self.penalty_of(real_images, fake_images, labels)
            d_loss, g_loss = self.losses_of(real_output, fake_output, penalty)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(d_loss)
            scaled_g_loss = self.generator_optimizer.scale_loss(g_loss)

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
        real_images, labels = self.check_images(data)
        # A fixed seed: equal weights and images give equal figures.
        latents = self.draw_latents(tf.shape(real_images)[0], labels, seed=0)
        fake_output = self.judge(self(latents), labels)
        real_output = self.judge(real_images, labels)
        d_loss, g_loss = self.losses_of(real_output, fake_output)
        return self.track(d_loss, g_loss, real_output, fake_output)

    def draw_latents(self, count, labels, seed):
        """Inputs of the generator: standard normal vectors, then one-hot labels."""
        latents = keras.random.normal((count, self.latent_dim), seed=seed)
        return tf.concat([latents, *self.one_hot(labels)], axis=-1)

    def one_hot(self, labels):
        """A list with one matrix for each label: labels (n, k) to k of (n, size)."""
        return [tf.one_hot(labels[:, i], size) for i, size in enumerate(self.classes)]

    def judge(self, images, labels, training=False):
        """The discriminator's output for images that have these labels, (n, 1)."""
        output = self.discriminator(images, training=training)
        if not self.classes:
            return output
        chosen = tf.concat(self.one_hot(labels), axis=-1)
        return tf.reduce_sum(output * chosen, axis=-1, keepdims=True)

    def losses_of(self, real_output, fake_output, penalty=0.0):
        """Both losses from the outputs; an error if either is not finite."""
        discriminator_loss, generator_loss = LOSSES[self.loss_name]
        d_loss = discriminator_loss(real_output, fake_output) + penalty
        losses = tf.stack([d_loss, generator_loss(fake_output)])
        return tf.unstack(tf.debugging.check_numerics(losses, NOT_FINITE))

    def penalty_of(self, real_images, fake_images, labels):
        """The weighted penalty of the loss; 0 for a loss without."""
        if self.penalty is None:
            return 0.0
        count = tf.shape(real_images)[0]
        alpha = keras.random.uniform((count, 1, 1, 1), seed=self.noise)

        def judge(images):
            return self.judge(images, labels, training=True)

        penalty = self.penalty(judge, real_images, fake_images, alpha)
        return self.penalty_weight * penalty

    def average_weights(self):
        """Move the averaged generator a step towards the generator."""
        step = tf.cast(self.generator_optimizer.iterations, tf.float32)
        decay = tf.minimum(self.average_decay, step / (10 + step))  # short at first
        for average, weight in zip(
            self.averaged_generator.weights, self.generator.weights, strict=True
        ):
            average.assign_add((1 - decay) * (weight - average))

    def track(self, d_loss, g_loss, real_output, fake_output):
        """Add one batch to the metrics and return their running means."""
        for name, values in {
            "discriminator_loss": d_loss,
            "generator_loss": g_loss,
            "real_accuracy": tf.cast(real_output > 0, tf.float32),
            "fake_accuracy": tf.cast(fake_output < 0, tf.float32),
        }.items():
            self.step_metrics[name].update_state(values)
        return {name: metric.result() for name, metric in self.step_metrics.items()}

    def call(self, latents, training=False):
        """Images in [0, 1] for latent vectors (n, latent_dim + sum(classes)), by
        the averaged generator."""
        length = self.latent_dim + sum(self.classes)
        if latents.shape[-1] != length:
            raise ValueError(
                f"The generator takes latent vectors of shape (n, {length}); "
                f"got {tuple(latents.shape)}."
            )
        return self.averaged_generator(latents, training=training)

    def sample(self, count=None, seed=None, labels=None, averaged=True):
        """Draw images.

        Parameters
        ----------
        count : int
            How many, at least 1; with `labels` as many as there are labels.
        seed : int, optional
            Equal seeds draw the same latent vectors.
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
            labels = self._check_labels(np.asarray(labels))
            count = len(labels) if count is None else count
        is_integer = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if not is_integer or count < 1:
            raise ValueError(f"sample() draws 1 or more images; got count={count!r}.")
        if labels is None:
            random = np.random.default_rng(seed)
            labels = random.integers(self.classes, size=(count, len(self.classes)))
        if len(labels) != count:
            raise ValueError(f"{count} images need as many labels; got {len(labels)}.")
        latents = self.draw_latents(count, labels, seed)
        network = self.averaged_generator if averaged else self.generator
        return network.predict(latents, batch_size=256, verbose=0)

    def _check_labels(self, labels):
        """Labels of samples as (n, k), or ValueError."""
        if not self.classes:
            raise ValueError(
                "This GAN knows no labels: build it and both networks with classes=..."
            )
        self.check_labels_form(labels)
        labels = labels.reshape(-1, len(self.classes))
        if (labels < 0).any() or (labels >= self.classes).any():
            low, high = labels.min(axis=0), labels.max(axis=0)
            raise ValueError(NO_CLASS.format(self.classes, low, high))
        return labels

    def check_form(self, data):
        """Images and labels of a batch or of its description, or ValueError for a
        shape or a type that the networks cannot take."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if labels is not None and not self.classes:
            raise ValueError(
                "This GAN trains on images alone, but the data holds labels too. "
                "Drop them: dataset.map(lambda image, label: image)."
            )
        if not hasattr(images, "shape"):
            raise ValueError(
                f"A GAN trains on images, but the data is a {type(images).__name__}. "
                'Take the images out of it: dataset.map(lambda x: x["image"]).'
            )
        if not tf.TensorShape(images.shape).is_compatible_with(
            (None, *self.image_shape)
        ):
            raise ValueError(
                f"The networks are built for images of shape (n, "
                f"{', '.join(map(str, self.image_shape))}); got "
                f"{tuple(images.shape)}. Resize the images or build the networks "
                f"with their image_shape."
            )
        if not tf.as_dtype(images.dtype).is_floating:
            raise ValueError(
                f"Images must be float32 in [0, 1]; got "
                f"{tf.as_dtype(images.dtype).name}. Divide 8-bit images by 255."
            )
        if self.classes:
            self.check_labels_form(labels)
        return images, labels

    def check_labels_form(self, labels):
        """ValueError for labels of a type or shape that `classes` does not fit."""
        if labels is None:
            raise ValueError(
                f"This GAN has classes={self.classes} and needs labels beside the "
                "images: load_dataset(..., labels=True) or fit(images, labels)."
            )
        count, shape = len(self.classes), tf.TensorShape(labels.shape)
        fits = shape.is_compatible_with((None, count))
        if count == 1:
            fits = fits or shape.is_compatible_with((None,))
        if not (fits and tf.as_dtype(labels.dtype).is_integer):
            raise ValueError(
                f"With classes={self.classes}, labels are integers of shape "
                f"{'(n,)' if count == 1 else f'(n, {count})'}; got "
                f"{tf.as_dtype(labels.dtype).name} of shape {tuple(labels.shape)}."
            )

    def check_images(self, data):
        """Images and labels (n, k) of one batch, their form and range checked."""
        images, labels = self.check_form(data)
        low, high = tf.reduce_min(images), tf.reduce_max(images)
        checks = [
            tf.debugging.Assert(
                (low >= 0) & (high <= 1),
                [tf.strings.format(OUT_OF_RANGE, (low, high))],
            )
        ]
        if self.classes:
            labels = tf.reshape(labels, (-1, len(self.classes)))
            lowest, highest = tf.reduce_min(labels, 0), tf.reduce_max(labels, 0)
            classes = tf.constant(self.classes, labels.dtype)
            message = tf.strings.format(NO_CLASS, (classes, lowest, highest))
            in_range = tf.reduce_all((lowest >= 0) & (highest < classes))
            checks.append(tf.debugging.Assert(in_range, [message]))
        with tf.control_dependencies(checks):
            return tf.identity(images), labels

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
        if isinstance(x, tf.data.Dataset):
            callbacks.append(_DataOrder(x))
            kwargs.setdefault("shuffle", False)  # the dataset shuffles itself
        with self._plain_errors(x, y):
            return super().fit(x, y, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        with self._plain_errors(x, y):
            return super().evaluate(x, y, *args, **kwargs)

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": self.loss_name,
            "average_decay": self.average_decay,
            "seed": self.seed,
            "classes": self.classes,
            "n_critic": self.n_critic,
            "penalty_weight": self.penalty_weight,
        }

    @classmethod
    def from_config(cls, config):
        networks = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("generator_optimizer", "discriminator_optimizer")
        }

    def compile_from_config(self, config):
        self.compile(
            **{
                name: keras.saving.deserialize_keras_object(optimizer)
                for name, optimizer in config.items()
            }
        )

    @contextlib.contextmanager
    def _plain_errors(self, images, labels=None):
        """Check the form of arrays and datasets first, and replace TensorFlow's
        report of a failed check in the graph by the check's message."""
        if isinstance(images, tf.data.Dataset):
            self.check_form(images.element_spec)
            empty = images.cardinality() == 0
        elif isinstance(images, np.ndarray | tf.Tensor):
            self.check_form((images, labels))
            empty = len(images) == 0
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
            for message in (OUT_OF_RANGE, NO_CLASS):
                pattern = re.escape(message).replace(r"\{\}", ".*?")
                if found := re.search(pattern, text):
                    raise ValueError(found[0]) from None
            raise

    def _random_states(self):
        """The states of every random generator, dropout's included."""
        return [v for v in self.variables if v.name == "seed_generator_state"]

    def save_own_variables(self, store):
        # Keras does not save random states; a resumed run needs them.
        for index, state in enumerate(self._random_states()):
            store[f"random_state_{index}"] = state.numpy()

    def load_own_variables(self, store):
        for index, state in enumerate(self._random_states()):
            state.assign(store[f"random_state_{index}"])


# --- Checks -----------------------------------------------------------------

OUT_OF_RANGE = (
    "Images must be float32 in [0, 1]; this batch runs from {} to {}. Divide "
    "8-bit images by 255; bring images in [-1, 1] back with (images + 1) / 2."
)
NO_CLASS = (
    "With classes={}, labels must be from 0 to one less; this batch runs from {} to {}."
)
NOT_FINITE = (
    "A loss is no longer finite; this step changed no weight. Try lower learning "
    "rates, a larger batch, or float32 in place of mixed_float16"
)


def _check_networks(generator, discriminator, labels):
    """Raise ValueError unless the two networks fit together and the one-hot labels."""
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        if not network.built:
            raise ValueError(
                f"The {role} does not know its input yet: begin it with "
                "keras.Input(shape)."
            )
    if len(generator.input_shape) != 2 or generator.input_shape[1] <= labels:
        raise ValueError(
            "The generator must take latent vectors of shape (n, latent_dim"
            f"{f' + {labels} for the one-hot labels' if labels else ''}); it takes "
            f"{generator.input_shape}. Build it and the GAN with the same classes."
        )
    made, judged = generator.output_shape[1:], discriminator.input_shape[1:]
    if made != judged:
        raise ValueError(
            f"The generator makes images of shape {made}, but the discriminator "
            f"judges images of shape {judged}. Build both with one image_shape."
        )
    if discriminator.output_shape != (None, labels or 1):
        raise ValueError(
            f"The discriminator must give {labels or 1} logit per image, shape "
            f"(n, {labels or 1}), one for each value of a label if there are classes; "
            f"it ends in {discriminator.output_shape}. Build it and the GAN with the "
            "same classes, or end it in Flatten and Dense."
        )


def _check_options(loss, discriminator, average_decay, n_critic, penalty_weight):
    """Raise ValueError for options that are unknown, out of range or at odds."""
    if loss not in LOSSES:
        raise ValueError(f"Unknown loss {loss!r}; choose from {sorted(LOSSES)}.")
    if not 0 <= average_decay < 1:
        raise ValueError(f"average_decay must be in [0, 1); got {average_decay}.")
    if isinstance(n_critic, bool) or int(n_critic) != n_critic or n_critic < 1:
        raise ValueError(f"n_critic must be a whole number from 1; got {n_critic}.")
    if penalty_weight is not None and (loss not in PENALTIES or penalty_weight < 0):
        raise ValueError(
            f"penalty_weight={penalty_weight} must be at least 0, and the loss one of "
            f"{sorted(PENALTIES)}; it is {loss!r}."
        )
    kinds = [type(layer) for layer in discriminator.layers]
    if loss in PENALTIES and layers.BatchNormalization in kinds:
        raise ValueError(
            f"The penalty of {loss!r} is on the slope at each image by itself, but "
            "batch normalisation makes an output depend on the whole batch. Build the "
            'discriminator with normalization="layer" or None.'
        )


def _ready(optimizer, network):
    """The optimizer, built so that a saved state finds its place, and scaling
    its loss where the network computes in float16."""
    halves = any(layer.compute_dtype == "float16" for layer in network.layers)
    if halves and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


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
