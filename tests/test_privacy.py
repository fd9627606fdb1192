"""DP-SGD of chapter 16: its step, and what the accountant says of its steps."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import brentq
from scipy.special import binom, logsumexp
from scipy.stats import norm

import tfgen

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import privacy  # noqa: E402

SHAPE = (4, 4, 1)


def build(**options):
    keras.utils.set_random_seed(0)
    networks = privacy.build_networks(hidden=6, latent_dim=3, shape=SHAPE)
    model = privacy.PrivateVAE(*networks, seed=0, **options)
    model.compile(keras.optimizers.SGD(1.0))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 2, (40, *SHAPE)).astype("float32")


def gradients_of(model, images):
    noise = tf.random.stateless_normal((len(images), model.latent_dim), [0, 1])
    gradients, *_ = tf.vectorized_map(
        lambda pair: model.image_gradient(*pair), (images, noise)
    )
    return noise, gradients


def lengths(gradients):
    return np.sqrt(
        sum((np.asarray(g) ** 2).sum(tuple(range(1, g.ndim))) for g in gradients)
    )


def flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients])


def test_without_clipping_and_noise_it_is_the_gradient_of_the_mean_loss(images):
    model = build(clip=1e6, sigma=0.0)
    noise, gradients = gradients_of(model, images)
    with tf.GradientTape() as tape:
        mean, log_variance = model.posterior(images, training=True)
        logits = model.decoder(mean + tf.exp(0.5 * log_variance) * noise)
        likelihood = model.log_likelihood_of(images, logits)
        loss = tf.reduce_mean(tfgen.kl_divergence(mean, log_variance) - likelihood)
    expected = tape.gradient(loss, model.trainable_variables)
    means = model.noisy_mean(gradients, len(images))
    for mean, gradient in zip(means, expected, strict=True):
        np.testing.assert_allclose(mean, gradient, atol=1e-5)


def test_no_image_counts_for_more_than_the_clip(images):
    model = build(clip=2.0, sigma=0.0)
    _, gradients = gradients_of(model, images)
    assert lengths(gradients).min() > 2
    for index in range(3):
        one = [g[index : index + 1] for g in gradients]
        clipped = flat(model.noisy_mean(one, 1))
        np.testing.assert_allclose(np.linalg.norm(clipped), 2, rtol=1e-5)
        cosine = clipped @ flat(one) / np.linalg.norm(flat(one)) / 2
        np.testing.assert_allclose(cosine, 1, rtol=1e-5)


def test_short_gradients_are_left_as_they_are(images):
    model = build(clip=2.0, sigma=0.0)
    _, gradients = gradients_of(model, images[:1])
    short = [g * 0.01 for g in gradients]
    assert lengths(short)[0] < 2
    np.testing.assert_allclose(flat(model.noisy_mean(short, 1)), flat(short), rtol=1e-5)


def test_noise_has_the_deviation_that_was_asked_for():
    model = build(clip=2.0, sigma=3.0)
    zeros = [tf.zeros((5, *v.shape)) for v in model.trainable_variables]
    drawn = np.stack([flat(model.noisy_mean(zeros, 10.0)) for _ in range(60)])
    np.testing.assert_allclose(drawn.std(), 2 * 3 / 10, rtol=0.05)
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.3  # each step draws anew


def test_a_step_without_any_image_is_noise_alone(images):
    model = build(share=1e-6, clip=1e-3, sigma=1e-3)
    before = flat(model.trainable_variables)
    model.fit(tf.data.Dataset.from_tensors(images), verbose=0)
    moved = flat(model.trainable_variables) - before
    noise = 1e-3 * 1e-3 / (1e-6 * len(images))
    np.testing.assert_allclose(moved.std(), noise, rtol=0.2)


def epsilon_of_gaussian(sigma, delta):
    """Balle and Wang, 2018 (arXiv:1805.06530), theorem 8, at sensitivity 1."""

    def excess(epsilon):
        first = norm.cdf(0.5 / sigma - epsilon * sigma)
        return (
            first - np.exp(epsilon) * norm.cdf(-0.5 / sigma - epsilon * sigma) - delta
        )

    return brentq(excess, 0, 100)


@pytest.mark.parametrize(("sigma", "steps"), [(4.0, 1), (10.0, 100), (10.0, 20)])
def test_epsilon_of_all_images_in_every_step_has_a_closed_form(sigma, steps):
    accountant = privacy.account(1.0, sigma, steps)
    expected = epsilon_of_gaussian(sigma / np.sqrt(steps), 1e-5)
    found, _, least = privacy.largest_shares(accountant)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    best = norm.cdf(norm.ppf(0.01) + np.sqrt(steps) / sigma)  # the likelihood ratio's
    np.testing.assert_allclose(least, best, rtol=0.01)


def moments_accountant(share, sigma, steps, delta):
    """Mironov et al., 2019 (arXiv:1908.10530), whole orders; the conversion of 2016."""
    epsilons = []
    for order in range(2, 200):
        k = np.arange(order + 1)
        logs = np.log(binom(order, k)) + k * np.log(share)
        logs += (order - k) * np.log1p(-share) + (k**2 - k) / (2 * sigma**2)
        spent = steps * logsumexp(logs) - np.log(delta)
        epsilons.append(spent / (order - 1))
    return min(epsilons)


@pytest.mark.parametrize(
    ("share", "sigma", "steps", "published"),
    [
        (0.01, 4.0, 10_000, 1.26),  # Abadi et al., 2016, section 3.2
        (256 / 60_000, 1.3, 20 * 60_000 // 256, 1.34),  # Bu et al., 2020
    ],
)
def test_epsilon_is_at_most_the_published_bound(share, sigma, steps, published):
    """The moments accountant is a bound that is not tight; ours is."""
    bound = moments_accountant(share, sigma, steps, 1e-5)
    np.testing.assert_allclose(bound, published, rtol=0.01)
    epsilon = privacy.account(share, sigma, steps).get_epsilon(1e-5)
    assert 0.7 * published < epsilon < bound
