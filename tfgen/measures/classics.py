"""Classical restoration, without training: the baselines that networks must beat.

Every function takes one image, float32 in [0, 1] (but for the noise) of shape
(height, width, channels), and returns float32 in [0, 1]. Sigma is the standard
deviation of the noise where white is 255.

Each denoiser has one parameter that follows from sigma by a constant, the default of
its last argument. `benchmarks/tune_classics.py` finds the constants: the best mean
PSNR over sigma 15, 25 and 50 on crops of nine training photos, grey and colour.
"""

import numpy as np

BAND = 64  # rows of patches at a time, to save memory


def denoise_gaussian(image, sigma, blur=0.18):
    """Blur with a Gaussian of standard deviation ``blur * sqrt(sigma)`` pixels."""
    from scipy import ndimage

    radius = blur * np.sqrt(sigma)
    result = ndimage.gaussian_filter(np.float32(image), (radius, radius, 0))
    return _finish(result, image)


def denoise_tv(image, sigma, weight=0.75):
    """Minimise total variation, with ``weight * sigma / 255`` (Chambolle, 2004)."""
    from skimage import restoration

    if sigma == 0:  # skimage divides by it, here and below
        return _finish(image, image)
    result = restoration.denoise_tv_chambolle(
        image, weight * sigma / 255, channel_axis=-1
    )
    return _finish(result, image)


def denoise_nlm(image, sigma, cutoff=0.6):
    """Average alike patches, non-local means (Buades, Coll and Morel, 2005).

    Patches of 5 x 5 pixels up to 6 pixels away; their squared distance, less that of
    the noise, is cut off at the square of ``cutoff * sigma / 255``.
    """
    from skimage import restoration

    if sigma == 0:
        return _finish(image, image)
    result = restoration.denoise_nl_means(
        image,
        patch_size=5,
        patch_distance=6,
        h=cutoff * sigma / 255,
        sigma=sigma / 255,
        channel_axis=-1,
    )
    return _finish(result, image)


def denoise_wavelet(image, sigma, level=1.0):
    """Shrink wavelet coefficients (BayesShrink: Chang, Yu and Vetterli, 2000).

    The noise is taken to have a standard deviation of ``level * sigma / 255``. Up to
    three scales; colour is split into luma and chroma first.
    """
    import pywt
    from skimage import restoration

    scales = min(3, pywt.dwtn_max_level(image.shape[:2], "sym4"))
    if sigma == 0 or scales == 0:  # or too small an image for the wavelet
        return _finish(image, image)
    result = restoration.denoise_wavelet(
        image,
        sigma=level * sigma / 255,
        wavelet="sym4",
        wavelet_levels=scales,
        convert2ycbcr=image.shape[-1] == 3,
        channel_axis=-1,
    )
    return _finish(result, image)


def denoise_dct(image, sigma, threshold=2.7):
    """Keep what stands out of the noise in cosine transforms of sliding patches.

    Two passes, each the mean over all patches that hold a pixel. The first keeps the
    coefficients of 12 x 12 pixels above ``threshold * sigma / 255`` (Yaroslavsky,
    1996); the second, on 8 x 8 pixels, takes its result for the clean image, of power
    P, and scales each noisy coefficient by ``P / (P + (sigma / 255)^2)``, the Wiener
    filter. BM3D does both with groups of alike patches (Dabov et al., 2007).
    """
    deviation = sigma / 255
    if sigma == 0:
        return _finish(image, image)

    def keep(noisy):
        return noisy * (np.abs(noisy) > threshold * deviation)

    def scale(noisy, clean):
        return noisy * clean**2 / (clean**2 + deviation**2)

    channels = np.moveaxis(np.float32(image), -1, 0)
    results = []
    for noisy in channels:
        first = _in_patches(keep, 12, noisy)
        results.append(_in_patches(scale, 8, noisy, first))
    return _finish(np.stack(results, axis=-1), image)


def _in_patches(change, size, *images):
    """The mean of changed patches, (size, size), of images that are mirrored at their
    edges: `change` maps the cosine transforms of those of the first image, with those
    of the others, to new ones."""
    from scipy import fft

    def transform(image, top):
        padded = np.pad(image, size - 1, "symmetric")[top : top + BAND + size - 1]
        patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
        return fft.dctn(patches, axes=(2, 3), norm="ortho")

    height, width = images[0].shape
    total = np.zeros((height + 3 * size, width + 2 * size - 2), np.float32)
    for top in range(0, height + size - 1, BAND):
        changed = change(*(transform(image, top) for image in images))
        patches = fft.idctn(changed, axes=(2, 3), norm="ortho")
        rows, columns = patches.shape[:2]
        for y in range(size):
            for x in range(size):
                place = slice(top + y, top + y + rows), slice(x, x + columns)
                total[place] += patches[:, :, y, x]
    inner = slice(size - 1, size - 1 + height), slice(size - 1, size - 1 + width)
    return total[inner] / size**2


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
    },
    "inpaint": {"biharmonic": inpaint_biharmonic},
    "upscale": {"bicubic": enlarge_bicubic},
}
"""The functions by task and name."""


def _finish(result, image):
    """The result in [0, 1] and of the image's shape: some drop a single channel."""
    return np.clip(result, 0, 1).astype(np.float32).reshape(image.shape)
