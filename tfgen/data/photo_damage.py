"""What people's photos have: noise of the sensor, grain of the film, blur and JPEG, all
in one, to train a network that is told nothing."""

import math

import tensorflow as tf

from tfgen.data.corruptions import (
    SUBSAMPLINGS,
    _checked,
    _gaussians,
    _levels,
    _rounded,
    _smooth,
    _split,
    blur,
    compress_jpeg,
    registered,
)


@registered
def add_sensor_noise(
    images, seed, read=5.0, shot=10.0, grain=0.0, gray=0.0, round_to_bytes=True
):
    """Add noise as a sensor or a film does: more where it is bright, in grains.

    The variance is ``read**2 + shot**2 * image`` (Foi et al., "Practical
    Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008).

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1].
    seed : int or tensor of 2 integers
    read, shot : float, (float, float) or array of shape (n,)
        Standard deviations where white is 255, at least 0: of the noise that is
        everywhere, and of what photons add where an image is white; ``peak`` photons
        add ``255 / sqrt(peak)``. One for all, a tuple (low, high) to draw one for
        each image from, or one for each image.
    grain : float, (float, float) or array of shape (n,)
        Radius of the grains in pixels, at least 0: white noise is smoothed by a
        Gaussian of this standard deviation and made as strong as before.
    gray : float or array of shape (n,)
        Probability, in [0, 1], that the noise of an image is equal in all channels.
    round_to_bytes : bool
        Whether the result is clipped to [0, 1] and rounded to 256 levels, as a file
        is.

    Returns
    -------
    dict
        ``"image"``, as `images`.

    Raises
    ------
    ValueError
        For a parameter out of its range, a range that falls, or one value too many or
        too few.
    """
    images = _checked(images)
    seeds = iter(_split(seed, 6))
    read, shot = (
        _levels(value, images, next(seeds), f"{name} must be at least 0")
        for name, value in (("read", read), ("shot", shot))
    )
    rule = "grain is a number of pixels, at least 0"
    weights, reach = _gaussians(_levels(grain, images, next(seeds), rule))
    rule = "gray is a probability in [0, 1]"
    gray = _levels(gray, images, next(seeds), rule, high=1.0)

    margin = tf.stack([0, 2 * reach, 2 * reach, 0])
    noise = tf.random.stateless_normal(tf.shape(images) + margin, next(seeds))
    left = tf.reduce_sum(weights**2, axis=1)  # of the variance, by each axis
    noise = _smooth(noise, weights) / _spread(left)
    equal = tf.random.stateless_uniform(tf.shape(gray), next(seeds)) < gray
    noise = tf.where(_spread(equal), noise[..., :1], noise)
    variance = _spread(read) ** 2 + _spread(shot) ** 2 * images
    noisy = images + tf.sqrt(variance) / 255.0 * noise
    return {"image": _rounded(noisy) if round_to_bytes else noisy}


@registered
def corrupt_like_a_photo(images, seed):
    """Damage photos as people's own are damaged: anything from not at all to badly.

    The steps come in the order of a camera, a scanner and a file. Which of them an
    image has, and how strong they are, is drawn for each image:

    - 30 %: `blur` of the lens, radius 0.2 to 1;
    - 60 %: `add_sensor_noise` with read 0.5 to 30 and shot 0.8 to 25, even in their
      logarithms; 40 % of it in grains of radius 0.3 to 1.4; 30 % of it, and all of it
      on images without colour, equal in all channels;
    - 10 %: `blur` of the scanner, which softens the noise too, radius 0.2 to 1;
    - 25 %: `compress_jpeg` with quality 30 to 95, cropped later (`shift`);
    - 80 %: `compress_jpeg`, 40 % of it with quality 8 to 30, the rest 30 to 96.

    Half of the JPEG files have their colours at half of the resolution. At last 6 % of
    the images are given back as they came; all others are rounded to 8 bits, as a file
    is.

    Parameters
    ----------
    images : tensor, (n, height, width, channels)
        In [0, 1]; 1 or 3 channels, both sides at least 8.
    seed : int or tensor of 2 integers

    Returns
    -------
    dict
        ``"image"``, as `images`.
    """
    clean = images = _checked(images)
    seeds = iter(_split(seed, 20))

    def draw(low=0.0, high=1.0):
        return tf.random.stateless_uniform(tf.shape(clean)[:1], next(seeds), low, high)

    def draw_even_logarithm(low, high):
        return tf.exp(draw(math.log(low), math.log(high)))

    def sometimes(probability, damage, images, **strength):
        damaged = damage(images, next(seeds), **strength)["image"]
        chosen = _spread(draw() < probability)
        return tf.clip_by_value(tf.where(chosen, damaged, images), 0.0, 1.0)

    colorless = tf.reduce_all(clean == clean[..., :1], axis=(1, 2, 3))
    noise = {
        "read": draw_even_logarithm(0.5, 30.0),
        "shot": draw_even_logarithm(0.8, 25.0),
        "grain": tf.where(draw() < 0.4, draw(0.3, 1.4), 0.0),
        "gray": tf.where(colorless, 1.0, 0.3),
    }
    quality = tf.where(draw() < 0.4, draw(8.0, 30.0), draw(30.0, 96.0))
    file = {"subsampling": SUBSAMPLINGS}
    images = sometimes(0.3, blur, images, radius=(0.2, 1.0))
    images = sometimes(0.6, add_sensor_noise, images, **noise)
    images = sometimes(0.1, blur, images, radius=(0.2, 1.0))
    images = sometimes(
        0.25, compress_jpeg, images, quality=(30, 95), shift=True, **file
    )
    images = sometimes(0.8, compress_jpeg, images, quality=quality, **file)
    images = tf.where(_spread(draw() < 0.06), clean, _rounded(images))
    return {"image": images}


def _spread(levels):
    """(n,) to (n, 1, 1, 1), to multiply images with."""
    return levels[:, None, None, None]
