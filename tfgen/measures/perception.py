"""Whether enlarged images look like photos: how much fine structure, and of what kind.

PSNR asks how near to the original an image is. The mean of all that could be there is
nearest, and it is blurred: the nearest image and one that looks real are two aims, and
more of one is less of the other (Blau and Michaeli, "The perception-distortion
tradeoff", 2018, arXiv:1711.06077). The measures here ask how it looks. None asks
whether a texture is that of the original, so that none stands alone.

All take floats in [0, 1] of shape (n, height, width, channels), look at the luma
(BT.601) of colour images, and raise ValueError for integers and values outside.
"""

import numpy as np
from scipy import ndimage

from tfgen.images import LUMA, check_images

RINGS = 0, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2  # cycles a pixel


def patch_distance(images, others, *, size=7, projections=64):
    """How unlike the patches of two images are, wherever they lie, in levels of 255.

    Of each image what a Gaussian of 2 pixels blurs away is kept, and cut into all its
    patches of `size` x `size` pixels. On a random direction the patches are numbers:
    sorted, those of the one image differ from those of the other by what it costs to
    turn one distribution into the other (sliced Wasserstein distance: Rabin, Peyre,
    Delon and Bernot, 2011). The mean is over the directions, always the same ones.

    Returns
    -------
    numpy.ndarray, (n,)
        0 for equal images, near 0 for two large parts of one texture.
    """
    images, others = _luma(images), _luma(others)
    if images.shape != others.shape or min(images.shape[1:]) < size:
        raise ValueError(
            f"Two sets of equally large images, at least {size} x {size}, are needed; "
            f"got {images.shape} and {others.shape}."
        )
    directions = np.random.default_rng(0).normal(size=(size * size, projections))
    directions = np.float32(directions / np.linalg.norm(directions, axis=0)).T

    def project(image):
        fine = np.float32(image - ndimage.gaussian_filter(image, 2))
        places = [side - size + 1 for side in fine.shape]
        patches = np.lib.stride_tricks.sliding_window_view(fine, places)
        return np.sort(directions @ patches.reshape(size * size, -1))

    pairs = zip(images, others, strict=True)
    return np.array([255 * np.abs(project(x) - project(y)).mean() for x, y in pairs])


def ring_powers(images, rings=RINGS):
    """The mean power of an image's frequencies, from coarse to fine structures.

    Parameters
    ----------
    rings : tuple of float
        Bounds in cycles a pixel, rising from 0; 1/2 is the finest, of two pixels.

    Returns
    -------
    numpy.ndarray, (n, len(rings) - 1)
        In units in which white noise has its variance everywhere. Divided by the
        powers of the clean image it is near 1 where there is enough of a structure.
    """
    powers = _spectra(_luma(images))
    height, width = powers.shape[1:]
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    parts = [
        powers[:, (low <= distance) & (distance < high)].mean(axis=1)
        for low, high in zip(rings, rings[1:], strict=False)
    ]
    return np.stack(parts, axis=1)


def gradient_distance(images, others):
    """How unlike the steepness of two images is, wherever it lies, in levels of 255.

    The differences of neighbours in rows and columns, without their sign, are sorted;
    those of the one image differ from those of the other by what it costs to turn one
    distribution into the other. Noise makes flat areas steep, unsharp masking edges.

    Returns
    -------
    numpy.ndarray, (n,)
        0 for equal images.
    """
    images, others = _luma(images), _luma(others)
    if images.shape != others.shape:
        raise ValueError(
            "Two sets of equally large images are needed; got "
            f"{images.shape} and {others.shape}."
        )

    def steps(image):
        parts = [np.abs(np.diff(image, axis=axis)).ravel() for axis in (0, 1)]
        return np.sort(np.concatenate(parts))

    pairs = zip(images, others, strict=True)
    return np.array([255 * np.abs(steps(x) - steps(y)).mean() for x, y in pairs])


def kurtosis(images, sigmas=(1, 2)):
    """How rare and strong the details of images are, (n,).

    The fourth moment of what lies between two Gaussian blurs, divided by its squared
    variance: 3 for white noise, far more for photos, whose even areas have few edges
    between them. Divided by that of the clean photo it is near 1 where details are
    spread as there, below 1 where noise or specks cover everything.
    """
    fine, coarse = (
        np.stack([ndimage.gaussian_filter(x, sigma) for x in _luma(images)])
        for sigma in sigmas
    )
    band = (fine - coarse).reshape(len(fine), -1)
    band = band - band.mean(axis=1, keepdims=True)
    return (band**4).mean(axis=1) / (band**2).mean(axis=1) ** 2


def grid_share(images, period=4, **options):
    """The share of an image's places, (n,) from 0 to 1, that show a grid.

    A network that makes blocks of `period` x `period` pixels from one can repeat
    itself from block to block, in stripes or dots; see `find_grid`, which takes the
    options too. A photo has some by chance, such as a fence: 0.001.
    """
    return np.array([find_grid(x, period, **options).mean() for x in images])


def find_grid(image, period=4, *, side=64, step=32, contrast=4.0, level=1.0):
    """Where an image repeats itself every `period` pixels.

    In a window on a grid the frequencies of 1 / `period` cycles a pixel or a multiple,
    in rows or in columns, have far more power than their neighbours.

    Parameters
    ----------
    image : array, (height, width, channels)
    side, step : int
        Height and width of the windows, a multiple of 2 and `period`, and how many
        pixels from one to the next.
    contrast : float
        How many times the power of its neighbours a frequency must have.
    level : float
        The least standard deviation of the pattern, in levels of 255.

    Returns
    -------
    numpy.ndarray of bool, (rows, columns)
        For each window, whether it shows a grid.
    """
    (image,) = _luma(image[None])
    if min(image.shape) < side:
        raise ValueError(
            f"Windows of {side} x {side} do not fit into images of {image.shape[0]} x "
            f"{image.shape[1]}."
        )
    lines = np.arange(side // period, side // 2 + 1, side // period)
    near = (lines + np.array([[-5], [-4], [-3], [3], [4], [5]])) % side
    peak = (lines + np.array([[-1], [0], [1]])) % side  # as wide as the fading makes it

    def find(windows):
        powers = _spectra(windows)
        found = np.zeros(len(windows), bool)
        for axis in (1, 2):
            power = powers.sum(axis) / side**2  # of rows or columns, adds to variance
            variance = power[:, peak].sum(axis=1)
            stands_out = variance > contrast * 3 * power[:, near].mean(axis=1)
            visible = 255 * np.sqrt(2 * variance) > level
            found |= (stands_out & visible).any(axis=1)
        return found

    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side))
    return np.array([find(row) for row in windows[::step, ::step]])


def _luma(images):
    """The brightness of images, (n, height, width)."""
    images = check_images(images).astype(float)
    return images @ LUMA if images.shape[-1] == 3 else images.mean(axis=-1)


def _spectra(images):
    """The powers of all frequencies of images that fade out to the border (Hann)."""
    fade = np.outer(*(np.hanning(side + 1)[:-1] for side in images.shape[1:]))
    images = (images - images.mean(axis=(1, 2), keepdims=True)) * fade
    return np.abs(np.fft.fft2(images)) ** 2 / np.sum(fade**2)
