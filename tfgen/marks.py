"""An invisible mark in the pixels of images, found again by those who know its key.

Spread spectrum: a weak pattern on many frequencies at once, as in Cox, Kilian, Leighton
and Shamoon, "Secure spread spectrum watermarking for multimedia", 1997
(https://doi.org/10.1109/83.650120). Here the pattern is a square tile that is repeated,
so that a part of a picture holds it too. It is the sum of 64 waves, each with a sign,
plus or minus. The key decides the waves and, apart from them, the signs.

Whoever looks for the mark searches for the place, and the scale, at which the waves are
strongest, whatever their signs: so without the mark each sign there is the expected one
with probability 1/2, as a thrown coin, and chance has an exact formula.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from tfgen.images import LUMA, check_images

BITS = 64  # signs
TILE = 128  # pixels: the side of the pattern
BAND = 1 / 14, 1 / 4  # cycles per pixel: what halving and JPEG files leave
NEAR = 4  # pixels: how far around a pixel contrast is measured
FLOOR = 1 / 255  # of contrast: even surfaces are marked as well
ROUNDS, RATE = 4, 0.2  # of strengthening signs that the picture itself hides
LARGEST = 1024  # pixels of a side that are looked at, in the middle
SCALES = 1, 3 / 4, 2 / 3, 1 / 2, 4 / 3, 3 / 2, 2


class Found(NamedTuple):
    """What `find_mark` finds: for each of n images a value in each array."""

    probability: np.ndarray
    matches: np.ndarray
    scale: np.ndarray


def add_mark(images, key, psnr=42.0):
    """Hide the mark of a key in images.

    It is added to the brightness, more where there is contrast all around, which hides
    it, and less on even surfaces and along edges. It says that someone knew the key,
    not who.

    Parameters
    ----------
    images : array or tensor, (n, height, width, 1 or 3)
        In [0, 1], of at least 128 x 128 pixels. Each image is marked as if alone.
    key : str
        Whoever knows it can find the mark, and remove it.
    psnr : float
        Of the marked images to the images, in dB, from 30 to 60; a little more where
        values had to be clipped. With more, less is seen of it and it survives less; a
        drawing without texture, which hides nothing, asks for more than a photo.

    Returns
    -------
    numpy.ndarray
        The marked images, float32 in [0, 1].

    Raises
    ------
    ValueError
        For other shapes, types or values of images, images that are too small, or
        another key or PSNR.
    """
    images = _check(images, TILE)
    if not 30 <= psnr <= 60:  # also for NaN
        raise ValueError(f"psnr={psnr!r}: it must be from 30 to 60 dB.")
    waves, signs = _draw_waves(key)
    marked = []
    for image in images:
        luma = _luma(image)
        allowed = _allow(luma)
        weights = signs
        for _ in range(ROUNDS):
            change = allowed * _repeat(np.tensordot(weights, waves, 1), luma.shape)
            change *= 10 ** (-psnr / 20) / np.sqrt(np.mean(change**2))
            values = signs * _correlate(luma + change, waves)[:, 0, 0]
            weights = weights + RATE * signs * np.maximum(values.mean() - values, 0)
        marked.append(np.clip(image + change[..., None], 0, 1))
    return np.array(marked, np.float32)


def find_mark(images, key, scales=SCALES):
    """Look for the mark of a key in images, or in parts of marked images.

    Parameters
    ----------
    images : array or tensor, (n, height, width, 1 or 3)
        In [0, 1], of at least 64 x 64 pixels. Of large ones the middle is looked at.
    key : str
        As given to `add_mark`.
    scales : sequence of float
        How many times larger the images may be than when they were marked, from 1/4 to
        4. A picture is found if its scale is within about 1 % of one of these; the
        default has common ones. The time grows with their number.

    Returns
    -------
    Found
        Arrays of n values. ``matches``: how many of 64 signs are those of the key.
        ``probability``: that an image without the mark, or with that of another key,
        has so many or more (`chance`), for one key that was chosen before. ``scale``:
        of `scales`, the one that was taken.

    Raises
    ------
    ValueError
        For other shapes, types or values of images, images that are too small, another
        key or scales.
    """
    images = _check(images, TILE // 2)
    scales = tuple(scales)
    if not scales or not all(1 / 4 <= scale <= 4 for scale in scales):
        raise ValueError(f"scales={scales}: at least one is needed, from 1/4 to 4.")
    waves, signs = _draw_waves(key)
    matches, found = [], []
    for image in images:
        luma, best = _luma(image), -1
        for scale in scales:
            values = _correlate(_resize(luma, scale), waves)
            strength = np.square(values).sum(axis=0)  # whatever the signs
            place = np.unravel_index(strength.argmax(), strength.shape)
            if strength[place] > best:
                best, at, read = strength[place], scale, values[:, *place]
        matches.append(np.count_nonzero(read * signs > 0))
        found.append(at)
    probability = np.array([chance(count) for count in matches])
    return Found(probability, np.array(matches), np.array(found, float))


def chance(matches, bits=BITS):
    """The probability of so many heads or more among thrown coins, exactly rounded."""
    return sum(math.comb(bits, count) for count in range(matches, bits + 1)) / 2**bits


def _check(images, least):
    images = check_images(images)
    height, width, channels = images.shape[1:]
    if channels not in (1, 3):
        raise ValueError(f"images: 1 or 3 channels are needed, not {channels}.")
    if min(height, width) < least:
        raise ValueError(
            f"images: {width} x {height} pixels are too few for a mark; "
            f"{least} x {least} are needed."
        )
    return images


def _draw_waves(key):
    """The spectra of the waves, complex (64, 128, 65), and their signs.

    Each frequency of the band belongs to one wave. All is read off a hash of the key:
    generators of random numbers may change from one version to the next.
    """
    if not isinstance(key, str) or not key:
        raise ValueError(f"key={key!r}: a text that is not empty is needed.")
    rows, columns = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)
    size = np.hypot(rows, columns)
    grid = (8 * rows % 1 == 0) & (8 * columns % 1 == 0)  # of JPEG's blocks
    band = (size >= BAND[0]) & (size <= BAND[1]) & (columns > 0) & ~grid
    places = np.argwhere(band)
    text = hashlib.shake_256(key.encode()).digest(BITS + 8 * len(places))
    signs = np.frombuffer(text[:BITS], np.uint8) % 2 * 2.0 - 1
    order, turns = np.frombuffer(text[BITS:], "<u4").reshape(2, -1)
    waves = np.zeros((BITS, *size.shape), complex)
    for number, (row, column) in enumerate(places[order.argsort(kind="stable")]):
        turn = np.exp(2j * np.pi * turns[number] / 2**32)
        waves[number % BITS, row, column] = turn
    # So that a wave's correlation with anything else has a mean square of 1.
    return waves / np.sqrt((np.abs(waves) ** 2).sum((1, 2), keepdims=True)), signs


def _allow(luma):
    """How strong the mark may be at each pixel: as the contrast is all around it.

    Beside an edge there is an even surface on one side, so an edge allows no more.
    """
    from scipy import ndimage

    contrast = ndimage.minimum_filter(_measure(luma)[1], 4 * NEAR + 1)
    return ndimage.gaussian_filter(contrast, NEAR) + FLOOR


def _repeat(spectrum, shape):
    """The pattern of a spectrum over an image."""
    pattern = np.fft.irfft2(spectrum, (TILE, TILE))
    repeats = [-(-side // TILE) for side in shape]
    return np.tile(pattern, repeats)[: shape[0], : shape[1]]


def _correlate(luma, waves):
    """How much there is of each wave at each place, (64, 128, 128).

    The image is divided by its contrast, laid on one tile, and only the phases of its
    spectrum count: so no edge and no texture outweighs the rest.
    """
    band, contrast = _measure(luma)
    even = band / (contrast + FLOOR)
    even = np.pad(even, [(0, -side % TILE) for side in even.shape])
    tile = even.reshape(-1, TILE, even.shape[1] // TILE, TILE).sum((0, 2))
    spectrum = np.fft.rfft2(tile)
    phases = spectrum / np.maximum(np.abs(spectrum), 1e-12)
    return np.fft.irfft2(phases * waves.conj(), (TILE, TILE)) * TILE**2 / math.sqrt(2)


def _measure(luma):
    """The middle frequencies of an image, and their contrast around each pixel."""
    from scipy import ndimage

    band = ndimage.gaussian_filter(luma, 1) - ndimage.gaussian_filter(luma, NEAR)
    return band, np.sqrt(ndimage.gaussian_filter(band**2, NEAR))


def _luma(image):
    return image[..., 0] if image.shape[-1] == 1 else image @ np.float32(LUMA)


def _resize(luma, scale):
    """The middle of an image, as large as it was before it was enlarged."""
    most = math.ceil(LARGEST * scale)
    top, left = (max(0, side - most) // 2 for side in luma.shape)
    luma = luma[top : top + most, left : left + most]
    size = [max(1, round(side / scale)) for side in luma.shape[::-1]]
    if size == [*luma.shape[::-1]]:
        return luma
    return np.asarray(Image.fromarray(luma).resize(size, Image.Resampling.BICUBIC))
