"""A denoiser as a prior, against the posterior of Gaussian images, which is exact."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from skimage import data

import tfgen
from tfgen import prior
from tfgen.diffusion import Diffusion
from tfgen.measures.classics import inpaint_biharmonic
from tfgen.prior import restore_with_prior
from tfgen.restoration import Restorer, build_denoiser, build_inpainter
from tfgen.unet import build_denoising_unet

SIDE = 8
KERNEL = np.outer([1, 2, 1], [1, 3, 2]) / 24.0  # not symmetric


def gaussian_world(side=SIDE, spread=0.1, reach=2.0):
    """The mean and the covariance of images whose near pixels are alike."""
    places = np.indices((side, side)).reshape(2, -1).T
    far = np.linalg.norm(places[:, None] - places, axis=-1)
    return np.full(side**2, 0.5), spread**2 * np.exp(-far / reach)


MEAN, COVARIANCE = gaussian_world()


def ideal_denoiser(images, sigma):
    """The posterior mean of images of this world with noise."""
    noise = (sigma / 255) ** 2 * np.eye(len(MEAN))
    gain = COVARIANCE @ np.linalg.inv(COVARIANCE + noise)
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    return np.float32(MEAN + (flat - MEAN) @ gain.T).reshape(images.shape)


def draw_images(count, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(MEAN, COVARIANCE, count)
    return np.float32(drawn).clip(0, 1).reshape(count, SIDE, SIDE, 1)


def matrix_of(forward):
    """A linear function of images as a matrix."""
    units = np.eye(SIDE**2, dtype=np.float32).reshape(-1, SIDE, SIDE, 1)
    seen = [np.asarray(forward(unit[None])).ravel() for unit in units]
    return np.stack(seen, axis=1).astype(np.float64)


def posterior_mean(matrix, measured, noise):
    """That of Gaussian images, seen through a matrix with noise."""
    seen = matrix @ COVARIANCE @ matrix.T + noise**2 * np.eye(len(matrix))
    gain = COVARIANCE @ matrix.T @ np.linalg.pinv(seen)
    flat = measured.reshape(len(measured), -1)
    return MEAN + (flat - matrix @ MEAN) @ gain.T


def box():
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[2:6, 3:7] = 1
    return mask


DAMAGES = {
    "mask": (dict(mask=box()), lambda x: x * (1 - box()[None, ..., None])),
    "scale": (dict(scale=2), prior.shrink_pair(2, SIDE, SIDE)[0]),
    "kernel": (
        dict(kernel=KERNEL),
        lambda x: prior.blur_pair(KERNEL, x.shape)[0](tf.constant(x)),
    ),
    "both": (
        dict(scale=2, kernel=KERNEL),
        lambda x: prior.blur_pair(KERNEL, x.shape, 2)[0](tf.constant(x)),
    ),
}


# The measurements.


@pytest.mark.parametrize("name", DAMAGES)
def test_pairs_are_adjoint(name):
    rng, options = np.random.default_rng(0), DAMAGES[name][0]
    if name == "mask":
        pair = prior.mask_pair(box()[None, ..., None])
    elif name == "scale":
        pair = prior.shrink_pair(2, SIDE, SIDE)
    else:
        pair = prior.blur_pair(KERNEL, (3, SIDE, SIDE, 2), options.get("scale", 1))
    forward, adjoint = pair
    x = tf.constant(rng.normal(size=(3, SIDE, SIDE, 2)), tf.float32)
    y = tf.constant(rng.normal(size=forward(x).shape), tf.float32)
    left, right = tf.reduce_sum(y * forward(x)), tf.reduce_sum(adjoint(y) * x)
    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_shrinking_is_that_of_downsample():
    images = np.random.default_rng(0).random((2, 12, 16, 3), np.float32)
    seen = prior.shrink_pair(4, 12, 16)[0](tf.constant(images))
    expected = tfgen.downsample(images, scale=4, round_to_bytes=False)["image"]
    np.testing.assert_allclose(seen, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_blur_is_that_of_scipy(scale):
    image = np.random.default_rng(0).random((9, 10, 3), np.float32)
    seen = prior.blur_pair(KERNEL, (1, 9, 10, 3), scale)[0](tf.constant(image[None]))
    for channel in range(3):
        expected = ndimage.correlate(image[..., channel], KERNEL, mode="reflect")
        np.testing.assert_allclose(
            seen[0, ..., channel], expected[::scale, ::scale], atol=1e-5
        )


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("ratio", [1e-2, 1.0])
def test_the_data_step_is_the_nearest_image_that_fits(name, ratio):
    """Against the normal equations, ``(A'A + r) x = A'y + r z``."""
    forward = DAMAGES[name][1]
    matrix, clean = matrix_of(forward), draw_images(2, seed=1)
    measured = np.asarray(forward(draw_images(1))).repeat(2, axis=0)
    pair = {
        "mask": lambda: prior.mask_pair(box()[None, ..., None]),
        "scale": lambda: prior.shrink_pair(2, SIDE, SIDE),
        "kernel": lambda: prior.blur_pair(KERNEL, clean.shape),
        "both": lambda: prior.blur_pair(KERNEL, clean.shape, 2),
    }[name]()
    found = prior.pair_step(*pair, measured, clean, ratio)
    wanted = measured.reshape(2, -1) @ matrix + ratio * clean.reshape(2, -1)
    square = matrix.T @ matrix + ratio * np.eye(SIDE**2)
    expected = np.linalg.solve(square, wanted.T).T
    np.testing.assert_allclose(found.reshape(2, -1), expected, atol=1e-4)


# What comes back.


@pytest.mark.parametrize("name", DAMAGES)
def test_it_finds_the_posterior_mean_of_gaussian_images(name):
    options, forward = DAMAGES[name]
    images = draw_images(3)
    measured = np.stack([np.asarray(forward(image[None]))[0] for image in images])
    noise = {"mask": 0.0}.get(name, 3.0)
    restored = restore_with_prior(
        ideal_denoiser, measured, **options, noise=noise, steps=100, start=100
    )
    matrix = matrix_of(forward)
    known = matrix.any(axis=1)
    expected = posterior_mean(
        matrix[known], measured.reshape(3, -1)[:, known], max(noise / 255, 1e-6)
    )
    error = np.abs(restored.reshape(3, -1) - expected)
    plain = np.abs(expected - MEAN)
    assert error.max() < 0.1 * plain.max() and error.mean() < 0.05 * plain.mean()


def test_noise_around_holes_is_taken_away():
    forward = DAMAGES["mask"][1]
    images = draw_images(3)
    restored = restore_with_prior(
        ideal_denoiser, forward(images), mask=box(), noise=10, steps=100, start=100
    )
    matrix = matrix_of(forward)
    known = matrix.any(axis=1)
    seen = images.reshape(3, -1)[:, known]
    expected = posterior_mean(matrix[known], seen, 10 / 255)
    error = np.abs(restored.reshape(3, -1) - expected)
    assert error.max() < 0.1 * np.abs(expected - MEAN).max()


def test_draws_lie_around_the_posterior_mean():
    options, forward = DAMAGES["mask"]
    measured = np.asarray(forward(draw_images(1))).repeat(300, axis=0)
    drawn = restore_with_prior(
        ideal_denoiser, measured, **options, steps=60, start=100, seed=0, fresh=1.0
    )
    holes = box() > 0
    matrix = matrix_of(forward)
    known = matrix.any(axis=1)
    expected = posterior_mean(
        matrix[known], measured[:1].reshape(1, -1)[:, known], 1e-6
    ).reshape(SIDE, SIDE)
    found = drawn[..., 0].mean(axis=0)
    assert np.abs(found - expected)[holes].max() < 0.03
    assert 0.01 < drawn[..., 0].std(axis=0)[holes].mean() < 0.12
    assert (np.ptp(drawn[..., 0], axis=0)[~holes] == 0).all()


def test_equal_seeds_draw_equal_images():
    options, forward = DAMAGES["mask"]
    measured = forward(draw_images(1))
    first, again, other = (
        restore_with_prior(ideal_denoiser, measured, **options, steps=3, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[0, box() > 0].mean() > 0.01


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (2, 8, 8, 1)])
def test_known_pixels_stay_and_holes_are_ignored(shape):
    images = np.random.default_rng(0).random(shape, np.float32)
    holes = np.broadcast_to(box() if len(shape) == 2 else box()[..., None], shape) > 0
    damaged = np.where(holes, np.float32(np.nan), images)
    restored = restore_with_prior(ideal_denoiser, damaged, mask=box(), steps=2)
    assert restored.shape == shape and restored.dtype == np.float32
    np.testing.assert_array_equal(restored[~holes], images[~holes])
    assert np.isfinite(restored).all()


@pytest.mark.parametrize(
    ("shape", "large"), [((4, 6), (8, 12)), ((4, 4, 3), (8, 8, 3))]
)
def test_enlarged_images_keep_their_form(shape, large):
    small = np.full(shape, 0.25, np.float32)
    restored = restore_with_prior(lambda x, sigma: x, small, scale=2, steps=2)
    assert restored.shape == large
    np.testing.assert_allclose(restored, 0.25, atol=1e-3)


def test_images_of_a_batch_do_not_meet():
    measured = np.asarray(DAMAGES["kernel"][1](draw_images(3)))
    options = dict(kernel=KERNEL, steps=3)
    together = restore_with_prior(ideal_denoiser, measured, **options)
    alone = [restore_with_prior(ideal_denoiser, x, **options) for x in measured]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


def test_levels_fall_evenly_on_a_logarithmic_scale():
    told = []

    def listen(images, sigma):
        told.append(sigma)
        return images

    restore_with_prior(listen, np.zeros((8, 8), np.float32), mask=box(), steps=4)
    np.testing.assert_allclose(told, 49 ** np.array([1, 2 / 3, 1 / 3, 0]), rtol=1e-6)


# What it restores with.


def test_a_restorer_that_is_told_sigma_serves():
    """In holes it is given the noise that it is told of."""
    restorer = Restorer(build_denoiser(1, 4, 1), tfgen.add_gaussian_noise)
    image = np.random.default_rng(0).random((8, 8), np.float32)
    one = restore_with_prior(restorer, image, mask=box(), steps=1)
    filled = prior.fill_depths(
        image[..., None] * (1 - box()[..., None]), box()[..., None], sight=0
    )[0]
    noise = np.random.default_rng(0).standard_normal(filled.shape, np.float32)
    expected = restorer.restore(filled + 49 / 255 * noise, sigma=49)[..., 0]
    np.testing.assert_allclose(one[box() > 0], expected[box() > 0], atol=1e-6)


class Listener(Restorer):
    """Notes what it is given, and answers with it."""

    def restore(self, images, sigma):
        self.seen.append((images.shape[1:3], sigma))
        return images


@pytest.mark.parametrize(
    ("side", "hole", "sizes"),
    [(40, 8, [40]), (40, 12, [20, 40]), (41, 12, [21, 41]), (64, 40, [8, 16, 32, 64])],
)
def test_a_restorer_fills_wide_holes_at_small_sizes_first(side, hole, sizes):
    restorer = Listener(build_denoiser(1, 4, 1), tfgen.add_gaussian_noise)
    restorer.seen = []
    mask = np.zeros((side, side), np.float32)
    mask[10 : 10 + hole, 10 : 10 + hole] = 1
    image = np.full((side, side), 0.5, np.float32)
    image[mask > 0] = np.nan
    filled = restore_with_prior(restorer, image, mask=mask, steps=2, fresh=0.0, seed=0)
    assert [shape[0] for shape, _ in restorer.seen[::2]] == sizes
    np.testing.assert_array_equal(filled[mask == 0], np.float32(0.5))
    assert filled.shape == image.shape and np.isfinite(filled).all()


def test_a_wide_hole_begins_with_its_half():
    """A ramp, halved and enlarged, is a ramp inside."""
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))[None, ..., None]
    mask = np.zeros((1, 64, 64, 1), np.float32)
    mask[:, 20:44, 20:44] = 1
    asked = {}

    def restore(small, mask):
        asked.update(small=small, mask=mask)
        return ramp.reshape(1, 32, 2, 32, 2, 1).mean(axis=(2, 4))

    begun = prior.begin_small(ramp * (1 - mask), mask, 0 * ramp, restore)
    np.testing.assert_allclose(begun, ramp, atol=1e-5)
    assert asked["mask"].sum() == 12 * 12
    known = asked["mask"] == 0
    halves = ramp.reshape(1, 32, 2, 32, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(asked["small"][known], halves[known], atol=1e-6)


def test_only_wide_holes_begin_small_and_noise_stays_in_range():
    mask = np.zeros((2, 32, 32, 1), np.float32)
    mask[0, 4:28, 4:28] = 1
    mask[1, 4:8, 4:8] = 1
    batch = np.where(mask > 0, 0, np.float32(-0.1))
    first = np.full(batch.shape, 0.25, np.float32)

    def restore(small, mask):
        assert small.min() >= 0
        return np.full(small.shape, 0.75, np.float32)

    begun = prior.begin_small(batch, mask, first, restore)
    np.testing.assert_allclose(begun[0][mask[0] > 0], 0.75, atol=1e-5)
    np.testing.assert_array_equal(begun[1][mask[1] > 0], np.float32(0.25))


def test_the_shipped_denoiser_enlarges_and_sharpens():
    """Photos, of which it has learned nothing but noise."""
    photo = data.camera()[96:288, 160:352].reshape(96, 2, 96, 2).mean(axis=(1, 3))
    photo = np.float32(photo / 255)[None, ..., None]
    denoiser, options = tfgen.load_pretrained("denoise"), dict(steps=8)

    def score(images):
        return tfgen.psnr(photo, np.clip(images, 0, 1))[0]

    small = tfgen.downsample(photo, scale=2)["image"].numpy()
    bicubic = score(tf.image.resize(small, photo.shape[1:3], "bicubic"))
    assert score(restore_with_prior(denoiser, small, scale=2, **options)) > bicubic + 2

    line = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    blurred = tfgen.blur(photo, radius=1.5)["image"].numpy()
    blurred = np.float32(np.round(blurred * 255) / 255)
    sharp = restore_with_prior(denoiser, blurred, kernel=kernel, **options)
    assert score(sharp) > score(blurred) + 6


def test_the_shipped_denoiser_fills_a_wide_hole():
    """With more detail than the smooth surface has, and with each seed another one."""
    photo = data.camera()[96:288, 160:352].reshape(96, 2, 96, 2).mean(axis=(1, 3))
    photo = np.float32(photo / 255)
    mask = np.zeros((96, 96), np.float32)
    mask[24:72, 24:72] = 1
    denoiser, options = tfgen.load_pretrained("denoise"), dict(mask=mask, steps=12)
    careful = restore_with_prior(denoiser, photo, **options)
    drawn = [
        restore_with_prior(denoiser, photo, seed=seed, fresh=0.1, **options)
        for seed in (0, 1)
    ]
    smooth = inpaint_biharmonic(photo[..., None], mask[..., None])[..., 0]

    def detail(image):
        return np.abs(np.diff(image[26:70, 26:70], n=2, axis=0)).mean()

    def error(image):
        return np.sqrt(np.mean((image - photo)[mask > 0] ** 2))

    assert min(map(detail, drawn)) > 2 * detail(smooth)
    assert np.abs(drawn[0] - drawn[1])[mask > 0].mean() > 0.02
    assert error(careful) < error(smooth)  # and does not run away to black and white


@pytest.mark.parametrize(("classes", "labels"), [((), None), ((3,), 2), ((3,), None)])
def test_a_diffusion_serves(classes, labels):
    """An untrained one has the velocity 0: it takes its points for clean."""
    flow = Diffusion(build_denoising_unet((8, 8, 1), 4, classes), classes)
    image = np.random.default_rng(0).random((8, 8), np.float32)
    options = dict(mask=box(), steps=1, start=255, labels=labels)
    one = restore_with_prior(flow, image, **options)
    known = image[..., None] * (1 - box()[..., None])
    filled = prior.fill_depths(known, box()[..., None], sight=0)[0][..., 0]
    expected = (1 + (2 * filled - 1) / 3) / 2  # t = 1 / (1 + 2)
    np.testing.assert_allclose(one[box() > 0], expected[box() > 0], atol=1e-5)


# What is refused.

GREY = np.full((8, 8), 0.5, np.float32)
FAULTS = {
    "nothing to undo": (dict(), "Say what is to be undone"),
    "two damages": (dict(mask=box(), scale=2), "Say what is to be undone"),
    "nothing known": (dict(mask=np.ones((8, 8))), "nothing is known"),
    "another mask": (dict(mask=np.zeros((8, 7))), "mask has shape"),
    "a soft mask": (dict(mask=box() / 2), "nothing between"),
    "no steps": (dict(mask=box(), steps=0), "steps must be"),
    "half a step": (dict(mask=box(), steps=2.5), "steps must be"),
    "scale": (dict(scale=0), "scale must be"),
    "negative noise": (dict(mask=box(), noise=-1), "noise is at least 0"),
    "much noise": (dict(mask=box(), noise=60), "noise is at least 0"),
    "start": (dict(mask=box(), start=0), "noise is at least 0"),
    "fresh": (dict(mask=box(), fresh=1.5), "share from 0 to 1"),
    "seed": (dict(mask=box(), seed=-1), "seed is a whole number"),
    "even kernel": (dict(kernel=np.ones((2, 2)) / 4), "both odd"),
    "flat kernel": (dict(kernel=np.ones(3) / 3), "both odd"),
    "wide kernel": (dict(kernel=np.ones((1, 19)) / 19), "reaches no further"),
    "heavy kernel": (dict(kernel=np.ones((3, 3))), "sum to 1"),
    "kernel of NaN": (dict(kernel=np.full((3, 3), np.nan)), "sum to 1"),
    "labels": (dict(mask=box(), labels=1), "labels are for a Diffusion"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_arguments_are_refused(name):
    options, message = FAULTS[name]
    with pytest.raises(ValueError, match=message):
        restore_with_prior(ideal_denoiser, GREY, **options)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (GREY + 1, "Images must be float32 in"),
        (np.full((8, 8), np.nan, np.float32), "Images must be float32 in"),
        (np.full((8, 8), 128, np.uint8), "floats in"),
        (np.zeros((8, 8, 2), np.float32), "1 or 3 channels"),
    ],
)
def test_other_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        restore_with_prior(ideal_denoiser, image, scale=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "denoise", "got a str"),
        (lambda: build_denoiser(1, 4, 1), "got a "),
        (lambda: Restorer(build_inpainter(1, 4, 1), tfgen.mask_boxes), "told"),
        (
            lambda: Restorer(build_denoiser(1, 4, 1, True), tfgen.add_gaussian_noise),
            "told nothing",
        ),
        (lambda: Diffusion(build_denoising_unet((16, 16, 1), 4)), "of shape"),
        (lambda: lambda images, sigma: images[:, 1:], "The denoiser made"),
    ],
)
def test_other_denoisers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        restore_with_prior(make(), GREY, mask=box())
