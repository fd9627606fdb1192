"""An invisible mark in the pixels of images, found again by those who know its key.

Spread spectrum: a weak pattern on many frequencies at once (Cox, Kilian, Leighton and
Shamoon, "Secure spread spectrum watermarking for multimedia", IEEE Transactions on
Image Processing 6(12), 1997). Here the pattern is a square tile that is repeated, so
that a part of a picture holds it as well, and it carries 64 signs that the key decides.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from tfgen.images import LUMA, check_images

BITS = 64
ROUNDS = 4
RATE = 0.2
TILE = 128  # pixels: the side of the pattern, which is repeated
BAND = 1 / 16, 1 / 6  # cycles per pixel: what survives halving and JPEG files
NEAR = 4  # pixels: how far around a pixel its surroundings are looked at
FLOOR = 1 / 255  # of contrast, which hides no mark
LARGEST = 1024  # pixels of a side that are looked at, those in the middle
SCALES = 1, 3 / 4, 2 / 3, 1 / 2, 4 / 3, 3 / 2, 2


class Found(NamedTuple):
    """What `find_mark` finds in n images, an array of n values each."""

    probability: np.ndarray
    matches: np.ndarray
    scale: np.ndarray


def add_mark(images, key, psnr=40.0):
    images = check_images(images)
    if min(images.shape[1:3]) < TILE:
        raise ValueError(
            f"images: {images.shape[2]} x {images.shape[1]} pixels are too few for the "
            f"mark, which needs {TILE} x {TILE}."
        )
    carriers, signs = _carriers(key)
    rms, marked = 10 ** (-psnr / 20), []
    for image in images:
        luma = _luma(image)
        allowed = _measure(luma)[1] + FLOOR
        weights = signs
        for _ in range(ROUNDS):  # more for signs that the picture itself hides
            change = allowed * _repeat(weights, carriers, luma.shape)
            change *= rms / np.sqrt(np.mean(change**2))
            values = signs * _correlate(luma + change, carriers)[:, 0, 0]
            weights = weights + RATE * signs * np.maximum(values.mean() - values, 0)
        marked.append(np.clip(image + change[..., None], 0, 1))
    return np.array(marked, np.float32)


def find_mark(images, key, scales=SCALES):
    images = check_images(images)
    carriers, signs = _carriers(key)
    found = [_find(_luma(image), carriers, signs, scales) for image in images]
    matches, scale = map(np.array, zip(*found, strict=True))
    return Found(np.array([chance(count) for count in matches]), matches, scale)


def chance(matches, bits=BITS):
    return sum(math.comb(bits, count) for count in range(matches, bits + 1)) / 2**bits


def _find(luma, carriers, signs, scales):
    best = 0, 0, 1
    for scale in scales:
        values = _correlate(_rescale(luma, scale), carriers)
        strength = np.square(values).sum(0)
        place = np.unravel_index(strength.argmax(), strength.shape)
        matches = int((values[:, *place] * signs > 0).sum())
        best = max(best, (strength[place], matches, scale))
    return best[1:]


def _repeat(weights, carriers, shape):
    pattern = np.fft.irfft2(np.tensordot(weights, carriers, 1), (TILE, TILE))
    pattern /= pattern.std()
    repeats = [-(-side // TILE) for side in shape]
    return np.tile(pattern, repeats)[: shape[0], : shape[1]]


def _correlate(luma, carriers):
    band, contrast = _measure(luma)
    fine = band / (contrast + FLOOR)
    fine = np.pad(fine, [(0, -side % TILE) for side in fine.shape])
    tile = fine.reshape(-1, TILE, fine.shape[1] // TILE, TILE).sum((0, 2))
    spectrum = np.fft.rfft2(tile)
    used = np.abs(carriers).sum(0) > 0
    size = np.abs(spectrum)
    spectrum = np.where(used, spectrum / np.maximum(size, 1e-12), 0)
    values = np.fft.irfft2(spectrum * carriers.conj(), (TILE, TILE))
    return values / np.sqrt(np.mean(values**2, axis=(1, 2), keepdims=True))


def _carriers(key):
    if not isinstance(key, str) or not key:
        raise ValueError(f"key: a text is needed; got {key!r}.")
    rows, columns = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)
    size = np.hypot(rows, columns)
    grid = (rows * 8 % 1 == 0) & (columns * 8 % 1 == 0)
    used = np.argwhere((size >= BAND[0]) & (size <= BAND[1]) & (columns > 0) & ~grid)
    text = hashlib.shake_256(key.encode()).digest(8 * len(used) + BITS)
    signs = np.frombuffer(text[:BITS], np.uint8) % 2 * 2.0 - 1
    order, phases = np.frombuffer(text[BITS:], "<u4").reshape(2, -1)
    carriers = np.zeros((BITS, TILE, TILE // 2 + 1), complex)
    turns = np.exp(2j * np.pi * phases / 2**32)
    for number, place in enumerate(used[order.argsort()]):
        carriers[(number % BITS, *place)] = turns[number]
    return carriers, signs


def _measure(luma):
    band = ndimage.gaussian_filter(luma, 1) - ndimage.gaussian_filter(luma, NEAR)
    return band, np.sqrt(ndimage.gaussian_filter(band**2, NEAR))


def _luma(image):
    return image[..., 0] if image.shape[-1] == 1 else image @ LUMA.astype(np.float32)


def _rescale(luma, scale):
    most = max(1, int(LARGEST * scale))
    top, left = (max(0, side - most) // 2 for side in luma.shape)
    luma = luma[top : top + most, left : left + most]
    if scale == 1:
        return luma
    size = [max(1, round(side / scale)) for side in luma.shape[::-1]]
    return np.asarray(Image.fromarray(luma).resize(size, Image.Resampling.BICUBIC))
