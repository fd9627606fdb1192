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
    nearest = sorted(
        candidates, key=lambda size: abs(size[0] - height) + abs(size[1] - width)
    )
    raise ValueError(
        f"The networks halve both sides of an image until at most 8 pixels are left, "
        f"and {height}x{width} does not come out even. The nearest sizes that work "
        f"are {nearest[0][0]}x{nearest[0][1]} and {nearest[1][0]}x{nearest[1][1]}."
    )


def build_generator(image_shape=(32, 32, 1), latent_dim=64, width=48):
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

    Returns
    -------
    keras.Sequential
        Maps (n, latent_dim), drawn from a standard normal distribution, to
        (n, height, width, channels) float32 in [0, 1].

    Raises
    ------
    ValueError
        If the networks cannot make this size; the message names the nearest
        sizes that work.
    """
    halvings = check_sizes(image_shape, latent_dim=latent_dim, width=width)
    height, columns = (side // 2**halvings for side in image_shape[:2])
    *hidden, first = (width * min(2**level, 8) for level in range(halvings))
    network = keras.Sequential([layers.Input((latent_dim,))], name="generator")
    network.add(layers.Dense(height * columns * first, use_bias=False))
    network.add(layers.Reshape((height, columns, first)))
    for filters in (*reversed(hidden), image_shape[2]):
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.Conv2DTranspose(filters, 4, strides=2, padding="same"))
    network.add(layers.Activation("tanh", dtype="float32"))
    network.add(layers.Rescaling(0.5, offset=0.5, dtype="float32"))  # to [0, 1]
    return network


def build_discriminator(image_shape=(32, 32, 1), width=32):
    """Build the network that tells real images from generated ones.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), with the same limits as `build_generator`.
    width : int
        Filters of the first layer; each following layer has twice as many, up
        to ``8 * width``.

    Returns
    -------
    keras.Sequential
        Maps images, (n, height, width, channels) float32 in [0, 1], to logits,
        (n, 1) float32: above 0 means "real", below 0 "generated".

    Raises
    ------
    ValueError
        If the networks cannot take this size; the message names the nearest
        sizes that work.
    """
    halvings = check_sizes(image_shape, width=width)
    network = keras.Sequential([layers.Input(image_shape)], name="discriminator")
    network.add(layers.Rescaling(2.0, offset=-1.0))  # [0, 1] to [-1, 1]
    for level in range(halvings + 1):  # one more than the generator doubles
        filters = width * min(2**level, 8)
        network.add(
            layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)
        )
        if level > 0:
            network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.LeakyReLU(negative_slope=0.2))
    network.add(layers.Flatten())
    network.add(layers.Dense(1, dtype="float32"))
    return network


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


LOSSES = {
    "minimax": (discriminator_loss, minimax_generator_loss),
    "non_saturating": (discriminator_loss, non_saturating_generator_loss),
}


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    Parameters
    ----------
    generator : keras.Model
        Maps latent vectors (n, latent_dim) to images in [0, 1].
    discriminator : keras.Model
        Maps such images to logits (n, 1).
    loss : str
        ``"non_saturating"`` or ``"minimax"``, a name in `LOSSES`.
    average_decay : float
        Decay of the running average of the generator's weights, in [0, 1).
        The averaged generator is the one that draws samples; 0 turns the
        averaging off (Yazici et al., arXiv:1806.04498).
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
    `tf.data.Dataset` of float32 images in [0, 1] without labels. `fit` raises
    ValueError for images of another shape, type or range, and
    FloatingPointError if a loss stops being finite; the step at fault changes
    no weight.

    Metrics: both losses in nats, and the shares of real and of generated
    images that the discriminator judges rightly. Two accuracies near 1 mean a
    discriminator that wins; near 0.5, one that cannot tell.
    """

    def __init__(
        self,
        generator,
        discriminator,
        loss="non_saturating",
        average_decay=0.99,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_networks(generator, discriminator)
        if loss not in LOSSES:
            raise ValueError(f"Unknown loss {loss!r}; choose from {sorted(LOSSES)}.")
        if not 0 <= average_decay < 1:
            raise ValueError(f"average_decay must be in [0, 1); got {average_decay}.")
        self.generator = generator
        self.discriminator = discriminator
        self.loss_name = loss
        self.average_decay = average_decay
        self.seed = seed
        self.averaged_generator = keras.models.clone_model(generator)
        self.averaged_generator.set_weights(generator.get_weights())
        self.averaged_generator.trainable = False
        self.latent_dim = generator.input_shape[-1]
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
        real_images = self.check_images(data)
        latents = keras.random.normal(
            (tf.shape(real_images)[0], self.latent_dim), seed=self.noise
        )

        # One pass through the generator serves both players.
        with tf.GradientTape(persistent=True) as tape:
            fake_images = self.generator(latents, training=True)
            real_output = self.discriminator(real_images, training=True)
            fake_output = self.discriminator(fake_images, training=True)
            d_loss, g_loss = self.losses_of(real_output, fake_output)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(d_loss)
            scaled_g_loss = self.generator_optimizer.scale_loss(g_loss)

        d_variables = self.discriminator.trainable_variables
        g_variables = self.generator.trainable_variables
        d_gradients = tape.gradient(scaled_d_loss, d_variables)
        g_gradients = tape.gradient(scaled_g_loss, g_variables)
        self.discriminator_optimizer.apply(d_gradients, d_variables)
        self.generator_optimizer.apply(g_gradients, g_variables)
        self.average_weights()
        return self.track(d_loss, g_loss, real_output, fake_output)

    def test_step(self, data):
        real_images = self.check_images(data)
        # A fixed seed: equal weights and images give equal figures.
        latents = keras.random.normal(
            (tf.shape(real_images)[0], self.latent_dim), seed=0
        )
        fake_output = self.discriminator(self(latents), training=False)
        real_output = self.discriminator(real_images, training=False)
        d_loss, g_loss = self.losses_of(real_output, fake_output)
        return self.track(d_loss, g_loss, real_output, fake_output)

    def losses_of(self, real_output, fake_output):
        """Both losses from the logits; an error if either is not finite."""
        discriminator_loss, generator_loss = LOSSES[self.loss_name]
        losses = tf.stack(
            [discriminator_loss(real_output, fake_output), generator_loss(fake_output)]
        )
        return tf.unstack(tf.debugging.check_numerics(losses, NOT_FINITE))

    def average_weights(self):
        """Move the averaged generator a step towards the generator."""
        for average, weight in zip(
            self.averaged_generator.weights, self.generator.weights, strict=True
        ):
            average.assign_add((1 - self.average_decay) * (weight - average))

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
        """Images in [0, 1] for latent vectors (n, latent_dim), by the averaged
        generator."""
        if latents.shape[-1] != self.latent_dim:
            raise ValueError(
                f"The generator takes latent vectors of shape (n, {self.latent_dim}); "
                f"got {tuple(latents.shape)}."
            )
        return self.averaged_generator(latents, training=training)

    def sample(self, count, seed=None):
        """Draw images.

        Parameters
        ----------
        count : int
            How many, at least 1.
        seed : int, optional
            Equal seeds draw the same latent vectors.

        Returns
        -------
        numpy.ndarray
            (count, height, width, channels) float32 in [0, 1].

        Raises
        ------
        ValueError
            If count is not a positive integer.
        """
        if (
            isinstance(count, bool)
            or not isinstance(count, int | np.integer)
            or count < 1
        ):
            raise ValueError(f"sample() draws 1 or more images; got count={count!r}.")
        latents = keras.random.normal((count, self.latent_dim), seed=seed)
        return self.predict(latents, batch_size=256, verbose=0)

    def check_form(self, data):
        """The images of a batch or of its description, or ValueError for labels, a
        shape or a type that the networks cannot take."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if labels is not None:
            raise ValueError(
                "This GAN trains on images alone, but the data holds labels too. "
                "Drop them: dataset.map(lambda image, label: image)."
            )
        if not hasattr(images, "shape"):
            raise ValueError(
                f"This GAN trains on images alone, but the data is a "
                f"{type(images).__name__}. "
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
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": self.loss_name,
            "average_decay": self.average_decay,
            "seed": self.seed,
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
NOT_FINITE = (
    "A loss is no longer finite; this step changed no weight. Try lower learning "
    "rates, a larger batch, or float32 in place of mixed_float16"
)


def _check_networks(generator, discriminator):
    """Raise ValueError unless the two networks fit together."""
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        if not network.built:
            raise ValueError(
                f"The {role} does not know its input yet: begin it with "
                "keras.Input(shape)."
            )
    if len(generator.input_shape) != 2:
        raise ValueError(
            "The generator must take latent vectors of shape (n, latent_dim); it "
            f"takes {generator.input_shape}."
        )
    made, judged = generator.output_shape[1:], discriminator.input_shape[1:]
    if made != judged:
        raise ValueError(
            f"The generator makes images of shape {made}, but the discriminator "
            f"judges images of shape {judged}. Build both with one image_shape."
        )
    if discriminator.output_shape != (None, 1):
        raise ValueError(
            "The discriminator must end in one logit per image, shape (n, 1); it "
            f"ends in {discriminator.output_shape}. End it in Flatten and Dense(1)."
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
