"""Judging membership inference: closed forms, ties, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import trapezoid
from scipy.stats import mannwhitneyu, norm

import tfgen
from tfgen.measures.membership import roc_curve, true_positive_rate

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import membership as benchmark  # noqa: E402


def gaussian_scores(count, distance):
    """Quantiles of two Gaussians of variance 1: their curve without any noise."""
    others = norm.ppf((np.arange(count) + 0.5) / count)
    return others + distance, others


def area(members, others):
    false, true = roc_curve(members, others)
    return trapezoid(true, false)


@pytest.mark.parametrize("distance", [-1, 0, 0.5, 2])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3, 1])
def test_two_gaussians_have_a_known_curve(distance, rate):
    members, others = gaussian_scores(100_000, distance)
    expected = norm.cdf(distance + norm.ppf(rate))
    found = true_positive_rate(members, others, false_positives=rate)
    assert found == pytest.approx(expected, abs=2e-3)
    assert area(members, others) == pytest.approx(
        norm.cdf(distance / np.sqrt(2)), abs=1e-4
    )


def test_the_curve_by_hand():
    false, true = roc_curve([3, 1, 1], [2, 1, 0, 0])
    np.testing.assert_allclose(false, [0, 0, 1 / 4, 2 / 4, 1])
    np.testing.assert_allclose(true, [0, 1 / 3, 1 / 3, 1, 1])


def test_the_area_is_that_of_mann_and_whitney_with_ties():
    rng = np.random.default_rng(0)
    members, others = rng.integers(2, 8, 300), rng.integers(0, 7, 500)
    expected = mannwhitneyu(members, others).statistic / (300 * 500)
    assert area(members, others) == pytest.approx(expected, rel=1e-12)
    assert area(others, members) == pytest.approx(1 - expected, rel=1e-12)


def test_the_order_and_the_unit_of_scores_do_not_count():
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.5, 1, 200), rng.normal(0, 1, 1000)
    expected = roc_curve(members, others)
    shuffled = rng.permutation(members), rng.permutation(others)
    np.testing.assert_array_equal(roc_curve(*shuffled), expected)
    np.testing.assert_array_equal(roc_curve(*map(np.exp, shuffled)), expected)


def test_equal_scores_are_accused_together():
    equal = np.ones(200)
    np.testing.assert_array_equal(roc_curve(equal, equal), [[0, 1], [0, 1]])
    assert true_positive_rate(equal, equal) == 0
    assert true_positive_rate(equal, equal, 1) == 1
    # One other image too many shares the threshold with the members: none is found.
    others = np.r_[equal[:3], np.zeros(197)]
    assert true_positive_rate(equal, others, 0.01) == 0
    assert true_positive_rate(equal, others, 0.015) == 1


@pytest.mark.parametrize("count", [100, 300, 1000, 2900])
def test_the_rate_itself_is_allowed(count):
    others = np.arange(count)
    members = [count - count // 100]  # exactly so many others score at least as much
    assert true_positive_rate(members, others) == 1
    assert true_positive_rate(np.array(members) - 0.5, others) == 1
    assert true_positive_rate(np.array(members) - 1, others) == 0


def test_a_score_that_knows_nothing_finds_the_rate():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 1200))
    found = [true_positive_rate(x[:200], x[200:], 0.05) for x in scores]
    assert np.mean(found) == pytest.approx(0.05, abs=0.005)


def test_the_names_are_public():
    assert tfgen.roc_curve is roc_curve
    assert tfgen.true_positive_rate is true_positive_rate


@pytest.mark.parametrize("function", [roc_curve, true_positive_rate])
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], r"one number an image.*\(0,\)"),
        (np.zeros((200, 1)), r"\(200, 1\)"),
        (1.0, r"got \(\)"),
        ([1.0, np.nan], "NaN or infinity"),
        ([1.0, -np.inf], "NaN or infinity"),
    ],
)
def test_unusable_scores_are_refused(function, scores, message):
    with pytest.raises(ValueError, match=f"members.*{message}"):
        function(scores, np.zeros(200))
    with pytest.raises(ValueError, match=f"others.*{message}"):
        function(np.zeros(200), scores)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, np.nan])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match="false_positives is a rate above 0"):
        true_positive_rate([1.0], np.zeros(200), rate)


def test_too_few_others_are_refused():
    assert true_positive_rate([1.0], np.zeros(100)) == 1
    assert true_positive_rate([1.0], np.zeros(49), 1 / 49) == 1  # 49 * (1 / 49) < 1
    with pytest.raises(ValueError, match="99 others cannot.*0.01; at least 100 can"):
        true_positive_rate([1.0], np.zeros(99))


# --- The benchmark ---


def test_letters_are_shrunk_by_means():
    (large,) = tfgen.load_dataset("glyphs", "test[:8]", shuffle=False, batch_size=8)
    expected = tf.nn.avg_pool2d(large, 2, 2, "VALID")
    small = benchmark.load_letters("test[:8]")
    np.testing.assert_allclose(small, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["vae", "gan", "diffusion"])
def test_the_score_of_a_letter_does_not_depend_on_the_others(kind, monkeypatch):
    monkeypatch.setattr(benchmark, "DRAWS", 1)
    images = np.random.default_rng(0).random((5, *benchmark.SHAPE), np.float32)
    model = benchmark.build(kind, seed=0)
    scores = benchmark.score(model, images)
    assert scores.shape == (5,)
    if kind != "vae":  # its bound draws other latents at another place
        alone = benchmark.score(model, images[2:3])
        np.testing.assert_allclose(alone, scores[2:3], rtol=1e-4, atol=1e-6)


def test_the_score_of_diffusion_is_its_loss(monkeypatch):
    monkeypatch.setattr(benchmark, "DRAWS", 1)
    model = benchmark.build("diffusion", seed=0)
    model.network.layers[-2].set_weights([np.zeros((512, 256)), np.zeros(256)])
    model.averaged_network.set_weights(model.network.get_weights())
    image = np.full((1, *benchmark.SHAPE), 0.75, np.float32)
    rng, losses = np.random.default_rng(0), []
    for _ in benchmark.TIMES:  # the velocity is 0, so the loss is that of the target
        noise = rng.standard_normal((1, *benchmark.SHAPE), np.float32)
        losses.append(np.mean((0.5 - noise) ** 2))
    np.testing.assert_allclose(
        benchmark.score(model, image), [-np.mean(losses)], rtol=1e-4
    )
