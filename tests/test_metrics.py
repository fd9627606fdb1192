"""The Frechet distance against closed forms and scipy."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from tfgen.metrics import frechet_distance


def whitened(count, dimensions, seed=0):
    """Features with exactly the mean 0 and the covariance 1."""
    features = np.random.default_rng(seed).normal(size=(count, dimensions))
    features -= features.mean(axis=0)
    return features @ np.linalg.inv(np.linalg.cholesky(np.cov(features.T))).T


def test_gaussians_with_known_distance():
    features = whitened(500, 3)
    shift, scales = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
    # Along each axis: difference of the means and of the standard deviations.
    expected = np.sum(shift**2) + np.sum((1 - scales) ** 2)
    result = frechet_distance(features, features * scales + shift)
    assert result == pytest.approx(expected, rel=1e-9)


def test_equal_to_the_matrix_root_of_scipy():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) + i for i in range(2))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected += np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_zero_on_itself_even_where_a_feature_is_constant():
    features = np.random.default_rng(0).normal(size=(50, 4))
    features[:, 2] = 7
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_grows_with_noise():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 4))
    noise = rng.normal(size=features.shape)
    distances = [frechet_distance(features, features + s * noise) for s in (0.5, 1, 2)]
    assert distances == sorted(distances) and distances[0] > 0.01


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((50, 4)), np.zeros((50, 5)), "equal dimensions"),
        (np.zeros(50), np.zeros(50), "shape"),
        (np.zeros((4, 4)), np.zeros((50, 4)), "more samples"),
        (np.full((50, 4), np.nan), np.zeros((50, 4)), "NaN"),
    ],
)
def test_bad_features_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
