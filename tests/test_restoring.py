"""PSNR and SSIM against closed forms and scikit-image."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfgen.measures.restoring import psnr, ssim


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
