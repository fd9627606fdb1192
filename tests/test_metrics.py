"""The metrics against closed forms, scipy and scikit-image."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.linalg import sqrtm
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfgen.metrics import (
    bits_per_dimension,
    compare,
    frechet_distance,
    mutual_information_gap,
    print_scores,
    psnr,
    ssim,
    untouched,
)

# --- PSNR and SSIM ---


def pair(channels=3, count=3, height=32, width=45):
    """Soft pictures and noisier and noisier copies of them."""
    rng = np.random.default_rng(0)
    images = rng.random((count, height, width, channels))
    images = ndimage.gaussian_filter(images, (0, 2, 2, 0))
    images = (images - images.min()) / np.ptp(images)
    sigma = np.linspace(0.02, 0.3, count)[:, None, None, None]
    noisy = images + sigma * rng.normal(size=images.shape)
    return images.astype(np.float32), np.clip(noisy, 0, 1).astype(np.float32)


def skimage_ssim(image, restored):
    """Over the windows that lie inside the image, as Wang and others count them."""
    every = structural_similarity(
        image,
        restored,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=-1,
        full=True,
    )[1]
    return every[5:-5, 5:-5].mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_those_of_scikit_image(channels):
    images, restored = pair(channels)
    for ours, theirs in ((psnr, peak_signal_noise_ratio), (ssim, skimage_ssim)):
        result = ours(images, restored)
        expected = [theirs(a, b) for a, b in zip(images, restored, strict=True)]
        assert result.shape == (3,)
        np.testing.assert_allclose(result, expected, rtol=1e-4)
        assert (np.diff(result) < 0).all()  # noisier and noisier


def test_luma_is_that_of_television():
    images, restored = pair()
    lumas = [rgb2ycbcr(x.astype(float))[..., :1] / 255 for x in (images, restored)]
    for ours, theirs in (
        (psnr, partial(peak_signal_noise_ratio, data_range=1)),
        (ssim, skimage_ssim),
    ):
        result = ours(images, restored, luma=True)
        expected = [theirs(a, b) for a, b in zip(*lumas, strict=True)]
        np.testing.assert_allclose(result, expected, rtol=1e-4)
        assert np.abs(result - ours(images, restored)).max() > 0.01
        grey = images[..., :1], restored[..., :1]
        np.testing.assert_array_equal(ours(*grey, luma=True), ours(*grey))


@pytest.mark.parametrize("ours", [psnr, ssim])
@pytest.mark.parametrize("border", [1, 4])
def test_the_border_is_left_out(ours, border):
    images, restored = pair()
    inside = np.s_[:, border:-border, border:-border]
    result = ours(images, restored, border=border)
    np.testing.assert_allclose(result, ours(images[inside], restored[inside]))
    for edge in np.s_[:, :border], np.s_[:, -border:]:
        for axes in ((0, 1, 2, 3), (0, 2, 1, 3)):
            restored.transpose(axes)[edge] = 0
    np.testing.assert_allclose(ours(images, restored, border=border), result)
    assert ours(images, restored)[0] < result[0]


def test_psnr_and_ssim_at_values_known_by_hand():
    grey = np.full((2, 16, 16, 1), 0.5, np.float32)
    np.testing.assert_allclose(psnr(grey, grey + 0.1), 20, rtol=1e-5)  # MSE 0.01
    assert (psnr(grey, grey) == np.inf).all()
    np.testing.assert_allclose(ssim(grey, grey), 1)
    expected = (2 * 0.5 * 0.6 + 1e-4) / (0.5**2 + 0.6**2 + 1e-4)  # no contrast
    np.testing.assert_allclose(ssim(grey, grey + 0.1), expected, rtol=1e-3)
    images, restored = (x.astype(np.float64) for x in pair())
    np.testing.assert_allclose(psnr(images, restored), psnr(*pair()), rtol=1e-5)


GREY = np.full((1, 16, 16, 1), 0.5, np.float32)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("images", "restored", "options", "message"),
    [
        ((GREY * 255).astype(np.uint8), GREY, {}, "images.*uint8.*255"),
        (GREY, (GREY * 255).astype(int), {}, "restored.*int64.*255"),
        (GREY * 255, GREY, {}, r"images.*\[0, 1\].*127.5.*255"),
        (GREY, GREY - 0.6, {}, r"restored.*from -0.1.*np.clip"),
        (GREY, GREY * np.nan, {}, "restored.*nan"),
        (GREY[0], GREY[0], {}, r"\(16, 16, 1\).*image\[None\]"),
        (GREY[:0], GREY[:0], {}, r"\(0, 16, 16, 1\)"),
        (GREY, GREY[:, :15], {}, r"\(1, 16, 16, 1\).*\(1, 15, 16, 1\)"),
        (GREY, GREY.repeat(3, axis=-1), {}, r"\(1, 16, 16, 3\)"),
        (GREY, GREY, {"border": 8}, "border of 8.*16 x 16"),
        (GREY, GREY, {"border": -1}, "border of -1"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(
    measure, images, restored, options, message
):
    with pytest.raises(ValueError, match=message):
        measure(images, restored, **options)


def test_ssim_needs_a_window():
    with pytest.raises(ValueError, match="11 x 11.*10 x 16 within the border"):
        ssim(GREY[:, :10], GREY[:, :10])
    with pytest.raises(ValueError, match="10 x 10 within the border"):
        ssim(GREY, GREY, border=3)
    assert ssim(GREY[:, :11], GREY[:, :11]) == pytest.approx(1)


# --- several methods ---


def test_methods_are_told_what_is_known_and_compared():
    (clean,), (noisy,) = pair(count=1)
    damaged = {
        "image": noisy[None],
        "sigma": np.array([[25.0]], np.float32),
        "mask": np.ones((1, 32, 45, 1), np.float32),
    }

    def method(image, sigma, mask):
        np.testing.assert_array_equal(image, noisy)
        assert isinstance(sigma, float) and sigma == 25 and mask.shape == (32, 45, 1)
        return image + 0.5

    methods = {"as it is": untouched, "brighter": method}
    scores = compare(clean, damaged, methods)
    for row, image in zip(scores, (noisy, np.minimum(noisy + 0.5, 1)), strict=True):
        expected = [f(clean[None], image[None])[0] for f in (psnr, ssim)]
        np.testing.assert_array_equal(row, expected)
    (scores,) = compare(clean, damaged, {"as it is": untouched}, luma=True, border=4)
    expected = [
        f(clean[None], noisy[None], luma=True, border=4)[0] for f in (psnr, ssim)
    ]
    np.testing.assert_array_equal(scores, expected)


def test_results_are_rounded_as_a_file_would_hold_them():
    (clean,), _ = pair(count=1)
    stored = np.rint(clean * 255).astype(np.uint8) / np.float32(255)
    damaged = {"image": clean[None]}
    whole, rounded = (
        compare(stored, damaged, {"": untouched}, round_to_bytes=rounds)[0, 0]
        for rounds in (False, True)
    )
    assert rounded == np.inf > whole


def test_a_method_that_returns_another_shape_is_refused():
    (clean,), (noisy,) = pair(count=1)
    with pytest.raises(ValueError, match="but the restored ones"):
        compare(clean, {"image": noisy[None, ::2]}, {"small": untouched})


def test_scores_are_printed_as_they_come_with_their_means(capsys):
    def score():
        yield np.array([[20, 0.5], [30, 0.7]])
        assert "short" in capsys.readouterr().out
        yield np.array([[24.126, 0.6], [np.inf, 1]])

    rows = print_scores(["short", "longer.png"], ["noisy", "network"], score())
    assert capsys.readouterr().out == (
        "longer.png    24.13 0.6000      inf 1.0000\n"
        "mean          22.06 0.5500      inf 0.8500\n"
    )
    np.testing.assert_allclose(rows[-1], [[22.063, 0.55], [np.inf, 0.85]])
    assert rows.shape == (3, 2, 2)
    print_scores(["a"], ["noisy"], [np.array([[9.0, 0.25]])])
    assert capsys.readouterr().out == (
        "                noisy\n"
        "image     PSNR   SSIM\n"
        "a         9.00 0.2500\n"
        "mean      9.00 0.2500\n"
    )


# --- the Frechet distance ---


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
