"""What is done with a restored picture: texture spared, less of it, details, colours.

Pictures are float32 in [0, 1] of shape (height, width, channels).
"""

import numpy as np
import pywt
from scipy import ndimage
from skimage import exposure

from tfgen.images import LUMA
from tfgen.measures.perception import find_grid

WAVELET, SCALES = "sym4", 4
CLEAR = 3  # standard deviations from which on a detail is told from noise
CELL = 8  # pixels
TIMES = 8  # the usual change of a place, up to which a change is kept whole
CLIPPED = 0.01, 0.99  # the brightness beyond which noise was cut off
ENDS = 0.5, 99.5  # percent: darker and brighter pixels may be dust and scratches
FULL = 0.8  # share of [0, 1] from which on a channel has not faded


def spare_texture(image, restored):
    """Take back, in `restored` itself, what was removed in few places only.

    Noise and compression disturb all of a photo. Where a network that is told nothing
    removes far more than elsewhere, it has taken texture for noise, such as grass below
    a clean sky. The change of each cell of 8 x 8 pixels, its root mean square over the
    cells around, is limited to eight times the median of all cells; those that are
    black or white do not count, since they hide noise, nor those of one colour, such as
    a drawn border, which have none. The factor was chosen on training photos.
    """
    change, brightness, contrast = measure_cells(image, restored)
    change = np.sqrt(ndimage.gaussian_filter(change, 1, mode="nearest"))
    told = (brightness > CLIPPED[0]) & (brightness < CLIPPED[1]) & (contrast > 0)
    usual = np.median(change[told] if told.any() else change)
    spared = 1 - np.minimum(1, TIMES * usual / np.maximum(change, 1e-9))
    mix_cells(image, restored, spared, CELL)


def spare_grid(exact, sharp):
    """Take back, in `sharp` itself, the texture that came out as a grid.

    The network that draws texture repeats itself in places, in stripes or dots of 4
    pixels (`find_grid`). There its picture is mixed with that of the network without
    texture; windows that begin every 16 pixels are searched.
    """
    side, step = 64, 16
    if min(sharp.shape[:2]) < side:
        return
    cells = np.zeros(np.ceil(np.divide(sharp.shape[:2], step)).astype(int), np.float32)
    for y, x in np.argwhere(find_grid(sharp, side=side, step=step)):
        cells[y : y + side // step, x : x + side // step] = 1
    mix_cells(exact, sharp, ndimage.gaussian_filter(cells, 0.5), step)


def mix_cells(image, changed, shares, size):
    """Mix so much of an image into the `changed` one as the shares of its cells say,
    linearly between the middles of the cells; row by row, to save memory."""
    places = (np.arange(image.shape[1]) + 0.5) / size - 0.5
    for y, (before, after) in enumerate(zip(image, changed, strict=True)):
        place = np.clip((y + 0.5) / size - 0.5, 0, len(shares) - 1)
        above, below = shares[int(place)], shares[int(np.ceil(place))]
        line = above + place % 1 * (below - above)
        line = np.interp(places, np.arange(len(line)), line).astype(np.float32)
        after += line[:, None] * (before - after)


def measure_cells(image, restored):
    """The mean square change, the mean brightness and the contrast of each cell."""
    starts = np.arange(0, image.shape[1], CELL)
    widths = np.diff([*starts, image.shape[1]])
    rows, ends = [], []
    for top in range(0, len(image), CELL):  # not at once, to save memory
        before, after = (x[top : top + CELL] for x in (image, restored))
        rows.append([np.square(before - after).mean((0, 2)), before.mean((0, 2))])
        ends.append([before.max(0), -before.min(0)])
    sums = np.add.reduceat(np.array(rows), starts, axis=2) / widths
    ends = np.maximum.reduceat(np.array(ends), starts, axis=2)
    return sums[:, 0], sums[:, 1], ends.sum(1).max(-1)


def blend(image, restored, strength):
    """The mean of both pictures, ``image + strength (restored - image)``."""
    return image + np.float32(strength) * (restored - image)


def find_detail(image, restored):
    """What a restoration removed and should not have: what stands out of its noise.

    The brightness (BT.601) that was removed is split into wavelets of four scales. On
    each scale and in each direction most coefficients are noise, whose standard
    deviation s is their median size over 0.6745 (Donoho and Johnstone, "Ideal spatial
    adaptation by wavelet shrinkage", 1994). Of a coefficient c, ``c - (3 s)^2 / c`` is
    detail if it is larger than 3 s, else nothing (the garrote: Gao, "Wavelet shrinkage
    denoising using the non-negative garrote", 1998). What is even coarser is left out.

    Returns
    -------
    numpy.ndarray, (height, width)
        To be added to all channels.
    """
    weights = LUMA if image.shape[-1] == 3 else (1,)
    removed = sum(
        np.float32(weight) * (image[..., index] - restored[..., index])
        for index, weight in enumerate(weights)
    )
    scales = min(SCALES, pywt.dwtn_max_level(removed.shape, WAVELET))
    coarse, *bands = pywt.wavedec2(removed, WAVELET, level=scales)
    bands = [tuple(map(_shrink, band)) for band in bands]
    detail = pywt.waverec2([np.zeros_like(coarse), *bands], WAVELET)
    return detail[: removed.shape[0], : removed.shape[1]]


def _shrink(coefficients):
    sizes = np.abs(coefficients)
    least = np.float32(max(CLEAR * np.median(sizes) / 0.6745, 1e-6))
    return coefficients * (1 - (least / np.maximum(sizes, least)) ** 2)


def find_levels(image):
    """The black and the white of each channel of a faded picture, (2, channels).

    0.5 % of the pixels are darker and as many brighter. Dyes fade unequally: levels of
    its own for each channel take away a tint as well. A channel that fills 0.8 of the
    range between 0 and 1 is taken for good, and so is one that is constant.
    """
    height, width = image.shape[:2]
    step = 1 + int(np.sqrt(height * width / 1e6))  # a million pixels are enough
    low, high = np.percentile(image[::step, ::step], ENDS, axis=(0, 1))
    good = (high - low >= FULL) | (high == low)
    return np.where(good, [[0], [1]], [low, high])


def stretch(image, levels):
    """The picture with its levels, as of `find_levels`, moved to 0 and 1."""
    channels = [
        exposure.rescale_intensity(image[..., index], tuple(ends), (0, 1))
        for index, ends in enumerate(np.transpose(levels))
    ]
    return np.stack(channels, axis=-1).astype(np.float32)
