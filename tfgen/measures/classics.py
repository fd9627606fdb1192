"""Classical restoration, without training: the baselines that networks must beat.

Every function takes one image, float32 in [0, 1] (but for the noise) of shape
(height, width, channels), and returns float32 in [0, 1]. Sigma is the standard
deviation of the noise where white is 255.

Each denoiser has one main parameter that follows from sigma by a constant, the default
of its third argument; others, such as the size of a patch, come after it. The defaults
of the constants and sizes of patches are those of `benchmarks/tune_classics.py`, which
varies each alone: the best mean PSNR over sigma 15, 25 and 50
on crops of the 27 training photos, grey and colour.
"""

import numpy as np

BAND = 2**20  # numbers in the patches that are transformed at a time
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
OPPONENT /= np.linalg.norm(OPPONENT, axis=1, keepdims=True)


def denoise_gaussian(image, sigma, blur=0.18):
    """Blur with a Gaussian of standard deviation ``blur * sqrt(sigma)`` pixels."""
    from scipy import ndimage

    radius = blur * np.sqrt(sigma)
    result = ndimage.gaussian_filter(np.float32(image), (radius, radius, 0))
    return _finish(result, image)


def denoise_tv(image, sigma, weight=0.75):
    """Minimise total variation, with ``weight * sigma / 255`` (Chambolle, 2004).

    It ends where an iteration changes the sum that is minimised by less than a
    hundred-thousandth of its first value.
    """
    from skimage import restoration

    if sigma == 0:  # skimage divides by it, here and below
        return _finish(image, image)
    result = restoration.denoise_tv_chambolle(
        image, weight * sigma / 255, eps=1e-5, max_num_iter=1000, channel_axis=-1
    )
    return _finish(result, image)


def denoise_nlm(image, sigma, cutoff=0.6, patch=5, distance=6):
    """Average alike patches, non-local means (Buades, Coll and Morel, 2005).

    Patches of ``patch`` x ``patch`` pixels up to ``distance`` pixels away; their
    squared distance, less that of the noise, is cut off at the square of ``cutoff *
    sigma / 255``.
    """
    from skimage import restoration

    if sigma == 0:
        return _finish(image, image)
    result = restoration.denoise_nl_means(
        image,
        patch_size=patch,
        patch_distance=distance,
        h=cutoff * sigma / 255,
        sigma=sigma / 255,
        channel_axis=-1,
    )
    return _finish(result, image)


def denoise_wavelet(image, sigma, level=1.0, shifts=8):
    """Shrink wavelet coefficients (BayesShrink: Chang, Yu and Vetterli, 2000).

    The noise is taken to have a standard deviation of ``level * sigma / 255``. Up to
    three scales; colour is split into luma and chroma first. Since the coefficients
    depend on where the image begins, the result is the mean over ``shifts`` of it,
    each shifted back (Coifman and Donoho, 1995).
    """
    import pywt
    from skimage import restoration

    scales = min(3, pywt.dwtn_max_level(image.shape[:2], "sym4"))
    if sigma == 0 or scales == 0:  # or too small an image for the wavelet
        return _finish(image, image)
    total = np.zeros(image.shape, np.float32)
    for step in range(shifts):
        shift = np.array((step, 3 * step % 8))
        result = restoration.denoise_wavelet(
            np.roll(image, shift, (0, 1)),
            sigma=level * sigma / 255,
            wavelet="sym4",
            wavelet_levels=scales,
            convert2ycbcr=image.shape[-1] == 3,
            channel_axis=-1,
        )
        total += np.roll(result.reshape(image.shape), -shift, (0, 1))
    return _finish(total / shifts, image)


def denoise_dct(image, sigma, threshold=2.8, first=12, second=8):
    """Keep what stands out of the noise in cosine transforms of sliding patches.

    Two passes, each the mean over all patches that hold a pixel. The first keeps the
    coefficients of ``first`` x ``first`` pixels above ``threshold * sigma / 255``
    (Yaroslavsky, 1996); the second, on ``second`` x ``second`` pixels, takes its result
    for the clean image, of power P, and scales each noisy coefficient by ``P / (P +
    (sigma / 255)^2)``, the Wiener filter. BM3D does both with groups of alike patches
    (Dabov et al., 2007). Colour is turned into a grey and two differences first, which
    leaves the noise as it is.
    """
    deviation = sigma / 255
    if sigma == 0:
        return _finish(image, image)

    def keep(noisy):
        return noisy * (np.abs(noisy) > threshold * deviation)

    def scale(noisy, clean):
        return noisy * clean**2 / (clean**2 + deviation**2)

    basis = OPPONENT if image.shape[-1] == 3 else np.eye(image.shape[-1])
    results = []
    for noisy in np.moveaxis(np.float32(image) @ basis.T, -1, 0):
        estimate = _in_patches(keep, first, noisy)
        results.append(_in_patches(scale, second, noisy, estimate))
    return _finish(np.stack(results, axis=-1) @ basis, image)


def _in_patches(change, size, *images):
    """The mean of changed patches, (size, size), of images that are mirrored at their
    edges: `change` maps the cosine transforms of those of the first image, with those
    of the others, to new ones, (size^2, patches)."""
    from scipy import fft

    cosines = fft.dct(np.eye(size), axis=0, norm="ortho")
    transform = np.kron(cosines, cosines).astype(np.float32)  # orthogonal
    padded = [np.pad(np.float32(x), size - 1, "symmetric") for x in images]
    total = np.zeros_like(padded[0])
    height, width = (side - size + 1 for side in total.shape)
    rows = max(1, BAND // (size**2 * width))
    for top in range(0, height, rows):
        shape = min(rows, height - top), width  # of the places of a patch
        bands = [x[top : top + shape[0] + size - 1] for x in padded]
        views = [np.lib.stride_tricks.sliding_window_view(x, shape) for x in bands]
        changed = change(*(transform @ x.reshape(size**2, -1) for x in views))
        patches = (transform.T @ changed).reshape(size, size, *shape)
        for y, x in np.ndindex(size, size):
            total[top + y : top + y + shape[0], x : x + width] += patches[y, x]
    inside = slice(size - 1, 1 - size)
    return total[inside, inside] / size**2


def inpaint_biharmonic(image, mask):
    """Fill holes with the smoothest surface (Damelin and Hoang, 2018).

    The mask, (height, width) or (height, width, 1), is 1 in the holes, 0 elsewhere.
    ValueError if there is nothing but holes.
    """
    from skimage import restoration

    holes = np.reshape(mask, image.shape[:2]) > 0
    if holes.all():
        raise ValueError("The mask covers the whole image: nothing is known of it.")
    result = restoration.inpaint_biharmonic(
        image, holes, split_into_regions=True, channel_axis=-1
    )
    return _finish(result, image)


def enlarge_bicubic(image, scale):
    """Enlarge both sides `scale` times, with the kernel of Keys (1981), a = -0.5."""
    import tensorflow as tf

    size = scale * np.array(image.shape[:2])
    return np.clip(tf.image.resize(image, size, "bicubic"), 0, 1)


CLASSICS = {
    "denoise": {
        "gaussian": denoise_gaussian,
        "tv": denoise_tv,
        "nlm": denoise_nlm,
        "wavelet": denoise_wavelet,
        "dct": denoise_dct,
    },
    "inpaint": {"biharmonic": inpaint_biharmonic},
    "upscale": {"bicubic": enlarge_bicubic},
}
"""The functions by task and name."""


def _finish(result, image):
    """The result in [0, 1] and of the image's shape: some drop a single channel."""
    return np.clip(result, 0, 1).astype(np.float32).reshape(image.shape)
