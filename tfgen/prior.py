"""A denoiser restores what it was never trained for.

By Tweedie's formula (Robbins, 1956; Miyasawa, 1961) the best denoiser knows how the
probability of images grows, ``D(y, s) - y = s^2 grad log p(y)``: so it is knowledge of
images, a *prior*, for any damage that can be computed. Two steps take turns while the
noise falls: the denoiser moves an estimate towards images, and a data step towards what
was measured.
"""

import functools
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from .checks import check_counts, check_seed, require
from .diffusion import Diffusion, estimate_clean
from .restoration import Restorer
from .tiles import as_batch, check_mask, check_range, fill_depths

ROUNDING = 0.3  # of 255: the standard deviation of rounding to bytes
NEAR = 4  # pixels: how far into a hole a restorer draws without a coarser image
SOLVING = 30  # steps of conjugate gradients at most


def restore_with_prior(
    denoiser,
    measurement,
    *,
    mask=None,
    scale=None,
    kernel=None,
    noise=0.0,
    steps=24,
    start=None,
    seed=None,
    fresh=0.5,
    labels=None,
    verbose=0,
):
    """Fill holes, enlarge, or remove a known blur, with a denoiser.

    Without a seed, one careful estimate: plug-and-play (Zhang et al., "Plug-and-play
    image restoration with deep denoiser prior", 2021, arXiv:2008.13751). With a seed,
    noise is added again between the steps, and the result is one of many images that
    fit, with texture: after Kadkhodaie and Simoncelli (2020, arXiv:2007.13640), in the
    form of Zhu et al. ("DiffPIR", 2023, arXiv:2305.08995).

    The noise that a `Restorer` knows does not cover an image, but it covers a small
    one. So it fills wide holes at half the size first, where they are half as wide, and
    so on, and begins from the enlarged result. Without a seed, where holes are filled,
    it sees images with noise all the same, equal in each call: it exaggerates what it
    sees in images without noise.

    Parameters
    ----------
    denoiser : Restorer, Diffusion or callable
        A `Restorer` that is told ``sigma``, such as ``load_pretrained("denoise")``; a
        `Diffusion`, for images of its size; or a function of noisy images (n, height,
        width, channels), and the standard deviation of their noise where white is 255,
        that returns cleaner ones.
    measurement : array, (height, width), (height, width, channels) or (n, height,
        width, channels)
        The damaged images in [0, 1], 1 or 3 channels.
    mask : array, (height, width) or (height, width, 1), or one for each image
        1 in the holes and 0 elsewhere; what stands in the holes is ignored.
    scale : int
        How many times the measurement is smaller, by `downsample` or, with a kernel,
        by that blur, of which every scale-th pixel is kept, from the first on.
    kernel : array, (height, width), both odd
        The weights of a pixel's surroundings in the blurred pixel, which sum to 1.
        Beyond its edge an image is mirrored.
    noise : float
        Standard deviation of the noise in the measurement where white is 255. With 0,
        known pixels beside holes do not change; small and blurred images are never
        trusted further than rounding to bytes, 0.3.
    steps : int
        How often the denoiser is applied at each size, at least 1.
    start : float
        The noise of the first step, where white is 255; it falls evenly on a
        logarithmic scale to 1, or to `noise` if that is more. By default 49 for a
        denoiser, which is within what ``"denoise"`` was trained for, and 2,550 for a
        `Diffusion`, whose range has no end.
    seed : int, optional
        Draws; another seed, another result. Without it, nothing is drawn.
    fresh : float
        Share, from 0 to 1, of the noise that is drawn anew in each step; the rest is
        what the denoiser took away.
    labels : optional
        What is to be seen, for a `Diffusion` with labels, as its `sample` takes it.
    verbose : {0, 1}
        1 shows progress at the full size.

    Returns
    -------
    numpy.ndarray
        float32 in [0, 1], shaped like the measurement, or `scale` times as large.

    Raises
    ------
    ValueError
        If it is not said what is to be undone, the mask leaves nothing known of an
        image, or a shape, range or number does not fit.
    """
    given = np.asarray(measurement)
    batch = as_batch(given)
    check_counts(steps=steps)
    level = start if start is not None else default_start(denoiser)
    require(
        0 <= noise < level < math.inf,
        f"noise is at least 0 and below start; got noise={noise}, start={level}.",
    )
    require(0 <= fresh <= 1, f"fresh is a share from 0 to 1; got {fresh}.")
    rng = None if seed is None else np.random.default_rng(check_seed(seed))

    pair, batch, image = look_at_damage(batch, mask, scale, kernel)
    check_range(batch, margin=6 / 255 * noise)
    if isinstance(denoiser, Restorer) and mask is not None:
        small = functools.partial(
            restore_with_prior,
            denoiser,
            noise=noise / 2,
            steps=steps,
            start=level,
            seed=seed,
            fresh=fresh,
        )
        image = begin_small(batch, check_mask(mask, batch), image, small)
    denoise = find_denoiser(
        denoiser, image.shape, labels, seed is None and mask is not None
    )
    data_step = functools.partial(pair_step, *pair)
    least = noise if mask is not None else max(noise, ROUNDING)
    levels = [*np.geomspace(level, min(level, max(noise, 1.0)), steps), 0.0]
    progress = keras.utils.Progbar(steps, verbose=verbose, unit_name="step")
    if rng is not None:
        image = image + level / 255 * rng.standard_normal(image.shape, np.float32)
    for sigma, after in itertools.pairwise(levels):
        clean = np.asarray(denoise(image, sigma), np.float32)
        require(
            clean.shape == image.shape,
            f"The denoiser made {clean.shape} of images of shape {image.shape}.",
        )
        clean = data_step(batch, clean, (least / sigma) ** 2)
        if rng is None:
            image = clean
        else:
            image = add_noise(clean, image, sigma / 255, after / 255, fresh, rng)
        progress.add(1)
    restored = np.clip(clean, 0, 1)
    if mask is not None and noise == 0:
        restored = np.where(check_mask(mask, batch) > 0, restored, batch)
    if given.ndim == 4:
        return restored
    return restored.reshape(restored.shape[1 : 1 + given.ndim])


# --- Measurements: pairs of a linear function and its adjoint ---------------


def mask_pair(mask):
    """Known pixels, (n, height, width, 1) masks: black holes; its own adjoint."""
    known = 1 - mask
    return lambda x: known * x, lambda y: known * y


def shrink_pair(scale, height, width):
    """Bicubic shrinking as `downsample` does it, of rows and then of columns."""
    down, across = (
        tf.image.resize(
            tf.eye(side)[..., None], (side // scale, side), "bicubic", antialias=True
        )[..., 0]
        for side in (height, width)
    )
    return (
        lambda x: tf.einsum("ih,nhwc,jw->nijc", down, x, across),
        lambda y: tf.einsum("ih,nijc,jw->nhwc", down, y, across),
    )


def blur_pair(kernel, shape, scale=1):
    """A blur of images of a shape, and every scale-th pixel of it."""
    kernel = tf.constant(kernel, tf.float32)[..., None, None]
    kernel = tf.tile(kernel, (1, 1, shape[-1], 1))
    margins = [[0, 0], *[[side // 2] * 2 for side in kernel.shape[:2]], [0, 0]]

    def forward(x):
        padded = tf.pad(x, margins, "SYMMETRIC")
        blurred = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
        return blurred[:, ::scale, ::scale]

    def adjoint(y):  # the gradient of the inner product of y and forward(x)
        x = tf.zeros(shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen = forward(x)
        return tape.gradient(seen, x, output_gradients=tf.convert_to_tensor(y))

    return tf.function(forward), tf.function(adjoint)


def pair_step(forward, adjoint, measured, clean, ratio):
    """The image x with the least ``|measured - A x|^2 / ratio + |x - clean|^2``: the
    data step, ``clean + A' (A A' + ratio)^-1 (measured - A clean)``."""
    missing = measured - forward(clean)
    return np.asarray(clean + adjoint(solve(forward, adjoint, missing, ratio)))


def solve(forward, adjoint, wanted, ratio):
    """The w with ``A A' w + ratio w = wanted``, for each image of a batch, by conjugate
    gradients (Hestenes and Stiefel, 1952)."""

    def inner(a, b):
        return tf.reduce_sum(a * b, axis=(1, 2, 3), keepdims=True)

    found, rest = tf.zeros_like(wanted), tf.convert_to_tensor(wanted)
    direction, length = rest, inner(rest, rest)
    enough = 1e-10 * length
    for _ in range(SOLVING):
        if tf.reduce_all(length <= enough):
            break
        moved = forward(adjoint(direction)) + ratio * direction
        size = tf.math.divide_no_nan(length, inner(direction, moved))
        found, rest = found + size * direction, rest - size * moved
        before, length = length, inner(rest, rest)
        direction = rest + tf.math.divide_no_nan(length, before) * direction
    return found


def begin_small(batch, mask, image, restore):
    """A first image for holes: if some are wide, what `restore` makes of means of 2 x 2
    pixels, enlarged."""
    near = tf.nn.max_pool2d(1 - mask, 2 * NEAR + 1, 1, "SAME")
    height, width = image.shape[1:3]
    wide = tf.reduce_min(near, axis=(1, 2, 3), keepdims=True).numpy() == 0
    if not wide.any() or min(height, width) < 4 * NEAR:
        return image
    total, known = (tf.nn.avg_pool2d(x, 2, 2, "SAME") for x in (batch, 1 - mask))
    means = np.clip(tf.math.divide_no_nan(total, known), 0, 1)  # noise lies outside
    small = restore(means, mask=np.float32(known == 0))
    size = 2 * small.shape[1], 2 * small.shape[2]
    large = tf.image.resize(small, size, "bicubic")[:, :height, :width]
    return np.where(mask > 0, np.where(wide, large, image), batch)


def add_noise(clean, noisy, sigma, after, fresh, rng):
    """An estimate with the noise of the next step: that which was taken away, and new
    noise, in shares of the variance (arXiv:2305.08995)."""
    new = rng.standard_normal(clean.shape, np.float32)
    kept = (noisy - clean) / sigma
    return clean + np.float32(after) * (
        math.sqrt(1 - fresh) * kept + math.sqrt(fresh) * new
    )


# --- What is given ----------------------------------------------------------


def look_at_damage(batch, mask, scale, kernel):
    """The pair of a damage, the measurement, and a first image."""
    require(
        (mask is None) != (scale is None and kernel is None),
        "Say what is to be undone: mask=... for holes, or scale=... or kernel=..., or "
        "both of these, for a small or blurred image.",
    )
    if mask is not None:
        mask = check_mask(mask, batch)
        require(
            (mask == 0).any(axis=(1, 2, 3)).all(),
            "The mask covers a whole image: nothing is known of it.",
        )
        batch = np.where(mask > 0, np.float32(0), batch)
        pairs = zip(batch, mask, strict=True)
        filled = [fill_depths(image, hole, sight=0)[0] for image, hole in pairs]
        return mask_pair(mask), batch, np.stack(filled)

    scale = 1 if scale is None else scale
    check_counts(scale=scale)
    count, height, width, channels = batch.shape
    shape = count, scale * height, scale * width, channels
    first = np.asarray(tf.image.resize(batch, shape[1:3], "bicubic"))
    if kernel is None:
        return shrink_pair(scale, *shape[1:3]), batch, first
    return blur_pair(check_kernel(kernel, shape), shape, scale), batch, first


def check_kernel(kernel, shape):
    """The weights of a blur as float32, or ValueError."""
    kernel = np.asarray(kernel)
    require(
        kernel.ndim == 2
        and kernel.dtype.kind == "f"
        and all(side % 2 for side in kernel.shape)
        and all(
            side // 2 <= n for side, n in zip(kernel.shape, shape[1:], strict=False)
        ),
        "A kernel is an array of floats, (height, width), both odd, that reaches no "
        f"further than the image; got {kernel.dtype} of shape {kernel.shape} for "
        f"{shape[1]} x {shape[2]} pixels.",
    )
    total = float(kernel.sum())
    require(
        abs(total - 1) < 1e-3,  # false for NaN
        f"The weights of a kernel sum to 1: divide them by their sum, {total:.4g}.",
    )
    return kernel.astype(np.float32)


def default_start(denoiser):
    return 2550.0 if isinstance(denoiser, Diffusion) else 49.0


def find_denoiser(denoiser, shape, labels, add):
    """A function of noisy images and the level of their noise where white is 255; with
    `add`, a `Restorer` is given that noise."""
    if isinstance(denoiser, Diffusion):
        return flow_denoiser(denoiser, shape, labels)
    require(labels is None, "labels are for a Diffusion that was built with classes.")
    if isinstance(denoiser, Restorer):
        told = sorted({*denoiser.network.input} - {"image"})
        require(
            told == ["sigma"],
            'The denoiser must be told the noise, as load_pretrained("denoise") '
            f"is told sigma; this Restorer is told {' and '.join(told) or 'nothing'}.",
        )
        rng = np.random.default_rng(0)

        def denoise(noisy, sigma):
            if add:
                noisy = noisy + sigma / 255 * rng.standard_normal(shape, np.float32)
            return denoiser.restore(np.float32(noisy), sigma=sigma)

        return denoise
    require(
        callable(denoiser) and not isinstance(denoiser, keras.Model),
        "The denoiser is a Restorer that is told sigma, a Diffusion, or a function of "
        f"(noisy images, sigma); got a {type(denoiser).__name__}.",
    )
    return denoiser


def flow_denoiser(diffusion, shape, labels):
    """The denoiser in a `Diffusion`: noisy images, made smaller, are points of its
    paths, ``t (x + s e)`` with ``t = 1 / (1 + s)``."""
    require(
        tuple(shape[1:]) == tuple(diffusion.image_shape),
        f"This Diffusion knows images of shape {tuple(diffusion.image_shape)}; these "
        f"are {tuple(shape[1:])}.",
    )
    diffusion.refresh_averages()
    labels = tf.constant(diffusion.labels_for(labels, shape[0]))

    def denoise(noisy, sigma):
        time = 1 / (1 + 2 * sigma / 255)  # of images in [-1, 1]
        times = tf.fill((shape[0], 1), tf.cast(time, tf.float32))
        point = tf.cast(time * (2 * noisy - 1), tf.float32)
        velocity = diffusion.velocity(diffusion.averaged_network, point, times, labels)
        clean = estimate_clean(point, velocity, times)
        return np.clip((clean + 1) / 2, 0, 1)

    return denoise
