"""Measures of likelihood and latent spaces, against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from tfgen.measures.latents import bits_per_dimension, mutual_information_gap

# --- bits per dimension ---


def test_a_fair_coin_needs_one_bit():
    assert bits_per_dimension(-64 * np.log(2), (8, 8, 1)) == pytest.approx(1)
    result = bits_per_dimension(-np.log(2) * np.array([48, 96, 0]), (4, 4, 3))
    np.testing.assert_allclose(result, [1, 2, 0], atol=1e-12)


def test_a_density_is_spread_over_the_grey_levels():
    assert bits_per_dimension(0.0, (8, 8, 3), levels=256) == pytest.approx(8)  # even
    grey, gaussian = 100 / 255, stats.norm(0.5, 0.1)
    chance = np.diff(gaussian.cdf([grey - 0.5 / 256, grey + 0.5 / 256])).item()
    result = bits_per_dimension(12 * gaussian.logpdf(grey), (2, 2, 3), levels=256)
    assert result == pytest.approx(-np.log2(chance), abs=1e-3)


# --- the mutual information gap ---


def uniforms(count, dimensions, seed=0):
    return np.random.default_rng(seed).random((count, dimensions))


def information_by_scipy(a, b):
    """H(a) + H(b) - H(a, b) in nats; and H(b)."""
    pairs = np.unique(np.stack([a, b]), axis=1, return_counts=True)[1]
    single = [stats.entropy(np.unique(x, return_counts=True)[1]) for x in (a, b)]
    return sum(single) - stats.entropy(pairs), single[1]


def test_a_dimension_for_each_factor_gives_1():
    a, b, noise = uniforms(20_000, 3).T
    classes = (a * 5).astype(int)
    latents = np.stack([np.exp(classes), noise, -(b**3)], axis=1)
    gaps = mutual_information_gap(latents, {"letter": classes, "size": b})
    assert gaps == pytest.approx({"letter": 1, "size": 1}, abs=0.02)


def test_names_and_truth_values_are_classes():
    a, noise = uniforms(2000, 2).T
    factors = {"name": np.where(a < 0.3, "A", "B"), "small": a < 0.3}
    gaps = mutual_information_gap(np.stack([a < 0.3, noise], axis=1), factors)
    assert gaps == pytest.approx({"name": 1, "small": 1}, abs=0.02)


def test_factors_shared_by_two_dimensions_give_0():
    a, b = np.random.default_rng(0).normal(size=(2, 20_000))
    turned = np.stack([a + b, a - b], axis=1)  # by 45 degrees
    for latents in (turned, turned * [1, -7], np.stack([a, a], axis=1)):
        assert mutual_information_gap(latents, {"a": a})["a"] < 0.01
    assert mutual_information_gap(np.stack([a, b], axis=1), {"a": a})["a"] > 0.95


def test_noise_tells_nothing():
    latents, factor = uniforms(20_000, 4), uniforms(20_000, 1, seed=1)[:, 0]
    factors = {"real": factor, "class": (factor * 3).astype(int)}
    assert max(mutual_information_gap(latents, factors).values()) < 0.01


@pytest.mark.parametrize("bins", [2, 20])
def test_the_gap_equals_that_of_scipys_entropies(bins):
    noise = uniforms(2000, 4)
    size = noise[:, 0]
    latents = size[:, None] + noise[:, 1:] * [0.3, 1, 3]
    letter = (size * 7 + noise[:, 1]).astype(int)
    # Intervals of equal counts, from the ranks.
    binned = stats.rankdata(latents, axis=0).astype(int)
    binned = (binned - 1) * bins // 2000
    sizes = (stats.rankdata(size).astype(int) - 1) * bins // 2000
    gaps = mutual_information_gap(latents, {"size": size, "letter": letter}, bins)
    for name, classes in {"size": sizes, "letter": letter}.items():
        result = [information_by_scipy(column, classes) for column in binned.T]
        *_, second, first = sorted(information for information, _ in result)
        assert gaps[name] == pytest.approx((first - second) / result[0][1], rel=1e-9)


def test_a_constant_dimension_tells_nothing():
    a = uniforms(1000, 1)[:, 0]
    latents = np.stack([np.zeros(1000), a], axis=1)
    assert mutual_information_gap(latents, {"a": a})["a"] == pytest.approx(1)


@pytest.mark.parametrize(
    "latents, factor, bins, message",
    [
        (np.zeros(50), np.zeros(50), 20, r"got \(50,\)"),
        (uniforms(50, 1), np.arange(50), 20, r"2 dimensions.*\(50, 1\)"),
        (uniforms(50, 2), np.arange(50), 1, "bins=1"),
        (np.full((50, 2), np.nan), np.arange(50), 20, "latent is NaN"),
        (uniforms(50, 2), np.arange(49), 20, r"'x'.* 50 latents.*\(49,\)"),
        (uniforms(50, 2), np.full(50, np.inf), 20, "'x'.*infinite"),
        (uniforms(50, 2), np.full(50, 3), 20, "'x' is the same"),
        (uniforms(1000, 2), np.full(1000, 3), 20, "'x' is the same"),
        (uniforms(1000, 2), np.full(1000, 0.3), 20, "'x' is the same"),
    ],
)
def test_what_has_no_gap_is_refused(latents, factor, bins, message):
    with pytest.raises(ValueError, match=message):
        mutual_information_gap(latents, {"x": factor}, bins)
