"""U-Nets: networks that tell image from noise, however strong it is.

Ronneberger, Fischer and Brox, 2015 (arXiv:1505.04597): on the way down the image gets
smaller, on the way up larger again, and each step up is given what its size was on the
way down. They are told the time, which says how much is noise, and labels. All layers
are Keras' own. It needs `model.py`, `checks.py` and `saving.py`.
"""

import keras
import numpy as np
from keras import layers, ops

from .checks import check_sizes, class_counts, is_count, require
from .model import usual_settings

# --- The networks -----------------------------------------------------------


@usual_settings()
def build_denoising_unet(image_shape=(32, 32, 1), width=48, classes=()):
    """Build a network that finds the velocity in a mixture of image and noise.

    A U-Net (Ronneberger, Fischer and Brox, 2015, arXiv:1505.04597) that is quick on a
    processor: groups of 2 x 2 pixels become channels, so that it begins at half of the
    resolution.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), both sides multiples of 2 if the longer one has up
        to 16 pixels, of 4 up to 32, of 8 up to 64, and so on.
    width : int
        Channels at half of the resolution; twice as many at a quarter, four times as
        many below.
    classes : int or tuple of int
        How many values each label has, for a `Diffusion` that is told labels.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels), "time": (n, 1)}`` to velocities
        shaped like the images; with ``"label"``, (n, number of labels) int32, if there
        are classes. A label as large as its number of values means "not told".

    Raises
    ------
    ValueError
        For another size, naming the nearest ones that work.
    """
    halvings = check_sizes(image_shape, width=width)
    inputs, embedding = embed(image_shape, classes, fastest=100)
    x = layers.Conv2D(width, 3, padding="same")(space_to_depth(inputs["image"]))
    skips = []
    for level in range(1, halvings):  # down
        x = light_residual_block(x, embedding)
        skips.append(x)
        x = layers.Conv2D(width * min(2**level, 4), 1)(space_to_depth(x))
    for _ in range(3):  # where the image is smallest
        x = light_residual_block(x, embedding)
    for skip in reversed(skips):  # up
        x = depth_to_space(layers.Conv2D(4 * skip.shape[-1], 1)(x))
        x = light_residual_block(layers.Add()([x, skip]), embedding)
    x = layers.ReLU()(rms_normalize(x))
    return finish(inputs, x, "denoising_unet")


@usual_settings()
def build_large_denoising_unet(
    image_shape=(64, 64, 3), widths=(48, 64, 96), classes=()
):
    """Build a network for the same task that is slower and draws more detail.

    Two residual blocks at each resolution on the way down and on the way up, which is
    given what each block of the way down made, and attention where the image is
    smallest (Ho, Jain and Abbeel, 2020, arXiv:2006.11239, with the scale and shift of
    Dhariwal and Nichol, 2021, arXiv:2105.05233). `load_pretrained("groceries")` is
    one.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), both sides multiples of ``2 ** len(widths)``.
    widths : tuple of int
        Channels at a half, a quarter, ... of the resolution, multiples of 8.
    classes
        As in `build_denoising_unet`, and so is what it returns.

    Raises
    ------
    ValueError
        For another size, naming the nearest one that works, or other widths.
    """
    check_widths(image_shape, widths)
    inputs, embedding = embed(image_shape, classes, fastest=1000)
    x = layers.Conv2D(widths[0], 4, strides=2, padding="same")(inputs["image"])
    skips = []
    for level, width in enumerate(widths):  # down
        if level > 0:
            x = layers.AveragePooling2D(2)(x)
        for _ in range(2):
            x = residual_block(x, width, embedding)
            skips.append(x)
    x = self_attention(residual_block(x, width, embedding))  # in the middle
    x = residual_block(x, width, embedding)
    for level, width in reversed([*enumerate(widths)]):  # up
        for _ in range(2):
            x = layers.Concatenate()([x, skips.pop()])
            x = residual_block(x, width, embedding)
        if level > 0:
            x = layers.UpSampling2D(2)(x)
    x = layers.Activation("silu")(layers.GroupNormalization(8)(x))
    return finish(inputs, x, "large_denoising_unet")


def embed(image_shape, classes, fastest, size=128):
    """The inputs of a network, and a vector that tells its blocks time and labels.

    A number says little to a network: it is told as waves, from one radian to `fastest`
    over all of the time (Vaswani et al., 2017, arXiv:1706.03762). Each value of a label
    has a vector, drawn as wide as the waves: with Keras' narrow default, labels are
    hardly used.
    """
    inputs = {
        "image": layers.Input(image_shape, name="image"),
        "time": layers.Input((1,), name="time"),
    }
    angles = inputs["time"] * np.geomspace(1, fastest, 16, dtype="float32")
    x = layers.Dense(size)(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1))
    if counts := class_counts(classes):
        label = inputs["label"] = layers.Input(
            (len(counts),), name="label", dtype="int32"
        )
        for index, count in enumerate(counts):
            vectors = layers.Embedding(
                count + 1, size, keras.initializers.RandomNormal(stddev=1.0)
            )
            x = layers.Add()([x, vectors(label[:, index])])
    x = layers.Dense(size)(layers.Activation("silu")(x))
    return inputs, layers.Activation("silu")(x)


def space_to_depth(x):
    """Turn each 2 x 2 pixels into the channels of one."""
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height // 2, 2, width // 2, 2, channels))(x)
    x = layers.Permute((1, 3, 2, 4, 5))(x)
    return layers.Reshape((height // 2, width // 2, 4 * channels))(x)


def depth_to_space(x, **options):
    """The inverse of `space_to_depth`."""
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height, width, 2, 2, channels // 4), **options)(x)
    x = layers.Permute((1, 3, 2, 4, 5), **options)(x)
    return layers.Reshape((2 * height, 2 * width, channels // 4), **options)(x)


def rms_normalize(x):
    """Scale the channels of each pixel to a mean square of 1; no weights."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-4)


def modulate(x, embedding):
    """Scale and shift each channel by what time and labels say."""
    width = x.shape[-1]
    both = layers.Dense(2 * width, kernel_initializer="zeros")(embedding)
    both = layers.Reshape((1, 1, 2 * width))(both)
    return x * (1 + both[..., :width]) + both[..., width:]


def light_residual_block(x, embedding):
    """Two convolutions that begin by changing nothing."""
    width = x.shape[-1]
    y = layers.Conv2D(width, 3, padding="same")(rms_normalize(x))
    y = layers.ReLU()(modulate(y, embedding))
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.Add()([x, y])


def residual_block(x, width, embedding):
    """The same with the usual normalisation, and for another width."""
    y = layers.Activation("silu")(layers.GroupNormalization(8)(x))
    y = layers.Conv2D(width, 3, padding="same")(y)
    y = modulate(layers.GroupNormalization(8)(y), embedding)
    y = layers.Activation("silu")(y)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(y)
    if x.shape[-1] != width:
        x = layers.Conv2D(width, 1)(x)
    return layers.Add()([x, y])


def self_attention(x):
    """Let each place look at all others."""
    height, width, channels = x.shape[1:]
    y = layers.Reshape((height * width, channels))(layers.GroupNormalization(8)(x))
    y = layers.MultiHeadAttention(4, channels // 4)(y, y)
    return layers.Add()([x, layers.Reshape((height, width, channels))(y)])


def finish(inputs, x, name):
    """The network that ends in velocities at full resolution, 0 at first."""
    channels = 4 * inputs["image"].shape[-1]
    last = layers.Conv2D(
        channels, 3, padding="same", kernel_initializer="zeros", dtype="float32"
    )
    return keras.Model(inputs, depth_to_space(last(x), dtype="float32"), name=name)


# --- Checks -----------------------------------------------------------------


def check_widths(image_shape, widths):
    """ValueError for widths or sizes that the large network cannot have."""
    require(
        np.ndim(widths) == 1
        and len(widths) > 0
        and all(is_count(width) and width % 8 == 0 for width in widths),
        f"widths are multiples of 8, such as (48, 64, 96); got {widths}.",
    )
    require(
        np.shape(image_shape) == (3,) and all(map(is_count, image_shape)),
        "image_shape must be (height, width, channels), such as (64, 64, 3); got "
        f"{image_shape}.",
    )
    unit = 2 ** len(widths)
    nearest = [max(1, round(side / unit)) * unit for side in image_shape[:2]]
    require(
        nearest == [*image_shape[:2]],
        f"With {len(widths)} widths, both sides are multiples of {unit}; got "
        f"{image_shape[0]}x{image_shape[1]}. The nearest size that works is "
        f"{nearest[0]}x{nearest[1]}.",
    )
