"""Variational autoencoders: two networks, the evidence lower bound, one training step.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2013 (arXiv:1312.6114);
Rezende, Mohamed and Wierstra, 2014 (arXiv:1401.4082). All figures are in nats and
are sums over pixels and latent dimensions, never means, so that they can be
compared with published ones. To use it elsewhere, copy this file with `model.py`,
`checks.py` and `saving.py` beside it.
"""

import math
import warnings

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
    finite,
    require,
)
from .model import ImageModel, copy_of, in_float32, usual_settings

# --- The networks -----------------------------------------------------------


@usual_settings()
def build_encoder(image_shape=(32, 32, 1), latent_dim=16, width=16):
    """Build the network that describes an image by a Gaussian over latent vectors.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), both sides multiples of 2 if the longer one has up
        to 16 pixels, of 4 up to 32, of 8 up to 64, and so on.
    latent_dim, width : int
        Length of a latent vector; filters of the first layer, which each following
        one doubles, up to ``8 * width``.

    Returns
    -------
    keras.Sequential
        Maps images, (n, height, width, channels) float32 in [0, 1], to
        (n, 2 * latent_dim) float32: the means, then the log variances.

    Raises
    ------
    ValueError
        For another size, naming the nearest ones that work.
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


@usual_settings()
def build_decoder(image_shape=(32, 32, 1), latent_dim=16, width=16):
    """Build the network that turns latent vectors into the logits of pixels.

    Parameters
    ----------
    image_shape, latent_dim
        As in `build_encoder`.
    width : int
        Filters of the last hidden layer, twice as many in each layer before it, up
        to ``8 * width``.

    Returns
    -------
    keras.Sequential
        Maps (n, latent_dim) to logits, (n, height, width, channels) float32.
        Their sigmoid is the image in [0, 1]: the probability of a bright pixel
        under the Bernoulli likelihood, the mean under the Gaussian one.

    Raises
    ------
    ValueError
        As in `build_encoder`.
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


@in_float32
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


@in_float32
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


@in_float32
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
    require(
        start.ndim == 1 and start.shape == end.shape,
        f"Two vectors of equal length are needed; got {start.shape} and {end.shape}.",
    )
    require(steps >= 2, f"steps counts both ends, so it is at least 2; got {steps}.")
    require(
        method in ("spherical", "linear"),
        f"method is 'spherical' or 'linear'; got {method!r}.",
    )
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
class VAE(ImageModel):
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
        Decay of the running average of both networks' weights, in [0, 1), shorter
        in the first steps t: at most ``t / (10 + t)``. The averaged networks are
        the ones that are evaluated and used; 0 turns the averaging off.
    seed : int, optional
        Seed of the noise in training. Without it, Keras' global seed decides
        (`keras.utils.set_random_seed`).

    Raises
    ------
    ValueError
        For networks that do not fit together, an activation at the end of one, or a
        parameter out of range.

    Notes
    -----
    Train with ``fit(images, validation_data=...)``: arrays or `tf.data.Dataset`s
    of float32 images in [0, 1] without labels; what it refuses is in `ImageModel`.

    Metrics, in nats an image: ``elbo``, a lower bound of the log likelihood;
    ``reconstruction_loss`` (the distortion) and ``kl`` (the rate), whose sum is
    minus the ELBO; ``loss``, in which the rate is weighted by beta.

    To train on with other options, wrap the same two networks in a new VAE. What the
    new one trains changes the networks of the old one too.
    """

    metric_names = "loss", "elbo", "reconstruction_loss", "kl"
    averaged = "encoder", "decoder"

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
        check_networks(encoder, decoder)
        check_options(likelihood, scale, beta, warm_up)
        image_shape = encoder.input_shape[1:]
        super().__init__(image_shape, (), average_decay, seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.averaged_encoder = copy_of(encoder)
        self.averaged_decoder = copy_of(decoder)
        self.likelihood = likelihood
        self.scale = scale
        self.beta = beta
        self.warm_up = warm_up
        self.latent_dim = decoder.input_shape[-1]
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(scale or 0.1)),
            trainable=likelihood == "gaussian" and scale is None,
            dtype="float32",
        )
        self.grey = tf.Variable(False, trainable=False)  # met pixels between 0 and 1
        # A graph of this model alone: that of a class is traced for every model.
        self._log_weights = tf.function(self._log_weights, reduce_retracing=True)

    def compile(self, optimizer=None, **kwargs):
        """Choose the optimizer, by default Adam with a learning rate of 3e-3; other
        arguments are passed to `keras.Model.compile`. With ``jit_compile=True`` XLA
        leaves out the checks of values: see `ImageModel.compile`."""
        optimizer = optimizer or keras.optimizers.Adam(3e-3)
        super().compile(self.prepare(optimizer, self), **kwargs)

    def train_step(self, data):
        images = self.check_images(data)
        with tf.GradientTape() as tape:
            mean, log_variance = self.posterior(images, training=True)
            noise = tf.random.stateless_normal(tf.shape(mean), self.next_seed())
            latents = mean + tf.exp(0.5 * log_variance) * noise
            logits = self.decoder(latents, training=True)
            distortion = -self.log_likelihood_of(images, logits)
            rate = kl_divergence(mean, log_variance)
            loss = finite(distortion + self.current_beta() * rate)
            scaled_loss = self.scaled(loss, self.optimizer)

        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.average_weights()
        return self.track(loss, distortion, rate)

    def test_step(self, data):
        images = self.check_images(data)
        mean, log_variance = self.posterior(images)
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

    def track(self, loss, distortion, rate):
        """Add one batch to the metrics and return their running means."""
        return super().track(
            loss=loss,
            elbo=-(distortion + rate),
            reconstruction_loss=distortion,
            kl=rate,
        )

    def call(self, images, training=False):
        """The images that the decoder makes of the latent means; what `predict`
        and `reconstruct` return."""
        return self.images_of(self.posterior(self.check_images(images))[0])

    def images_of(self, latents):
        """The decoder's images, in [0, 1]."""
        return tf.sigmoid(tf.cast(self.averaged_decoder(latents), tf.float32))

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
        with self.plain_errors():
            batches = map(self.check_images, self.batches(images, 256))
            parts = [self.posterior(batch) for batch in batches]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def decode(self, latents):
        """Turn latent vectors (n, latent_dim) into images in [0, 1]: pixel
        probabilities (Bernoulli) or means (Gaussian), (n, height, width, channels).
        Raises ValueError for vectors of another length, or none at all."""
        latents = np.asarray(latents, np.float32)
        require(
            latents.ndim == 2 and latents.shape[1] == self.latent_dim and len(latents),
            f"The decoder takes latent vectors of shape (n, {self.latent_dim}), "
            f"n at least 1; got {latents.shape}.",
        )
        portions = np.split(latents, range(256, len(latents), 256))
        return np.concatenate([self.images_of(portion) for portion in portions])

    def reconstruct(self, images):
        """Encode images, decode their latent means: (n, height, width, channels)
        float32 in [0, 1]. Takes what `encode` takes and raises the same errors."""
        return self.decode(self.encode(images)[0])

    def sample(self, count, seed=None):
        """Draw images.

        Parameters
        ----------
        count : int
            How many; ValueError unless it is a whole number from 1.
        seed : int, optional
            Equal seeds draw the same latent vectors. Without it, Keras' seed decides.

        Returns
        -------
        numpy.ndarray
            (count, height, width, channels) float32 in [0, 1]: pixel probabilities
            (Bernoulli) or means (Gaussian), without the pixels' own scatter.
        """
        check_counts(count=count)
        shape, seed = (int(count), self.latent_dim), check_seed(seed)
        return self.decode(keras.random.normal(shape, dtype="float32", seed=seed))

    def interpolate(self, start, end, steps=8, method="spherical"):
        """Walk from one image to another, each (height, width, channels) in [0, 1],
        through the latent space, as `interpolate_latents` does: (steps, height, width,
        channels), from the reconstruction of `start` to that of `end`."""
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
        check_counts(samples=samples)
        seed = check_seed(seed)
        self.refresh_averages()
        # Images decoded at a time: the largest layer then takes at most 64 MB.
        parts = self.decoder._flatten_layers(include_self=False)  # at whatever depth
        outputs = keras.tree.flatten([getattr(part, "output", []) for part in parts])
        largest = max(math.prod(filter(None, x.shape[1:])) for x in outputs)
        portion = max(1, 2**24 // largest)
        draws = min(samples, portion)
        total = len(images) if hasattr(images, "shape") else None
        progress = keras.utils.Progbar(total, verbose=verbose, unit_name="image")
        bounds = []
        for index, batch in enumerate(self.batches(images, portion // draws)):
            log_mean = -np.inf  # of the sum of the weights so far
            for done in range(0, samples, draws):
                with self.plain_errors():
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

    def check_inputs(self, images):
        self.check_form(images)

    # --- Grey pixels and the Bernoulli likelihood do not go together. ---

    def check_images(self, data):
        images = super().check_images(data)
        if self.likelihood == "bernoulli":
            between = tf.reduce_any((images > 0) & (images < 1))
            self.grey.assign(self.grey | between)
        return images

    def watchers(self):
        return [*super().watchers(), WarnOfGrey()]


# --- Checks -----------------------------------------------------------------

GREY = (
    "Some pixels lie between 0 and 1, but the Bernoulli likelihood is for pixels "
    "that are 0 or 1: training works, but the scores are no log likelihoods. Map the "
    "images through binarize, or choose likelihood='gaussian'."
)


class WarnOfGrey(keras.callbacks.Callback):
    """Say once that the pixels do not suit the likelihood."""

    warned = False

    def on_train_begin(self, logs=None):
        self.model.grey.assign(False)

    def on_train_batch_end(self, batch, logs=None):
        if not self.warned and tf.convert_to_tensor(self.model.grey):
            self.warned = True
            warnings.warn(GREY, stacklevel=2)

    on_test_begin, on_test_batch_end = on_train_begin, on_train_batch_end


def check_networks(encoder, decoder):
    """ValueError unless the two networks fit together."""
    check_single(encoder=encoder, decoder=decoder)
    require(
        len(decoder.input_shape) == 2 and decoder.input_shape[1],
        "The decoder must take latent vectors of shape (n, latent_dim); it takes "
        f"{decoder.input_shape}.",
    )
    latent_dim = decoder.input_shape[1]
    require(
        encoder.output_shape[1:] == (2 * latent_dim,),
        f"The decoder takes latent vectors of length {latent_dim}, so the encoder must "
        f"end in as many means and log variances, shape (n, {2 * latent_dim}); it ends "
        f"in {encoder.output_shape}. Build both with one latent_dim.",
    )
    made, seen = decoder.output_shape[1:], encoder.input_shape[1:]
    require(
        made == seen and len(made) == 3 and None not in made,
        f"The decoder makes images of shape {made}, but the encoder takes images of "
        f"shape {seen}. Build both with one image_shape, (height, width, channels).",
    )
    check_logits(encoder=encoder, decoder=decoder)


def check_options(likelihood, scale, beta, warm_up):
    """ValueError for a parameter out of range."""
    require(
        likelihood in ("bernoulli", "gaussian"),
        f"likelihood is 'bernoulli' or 'gaussian'; got {likelihood!r}.",
    )
    require(
        scale is None or likelihood == "gaussian",
        "The Bernoulli likelihood has no scale; leave it out.",
    )
    require(
        scale is None or 0 < scale < math.inf,
        f"scale is a standard deviation above 0; got {scale}.",
    )
    require(0 <= beta < math.inf, f"beta must be at least 0 and finite; got {beta}.")
    require(
        int(warm_up) == warm_up and warm_up >= 0,
        f"warm_up is a number of steps, 0 or more; got {warm_up}.",
    )
