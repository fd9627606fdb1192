"""Measures of samples: against closed forms, other libraries, and planted faults."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial import KDTree
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest
from skimage.util import view_as_windows

from tfgen.measures.samples import (
    class_coverage,
    class_divergence,
    class_shares,
    coverage,
    frechet_distance,
    kernel_distance,
    memorization_test,
    nearest_neighbors,
    precision_recall,
    wilson_interval,
    window_distances,
)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def normal(rng, count, dimensions=4, mean=0.0, scale=1.0):
    return rng.normal(mean, scale, (count, dimensions))


# --- Frechet distance ---


def whitened(count, dimensions, seed=0):
    """Features with exactly the mean 0 and the covariance 1."""
    features = np.random.default_rng(seed).normal(size=(count, dimensions))
    features -= features.mean(axis=0)
    return features @ np.linalg.inv(np.linalg.cholesky(np.cov(features.T))).T


def test_gaussians_have_a_known_frechet_distance():
    features = whitened(500, 3)
    shift, scales = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
    # Along each axis: difference of the means and of the standard deviations.
    expected = np.sum(shift**2) + np.sum((1 - scales) ** 2)
    result = frechet_distance(features, features * scales + shift)
    assert result == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_is_that_with_the_matrix_root_of_scipy():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) + i for i in range(2))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected += np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_is_0_to_itself_even_where_a_feature_is_constant():
    features = np.random.default_rng(0).normal(size=(50, 4))
    features[:, 2] = 7
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_grows_with_noise():
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
def test_features_without_a_frechet_distance_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


# --- Kernel distance ---


def test_the_kernel_distance_is_the_mean_over_all_pairs(rng, monkeypatch):
    monkeypatch.setattr("tfgen.measures.samples.BLOCK", 3)
    a, b = normal(rng, 8), normal(rng, 7, mean=0.5)

    def kernel(x, y):
        return (x @ y / 4 + 1) ** 3

    def mean(values):
        return sum(values) / len(values)

    expected = (
        mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
        + mean(
            [kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j]
        )
        - 2 * mean([kernel(x, y) for x in a for y in b])
    )
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_of_normals_is_that_of_their_moments(rng):
    # In one dimension E k(x, y) = sum over j of binom(3, j) E[x^j] E[y^j].
    a, b = normal(rng, 5000, 1), normal(rng, 5000, 1, mean=1.0)
    moments = np.array([1, 0, 1, 0]), np.array([1, 1, 2, 4])  # of N(0, 1), N(1, 1)
    exact = (np.array([1, 3, 3, 1]) * (moments[0] - moments[1]) ** 2).sum()
    assert kernel_distance(a, b) == pytest.approx(exact, rel=0.2)


def test_the_kernel_distance_is_not_biased_by_few_samples(rng):
    distances = [kernel_distance(normal(rng, 20), normal(rng, 20)) for _ in range(300)]
    error = np.std(distances) / math.sqrt(len(distances))
    assert abs(np.mean(distances)) < 3 * error
    assert min(distances) < 0


@pytest.mark.parametrize("measure", [kernel_distance, precision_recall, coverage])
def test_bad_features_are_refused(measure):
    good = np.zeros((10, 3))
    with pytest.raises(ValueError, match="equal dimensions"):
        measure(good, np.zeros((10, 4)))
    with pytest.raises(ValueError, match="At least"):
        measure(good, np.zeros((0, 3)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        measure(good, np.full((10, 3), np.nan))


# --- Precision and recall ---


def test_precision_and_recall_are_the_shares_inside_the_balls(rng, monkeypatch):
    monkeypatch.setattr("tfgen.measures.samples.BLOCK", 16)
    real, fake = normal(rng, 60), normal(rng, 50, mean=0.7)

    def share(points, centers):
        radii = KDTree(centers).query(centers, 4)[0][:, 3]
        distances = np.linalg.norm(points[:, None] - centers, axis=2)
        return (distances <= radii).any(axis=1).mean()

    precision, recall = precision_recall(real, fake, k=3)
    assert precision == pytest.approx(share(fake, real))
    assert recall == pytest.approx(share(real, fake))
    assert 0 < precision < 1 and 0 < recall < 1


def test_equal_sets_have_precision_and_recall_1(rng):
    features = normal(rng, 100)
    assert precision_recall(features, features) == (1.0, 1.0)


def test_noise_costs_precision_and_lost_modes_cost_recall(rng):
    real = np.concatenate([normal(rng, 500, mean=m, scale=0.3) for m in (-3, 3)])
    other = np.concatenate([normal(rng, 500, mean=m, scale=0.3) for m in (-3, 3)])
    floor = precision_recall(real, other)
    noisy = precision_recall(real, other + normal(rng, 1000, scale=2.0))
    one_mode = precision_recall(real, normal(rng, 1000, mean=3, scale=0.3))
    assert min(floor) > 0.9
    assert noisy[0] < 0.5
    assert one_mode[0] > 0.9 and one_mode[1] < 0.6


# --- Coverage ---


def test_coverage_is_worked_out_by_hand():
    # The balls of the real points 0, 1, 2, 10 have the radii 1, 1, 1, 8 for k = 1.
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    fake = np.array([[0.4], [0.5], [0.6], [90.0]])
    assert coverage(real, fake, k=1) == 0.5  # those of 0 and 1
    assert precision_recall(real, fake, k=1)[0] == 0.75  # all but 90
    assert precision_recall(real, fake, k=1)[1] == 0.75  # all in the ball of 90 but 0


def test_coverage_is_the_share_of_real_points_with_a_sample_in_their_ball(
    rng, monkeypatch
):
    monkeypatch.setattr("tfgen.measures.samples.BLOCK", 16)
    real, fake = normal(rng, 60), normal(rng, 50, mean=0.7)
    radii = KDTree(real).query(real, 4)[0][:, 3]
    distances = np.linalg.norm(real[:, None] - fake, axis=2)
    expected = (distances <= radii[:, None]).any(axis=1).mean()
    assert 0 < expected < 1
    assert coverage(real, fake, k=3) == pytest.approx(expected)


def test_coverage_asks_neither_for_order_nor_for_place_and_scale(rng):
    real, fake = normal(rng, 80), normal(rng, 80, mean=0.7)
    rotation = np.linalg.qr(normal(rng, 4))[0]
    expected = coverage(real, fake)
    assert coverage(real[::-1], rng.permutation(fake)) == expected
    assert coverage(3 * real @ rotation + 5, 3 * fake @ rotation + 5) == expected


@pytest.mark.parametrize("k", [1, 3, 5])
def test_two_sets_of_one_distribution_have_the_known_coverage(rng, k):
    floors = [coverage(normal(rng, 400), normal(rng, 400), k) for _ in range(10)]
    assert np.mean(floors) == pytest.approx(1 - 2.0**-k, abs=0.02)


def test_lost_modes_cost_coverage_and_stray_samples_do_not_restore_it(rng):
    real = np.concatenate([normal(rng, 500, mean=m, scale=0.3) for m in (-3, 3)])
    one_mode = normal(rng, 1000, mean=3, scale=0.3)
    assert 0.45 < coverage(real, one_mode) < 0.55
    one_mode[:20] = normal(rng, 20, scale=30)
    assert precision_recall(real, one_mode)[1] > 0.9
    assert coverage(real, one_mode) < 0.55


@pytest.mark.parametrize("k", [0, 10])
def test_a_neighbour_that_does_not_exist_is_refused(k):
    with pytest.raises(ValueError, match="k must be from 1 to 9"):
        coverage(np.zeros((10, 3)), np.zeros((10, 3)), k=k)


# --- Variety ---


def test_shares_and_coverage_count_classes():
    labels = np.repeat([0, 1, 3], [50, 49, 1])
    np.testing.assert_allclose(class_shares(labels, 4), [0.5, 0.49, 0, 0.01])
    assert class_coverage(labels, 4) == 3
    assert class_coverage(labels, 4, least=0.02) == 2


def test_the_divergence_is_that_of_scipy(rng):
    a, b = rng.integers(0, 5, 100), rng.integers(0, 4, 200)
    shares = class_shares(a, 5), class_shares(b, 5)
    expected = jensenshannon(*shares) ** 2
    assert class_divergence(a, b, 5) == pytest.approx(expected)
    assert class_divergence(a, a, 5) == 0
    assert class_divergence([0, 0], [1], 2) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "labels, message",
    [([0, 3], "from 0 to 2"), ([-1], "from -1"), ([0.5], "integers"), ([], "integers")],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        class_shares(labels, 3)


# --- Copies ---


def test_neighbors_are_those_of_a_tree(rng, monkeypatch):
    monkeypatch.setattr("tfgen.measures.samples.BLOCK", 7)
    points, candidates = rng.random((20, 4, 4, 1)), rng.random((30, 4, 4, 1))
    indices, distances = nearest_neighbors(points, candidates)
    expected = KDTree(candidates.reshape(30, -1)).query(points.reshape(20, -1))
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0])


def test_a_planted_copy_is_found_and_a_fair_generator_is_not_accused(rng):
    train, test = normal(rng, 800), normal(rng, 200)
    fair = [memorization_test(normal(rng, 300), train, test) for _ in range(20)]
    assert all(result["expected"] == 0.8 for result in fair)
    assert min(result["p_value"] for result in fair) > 1e-3
    copies = train[rng.integers(0, 800, 300)] + normal(rng, 300, scale=0.05)
    result = memorization_test(copies, train, test)
    assert result["share"] > 0.95 and result["p_value"] < 1e-6
    # One sample in three is copied, the others are new.
    copies[:200] = normal(rng, 200)
    assert memorization_test(copies, train, test)["p_value"] < 1e-3


def test_few_kinds_of_samples_are_not_taken_for_copies(rng):
    alarms = 0
    for _ in range(60):
        train, test = normal(rng, 80, 2), normal(rng, 80, 2)
        narrow = normal(rng, 1, 2) + normal(rng, 500, 2, scale=0.2)
        alarms += memorization_test(narrow, train, test)["p_value"] < 0.05
    assert alarms <= 9  # 3 are expected of a p-value that keeps its word


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("successes, trials", [(0, 1), (0, 30), (7, 7), (211, 234)])
def test_wilson_interval_is_that_of_scipy(successes, trials, confidence):
    expected = binomtest(successes, trials).proportion_ci(confidence, "wilson")
    found = wilson_interval(successes, trials, confidence)
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-12)
    assert 0 <= found[0] < found[1] <= 1


def test_wilson_interval_ends_where_the_share_is_z_deviations_away():
    successes, z = np.array([[3], [50]]), 1.959963984540054
    for end in wilson_interval(successes, 100):
        assert end.shape == (2, 1)
        distance = np.abs(successes / 100 - end)
        np.testing.assert_allclose(distance, z * np.sqrt(end * (1 - end) / 100))


def test_a_wilson_interval_holds_the_truth_as_often_as_it_says(rng):
    low, high = wilson_interval(rng.binomial(50, 0.9, 4000), 50)
    assert np.mean((low <= 0.9) & (0.9 <= high)) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1, 0), "trials from 1"),
        ((-1, 3), "successes are whole numbers"),
        ((0.5, 3), "successes are whole numbers"),
        ((np.array([1, 4]), 3), "cannot be"),
        ((1, 3, 95), "between 0 and 1; got 95"),
    ],
)
def test_a_wilson_interval_needs_counts(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)


# --- Copies of a part ---


def pictures(rng, *shape):
    return rng.random(shape, dtype=np.float32)


def test_windows_are_as_far_as_scikit_image_cuts_them(rng):
    images, photos = pictures(rng, 3, 5, 6, 2), pictures(rng, 4, 8, 9, 2)
    expected = [
        [
            np.sqrt(
                ((view_as_windows(photo, image.shape) - image) ** 2).mean((3, 4, 5))
            )
            for photo in photos
        ]
        for image in images
    ]
    nearest = np.min(expected, axis=(2, 3, 4))
    np.testing.assert_allclose(window_distances(images, photos), nearest, atol=1e-4)


def test_a_window_is_found_where_it_was_cut_and_mirrored_if_asked(rng):
    photos = pictures(rng, 3, 20, 24, 3)
    cut = photos[[2], 3:15, 7:23]
    assert window_distances(cut, photos)[0].argmin() == 2
    assert window_distances(cut, photos)[0, 2] < 1e-3
    mirrored = cut[:, :, ::-1]
    assert window_distances(mirrored, photos).min() > 0.3
    distances = window_distances(mirrored, photos, mirror=True)
    assert distances.shape == (1, 3) and distances[0, 2] < 1e-3
    np.testing.assert_array_equal(distances[0, :2] > 0.3, True)


def test_images_of_equal_size_are_compared_as_they_are(rng):
    images, photos = pictures(rng, 4, 6, 6, 1), pictures(rng, 5, 6, 6, 1)
    indices, distances = nearest_neighbors(images, photos)
    found = window_distances(images, photos)
    np.testing.assert_array_equal(found.argmin(axis=1), indices)
    np.testing.assert_allclose(found.min(axis=1), distances / 6, atol=1e-4)
    shifted = np.roll(images, 2, axis=2)[:, 2:-2, 2:-2]  # cut off: shifts allowed
    assert window_distances(shifted, images).argmin(axis=1).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(window_distances(shifted, images).min(1), 0, atol=1e-3)


@pytest.mark.parametrize(
    "shape, message",
    [((1, 5, 6, 2), "at least their height"), ((1, 6, 6, 1), "channels of the images")],
)
def test_windows_that_do_not_fit_are_refused(rng, shape, message):
    with pytest.raises(ValueError, match=message):
        window_distances(pictures(rng, 1, 6, 6, 2), pictures(rng, *shape))


def test_windows_of_bytes_are_refused(rng):
    with pytest.raises(ValueError, match="photos: values must be in"):
        window_distances(pictures(rng, 1, 4, 4, 1), 255 * pictures(rng, 1, 8, 8, 1))
