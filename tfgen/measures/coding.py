"""Images as bytes: the quantised latents of a VAE, written by an arithmetic coder.

A model that gives an image the probability p can write it in little more than
-log2 p bits (Shannon, 1948; Rissanen, 1976, for arithmetic coding). Here the image
is described by the latent means of a VAE, rounded to multiples of a step, under the
standard normal prior; the decoder's image is what comes back.
"""

import binascii
import hashlib
import io
import math
from statistics import NormalDist

import numpy as np
from PIL import Image

from tfgen.images import check_images

PRECISION = 2**24  # probabilities are coded as multiples of about 1 / PRECISION
LIMIT = 8.0  # latents further from 0 are clipped; the prior never reaches it


def latent_steps(vae, images, scale=1.0):
    """Choose how coarsely each latent dimension may be rounded.

    Parameters
    ----------
    vae : VAE
        A trained model.
    images : array, (n, height, width, channels)
        Training images.
    scale : float
        Above 0. How large the error of rounding may be, in standard deviations of
        the encoder's Gaussian: 1 is the error that the decoder was trained to bear.

    Returns
    -------
    numpy.ndarray, (latent_dim,)
        float64, at most 8. Dimensions that the model does not use cost next to
        nothing.

    Notes
    -----
    Rounding to multiples of a step errs by up to half a step, evenly, and so by
    step / sqrt(12) in the root mean square (Gersho and Gray, 1992). The
    step is therefore ``sqrt(12) * scale`` standard deviations.
    """
    _, log_variance = vae.encode(images)
    sigma = np.exp(0.5 * log_variance.astype(np.float64)).mean(axis=0)
    return np.minimum(math.sqrt(12) * scale * sigma, LIMIT)


class LatentCoder:
    """Write images as a few bytes each, all in one stream, and read them back.

    Parameters
    ----------
    vae : VAE
        A trained model. The reader needs the same one.
    steps : float or array, (latent_dim,)
        Quantisation step of each latent dimension, in (0, 8]; see
        `latent_steps`. The reader needs the same ones: save them with `np.save`.

    Raises
    ------
    ValueError
        For steps of another number or out of range.

    Notes
    -----
    A stream is 2 bytes that tell the model and the steps, 2 bytes of checksum
    (CRC-16), 4 bytes with the number of images and one code for all of them. The
    time for the code grows with the square of that number: write thousands of
    images as several streams.
    """

    def __init__(self, vae, steps):
        steps = np.asarray(steps, np.float64)
        if steps.shape not in ((), (vae.latent_dim,)):
            raise ValueError(
                f"One step, or one for each of the {vae.latent_dim} latent dimensions, "
                f"is needed; got shape {steps.shape}."
            )
        if not ((steps > 0) & (steps <= LIMIT)).all():
            raise ValueError(f"Steps must be above 0 and at most {LIMIT}; got {steps}.")
        self.vae = vae
        self.steps = np.broadcast_to(steps, (vae.latent_dim,))
        self.tables = [_cumulative_counts(step) for step in self.steps]

    def compress(self, images):
        """Images, (n, height, width, channels) in [0, 1], as one bytes object.
        Raises what `VAE.encode` raises."""
        means, _ = self.vae.encode(images)
        reach = [len(table) // 2 - 1 for table in self.tables]
        means = np.clip(means, -LIMIT, LIMIT)
        numbers = np.rint(means / self.steps).astype(int)
        symbols = (numbers + reach).ravel().tolist()
        body = len(means).to_bytes(4) + encode(symbols, self.tables * len(means))
        return self._signature() + checksum(body) + body

    def decompress(self, stream):
        """The images, (n, height, width, channels) float32 in [0, 1], that
        `compress` wrote.

        Raises ValueError for bytes that are damaged or were written with another
        model or other steps.
        """
        if not isinstance(stream, bytes | bytearray):
            raise ValueError(
                "decompress() takes the bytes that compress() returned; got "
                f"{type(stream).__name__}."
            )
        signature, sealed, body = stream[:2], stream[2:4], bytes(stream[4:])
        if signature != self._signature():
            raise ValueError(
                "These bytes were not written with this model and these steps. "
                "Use the weights and the steps that compressed the images."
            )
        if len(body) < 4 or sealed != checksum(body):
            raise ValueError("The bytes are damaged: their checksum is wrong.")
        count = int.from_bytes(body[:4])
        numbers = np.reshape(decode(body[4:], self.tables * count), (count, -1))
        reach = [len(table) // 2 - 1 for table in self.tables]
        return self.vae.decode((numbers - reach) * self.steps)

    def _signature(self):
        """Two bytes that tell this decoder and these steps from others."""
        digest = hashlib.sha256(self.steps.tobytes())
        for weight in self.vae.averaged_decoder.get_weights():
            digest.update(weight.tobytes())
        return digest.digest()[:2]


def checksum(code):
    """CRC-16 of bytes, as 2 bytes; it finds every error of up to 16 bits in a row."""
    return binascii.crc_hqx(code, 0).to_bytes(2)


def _cumulative_counts(step):
    """Counts, proportional to the prior's probability, below each multiple of the
    step from -LIMIT to LIMIT; one more entry for their sum."""
    reach = math.ceil(LIMIT / step)
    edges = [(k - 0.5) * step for k in range(-reach + 1, reach + 1)]
    below = [0.0, *map(NormalDist().cdf, edges), 1.0]
    counts = [max(1, round(PRECISION * mass)) for mass in np.diff(below)]
    return [0, *np.cumsum(counts).tolist()]


def encode(symbols, tables):
    """Arithmetic coding: a sequence of symbols as the shortest bytes.

    Each symbol narrows an interval of [0, 1) to the part that its probability
    gives it; the bytes are the shortest binary fraction in the last interval, found
    by long division. Python's integers are exact, so nothing is ever rounded.

    Parameters
    ----------
    symbols : sequence of int
        Symbol i is at least 0 and less than ``len(tables[i]) - 1``.
    tables : sequence of lists of int
        Table i: how many counts lie below each symbol; its last entry is their sum.

    Returns
    -------
    bytes
    """
    low, width, whole = 0, 1, 1  # the interval [low, low + width) / whole
    for symbol, table in zip(symbols, tables, strict=True):
        below, above = table[symbol], table[symbol + 1]
        low = low * table[-1] + width * below
        width *= above - below
        whole *= table[-1]
    high, code = low + width, b""
    while low > 0:  # no bytes are the fraction 0
        low, high = 256 * low, 256 * high
        byte = -(-low // whole)  # rounded up
        if byte * whole < high:  # the fraction is inside
            return code + bytes([byte])
        code += bytes([byte - 1])
        low, high = low - (byte - 1) * whole, high - (byte - 1) * whole
    return code


def decode(code, tables):
    """The symbols that `encode` wrote with the same tables; a list of int."""
    part, whole = int.from_bytes(code), 256 ** len(code)  # the fraction part / whole
    symbols = []
    for table in tables:
        count = part * table[-1] // whole
        symbol = int(np.searchsorted(table, count, side="right")) - 1
        part = part * table[-1] - table[symbol] * whole
        whole *= table[symbol + 1] - table[symbol]
        symbols.append(symbol)
    return symbols


def png_bytes(image, error):
    """The smallest PNG that shows an image with at most a given error.

    PNG itself loses nothing, so the image is made smaller, and given fewer grey
    levels, as far as the error allows.

    Parameters
    ----------
    image : array, (height, width, channels)
        In [0, 1]; 1 or 3 channels.
    error : float
        Largest mean squared error, at least 0.

    Returns
    -------
    bytes
        A PNG file; scaled back to the size of the image (bicubic), it has at most
        this error, beside the rounding to 8 bits.
    """
    image = np.asarray(image, np.float32)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(
            "An image of shape (height, width, 1) or (height, width, 3) is needed; got "
            f"{image.shape}."
        )
    check_images(image[None], "image")
    if not error >= 0:
        raise ValueError(f"error is a mean squared error of at least 0; got {error}.")
    height, width, channels = image.shape
    files = []
    for eighths in range(1, 9):
        size = [max(1, side * eighths // 8) for side in (width, height)]
        small = _resize(image, size)
        for levels in (2, 4, 16, 256):
            coarse = np.rint(small * (levels - 1)) / (levels - 1)
            shown = _resize(coarse, (width, height))
            exact = eighths == 8 and levels == 256
            if exact or np.mean((shown - image) ** 2) <= error:
                files.append(_write_png(coarse, levels))
    return min(files, key=len)


def _resize(image, size):
    """Bicubic resizing to (width, height), channel by channel in float32."""
    if image.shape[1::-1] == tuple(size):
        return image
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, -1, 0)]
    resized = [plane.resize(size, Image.Resampling.BICUBIC) for plane in planes]
    return np.clip(np.stack(resized, axis=-1), 0, 1)


def _write_png(image, levels):
    """A PNG file of an image with so many grey levels, at its smallest bit depth."""
    if image.shape[2] == 3:
        picture = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    elif levels == 2:
        picture = Image.fromarray(image[..., 0] > 0.5)
    elif levels == 256:
        picture = Image.fromarray(np.rint(image[..., 0] * 255).astype(np.uint8))
    else:
        picture = Image.fromarray(
            np.rint(image[..., 0] * (levels - 1)).astype(np.uint8)
        )
        greys = np.linspace(0, 255, levels).astype(np.uint8)
        picture.putpalette(np.repeat(greys, 3).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, bits=max(1, int(math.log2(levels))))
    return file.getvalue()
