"""The networks, the bound, the training step and what surrounds it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfgen.vae import (
    VAE,
    bernoulli_log_likelihood,
    build_decoder,
    build_encoder,
    gaussian_log_likelihood,
    interpolate_latents,
    kl_divergence,
)

SHAPE = (8, 8, 1)
QUIET = dict(verbose=0)


def halves(count, seed=0):
    """Binary images whose left or right half is bright: two modes, easily told."""
    right = np.random.default_rng(seed).random(count) < 0.5
    images = np.zeros((count, *SHAPE), np.float32)
    images[~right, :, :4] = 1
    images[right, :, 4:] = 1
    return images


def grey(count):
    """The same with the values 0.2 and 0.8."""
    return (0.6 * halves(count) + 0.2).astype(np.float32)


def small_networks():
    keras.utils.set_random_seed(0)
    return build_encoder(SHAPE, 4, 8), build_decoder(SHAPE, 4, 8)


def small_vae(compiled=True, eager=False, **options):
    """Eager is quicker for a few steps, as nothing is traced."""
    model = VAE(*small_networks(), **options)
    if compiled:
        model.compile(run_eagerly=eager)
    return model


def constant_vae(mean=0.0, log_variance=0.0, **options):
    """Equal latents for all images, equal grey (logit 0) for all latents."""
    networks = small_networks()
    for network in networks:
        network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    networks[0].layers[-1].bias.assign(np.repeat([mean, log_variance], 4))
    model = VAE(*networks, **options)
    model.compile(run_eagerly=True)
    return model


def linear_vae(likelihood):
    """16 pixels from 2 latents, by random matrices that the tests can read."""

    def dense(units, deviation):
        initializer = keras.initializers.RandomNormal(stddev=deviation, seed=units)
        return keras.layers.Dense(units, kernel_initializer=initializer)

    inputs = keras.Input((4, 4, 1)), keras.Input((2,))
    encoder = keras.Sequential([inputs[0], keras.layers.Flatten(), dense(4, 0.2)])
    last = keras.layers.Reshape((4, 4, 1))
    decoder = keras.Sequential([inputs[1], dense(16, 1.0), last])
    scale = 0.4 if likelihood == "gaussian" else None
    model = VAE(encoder, decoder, likelihood=likelihood, scale=scale)
    model.compile()
    return model


def log_densities(model, images, latents):
    """log p(x, z) and log q(z | x), (n, number of latents), by NumPy and scipy."""
    pixels = images.reshape(len(images), 1, 16)
    kernel, bias = model.encoder.get_weights()
    mean, log_variance = np.split(pixels @ kernel + bias, 2, axis=-1)
    q = stats.norm.logpdf(latents, mean, np.exp(0.5 * log_variance)).sum(axis=-1)
    kernel, bias = model.decoder.get_weights()
    chances = special.expit(latents @ kernel + bias)
    if model.likelihood == "bernoulli":
        given = stats.bernoulli.logpmf(pixels, chances).sum(axis=-1)
    else:
        given = stats.norm.logpdf(pixels, chances, model.scale).sum(axis=-1)
    return given + stats.norm.logpdf(latents).sum(axis=-1), q


def integrate(model, images):
    """The exact log p(x) and the exact ELBO of each image, on a grid of latents."""
    axis, step = np.linspace(-7, 7, 201, retstep=True)
    latents = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    joint, q = log_densities(model, images, latents)
    elbo = (np.exp(q) * (joint - q)).sum(axis=1) * step**2
    return special.logsumexp(joint, axis=1) + 2 * np.log(step), elbo


@pytest.fixture(scope="module")
def trained():
    """A model that has learned the two halves; tests must not change it."""
    model = small_vae(compiled=False)
    rate = keras.optimizers.schedules.CosineDecay(0.01, 5 * 64)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(halves(2048), epochs=5, **QUIET)
    return model


@pytest.fixture(scope="module")
def frozen():
    """A model for tests that change no weight."""
    return small_vae()


# --- networks ---


@pytest.mark.parametrize(
    "shape",
    [(4, 4, 1), (16, 12, 2), (28, 28, 1), (32, 48, 3), (64, 64, 3), (128, 128, 3)],
)
def test_networks_meet_at_every_supported_size(shape):
    encoder = build_encoder(shape, latent_dim=100, width=8)
    decoder = build_decoder(shape, latent_dim=100, width=8)
    codes, logits = encoder(np.ones((2, *shape))), decoder(np.ones((2, 100)))
    assert codes.shape == (2, 200) and codes.dtype == tf.float32
    assert logits.shape == (2, *shape) and logits.dtype == tf.float32
    assert isinstance(encoder, keras.Sequential)
    assert isinstance(decoder, keras.Sequential)
    VAE(encoder, decoder)


@pytest.mark.parametrize("shape", [(30, 30, 1), (64, 20, 3)])
@pytest.mark.parametrize("build", [build_encoder, build_decoder])
def test_an_impossible_size_names_sizes_that_work(build, shape):
    with pytest.raises(ValueError, match="nearest sizes") as error:
        build(shape)
    named = [word.strip(".") for word in str(error.value).split("nearest")[1].split()]
    sizes = [tuple(map(int, word.split("x"))) for word in named if "x" in word]
    assert len(sizes) == 2
    for size in sizes:
        assert (size[0] == size[1]) == (shape[0] == shape[1])
        build((*size, shape[2]), width=1)


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
def test_sizes_below_one_are_refused(build):
    with pytest.raises(ValueError, match="'latent_dim': 0"):
        build(latent_dim=0)
    with pytest.raises(ValueError, match="'width': 0"):
        build(width=0)


# --- the two terms of the bound ---


def test_the_divergence_of_the_prior_is_zero():
    assert kl_divergence(tf.zeros((3, 5)), tf.zeros((3, 5))).numpy().tolist() == [0] * 3


def test_the_divergence_at_values_computed_by_hand():
    # 1/2 (1 + 1 - 0 - 1) + 1/2 (0 + 4 - ln 4 - 1)
    result = kl_divergence(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, np.log(4)]]))
    np.testing.assert_allclose(result, [2 - np.log(2)], rtol=1e-6)


def test_the_divergence_equals_a_monte_carlo_estimate():
    mean, log_variance = np.array([[0.5, -1.0, 2.0]]), np.array([[0.3, -2.0, 1.0]])
    q = stats.norm(mean, np.exp(log_variance / 2))
    draws = q.rvs((100_000, 3), random_state=0)
    ratios = (q.logpdf(draws) - stats.norm.logpdf(draws)).sum(axis=1)
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(kl_divergence(mean, log_variance)[0] - ratios.mean()) < 4 * error


def test_the_divergence_can_be_had_for_each_dimension():
    mean, log_variance = np.random.default_rng(0).normal(size=(2, 6, 3))
    each = kl_divergence(mean[..., None], log_variance[..., None])
    assert each.shape == (6, 3)
    np.testing.assert_allclose(
        tf.reduce_sum(each, axis=1), kl_divergence(mean, log_variance)
    )
    alone = kl_divergence(mean[:, 1:2], log_variance[:, 1:2])
    np.testing.assert_allclose(each[:, 1], alone)


def test_the_bernoulli_likelihood_equals_scipy_and_keras():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (5, *SHAPE)).astype(np.float32)
    images = halves(5)
    result = bernoulli_log_likelihood(images, logits)
    chances = special.expit(logits.astype(np.float64))
    expected = stats.bernoulli.logpmf(images, chances).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    images = rng.random((5, *SHAPE), np.float32)  # grey: the cross-entropy
    entropy = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    expected = -tf.reduce_sum(entropy(images, logits), axis=[1, 2])
    result = bernoulli_log_likelihood(images, logits)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_the_bernoulli_likelihood_bears_large_logits():
    images = np.reshape([1, 0, 1, 0], (4, 1, 1, 1)).astype(np.float32)
    logits = np.reshape([1e4, -1e4, -1e4, 1e4], (4, 1, 1, 1)).astype(np.float32)
    result = bernoulli_log_likelihood(images, logits)
    np.testing.assert_array_equal(result, [0, 0, -1e4, -1e4])


@pytest.mark.parametrize("scale", [0.03, 1.0, tf.constant(0.2)])
def test_the_gaussian_likelihood_equals_scipy(scale):
    images, mean = np.random.default_rng(0).random((2, 5, *SHAPE), np.float32)
    expected = stats.norm.logpdf(images, mean, float(scale)).sum(axis=(1, 2, 3))
    result = gaussian_log_likelihood(images, mean, scale)
    assert result.shape == (5,)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bounds_lie_in_their_order_below_the_exact_likelihood(likelihood):
    model = linear_vae(likelihood)
    rng = np.random.default_rng(0)
    images = (rng.random((3, 4, 4, 1)) < 0.5).astype(np.float32)
    exact, elbo = integrate(model, images)
    assert (elbo < exact - 0.1).all()
    many = np.repeat(images, 1000, axis=0)

    def estimate(samples):
        bounds = model.log_likelihood(many, samples, **QUIET).reshape(3, 1000)
        return bounds.mean(axis=1), bounds.std(axis=1) / np.sqrt(1000)

    (one, error), (several, _) = estimate(1), estimate(10)
    np.testing.assert_array_less(np.abs(one - elbo), 4 * error)
    assert (one < several).all() and (several < exact).all()
    large = model.log_likelihood(images, 20_000, **QUIET)
    np.testing.assert_allclose(large, exact, atol=0.05)


def test_evaluate_estimates_the_elbo_without_bias():
    """In batches, too: each needs noise of its own."""
    model = linear_vae("bernoulli")
    image = np.eye(4, dtype=np.float32)[None, :, :, None]
    _, (elbo,) = integrate(model, image)
    many = np.repeat(image, 4096, axis=0)
    error = model.log_likelihood(many, 1, **QUIET).std() / np.sqrt(4096)
    for size in (16, 4096):
        result = model.evaluate(many, batch_size=size, return_dict=True, **QUIET)
        assert abs(result["elbo"] - elbo) < 4 * error, size


# --- training ---


@pytest.mark.parametrize(
    "options", [{"beta": 3.0}, {"likelihood": "gaussian"}], ids=["coin", "gaussian"]
)
def test_one_step_makes_the_update_of_a_tape_by_hand(options):
    images = halves(16)
    model = small_vae(compiled=False, seed=3, **options)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    encoder, decoder = small_networks()  # with equal weights
    log_scale = tf.Variable(np.log(0.1), dtype=tf.float32)

    noise = keras.random.normal((16, 4), seed=keras.random.SeedGenerator(3))
    with tf.GradientTape() as tape:
        codes = encoder(images, training=True)
        mean, deviation = codes[:, :4], tf.exp(codes[:, 4:] / 2)
        logits = decoder(mean + deviation * noise, training=True)
        if model.likelihood == "bernoulli":
            terms = keras.ops.binary_crossentropy(images, logits, from_logits=True)
        else:
            terms = 0.5 * (images - tf.sigmoid(logits)) ** 2 / tf.exp(log_scale) ** 2
            terms += log_scale + 0.5 * np.log(2 * np.pi)
        rate = (mean**2 + deviation**2 - 1) / 2 - tf.math.log(deviation)
        distortion, rate = tf.reduce_sum(terms) / 16, tf.reduce_sum(rate) / 16
        loss = distortion + model.beta * rate
    start = [*encoder.trainable_variables, *decoder.trainable_variables]
    start += [log_scale] * (model.likelihood == "gaussian")
    gradients = tape.gradient(loss, start)

    logs = model.train_on_batch(images, return_dict=True)
    after = [*model.encoder.trainable_variables, *model.decoder.trainable_variables]
    after += [model.log_scale] * (model.likelihood == "gaussian")
    assert len(model.trainable_variables) == len(after)
    for now, before, gradient in zip(after, start, gradients, strict=True):
        np.testing.assert_allclose(now, before - 0.01 * gradient, atol=2e-5)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert logs["reconstruction_loss"] == pytest.approx(float(distortion), rel=1e-5)
    assert logs["kl"] == pytest.approx(float(rate), rel=1e-4)
    assert logs["elbo"] == pytest.approx(-float(distortion + rate), rel=1e-5)


def test_averaged_networks_are_used(trained):
    averages = trained.averaged_encoder, trained.averaged_decoder
    images = halves(5)
    np.testing.assert_allclose(
        np.concatenate(trained.encode(images), axis=1), averages[0](images), atol=1e-5
    )
    assert not np.allclose(trained.encode(images)[0], trained.encoder(images)[:, :4])
    latents = np.random.default_rng(0).normal(0, 2, (5, 4))
    expected = special.expit(averages[1](latents).numpy())
    np.testing.assert_allclose(trained.decode(latents), expected, atol=1e-5)
    assert not np.allclose(averages[1](latents), trained.decoder(latents))


def test_metrics_are_sums_over_pixels_and_latents():
    images = halves(32)
    for beta in (1.0, 2.0):
        model = constant_vae(mean=1.0, beta=beta)
        result = model.evaluate(images, return_dict=True, **QUIET)
        coins = 64 * np.log(2)
        expected = {"reconstruction_loss": coins, "kl": 2.0, "elbo": -coins - 2}
        assert result == pytest.approx({**expected, "loss": coins + beta * 2})
    model = constant_vae(likelihood="gaussian", scale=0.5)
    density = 64 * stats.norm.logpdf(0, 0.5, 0.5)
    result = model.evaluate(images, return_dict=True, **QUIET)
    assert result["elbo"] == pytest.approx(density, rel=1e-5)


def test_warm_up_raises_beta_in_equal_steps():
    model = small_vae(compiled=False, beta=2.0, warm_up=4)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = model.evaluate(halves(16), return_dict=True, **QUIET)  # beta in full
    assert logs["loss"] == pytest.approx(logs["reconstruction_loss"] + 2 * logs["kl"])
    weights = []
    for _ in range(6):
        model.reset_metrics()
        logs = model.train_on_batch(halves(16), return_dict=True)
        weights.append((logs["loss"] - logs["reconstruction_loss"]) / logs["kl"])
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1.5, 2, 2], atol=0.01)


def test_the_learned_scale_is_the_error_of_the_decoder():
    images = np.random.default_rng(0).uniform(0.2, 1, (16, *SHAPE)).astype(np.float32)
    model = constant_vae(likelihood="gaussian")
    model.encoder.trainable = model.decoder.trainable = False
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(np.tile(images, (100, 1, 1, 1)), batch_size=16, shuffle=False, **QUIET)
    error = np.sqrt(np.mean((images - 0.5) ** 2))
    assert np.exp(model.log_scale.numpy()) == pytest.approx(error, rel=0.01)


def test_a_given_scale_stays_and_grey_pixels_suit_it():
    """Warnings are errors here."""
    model = small_vae(eager=True, likelihood="gaussian", scale=0.25)
    model.fit(grey(64), validation_data=grey(64), **QUIET)
    assert np.exp(model.log_scale.numpy()) == pytest.approx(0.25)


def test_training_beats_independent_pixels_and_comes_near_the_entropy(trained):
    images = halves(512, seed=1)
    chances = halves(2048).mean(axis=0)
    independent = -stats.bernoulli(chances).entropy().sum()
    elbo = trained.evaluate(images, return_dict=True, **QUIET)["elbo"]
    assert independent < -44 and elbo > -6
    # No model gives these images more than their own frequencies do: about -ln 2.
    right = images[:, 0, 7, 0].mean()
    best = -stats.bernoulli(right).entropy()
    likelihood = trained.log_likelihood(images, 100, **QUIET).mean()
    assert best - 4 < likelihood < best + 0.02 and elbo < likelihood


def test_samples_of_a_trained_model_are_one_half_or_the_other(trained):
    images = trained.sample(200, seed=0)
    modes = np.unique(halves(100), axis=0)
    distances = np.abs(images[:, None] - modes).mean(axis=(2, 3, 4))
    assert np.median(distances.min(axis=1)) < 0.1
    assert 0.1 < distances.argmin(axis=1).mean() < 0.9


def test_arrays_and_datasets_agree(frozen):
    images = halves(40)
    data = tf.data.Dataset.from_tensor_slices(images).batch(7)
    for result, expected in [
        (frozen.predict(data, **QUIET), frozen.predict(images, **QUIET)),
        (frozen.encode(data), frozen.encode(images)),
        (frozen.reconstruct(data), frozen.reconstruct(images)),
        (frozen.log_likelihood(data, 3, **QUIET),)
        + (frozen.log_likelihood(images, 3, **QUIET),),
    ]:
        np.testing.assert_allclose(result, expected, atol=1e-6)
    result = frozen.evaluate(data, return_dict=True, **QUIET)
    expected = frozen.evaluate(images, batch_size=7, return_dict=True, **QUIET)
    assert result == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["float64", "float16"])
def test_any_float_type_is_taken_as_float32(frozen, kind):
    images = halves(16)
    expected = frozen.evaluate(images, return_dict=True, **QUIET)
    other = images.astype(kind)
    data = tf.data.Dataset.from_tensor_slices(other).batch(32)
    for source in (other, data):
        assert frozen.encode(source)[0].dtype == np.float32
        result = frozen.evaluate(source, return_dict=True, **QUIET)
        assert result == pytest.approx(expected)


def test_a_last_batch_counts_by_its_images():
    encoder, decoder = small_networks()
    bias = np.repeat([0.0, -50.0], 4)  # no scatter of the latents
    encoder.layers[-1].bias.assign(bias)
    model = VAE(encoder, decoder)
    model.compile(run_eagerly=True)
    images = halves(40)
    images[32:] = 0  # the last batch of 8 is unlike the others
    means, log_variances = model.encode(images)
    logits = decoder(means)
    distortion = -bernoulli_log_likelihood(images, logits).numpy().mean()
    rate = kl_divergence(means, log_variances).numpy().mean()
    result = model.evaluate(images, batch_size=16, return_dict=True, **QUIET)
    assert result["reconstruction_loss"] == pytest.approx(distortion, rel=1e-6)
    assert result["kl"] == pytest.approx(rate, rel=1e-6)


# --- the importance-weighted bound ---


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_of_seven_samples_equals_its_formula(likelihood):
    model = linear_vae(likelihood)
    rng = np.random.default_rng(1)
    images = (rng.random((5, 4, 4, 1)) < 0.5).astype(np.float32)
    mean, log_variance = (part[:, None] for part in model.encode(images))
    noise = tf.random.stateless_normal((7, 5, 2), [3, 0]).numpy()
    latents = mean + np.exp(0.5 * log_variance) * noise.transpose(1, 0, 2)
    joint, q = log_densities(model, images, latents.astype(np.float64))
    expected = special.logsumexp(joint - q, axis=1) - np.log(7)
    result = model.log_likelihood(images, 7, seed=3, **QUIET)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_the_bound_repeats_itself_with_equal_seeds(frozen):
    images = halves(20)
    first = frozen.log_likelihood(images, 5, seed=1, **QUIET)
    again = frozen.log_likelihood(images, 5, seed=1, **QUIET)
    np.testing.assert_array_equal(first, again)
    other = frozen.log_likelihood(images, 5, seed=2, **QUIET)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("samples, count", [(5, 7), (16, 2), (40, 3), (1, 33)])
def test_portions_together_are_the_mean_of_all_weights(monkeypatch, samples, count):
    """With a layer of 2**20 values, 16 images are decoded at a time."""
    wide = keras.Sequential(
        [keras.Input((4,)), keras.layers.RepeatVector(2**18)]
        + [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(64)]
        + [keras.layers.Reshape(SHAPE)]
    )
    model = VAE(build_encoder(SHAPE, 4, 8), wide)
    images = np.repeat(np.linspace(0, 1, count, dtype=np.float32), 64)
    images = images.reshape(count, *SHAPE)
    seeds, weights = set(), {float(image[0, 0, 0]): [] for image in images}

    def log_weights(images, samples, seed):
        assert len(images) * int(samples) <= 16
        assert tuple(seed.numpy()) not in seeds
        seeds.add(tuple(seed.numpy()))
        result = np.random.default_rng(len(seeds)).normal(
            -500, 3, (samples, len(images))
        )
        for image, column in zip(images.numpy(), result.T, strict=True):
            weights[float(image[0, 0, 0])].extend(column)
        return tf.constant(result)

    monkeypatch.setattr(model, "_log_weights", log_weights)
    result = model.log_likelihood(images, samples, **QUIET)
    drawn = np.array(list(weights.values()))
    assert drawn.shape == (count, samples)
    np.testing.assert_allclose(
        result, special.logsumexp(drawn, axis=1) - np.log(samples), rtol=1e-12
    )


def test_the_bound_shows_its_progress_if_wanted(frozen, capsys):
    frozen.log_likelihood(halves(3), 2, **QUIET)
    assert capsys.readouterr().out == ""
    frozen.log_likelihood(halves(3), 2)
    assert "3/3" in capsys.readouterr().out


def test_no_samples_give_no_bound(frozen):
    with pytest.raises(ValueError, match="1 or more; got samples=0"):
        frozen.log_likelihood(halves(3), 0)


# --- what a model is used for ---


def test_encode_gives_means_and_log_variances_of_any_number_of_images(frozen):
    images = halves(300)
    mean, log_variance = frozen.encode(images)
    assert mean.shape == log_variance.shape == (300, 4)
    assert mean.dtype == log_variance.dtype == np.float32
    expected = frozen.encoder(images)
    np.testing.assert_allclose(mean, expected[:, :4], atol=1e-6)
    np.testing.assert_allclose(log_variance, expected[:, 4:], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_gives_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_vae(eager=True, likelihood="gaussian")
        history = model.fit(grey(128), batch_size=16, epochs=2, **QUIET).history
        given = model.sample(2), *model.encode(halves(2))
    finally:
        keras.config.set_dtype_policy("float32")
    assert history["elbo"][1] > history["elbo"][0]
    assert all(array.dtype == np.float32 for array in given)


def test_decode_gives_the_sigmoid_of_the_decoder(frozen):
    latents = np.random.default_rng(0).normal(0, 3, (300, 4))
    images = frozen.decode(latents)
    assert images.shape == (300, *SHAPE) and images.dtype == np.float32
    expected = special.expit(frozen.decoder(latents).numpy())
    np.testing.assert_allclose(images, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 9), (4,), (0, 4), (2, 2, 4)])
def test_latents_of_another_size_are_refused(frozen, shape):
    with pytest.raises(ValueError, match=r"\(n, 4\).*got \("):
        frozen.decode(np.zeros(shape))


def test_predict_and_reconstruct_decode_the_means(trained):
    images = halves(300)
    result = trained.reconstruct(images)
    np.testing.assert_allclose(result, trained.decode(trained.encode(images)[0]))
    np.testing.assert_allclose(result, trained.predict(images, **QUIET), atol=1e-5)
    np.testing.assert_allclose(result[:5], trained(images[:5]), atol=1e-5)
    assert np.abs(result - images).mean() < 0.05


def test_sample_is_reproducible_and_in_range(frozen):
    images = frozen.sample(300, seed=4)
    assert images.shape == (300, *SHAPE) and images.dtype == np.float32
    assert 0 <= images.min() and images.max() <= 1
    np.testing.assert_array_equal(images, frozen.sample(300, seed=4))
    assert not np.array_equal(images, frozen.sample(300, seed=5))
    assert not np.array_equal(frozen.sample(3), frozen.sample(3))


@pytest.mark.parametrize("count", [0, -1, 2.5, "9", True])
def test_sample_refuses_a_count_that_is_none(frozen, count):
    with pytest.raises(ValueError, match="1 or more"):
        frozen.sample(count)


@pytest.mark.parametrize("method", ["spherical", "linear"])
def test_interpolate_starts_and_ends_at_the_reconstructions(trained, method):
    ends = np.unique(halves(10), axis=0)
    images = trained.interpolate(*ends, steps=5, method=method)
    assert images.shape == (5, *SHAPE) and images.dtype == np.float32
    np.testing.assert_allclose(images[[0, -1]], trained.reconstruct(ends), atol=1e-5)
    means = trained.encode(ends)[0]
    path = trained.decode(interpolate_latents(*means, 5, method))
    np.testing.assert_allclose(images, path, atol=1e-6)


def test_a_spherical_path_keeps_its_length_and_its_pace():
    start, end = np.random.default_rng(0).normal(size=(2, 50))
    start, end = (3 * v / np.linalg.norm(v) for v in (start, end))
    path = interpolate_latents(start, end, steps=7)
    assert path.shape == (7, 50) and path.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(path[[0, -1]], [start, end], atol=1e-6)
    strides = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(strides, strides[0], rtol=1e-4)
    path = interpolate_latents([1, 0], [0, 1], steps=3)
    np.testing.assert_allclose(path[1], [0.5**0.5] * 2, rtol=1e-6)


def test_a_linear_path_has_the_mean_in_its_middle():
    start, end = np.random.default_rng(0).normal(size=(2, 50))
    path = interpolate_latents(start, end, 3, "linear")
    np.testing.assert_allclose(path, [start, (start + end) / 2, end], rtol=1e-6)


@pytest.mark.parametrize(
    "start, end",
    [([1, 2], [-1, -2]), ([1, 2], [2, 4]), ([0, 0], [1, 2]), ([0, 0], [0, 0])],
    ids=["antiparallel", "parallel", "zero", "both zero"],
)
def test_without_an_arc_the_path_is_straight(start, end):
    path = interpolate_latents(start, end, steps=5)
    expected = np.linspace(start, end, 5)
    np.testing.assert_allclose(path, expected, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 2], [1, 2, 3]), r"\(2,\) and \(3,\)"),
        (([[1, 2]], [[3, 4]]), "equal length"),
        (([1, 2], [3, 4], 1), "at least 2; got 1"),
        (([1, 2], [3, 4], 5, "cubic"), "'spherical' or 'linear'; got 'cubic'"),
    ],
)
def test_paths_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        interpolate_latents(*arguments)


# --- bad input, each refused before any weight has changed ---


def one_nan():
    images = halves(32)
    images[5, 3, 3] = np.nan
    return images


BAD_IMAGES = {
    "-1 to 1": (halves(32) * 2 - 1, r"from -1.* to 1.*255"),
    "0 to 255": (halves(32) * 255, r"\[0, 1\].* to 255.*Divide"),
    "8 bit": ((halves(32) * 255).astype("uint8"), "uint8.*255"),
    "NaN": (one_nan(), r"\[0, 1\].*nan"),
    "channels": (np.zeros((32, 8, 8, 3), np.float32), r"8, 8, 1.*8, 8, 3"),
    "size": (np.zeros((32, 16, 16, 1), np.float32), r"16, 16, 1.*Resize"),
    "rank": (np.zeros((32, 8, 8), np.float32), r"n, 8, 8, 1.*, 8, 8\)"),
}
METHODS = ["predict", "encode", "reconstruct", "log_likelihood"]


def use(model, method, images):
    options = QUIET if method not in ("encode", "reconstruct") else {}
    return getattr(model, method)(images, **options)


@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused(frozen, case, kind):
    images, message = BAD_IMAGES[case]
    if kind == "dataset":
        images = tf.data.Dataset.from_tensor_slices(images).batch(16)
    before = frozen.get_weights()
    for method in METHODS:
        with pytest.raises(ValueError, match=message) as error:
            use(frozen, method, images)
        assert len(str(error.value)) < 400  # the message, no stack of graph nodes
    for now, then in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_no_images_are_refused(frozen, method, kind):
    images = halves(1)[:0]
    if kind == "dataset":
        images = tf.data.Dataset.from_tensor_slices(images).batch(16)
    with pytest.raises(ValueError, match="at least one is needed"):
        use(frozen, method, images)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "log_likelihood"])
def test_no_images_are_refused_where_their_number_is_not_known(frozen, method):
    data = tf.data.Dataset.from_tensor_slices(halves(4)).filter(lambda image: False)
    with pytest.raises(ValueError, match="at least one is needed"):
        use(frozen, method, data.batch(2))


def test_labels_are_refused(frozen):
    images, labels = halves(32), np.zeros(32)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    examples = tf.data.Dataset.from_tensor_slices({"image": images}).batch(16)
    for method in METHODS:
        with pytest.raises(ValueError, match="labels"):
            use(frozen, method, pairs)
        with pytest.raises(ValueError, match="images alone"):
            use(frozen, method, examples)


def test_grey_pixels_are_warned_of_once_under_bernoulli():
    vae = small_vae(eager=True)
    late = halves(64)
    late[48:] = grey(16)  # in the last batch alone
    for images in (grey(64), late):
        options = dict(batch_size=16, **QUIET)
        with pytest.warns(UserWarning, match="binarize") as record:
            vae.fit(images, shuffle=False, epochs=2, validation_data=images, **options)
        assert len(record) == 1
        with pytest.warns(UserWarning, match="binarize") as record:
            vae.fit(halves(16), validation_data=images, **options)
        assert len(record) == 1
        with pytest.warns(UserWarning, match="binarize") as record:
            vae.evaluate(images, **options)
        assert len(record) == 1


def test_binary_pixels_are_not_warned_of():
    """Warnings are errors here. Nor because of grey images that went before."""
    vae = small_vae(eager=True)
    vae.fit(halves(16), validation_data=halves(16), **QUIET)
    vae.encode(grey(16))
    vae.fit(halves(16), **QUIET)
    vae.predict(grey(16), **QUIET)
    vae.evaluate(halves(16), **QUIET)


def test_networks_that_do_not_fit_are_refused():
    encoder, decoder = build_encoder(SHAPE, 4, 8), build_decoder(SHAPE, 4, 8)
    unbuilt = keras.Sequential([keras.layers.Dense(8)])
    with pytest.raises(ValueError, match="encoder.*keras.Input"):
        VAE(unbuilt, decoder)
    with pytest.raises(ValueError, match="decoder.*keras.Input"):
        VAE(encoder, unbuilt)
    with pytest.raises(ValueError, match=r"\(n, 10\).*\(None, 8\).*one latent_dim"):
        VAE(encoder, build_decoder(SHAPE, 5, 8))
    with pytest.raises(ValueError, match=r"\(16, 16, 1\).*\(8, 8, 1\).*image_shape"):
        VAE(encoder, build_decoder((16, 16, 1), 4, 8))
    with pytest.raises(ValueError, match="latent vectors"):
        VAE(encoder, keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]))


@pytest.mark.parametrize("last", ["sigmoid", "tanh", "hard_sigmoid", "relu"])
def test_an_activation_at_the_end_of_a_network_is_refused(last):
    encoder, decoder = build_encoder(SHAPE, 4, 8), build_decoder(SHAPE, 4, 8)
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        start = keras.Input(network.input_shape[1:])
        bounded = keras.Sequential([start, network, keras.layers.Activation(last)])
        networks = {"encoder": encoder, "decoder": decoder, name: bounded}
        with pytest.raises(ValueError, match=f"The {name} must give numbers of any"):
            VAE(**networks)


def test_the_largest_layer_is_found_at_whatever_depth():
    """On which the memory of `log_likelihood` depends."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16)])
    inner.add(keras.layers.RepeatVector(2**16))
    inner.add(keras.layers.GlobalMaxPooling1D())
    body = [inner, keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
    model = VAE(
        build_encoder(SHAPE, 4, 4), keras.Sequential([keras.Input((4,)), *body])
    )
    seen = []
    model._log_weights = lambda images, samples, seed: (
        seen.append(int(samples)) or tf.zeros((int(samples), len(images)))
    )
    model.log_likelihood(halves(1), samples=40, verbose=0)
    assert seen == [16, 16, 8]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"likelihood": "mse"}, "'bernoulli' or 'gaussian'; got 'mse'"),
        ({"scale": 0.1}, "Bernoulli likelihood has no scale"),
        ({"likelihood": "gaussian", "scale": 0.0}, "above 0; got 0"),
        ({"likelihood": "gaussian", "scale": -1.0}, "above 0; got -1"),
        ({"likelihood": "gaussian", "scale": np.inf}, "above 0; got inf"),
        ({"beta": -0.1}, "at least 0 and finite; got -0.1"),
        ({"beta": np.nan}, "at least 0 and finite; got nan"),
        ({"warm_up": -1}, "number of steps, 0 or more; got -1"),
        ({"warm_up": 2.5}, "number of steps, 0 or more; got 2.5"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_vae(**options)
