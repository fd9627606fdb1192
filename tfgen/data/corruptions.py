"""What can happen to a photograph: noise, compression, blur, holes, fewer pixels.

Every function takes clean images, floats in [0, 1] of shape (n, height, width,
channels), and a seed, and returns a dictionary of what a restoring network is given,
all of it float32: ``"image"``, the damaged images, and what is known about the damage,
``"sigma"`` or ``"mask"``. Equal seeds and shapes give equal damage. A seed is an
int or a tensor of two integers. `photo_damage` puts some together to what happens to
photos.

The functions run in TensorFlow graphs, so they can damage each batch afresh while a
network trains: ``Restorer(network, corruption=partial(add_gaussian_noise, sigma=25))``.
"""

import functools
import io
import math

import keras
import numpy as np
import tensorflow as tf

from tfgen.checks import check_seed
from tfgen.images import check_images

registered = keras.saving.register_keras_serializable("tfgen")

# --- Noise ------------------------------------------------------------------


@registered
def add_gaussian_noise(images, seed, sigma=25.0, clip=False):
    """Add white Gaussian noise.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1].
    seed : int or tensor of 2 integers
    sigma : float, (float, float) or array of shape (n,)
        Standard deviation where white is 255, as in published tables: one for all,
        a tuple (low, high) to draw one for each image from, or one for each image.
    clip : bool
        Published denoising tables leave noisy pixels outside [0, 1], and so does
        False. A file cannot hold them: True clips them.

    Returns
    -------
    dict
        ``"image"``, as `images`, not rounded; ``"sigma"``, (n, 1) float32.

    Raises
    ------
    ValueError
        For a negative sigma, a range that falls or one sigma too many or too few.
    """
    images, (level_seed, noise_seed) = _checked(images), _split(seed)
    levels = _levels(sigma, images, level_seed, "sigma must be at least 0")
    noise = tf.random.stateless_normal(tf.shape(images), noise_seed)
    noisy = images + levels[:, None, None, None] / 255.0 * noise
    if clip:
        noisy = tf.clip_by_value(noisy, 0.0, 1.0)
    return {"image": noisy, "sigma": levels[:, None]}


@registered
def add_poisson_noise(images, seed, peak=30.0):
    """Count photons: each pixel is drawn from a Poisson distribution.

    A white pixel receives `peak` photons on average, above 0; the fewer, the
    noisier. Returns ``{"image": counts / peak}``, clipped to [0, 1].
    """
    if peak <= 0:
        raise ValueError(f"peak is a number of photons above 0; got {peak}.")
    rates = _checked(images) * peak
    counts = tf.random.stateless_poisson(
        tf.shape(rates), _split(seed)[0], rates, rates.dtype
    )
    return {"image": tf.minimum(counts / peak, 1.0)}


@registered
def add_salt_and_pepper(images, seed, amount=0.05):
    """Turn a share `amount` of all pixels, in [0, 1], black or white, half each.

    All channels of a pixel change together. Returns ``{"image": ...}``.
    """
    if not 0 <= amount <= 1:
        raise ValueError(f"amount is a share in [0, 1]; got {amount}.")
    images = _checked(images)
    shape = tf.concat([tf.shape(images)[:3], [1]], axis=0)
    draw = tf.random.stateless_uniform(shape, _split(seed)[0])
    images = tf.where(draw < amount / 2, 0.0, images)
    return {"image": tf.where(draw >= 1 - amount / 2, 1.0, images)}


# --- Compression and blur ---------------------------------------------------

SUBSAMPLINGS = "4:4:4", "4:2:0"


@registered
def compress_jpeg(images, seed=None, quality=30, subsampling="4:2:0", shift=False):
    """Write and read as JPEG; the pixels are rounded to 8 bits before.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1], with 1 or 3 channels.
    seed : int or tensor of 2 integers
        Not needed where nothing is drawn.
    quality : int, (int, int) or array of shape (n,)
        From 1 to 100: one for all, a tuple (low, high) to draw one for each image
        from, or one for each image.
    subsampling : str or sequence of str
        ``"4:2:0"``, colours at half of the resolution, as usual, or ``"4:4:4"``, at
        the full one. From a sequence one is drawn for each image.
    shift : bool
        JPEG codes blocks of 8 x 8 pixels, for the colours of 4:2:0 of 16 x 16. False
        begins them in the corner of an image. True begins them up to 15 rows and
        columns outside, drawn for each image: as in a file that was cropped later.

    Returns
    -------
    dict
        ``"image"``, as `images`.

    Raises
    ------
    ValueError
        For another quality or subsampling, another number of channels, or no seed where
        something is drawn.
    """
    kinds = (subsampling,) if isinstance(subsampling, str) else tuple(subsampling)
    if not kinds or not set(kinds) <= set(SUBSAMPLINGS):
        raise ValueError(f"subsampling is one of {SUBSAMPLINGS}; got {subsampling!r}.")
    images, seeds = _checked_colors(images), _split(seed, 4)
    quality = _levels(quality, images, seeds[0], "quality is from 1 to 100", 1, 100)
    choice = _indices(len(kinds), images, seeds[1])
    kind = tf.gather([SUBSAMPLINGS.index(kind) for kind in kinds], choice)
    top, left = (_indices(16 if shift else 1, images, seed) for seed in seeds[2:])

    quality = tf.cast(tf.round(quality), tf.int32)
    pixels = tf.saturate_cast(tf.round(images * 255.0), tf.uint8)

    def compress(pixels, parameters):
        pixels = np.pad(pixels, [(0, 0), (15, 0), (15, 0), (0, 0)], "symmetric")
        pairs = zip(pixels, parameters.T.tolist(), strict=True)
        return np.stack([_as_jpeg(image, *numbers) for image, numbers in pairs])

    inputs = pixels, tf.stack([quality, kind, top, left])
    damaged = tf.numpy_function(compress, inputs, tf.uint8, stateful=False)
    damaged = tf.ensure_shape(damaged, images.shape)
    return {"image": tf.cast(damaged, tf.float32) / 255.0}


def _as_jpeg(pixels, quality, kind, top, left):
    """What is left in a JPEG file of (height, width, channels) pixels, without 15 rows
    and columns of margin: so many of these lie in the file."""
    from PIL import Image

    pixels = pixels[15 - top :, 15 - left :]
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
        file, "JPEG", quality=quality, subsampling=SUBSAMPLINGS[kind]
    )
    return np.asarray(Image.open(file)).reshape(pixels.shape)[top:, left:]


@registered
def blur(images, seed=None, radius=1.5):
    """Blur with a Gaussian of standard deviation `radius`, in pixels, above 0.

    The radius is one for all, a tuple (low, high) to draw one for each image from, or
    an array of one for each; the seed is only needed for a tuple. The kernel ends at 4
    standard deviations of the largest; beyond its edge the image is mirrored. Returns
    ``{"image": ...}``.
    """
    images, rule = _checked(images), "radius is a number of pixels above 0"
    radii = _levels(radius, images, _split(seed)[0], rule, low=1e-9)
    weights, reach = _gaussians(radii)
    known = tf.get_static_value(radius)
    if known is not None:
        farthest = int(4 * np.max(known) + 0.5)
        if any(side is not None and side < farthest for side in images.shape[1:3]):
            raise ValueError(
                f"A blur of radius {radius} reaches {farthest} pixels, further than "
                f"images of {images.shape[1]} x {images.shape[2]}."
            )
    margins = [[0, 0], [reach, reach], [reach, reach], [0, 0]]
    blurred = _smooth(tf.pad(images, margins, "SYMMETRIC"), weights)
    return {"image": tf.ensure_shape(blurred, images.shape)}


def _gaussians(radii):
    """Gaussian weights of each radius, (n, 2 reach + 1), that sum to 1, and the reach:
    4 times the largest radius."""
    reach = tf.cast(4 * tf.reduce_max(radii) + 0.5, tf.int32)
    places = tf.cast(tf.range(-reach, reach + 1), tf.float32)
    weights = tf.exp(-0.5 * (places / tf.maximum(radii[:, None], 1e-3)) ** 2)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True), reach


def _smooth(images, weights):
    """Weigh rows and columns, with weights for each image, where all are inside."""
    shape = tf.shape(images)
    # All channels of all images become channels of one: each has a kernel of its own.
    stacked = tf.transpose(images, (1, 2, 0, 3))
    stacked = tf.reshape(stacked, (1, shape[1], shape[2], shape[0] * shape[3]))
    kernel = tf.transpose(tf.repeat(weights, shape[3], axis=0))
    for filters in (kernel[:, None, :, None], kernel[None, :, :, None]):
        stacked = tf.nn.depthwise_conv2d(stacked, filters, [1, 1, 1, 1], "VALID")
    sides = tf.shape(stacked)[1:3]
    stacked = tf.reshape(stacked, (sides[0], sides[1], shape[0], shape[3]))
    return tf.transpose(stacked, (2, 0, 1, 3))


# --- Fewer pixels -----------------------------------------------------------


@registered
def downsample(images, seed=None, scale=4, round_to_bytes=True):
    """Shrink both sides by a whole number, as tables of super-resolution do.

    Bicubic with the kernel of Keys (1981) for a = -0.5, widened by `scale` against
    aliasing; at the border the weights inside the image are scaled to sum to 1, as
    Pillow does (MATLAB mirrors there instead).

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1]; both sides must be multiples of `scale`.
    seed : ignored
        Nothing is random: the seed is there for `Restorer`.
    scale : int
        At least 1.
    round_to_bytes : bool
        Whether the result is clipped to [0, 1] and rounded to 256 levels, as it is
        when small images are stored as files.

    Returns
    -------
    dict
        ``"image"``, (n, height / scale, width / scale, channels).

    Raises
    ------
    ValueError
        If a side is not a multiple of the scale; crop the images first.
    """
    images = _checked(images)
    if scale < 1 or int(scale) != scale:
        raise ValueError(f"scale is a whole number of at least 1; got {scale}.")
    height, width = images.shape[1:3]
    if any(side is not None and side % scale for side in (height, width)):
        raise ValueError(
            f"Images of {height} x {width} cannot be shrunk {scale} times: crop them "
            f"to multiples of {scale} first."
        )
    small = tf.image.resize(
        images, tf.shape(images)[1:3] // int(scale), "bicubic", antialias=True
    )
    if round_to_bytes:
        small = _rounded(small)
    return {"image": small}


# --- Holes ------------------------------------------------------------------


@registered
def mask_boxes(images, seed, count=4, size=16):
    """Cut out `count` squares with sides of `size` pixels at random places.

    Returns ``"image"``, with 0 in the holes, and ``"mask"``, (n, height, width, 1),
    1 in the holes and 0 elsewhere.
    """

    def draw(canvas, rng):
        for left, top in _places(canvas, rng, count, size):
            canvas.rectangle((left, top, left + size - 1, top + size - 1), 1)

    return _draw_out(images, seed, draw)


@registered
def mask_scratches(images, seed, count=6, width=3):
    """Draw `count` bent scratches, up to `width` pixels wide, across the image.

    Returns ``"image"``, with 0 in the scratches, and ``"mask"``, (n, height, width,
    1), 1 in the scratches and 0 elsewhere.
    """

    def draw(canvas, rng):
        size = np.array(canvas.im.size)
        for _ in range(count):
            start, end = rng.uniform(0, 1, (2, 2)) * size
            middle = (start + end) / 2 + rng.normal(0, 0.1, 2) * size
            steps = np.linspace(0, 1, 20)[:, None]
            curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * middle
            points = (curve + steps**2 * end).round().astype(int)
            thickness = int(rng.integers(1, width + 1))
            canvas.line([tuple(point) for point in points.tolist()], 1, thickness)

    return _draw_out(images, seed, draw)


@registered
def mask_text(images, seed, count=3, size=16):
    """Print `count` lines of letters, `size` pixels high, over the image.

    Returns ``"image"``, with 0 under the letters, and ``"mask"``, (n, height,
    width, 1), 1 under the letters and 0 elsewhere.
    """
    font = _load_font(size)

    def draw(canvas, rng):
        for left, top in _places(canvas, rng, count, size):
            text = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVWXYZ aeinorst"), 40))
            canvas.text((left - canvas.im.size[0] // 2, top), text, 1, font)

    return _draw_out(images, seed, draw)


@registered
def mask_cracks(images, seed, share=0.05, width=2.0):
    """Cut a network of cracks, as in old paint, into the image.

    The cracks run along the edges of the cells of a Voronoi diagram, which are bent;
    they differ in width, and the thinnest end blindly.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1].
    seed : int or tensor of 2 integers
    share : float
        The share of the pixels that lie in cracks, in [0, 1]: so many of each image,
        to the nearest whole number of pixels.
    width : float
        About how many pixels cracks are wide on average, above 0. The cells are about
        ``2 * width / share`` pixels wide: in a small image there is no full one.

    Returns
    -------
    dict
        ``"image"``, with 0 in the cracks, and ``"mask"``, (n, height, width, 1), 1 in
        the cracks and 0 elsewhere.

    Raises
    ------
    ValueError
        For another share or width.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is from 0 to 1; got {share}.")
    if not width > 0:
        raise ValueError(f"width is a number of pixels above 0; got {width}.")

    def make(size, rng):
        mask = np.zeros(size, np.float32)
        count = round(share * mask.size)
        if count:
            depth = _distance_to_edges(size, rng, 2 * width / share)
            mask.flat[np.argpartition(depth, count - 1, None)[:count]] = 1
        return mask

    return _cut_out(images, seed, make)


def _distance_to_edges(size, rng, cell):
    """How far each pixel is from the edges of Voronoi cells that are about `cell`
    pixels wide, (height, width), stretched differently beside each edge."""
    from scipy import ndimage, spatial

    cell = min(cell, 2 * max(size))  # of a larger one hardly an edge is to be seen
    rows, columns = (np.arange(-2, side / cell + 2) for side in size)
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    points = cell * (corners + rng.uniform(0, 1, corners.shape))

    places = np.stack(np.indices(size, np.float32), -1)
    for radius, bend in ((cell / 6, cell / 10), (1.5, 0.7)):  # large bends, and jags
        radii = 0 if min(size) == 1 else radius, radius, 0
        noise = ndimage.gaussian_filter(rng.normal(0, 1, (*size, 2)), radii)
        places += bend * noise / max(noise.std(), 1e-9)

    distances, nearest = spatial.KDTree(points).query(places, k=2)
    apart = np.linalg.norm(np.diff(points[nearest], axis=-2)[..., 0, :], axis=-1)
    to_edge = np.diff(distances**2, axis=-1)[..., 0] / (2 * apart)
    pairs = nearest.min(-1) * len(points) + nearest.max(-1)
    edges, index = np.unique(pairs, return_inverse=True)
    return to_edge / rng.uniform(0.3, 1, len(edges))[index.reshape(size)]


def _draw_out(images, seed, draw):
    """Let `draw(canvas, rng)` draw the holes of each image, and cut them out."""
    from PIL import Image, ImageDraw

    def make(size, rng):
        picture = Image.new("1", size[::-1])
        canvas = ImageDraw.Draw(picture)
        canvas.fontmode = "1"  # no grey edges
        draw(canvas, rng)
        return np.asarray(picture, np.float32)

    return _cut_out(images, seed, make)


def _cut_out(images, seed, make):
    """Let `make((height, width), rng)` make the mask of each image, and cut it out."""

    def masks(shape, seed):
        rng = np.random.default_rng(seed.view(np.uint64))
        count, height, width, _ = shape.tolist()
        result = [make((height, width), rng) for _ in range(count)]
        return np.stack(result)[..., None]

    images = _checked(images)
    inputs = tf.shape(images), tf.stack(_split(seed)[0])
    mask = tf.numpy_function(masks, inputs, tf.float32, stateful=False)
    mask = tf.ensure_shape(mask, (*images.shape[:3], 1))
    return {"image": images * (1 - mask), "mask": mask}


def _places(canvas, rng, count, size):
    """`count` random places, (left, top), where `size` pixels fit if they can."""
    room = np.maximum(np.array(canvas.im.size) - size + 1, 1)
    return rng.integers(0, room, (count, 2)).tolist()


@functools.cache
def _load_font(size):
    """DejaVu Sans, which comes with matplotlib."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


# --- Helpers ----------------------------------------------------------------


def _checked(images):
    """Images as a float32 tensor; ValueError if they are none, see `check_images`."""
    return tf.convert_to_tensor(check_images(images))


def _checked_colors(images):
    """As `_checked`, also ValueError for other than 1 or 3 channels."""
    images = _checked(images)
    if images.shape[-1] not in (1, 3, None):  # not known in some graphs
        raise ValueError(f"Images have 1 or 3 channels; got {images.shape[-1]}.")
    return images


def _rounded(images):
    """As a file of 8 bits can hold them."""
    return tf.round(tf.clip_by_value(images, 0.0, 1.0) * 255.0) / 255.0


def _split(seed, count=2):
    """Independent stateless seeds from one; None from None."""
    if seed is None:
        return [None] * count
    single = not tf.is_tensor(seed) and np.ndim(seed) == 0
    seed = tf.cast(check_seed(seed) if single else seed, tf.int64)
    seed = tf.stack([seed, 0]) if seed.shape.rank == 0 else seed
    return tf.unstack(tf.random.split(seed, count))


def _levels(value, images, seed, rule, low=0.0, high=math.inf):
    """One level for each image, float32 (n,): the same for all, drawn evenly if `value`
    is a tuple (lowest, highest), or an array of one for each. ValueError with `rule`
    for a level outside [low, high]."""
    count = tf.shape(images)[0]
    known = tf.get_static_value(value)  # None for most tensors of a graph
    if known is not None and not (low <= np.min(known) and np.max(known) <= high):
        raise ValueError(f"{rule}; got {value}.")  # also for NaN
    if isinstance(value, tuple | list) and len(value) == 2:
        if value[0] > value[1]:
            raise ValueError(f"{rule}, and a range must rise; got {value}.")
        if seed is None:
            raise ValueError(f"A seed is needed to draw from {value}.")
        return tf.random.stateless_uniform((count,), seed, *value)
    shape = tf.TensorShape(np.shape(value))
    if shape.rank != 0 and not shape.is_compatible_with(images.shape[:1]):
        raise ValueError(
            f"{rule}: one number, or one for each of the {images.shape[0]} images; got "
            f"shape {shape}. A range is a tuple (low, high)."
        )
    return tf.broadcast_to(tf.cast(value, tf.float32), (count,))


def _indices(number, images, seed):
    """An index below `number` for each image, int32 (n,)."""
    value = (0, number) if number > 1 else 0
    return tf.cast(_levels(value, images, seed, "not negative"), tf.int32)
