"""PSNR and SSIM against closed forms and scikit-image."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfgen.measures.restoring import compare, print_scores, psnr, ssim, untouched


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
    print_scores(["a"], ["noisy"], iter([np.array([[9.0, 0.25]])]))
    assert capsys.readouterr().out == (
        "                noisy\n"
        "image     PSNR   SSIM\n"
        "a         9.00 0.2500\n"
        "mean      9.00 0.2500\n"
    )
