"""Defects of old prints and films, drawn over clean photos, and the mask of where.

No one has marked the scratches of thousands of old photos by hand. A network that finds
them learns from drawn ones, whose places are known. A defect is a thin path (a hair, a
scratch, a crack, a fold) or a small spot (dust, a chip); it has one brightness, and may
let something of the picture through.
"""

import io

import numpy as np
import tensorflow as tf

from tfgen.data.corruptions import _checked_colors, _split, registered
from tfgen.images import LUMA

FINE = 4  # defects are drawn so many times larger and shrunk, which makes edges soft
PATHS = {  # length (share of the longer side), bend and jags (radians), width (pixels)
    "hair": ((0.15, 0.7), 4.0, 0.05, (1.0, 3.5)),
    "scratch": ((0.5, 3.0), 0.15, 0.01, (1.0, 3.5)),
    "crack": ((0.2, 1.4), 0.4, 0.5, (1.0, 3.5)),
    "fold": ((2.0, 3.0), 0.2, 0.01, (1.0, 5.0)),
}


@registered
def draw_defects(images, seed, share=0.88, aged=True):
    """Draw hairs, film scratches, cracks, folds, dust and chips over clean images.

    Defects differ in number, place, width, brightness and transparency; cracks branch,
    and some defects have relief: a dark edge. The longer side of an image measures how
    long paths are; widths and spots are in pixels, for images of some hundred pixels.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1], with 1 or 3 channels.
    seed : int or tensor of 2 integers
    share : float
        The share of images that get defects, in [0, 1]. A network must also see
        pictures without any.
    aged : bool
        Whether images also get the look of old prints and their scans: grey, faded or
        toned, a little blur, grain and JPEG, each in a part of the images. The mask
        knows nothing of these.

    Returns
    -------
    dict
        ``"image"``, as `images`; ``"mask"``, (n, height, width, 1), 1 where a defect
        covers more than a quarter of a pixel, transparency counted, and changes its
        brightness by more than 0.05, and 0 elsewhere.

    Raises
    ------
    ValueError
        For a share outside [0, 1], or another number of channels.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is from 0 to 1; got {share}.")
    images = _checked_colors(images)

    def damage(images, seed):
        rng = np.random.default_rng(seed.view(np.uint64))
        damaged, masks = np.empty_like(images), np.empty_like(images[..., :1])
        for index, image in enumerate(images):
            image = _fade(image, rng) if aged else image
            image, masks[index] = _draw(image, rng, rng.random() < share)
            damaged[index] = _scan(image, rng) if aged else image
        return damaged, masks

    inputs = images, tf.stack(_split(seed)[0])
    outputs = tf.float32, tf.float32
    damaged, mask = tf.numpy_function(damage, inputs, outputs, stateful=False)
    mask = tf.ensure_shape(mask, (*images.shape[:3], 1))
    return {"image": tf.ensure_shape(damaged, images.shape), "mask": mask}


# --- Defects ----------------------------------------------------------------


def _draw(image, rng, any_defects):
    """The image with defects over it, one over the other, and the mask of them."""
    damaged, cover = image, np.zeros(image.shape[:2])
    bright = rng.random() < 0.7  # most defects of one picture are alike
    for shape in _shapes(image.shape[:2], rng) if any_defects else ():
        opacity = 1.0 if rng.random() < 0.6 else rng.uniform(0.3, 1)
        value = rng.uniform(0.7, 1) if bright else rng.uniform(0, 0.2)
        if rng.random() < 0.12:
            value = rng.random()
        layers = [(opacity * shape, value)]
        if rng.random() < 0.2:  # relief: an edge in shade
            shade = np.roll(shape, rng.integers(-2, 3, 2), (0, 1))
            layers.insert(0, (rng.uniform(0.3, 0.6) * shade, 0))
        for alpha, value in layers:
            damaged = damaged + alpha[..., None] * (value - damaged)
            cover = np.maximum(cover, alpha)
    change = np.abs(_brightness(damaged) - _brightness(image))
    return damaged, ((cover > 0.25) & (change > 0.05))[..., None]


def _shapes(size, rng):
    """Yield defects, (height, width): how much of each pixel they cover, in [0, 1]."""
    cracked = rng.random() < 0.3
    path = None
    for _ in range(rng.integers(0, 7)):
        kind = "crack" if cracked else rng.choice(list(PATHS))
        branch = kind == "crack" and path is not None and rng.random() < 0.7
        start = path[rng.integers(len(path))] if branch else None
        path, shape = _draw_path(size, rng, start, *PATHS[kind])
        yield shape
    for _ in range(int(16 * rng.random() ** 2)):
        yield _draw_spot(size, rng, np.exp(rng.uniform(np.log(0.6), np.log(4.5))))
    for _ in range(int(4 * rng.random() ** 3)):
        yield _draw_spot(size, rng, rng.uniform(2, 7))


def _draw_path(size, rng, start, length, bend, jags, width):
    """Points (x, y) of a path through the image, or from a start, and its shape: that
    of a pen which wanders in direction and width, and may lift off."""
    length = rng.uniform(*length) * max(size)
    steps = max(2, int(FINE * length / 2))
    angle = rng.uniform(0, 2 * np.pi)
    if bend < 0.2 and rng.random() < 0.6:  # film scratches run along the film
        angle = np.pi / 2 + rng.normal(0, 0.03)
    angles = angle + rng.uniform(-bend, bend) * np.linspace(0, 1, steps)
    angles += rng.normal(0, jags, 20)[np.arange(steps) * 20 // steps]
    points = np.stack([np.cos(angles), np.sin(angles)], -1).cumsum(axis=0)
    points *= length / steps
    if start is None:
        start = rng.random(2) * size[::-1]
        points -= points[rng.integers(steps)]
    points += start
    low, high = np.log(width)
    widths = np.exp(rng.uniform(low, high)) * np.ones(steps)
    if rng.random() < 0.5:
        widths *= 1 + rng.uniform(0, 0.8) * _wander(rng, steps, steps // 24 + 2)
    if rng.random() < 0.45:
        widths *= _wander(rng, steps, steps // 24 + 2) > rng.uniform(-0.6, 0.3)

    def draw(canvas):
        for (x, y), radius in zip(FINE * points, FINE * widths / 2, strict=True):
            if radius > 0:
                canvas.ellipse((x - radius, y - radius, x + radius, y + radius), 255)

    return points, _rendered(size, draw)


def _draw_spot(size, rng, radius):
    """The shape of a spot with a ragged edge, up to 2.5 times as long as wide."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = radius * (1 + rng.uniform(0, 0.6) * _wander(rng, 24, 12))
    points = np.stack([rng.uniform(1, 2.5) * np.cos(turns), np.sin(turns)], -1)
    angle = rng.uniform(0, np.pi)
    turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    points = radii[:, None] * points @ turn + rng.random(2) * size[::-1]
    outline = [tuple(point) for point in (FINE * points).tolist()]
    return _rendered(size, lambda canvas: canvas.polygon(outline, 255))


def _wander(rng, steps, knots):
    """Random numbers in [-1, 1] that change slowly: straight lines between knots."""
    places = np.linspace(0, knots - 1, steps)
    return np.interp(places, np.arange(knots), rng.uniform(-1, 1, knots))


def _rendered(size, draw):
    """What `draw(canvas)` draws, (height, width) in [0, 1], with soft edges."""
    from PIL import Image, ImageDraw

    height, width = size
    picture = Image.new("L", (FINE * width, FINE * height))
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture.reduce(FINE), np.float32) / 255


def _brightness(image):
    return image @ LUMA if image.shape[-1] == 3 else image[..., 0]


# --- Old prints and their scans ---------------------------------------------


def _fade(image, rng):
    """A part of the images in grey, a part with weaker contrast."""
    if rng.random() < 0.6:
        image = np.broadcast_to(_brightness(image)[..., None], image.shape)
    if rng.random() < 0.4:
        low, high = rng.uniform(0, 0.2), rng.uniform(0.75, 1)
        image = low + (high - low) * image
    return image


def _scan(image, rng):
    """Tone, blur, grain and JPEG, each in a part of the images."""
    from PIL import Image
    from scipy import ndimage

    if image.shape[-1] == 3 and np.ptp(image, axis=-1).max() < 1e-6:
        image = image * [1, rng.uniform(0.85, 1), rng.uniform(0.6, 1)]
    if rng.random() < 0.5:
        radius = rng.uniform(0.3, 1.3)
        image = ndimage.gaussian_filter(image, (radius, radius, 0))
    if rng.random() < 0.7:
        grain = rng.normal(size=(*image.shape[:2], 1))
        if rng.random() < 0.5:
            grain = ndimage.gaussian_filter(grain, (0.7, 0.7, 0)) / 0.4
        image = image + np.exp(rng.uniform(np.log(1), np.log(22))) / 255 * grain
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    if rng.random() < 0.5:
        file = io.BytesIO()
        picture = Image.fromarray(
            pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
        )
        picture.save(file, "JPEG", quality=int(rng.integers(40, 98)))
        pixels = np.asarray(Image.open(file)).reshape(image.shape)
    return pixels / 255
