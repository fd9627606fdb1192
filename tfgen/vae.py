"""Variational autoencoders: two networks, the evidence lower bound, one training step.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2013 (arXiv:1312.6114);
Rezende, Mohamed and Wierstra, 2014 (arXiv:1401.4082). All figures are in nats and
are sums over pixels and latent dimensions, never means, so that they can be
compared with published ones. The file needs Keras 3 on TensorFlow and nothing
else: copy it whole.
"""

import contextlib
import math
import re
import warnings
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


def build_encoder(image_shape=(32, 32, 1), latent_dim=16, width=16):
    """Build the network that describes an image by a Gaussian over latent vectors.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels). Sides up to 16 must be even, up to 32
        multiples of 4, up to 64 multiples of 8, and so on.
    latent_dim : int
        Length of a latent vector.
    width : int
        Filters of the first layer; each following layer has twice as many, up
        to ``8 * width``.

    Returns
    -------
    keras.Sequential
        Maps images, (n, height, width, channels) float32 in [0, 1], to
        (n, 2 * latent_dim) float32: the means, then the log variances.

    Raises
    ------
    ValueError
        If the networks cannot take this size; the message names the nearest
        sizes that work.
    """
    halvings = check_sizes(image_shape, latent_dim=latent_dim, width=width)
    network = keras.Sequential([layers.Input(image_shape)], name="encoder")
    network.add(layers.Rescaling(2.0, offset=-1.0))  # [0, 1] to [-1, 1]
    for level in range(halvings):
        filters = width * min(2**level, 8)
        network.add(layers.Conv2D(filters, 4, strides=2, padding="same"))
        network.add(layers.Activation("silu"))
    network.add(layers.Flatten())
    network.add(layers.Dense(16 * width, activation="silu"))
    network.add(layers.Dense(2 * latent_dim, dtype="float32"))
    return network


def build_decoder(image_shape=(32, 32, 1), latent_dim=16, width=16):
    """Build the network that turns latent vectors into the logits of pixels.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), with the same limits as `build_encoder`.
    latent_dim : int
        Length of a latent vector.
    width : int
        Filters of the last hidden layer; each layer before it has twice as
        many, up to ``8 * width``.

    Returns
    -------
    keras.Sequential
        Maps (n, latent_dim) to logits, (n, height, width, channels) float32.
        Their sigmoid is the image in [0, 1]: the probability of a bright pixel
        under the Bernoulli likelihood, the mean under the Gaussian one.

    Raises
    ------
    ValueError
        If the networks cannot make this size; the message names the nearest
        sizes that work.
    """
    halvings = check_sizes(image_shape, latent_dim=latent_dim, width=width)
    height, columns = (side // 2**halvings for side in image_shape[:2])
    *hidden, first = (width * min(2**level, 8) for level in range(halvings))
    network = keras.Sequential([layers.Input((latent_dim,))], name="decoder")
    network.add(layers.Dense(16 * width, activation="silu"))
    network.add(layers.Dense(height * columns * first))
    network.add(layers.Reshape((height, columns, first)))
    for filters in (*reversed(hidden), image_shape[2]):
        network.add(layers.Activation("silu"))
        network.add(layers.Conv2DTranspose(filters, 4, strides=2, padding="same"))
    network.add(layers.Activation("linear", dtype="float32"))
    return network


# --- The two terms of the bound ---------------------------------------------


def kl_divergence(mean, log_variance):
    """Kullback-Leibler divergence of ``N(mean, exp(log_variance))`` from ``N(0, I)``.

    Parameters
    ----------
    mean, log_variance : tensor, (n, latent_dim)
        Of a Gaussian with independent dimensions.

    Returns
    -------
    tensor, (n,)
        ``1/2 sum(mean^2 + variance - log variance - 1)`` in nats, summed over
        the latent dimensions (arXiv:1312.6114, appendix B). 0 at the prior.
    """
    terms = tf.square(mean) + tf.exp(log_variance) - log_variance - 1
    return 0.5 * tf.reduce_sum(terms, axis=-1)


def bernoulli_log_likelihood(images, logits):
    """Log probability of binary images whose pixels are independent coins.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        0 or 1. Values between are allowed and give the negative cross-entropy,
        which is not the logarithm of a probability.
    logits : tensor, (n, height, width, channels)
        The logarithm of the odds that a pixel is 1.

    Returns
    -------
    tensor, (n,)
        Sum over the pixels, in nats.
    """
    log_probabilities = images * logits - tf.nn.softplus(logits)
    return tf.reduce_sum(log_probabilities, axis=[1, 2, 3])


def gaussian_log_likelihood(images, mean, scale):
    """Log density of images whose pixels are independent Gaussians.

    Parameters
    ----------
    images, mean : tensor, (n, height, width, channels)
        In [0, 1].
    scale : float or scalar tensor
        Standard deviation of every pixel, on the same scale.

    Returns
    -------
    tensor, (n,)
        Sum over the pixels, in nats. A density: it may be above 0.
    """
    errors = tf.square((images - mean) / scale)
    constant = tf.math.log(2 * math.pi * tf.square(scale))
    return -0.5 * tf.reduce_sum(errors + constant, axis=[1, 2, 3])


def interpolate_latents(start, end, steps=8, method="spherical"):
    """Latent vectors on the way from one to another.

    Parameters
    ----------
    start, end : array, (latent_dim,)
    steps : int
        How many vectors, both ends included; at least 2.
    method : {"spherical", "linear"}
        The straight line passes closer to the origin than a standard normal
        distribution in many dimensions ever comes; the arc keeps its distance
        (White, 2016, arXiv:1609.04468).

    Returns
    -------
    numpy.ndarray, (steps, latent_dim)
        float32.

    Raises
    ------
    ValueError
        For fewer than 2 steps, another method or vectors that do not match.
    """
    start, end = (np.asarray(vector, np.float64) for vector in (start, end))
    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(
            "Two vectors of equal length are needed; got shapes "
            f"{start.shape} and {end.shape}."
        )
    if steps < 2:
        raise ValueError(f"steps counts both ends, so it is at least 2; got {steps}.")
    if method not in ("spherical", "linear"):
        raise ValueError(f"method is 'spherical' or 'linear'; got {method!r}.")
    t = np.linspace(0, 1, steps)[:, None]
    lengths = np.linalg.norm(start) * np.linalg.norm(end)
    cosine = start @ end / lengths if lengths else 1.0
    angle = np.arccos(np.clip(cosine, -1, 1))
    if method == "linear" or np.sin(angle) < 1e-6:  # no arc, or no single one
        path = (1 - t) * start + t * end
    else:
        path = np.sin((1 - t) * angle) * start + np.sin(t * angle) * end
        path /= np.sin(angle)
    return path.astype(np.float32)


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class VAE(keras.Model):
    """An encoder and a decoder trained to raise the evidence lower bound (ELBO).

    Parameters
    ----------
    encoder : keras.Model
        Maps images in [0, 1] to (n, 2 * latent_dim): means and log variances.
    decoder : keras.Model
        Maps (n, latent_dim) to logits of the encoder's image shape.
    likelihood : {"bernoulli", "gaussian"}
        How an image scatters around the decoder's. Bernoulli is for pixels that
        are 0 or 1; grey pixels are allowed, with a warning, but then the score is
        not a likelihood.
    scale : float, optional
        Standard deviation of the Gaussian likelihood, for pixels in [0, 1].
        Without it, one scale for all pixels is learned (Rybkin, Daniilidis and
        Levine, 2020, arXiv:2006.13202).
    beta : float
        Weight of the KL divergence in the loss, at least 0; 1 is the ELBO
        (Higgins et al., "beta-VAE", ICLR 2017).
    warm_up : int
        Number of training steps in which the weight rises from 0 to beta
        (Bowman et al., 2015, arXiv:1511.06349).
    average_decay : float
        Decay of the running average of both networks' weights, in [0, 1). The
        averaged networks are the ones that are evaluated and used; 0 turns the
        averaging off. Early in training the decay is lower, so that the average
        always spans about the last tenth of the steps.
    seed : int, optional
        Seed of the noise in training. Without it, Keras' global seed decides
        (`keras.utils.set_random_seed`).

    Raises
    ------
    ValueError
        If the two networks do not fit together, or a parameter is out of range.

    Notes
    -----
    Train with ``fit(images, validation_data=...)``: arrays or `tf.data.Dataset`s
    of float32 images in [0, 1] without labels. `fit` raises ValueError for images
    of another shape, type or range, and FloatingPointError if the loss stops
    being finite; the step at fault changes no weight.

    Metrics, in nats an image: ``elbo``, a lower bound of the log likelihood;
    ``reconstruction_loss`` (the distortion) and ``kl`` (the rate), whose sum is
    minus the ELBO; ``loss``, in which the rate is weighted by beta.

    To train on with other options, wrap the same two networks in a new VAE; each
    VAE keeps its own averages of them.
    """

    def __init__(
        self,
        encoder,
        decoder,
        likelihood="bernoulli",
        scale=None,
        beta=1.0,
        warm_up=0,
        average_decay=0.999,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_networks(encoder, decoder)
        _check_options(likelihood, scale, beta, warm_up, average_decay)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.scale = scale
        self.beta = beta
        self.warm_up = warm_up
        self.average_decay = average_decay
        self.seed = seed
        self.averaged_encoder = _copy(encoder)
        self.averaged_decoder = _copy(decoder)
        self.latent_dim = decoder.input_shape[-1]
        self.image_shape = tuple(encoder.input_shape[1:])
        self.noise = keras.random.SeedGenerator(seed)
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(scale or 0.1)),
            trainable=likelihood == "gaussian" and scale is None,
            dtype="float32",
        )
        self.step_metrics = {
            name: keras.metrics.Mean(name)
            for name in ("loss", "elbo", "reconstruction_loss", "kl")
        }
        self.grey = tf.Variable(False, trainable=False)  # met pixels between 0 and 1
        # Graphs of this model alone: those of a class are traced for every model.
        for name in ("_log_weights", "_checked_posterior", "_images_of"):
            setattr(self, name, tf.function(getattr(self, name), reduce_retracing=True))
        self.built = True

    @property
    def metrics(self):
        return list(self.step_metrics.values())

    def compile(self, optimizer=None, **kwargs):
        """Choose the optimizer; the default is Adam with a learning rate of 3e-3.

        Other arguments are passed to `keras.Model.compile`. XLA is off by
        default: it drops the checks for values out of range.
        """
        optimizer = optimizer or keras.optimizers.Adam(3e-3)
        super().compile(optimizer, **{"jit_compile": False, **kwargs})
        # Built now, so that a saved state finds its place.
        self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        images = self.check_images(data)
        with tf.GradientTape() as tape:
            mean, log_variance = self.posterior(images, training=True)
            noise = keras.random.normal(tf.shape(mean), seed=self.noise)
            latents = mean + tf.exp(0.5 * log_variance) * noise
            logits = self.decoder(latents, training=True)
            distortion = -self.log_likelihood_of(images, logits)
            rate = kl_divergence(mean, log_variance)
            loss = finite(distortion + self.current_beta() * rate)
            scaled_loss = self.optimizer.scale_loss(tf.reduce_mean(loss))

        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.average_weights()
        return self.track(loss, distortion, rate)

    def test_step(self, data):
        images = self.check_images(data)
        mean, log_variance = self.posterior(images, training=False)
        # A fixed seed for each batch: equal weights and images give equal figures.
        seen = tf.cast(self.step_metrics["elbo"].count, tf.int64)
        noise = tf.random.stateless_normal(tf.shape(mean), [0, seen])
        latents = mean + tf.exp(0.5 * log_variance) * noise
        logits = self.averaged_decoder(latents)
        distortion = -self.log_likelihood_of(images, logits)
        rate = kl_divergence(mean, log_variance)
        return self.track(finite(distortion + self.beta * rate), distortion, rate)

    def posterior(self, images, training=False):
        """Means and log variances of the latents of images, each (n, latent_dim)."""
        encoder = self.encoder if training else self.averaged_encoder
        parameters = tf.cast(encoder(images, training=training), tf.float32)
        return tf.split(parameters, 2, axis=-1)

    def log_likelihood_of(self, images, logits):
        """log p(x | z) of each image, given what the decoder made of z; (n,)."""
        images, logits = tf.cast(images, tf.float32), tf.cast(logits, tf.float32)
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(images, logits)
        scale = tf.exp(tf.convert_to_tensor(self.log_scale))
        return gaussian_log_likelihood(images, tf.sigmoid(logits), scale)

    def current_beta(self):
        """The weight of the rate at this training step."""
        if not self.warm_up:
            return self.beta
        step = tf.cast(self.optimizer.iterations, tf.float32)
        return self.beta * tf.minimum(step / self.warm_up, 1.0)

    def average_weights(self):
        """Move the averaged networks a step towards the trained ones."""
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.average_decay, (1 + step) / (10 + step))
        averages = self.averaged_encoder.weights + self.averaged_decoder.weights
        weights = self.encoder.weights + self.decoder.weights
        for average, weight in zip(averages, weights, strict=True):
            average.assign_add((1 - decay) * (weight - average))

    def track(self, loss, distortion, rate):
        """Add one batch to the metrics and return their running means."""
        for name, values in {
            "loss": loss,
            "elbo": -(distortion + rate),
            "reconstruction_loss": distortion,
            "kl": rate,
        }.items():
            self.step_metrics[name].update_state(values)
        return {name: metric.result() for name, metric in self.step_metrics.items()}

    def call(self, images, training=False):
        """The images that the decoder makes of the latent means; what `predict`
        and `reconstruct` return."""
        mean, _ = self.posterior(self.check_images(images))
        return tf.sigmoid(tf.cast(self.averaged_decoder(mean), tf.float32))

    # --- What a trained model is used for; arrays in, arrays out. ---

    def encode(self, images):
        """Describe images by Gaussians over latent vectors.

        Parameters
        ----------
        images : array, (n, height, width, channels), or tf.data.Dataset of such
            In [0, 1].

        Returns
        -------
        tuple of numpy.ndarray
            Means and log variances, each (n, latent_dim) float32.

        Raises
        ------
        ValueError
            For images of another shape, type or range, or none at all.
        """
        with self._plain_errors():
            parts = [
                self._checked_posterior(batch) for batch in self.batches(images, 256)
            ]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def decode(self, latents):
        """Turn latent vectors (n, latent_dim) into images in [0, 1]: pixel
        probabilities (Bernoulli) or means (Gaussian), (n, height, width, channels).

        Raises ValueError for vectors of another length, or none at all.
        """
        latents = np.asarray(latents, np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim or not len(latents):
            raise ValueError(
                f"The decoder takes latent vectors of shape (n, {self.latent_dim}), "
                f"n at least 1; got {latents.shape}."
            )
        parts = [
            self._images_of(tf.constant(latents[start : start + 256]))
            for start in range(0, len(latents), 256)
        ]
        return np.concatenate(parts)

    def reconstruct(self, images):
        """Encode images, decode their latent means: (n, height, width, channels)
        float32 in [0, 1]. Takes what `encode` takes and raises the same errors."""
        return self.decode(self.encode(images)[0])

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
            (count, height, width, channels) float32 in [0, 1]: pixel probabilities
            (Bernoulli) or means (Gaussian), without the pixels' own scatter.

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
        return self.decode(keras.random.normal((count, self.latent_dim), seed=seed))

    def interpolate(self, start, end, steps=8, method="spherical"):
        """Walk from one image to another through the latent space.

        Parameters
        ----------
        start, end : array, (height, width, channels)
            In [0, 1].
        steps, method
            As in `interpolate_latents`.

        Returns
        -------
        numpy.ndarray, (steps, height, width, channels)
            float32 in [0, 1]; the first and the last are the reconstructions of
            `start` and `end`.
        """
        means, _ = self.encode(np.stack([start, end]))
        return self.decode(interpolate_latents(*means, steps, method))

    def log_likelihood(self, images, samples=500, seed=0, verbose=1):
        """Importance-weighted lower bound of log p(x) of each image.

        ``log 1/k sum_i p(x, z_i) / q(z_i | x)`` with k draws z_i from the encoder's
        Gaussian (Burda, Grosse and Salakhutdinov, 2015, arXiv:1509.00519). With
        k = 1 its mean is the ELBO; it rises towards log p(x) as k grows.

        Parameters
        ----------
        images : array, (n, height, width, channels), or tf.data.Dataset of such
            In [0, 1].
        samples : int
            k, at least 1. They are drawn in portions of bounded memory.
        seed : int
            Equal seeds give equal results.
        verbose : {0, 1}
            1 shows progress.

        Returns
        -------
        numpy.ndarray, (n,)
            float64, in nats.

        Raises
        ------
        ValueError
            For no samples, or for images of another shape, type or range.
        """
        if samples < 1:
            raise ValueError(f"samples must be at least 1; got {samples}.")
        # Images decoded at a time: the largest layer then takes at most 64 MB.
        largest = max(
            math.prod(layer.output.shape[1:]) for layer in self.decoder.layers
        )
        portion = max(1, 2**24 // largest)
        draws = min(samples, portion)
        total = len(images) if hasattr(images, "shape") else None
        progress = keras.utils.Progbar(total, verbose=verbose, unit_name="image")
        bounds = []
        for index, batch in enumerate(self.batches(images, portion // draws)):
            log_mean = -np.inf  # of the sum of the weights so far
            for done in range(0, samples, draws):
                with self._plain_errors():
                    log_weights = self._log_weights(
                        batch,
                        tf.constant(min(draws, samples - done)),
                        tf.constant([seed, index * samples + done], tf.int64),
                    ).numpy()
                sums = np.logaddexp.reduce(log_weights.astype(np.float64), axis=0)
                log_mean = np.logaddexp(log_mean, sums)
            bounds.append(log_mean - math.log(samples))
            progress.add(len(log_mean))
        return np.concatenate(bounds)

    def _log_weights(self, images, samples, seed):
        """log p(x, z) - log q(z | x) of draws z from q, (samples, n)."""
        images = self.check_images(images)
        mean, log_variance = self.posterior(images)
        shape = tf.concat([[samples], tf.shape(mean)], axis=0)
        noise = tf.random.stateless_normal(shape, seed)
        latents = mean + tf.exp(0.5 * log_variance) * noise
        logits = self.averaged_decoder(tf.reshape(latents, (-1, self.latent_dim)))
        likelihood = self.log_likelihood_of(tf.tile(images, (samples, 1, 1, 1)), logits)
        # log p(z) - log q(z | x); the constants of the two Gaussians cancel.
        ratio = 0.5 * (tf.square(noise) + log_variance - tf.square(latents))
        return tf.reshape(likelihood, shape[:2]) + tf.reduce_sum(ratio, axis=-1)

    def _checked_posterior(self, images):
        return self.posterior(self.check_images(images))

    def _images_of(self, latents):
        return tf.sigmoid(tf.cast(self.averaged_decoder(latents), tf.float32))

    # --- What Keras asks of a model. ---

    def check_form(self, data):
        """The images of a batch or of its description, or ValueError for labels, a
        shape or a type that the networks cannot take."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if labels is not None:
            raise ValueError(
                "This VAE takes images alone, but the data holds labels too. "
                "Drop them: dataset.map(lambda image, label: image)."
            )
        if not hasattr(images, "shape"):
            raise ValueError(
                f"This VAE takes images alone, but the data is a "
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
        if self.likelihood == "bernoulli":
            between = tf.reduce_any((images > 0) & (images < 1))
            self.grey.assign(self.grey | between)
        with tf.control_dependencies([in_range]):
            return tf.identity(images)

    def batches(self, data, size):
        """Checked batches of an array or a tf.data.Dataset."""
        data = data if isinstance(data, tf.data.Dataset) else np.asarray(data)
        with self._plain_errors(data):
            pass  # checks the form
        if isinstance(data, tf.data.Dataset):
            batch = None
            for batch in data.rebatch(size):
                yield batch
            if batch is None:
                raise ValueError(EMPTY)
            return
        for start in range(0, len(data), size):
            yield tf.constant(data[start : start + size], tf.float32)

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
        callbacks.append(_WarnOfGrey())
        if isinstance(x, tf.data.Dataset):
            callbacks.append(_DataOrder(x))
            kwargs.setdefault("shuffle", False)  # the dataset shuffles itself
        with self._plain_errors(x):
            return super().fit(x, y, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, *args, callbacks=None, **kwargs):
        # Within `fit`, Keras passes its own list of callbacks.
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), _WarnOfGrey()]
        with self._plain_errors(x):
            return super().evaluate(x, *args, callbacks=callbacks, **kwargs)

    def predict(self, x, *args, **kwargs):
        with self._plain_errors(x):
            return super().predict(x, *args, **kwargs)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "likelihood": self.likelihood,
            "scale": self.scale,
            "beta": self.beta,
            "warm_up": self.warm_up,
            "average_decay": self.average_decay,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        networks = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config):
        self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))

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
            raise ValueError(EMPTY)
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

    def _own_state(self):
        """The scale, and the states of every random generator, dropout's included:
        Keras does not save those, and a resumed run needs them."""
        states = [v for v in self.variables if v.name == "seed_generator_state"]
        return [self.log_scale, *states]

    def save_own_variables(self, store):
        for index, variable in enumerate(self._own_state()):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        for index, variable in enumerate(self._own_state()):
            variable.assign(store[str(index)])


# --- Checks -----------------------------------------------------------------

OUT_OF_RANGE = (
    "Images must be float32 in [0, 1]; this batch runs from {} to {}. Divide "
    "8-bit images by 255; bring images in [-1, 1] back with (images + 1) / 2."
)
NOT_FINITE = (
    "The loss is no longer finite; this step changed no weight. Try a lower "
    "learning rate, a larger batch, or float32 in place of mixed_float16"
)
EMPTY = "There is no image: at least one is needed."
GREY = (
    "Some pixels lie between 0 and 1, but the Bernoulli likelihood is for pixels "
    "that are 0 or 1: training works, but the scores are no log likelihoods. Map the "
    "images through binarize, or choose likelihood='gaussian'."
)


def _check_networks(encoder, decoder):
    """Raise ValueError unless the two networks fit together."""
    for role, network in (("encoder", encoder), ("decoder", decoder)):
        if not network.built:
            raise ValueError(
                f"The {role} does not know its input yet: begin it with "
                "keras.Input(shape)."
            )
    if len(decoder.input_shape) != 2:
        raise ValueError(
            "The decoder must take latent vectors of shape (n, latent_dim); it "
            f"takes {decoder.input_shape}."
        )
    latent_dim = decoder.input_shape[1]
    if encoder.output_shape != (None, 2 * latent_dim):
        raise ValueError(
            f"The decoder takes latent vectors of length {latent_dim}, so the encoder "
            f"must end in {latent_dim} means and {latent_dim} log variances, shape "
            f"(n, {2 * latent_dim}); it ends in {encoder.output_shape}. Build both "
            "with one latent_dim."
        )
    made, seen = decoder.output_shape[1:], encoder.input_shape[1:]
    if made != seen:
        raise ValueError(
            f"The decoder makes images of shape {made}, but the encoder takes images "
            f"of shape {seen}. Build both with one image_shape."
        )


def _check_options(likelihood, scale, beta, warm_up, average_decay):
    """Raise ValueError for a parameter out of range."""
    if likelihood not in ("bernoulli", "gaussian"):
        raise ValueError(
            f"likelihood is 'bernoulli' or 'gaussian'; got {likelihood!r}."
        )
    if scale is not None and likelihood == "bernoulli":
        raise ValueError("The Bernoulli likelihood has no scale; leave it out.")
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"scale is a standard deviation above 0; got {scale}.")
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be at least 0 and finite; got {beta}.")
    if int(warm_up) != warm_up or warm_up < 0:
        raise ValueError(f"warm_up is a number of steps, 0 or more; got {warm_up}.")
    if not 0 <= average_decay < 1:
        raise ValueError(f"average_decay must be in [0, 1); got {average_decay}.")


def _copy(network):
    """A network with the same layers and weights that is not trained."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def finite(loss):
    """The loss, or an error that stops training if it is not finite."""
    return tf.debugging.check_numerics(loss, NOT_FINITE)


class _WarnOfGrey(keras.callbacks.Callback):
    """Say once that the pixels do not suit the likelihood."""

    warned = False

    def on_train_begin(self, logs=None):
        self.model.grey.assign(False)

    def on_train_batch_end(self, batch, logs=None):
        if not self.warned and self.model.grey:
            self.warned = True
            warnings.warn(GREY, stacklevel=2)

    on_test_begin, on_test_batch_end = on_train_begin, on_train_batch_end


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
