"""Load images from anywhere as a `tf.data.Dataset` of float32 values in [0, 1]."""

import contextlib
import math
import re
from numbers import Real
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfgen.checks import check_seed
from tfgen.data.folder import open_folder
from tfgen.data.tfds_sets import is_registered, open_named

CACHE_LIMIT = 10**9  # bytes of decoded images that `cache=None` keeps in memory
SHUFFLE_LIMIT = 2 * 10**8  # bytes of decoded images in the buffer of a streamed set


def load_dataset(
    source,
    split="train",
    *,
    image_size=None,
    channels=None,
    crop="center",
    zoom=1.0,
    mirror=False,
    batch_size=64,
    labels=False,
    shuffle=None,
    seed=None,
    cache=None,
    drop_remainder=False,
    on_error="raise",
    data_dir=None,
    download=True,
):
    """Load images as batches of float32 values in [0, 1].

    Parameters
    ----------
    source : str or Path
        An embedded dataset (``"glyphs"``, ``"glyphs/color_64"``, ``"groceries"``,
        ``"chest_xrays"``, ``"photos"``), the name of any TensorFlow Datasets set
        (``"cifar10"``), or a folder of images (png, jpg, webp, bmp, gif, tif). A name
        wins over a folder that is called the same; write ``"photos/"`` for the folder.
    split : str
        ``"train"``, ``"test"``, a slice such as ``"train[:80%]"``. In a folder,
        ``"train"`` is the sub-folder of that name if there is one and all images
        if there is not; ``"all"`` is always all images. Slices of a folder are
        taken from a fixed random order, so that each holds every class.
    image_size : int or (int, int), optional
        Height and width of the result. Each image is scaled, without distortion
        and with antialiasing, until it just covers that size, and then cropped.
        Without it the images keep their own size.
    channels : {1, 3}, optional
        1 turns colour into luma (0.299 R + 0.587 G + 0.114 B), 3 repeats grey. By
        default as in the dataset; 3 for a folder. Transparent pixels become white.
    crop : {"center", "random"}
        Where to crop; ``"random"`` draws a new place in every epoch.
    zoom : float
        How much larger than needed the image is scaled before the crop, at least 1.
        With 1.25 and ``crop="random"``, 64 pixels of 80 are cut out.
    mirror : bool
        Whether each image is mirrored left to right with probability 1/2, drawn anew
        in every epoch. Not for what reads differently in a mirror, such as letters.
    batch_size : int or None
        None gives single images, which may then differ in size.
    labels : bool or tuple of str
        Whether to return (images, labels). In a folder the labels number the
        sub-folders in alphabetical order. ``dataset.class_names`` names them. A
        tuple chooses among the labels of a named set: ``("label", "typeface")`` of
        the glyphs gives labels of shape (n, 2) and a list of names for each.
    shuffle : bool, optional
        Whether every epoch has a new order; by default only if `split` starts with
        "train".
    seed : int, optional
        Fixes the order, crops and mirrors of every epoch, on any machine, given the
        same `tf.random.set_seed`.
    cache : bool, optional
        Whether to keep the decoded images in memory after the first epoch. By
        default if they are known to take at most 1 GB; larger sets are streamed.
    drop_remainder : bool
        Whether to leave out a last batch that is not full.
    on_error : {"raise", "skip"}
        What to do about a damaged file in a folder. "skip" leaves it out and, at
        the end of the epoch, warns once and names the files.
    data_dir : str or Path, optional
        The only folder in which to look for, or prepare, a named dataset. By
        default ``TFDS_DATA_DIR`` and then the project's ``data/``.
    download : bool
        Whether a dataset that is not there yet may be downloaded.

    Returns
    -------
    tf.data.Dataset
        Of images of shape (n, height, width, channels) or, with ``labels=True``,
        of pairs with int64 labels of shape (n,). Its attribute ``class_names`` is
        a list of str or None. The `k`-th ``iter()`` of a dataset has the order and
        crops of epoch `k`, whether or not the earlier ones were read.

    Raises
    ------
    ValueError
        Unknown name, split or option; a folder without images.
    FileNotFoundError
        No such folder; a set that is not prepared, with ``download=False``.
    ConnectionError
        A set that has to be downloaded, without a network.

    A damaged image of a folder is a ValueError that names the file once it is reached:
    in a loop over the dataset, and in `fit` and `evaluate` of the models of tfgen.
    """
    size = _check_options(split, image_size, channels, crop, zoom, batch_size, on_error)
    seed = check_seed(seed)
    folder = _as_folder(source)
    if folder is not None:
        needed = size and tuple(math.ceil(zoom * side) for side in size)
        found = open_folder(folder, split, channels or 3, needed, on_error)
        if not isinstance(labels, bool):
            raise ValueError(
                f"A folder has one label, its sub-folder: labels=True, not {labels!r}."
            )
    else:
        found = open_named(source, split, data_dir, download, labels)
    if labels and found.class_names is None:
        raise ValueError(
            f"{str(source)!r} has no labels that could be returned. Use labels=False."
        )
    height, width = size or found.shape[:2]
    if batch_size and height is None:
        raise ValueError(
            f"The images of {str(source)!r} may differ in size, so they cannot be "
            "batched. Give image_size=..., or batch_size=None for single images."
        )

    channels = channels or min(found.shape[2], 3)
    if shuffle is None:
        shuffle = split.startswith("train")
    spare = 2 * zoom**2 if crop == "random" else 1  # what is kept for later crops
    image_bytes = height and int(height * width * channels * spare)
    if cache is None:
        cache = bool(height) and found.count * image_bytes <= CACHE_LIMIT

    # Cached images are shuffled after the cache, streamed ones while they are read.
    dataset = found.read(shuffle and not cache, seed)

    def prepare(image, label):
        image = _to_channels(image, channels)
        if size and (zoom > 1 or image.shape[:2] != size):
            image = _cover(image, size, zoom, keep_all=crop == "random")
        return image, label

    dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    if cache:
        dataset = dataset.cache()
    if found.check:
        dataset = dataset.map(found.check)
    if shuffle and (cache or not found.shuffles):
        few = max(100, SHUFFLE_LIMIT // image_bytes) if height else 100
        buffer = found.count if cache else min(found.count, few)
        dataset = dataset.shuffle(buffer, seed=seed)
    if mirror or (size and crop == "random"):
        draws = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)

        def augment(element, draw):
            image, label = element
            if size and crop == "random":
                image = tf.image.stateless_random_crop(image, (*size, channels), draw)
            if mirror:
                image = tf.image.stateless_random_flip_left_right(image, draw + [0, 1])
            return image, label

        dataset = tf.data.Dataset.zip(dataset, draws).map(
            augment, num_parallel_calls=tf.data.AUTOTUNE
        )
    if batch_size:
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)

    def finish(images, numbers):
        images = tf.cast(images, tf.float32) / 255.0
        return (images, numbers) if labels else images

    dataset = dataset.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from tfgen.data.loops import ImageDataset  # of private parts of TensorFlow

        dataset = ImageDataset(dataset)
    dataset.class_names = found.class_names
    return dataset


def _check_options(split, image_size, channels, crop, zoom, batch_size, on_error):
    """Raise a ValueError for an impossible option; return (height, width) or None."""

    def is_count(value):
        return isinstance(value, int | np.integer) and value > 0 and value is not True

    if not isinstance(split, str):
        raise ValueError(f'split must be a text such as "train", not {split!r}.')
    size = image_size
    if size is not None:
        size = (size, size) if isinstance(size, int | np.integer) else tuple(size)
        if len(size) != 2 or not all(map(is_count, size)):
            raise ValueError(
                "image_size must be a whole number of pixels or a pair (height, "
                f"width), not {image_size!r}."
            )
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), not {channels!r}.")
    if crop not in ("center", "random"):
        raise ValueError(f'crop must be "center" or "random", not {crop!r}.')
    if crop == "random" and size is None:
        raise ValueError('crop="random" needs image_size=..., the size to crop to.')
    if isinstance(zoom, bool) or not isinstance(zoom, Real) or not 1 <= zoom < math.inf:
        raise ValueError(f"zoom must be a number of at least 1, not {zoom!r}.")
    if zoom > 1 and size is None:
        raise ValueError(f"zoom={zoom} needs image_size=..., the size to crop to.")
    if batch_size is not None and not is_count(batch_size):
        raise ValueError(
            "batch_size must be a whole number above 0, or None for single images, "
            f"not {batch_size!r}."
        )
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}.')
    return size


def _as_folder(source):
    """The folder that `source` means, or None if it is the name of a dataset."""
    if not isinstance(source, str | Path) or not str(source):
        raise ValueError(
            "source must be the name of a dataset or a folder of images, not "
            f"{source!r}."
        )
    path = Path(source).expanduser()
    looks_like_path = isinstance(source, Path) or re.match(
        r"[.~/\\]|\w:\\|.*[/\\]$", source
    )
    if path.is_dir() and (looks_like_path or not is_registered(source)):
        return path
    if looks_like_path:
        raise FileNotFoundError(f"There is no folder {str(path)!r}.")
    return None


def _to_channels(image, channels):
    """Turn a uint8 image with 1, 3 or 4 channels into one with 1 or 3."""
    if image.shape[-1] == 4:  # lay transparent pixels over white
        alpha = tf.cast(image[..., 3:], tf.float32) / 255.0
        image = tf.cast(image[..., :3], tf.float32) * alpha + 255.0 * (1.0 - alpha)
        image = tf.cast(tf.round(image), tf.uint8)
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.image.grayscale_to_rgb(image)
    return tf.image.rgb_to_grayscale(image)


def _cover(image, size, zoom, keep_all):
    """Scale a uint8 image until it covers `zoom` times `size`, then crop its centre.

    With `keep_all`, nothing is cropped, so that a random crop can follow.
    """
    now = tf.shape(image)[:2]
    ratios = tf.constant(size, tf.float32) / tf.cast(now, tf.float32)
    scale = zoom * tf.reduce_max(ratios)
    scaled = tf.cast(tf.round(scale * tf.cast(now, tf.float32)), tf.int32)
    scaled = tf.maximum(scaled, size)
    channels = image.shape[-1]
    image = tf.image.resize(image, scaled, method="bilinear", antialias=True)
    image = tf.cast(tf.round(image), tf.uint8)
    if not keep_all:
        top, left = tf.unstack((scaled - size) // 2)
        image = tf.slice(image, [top, left, 0], [*size, channels])
    return image


def binarize(images, threshold=0.5, seed=None):
    """Turn grey images into images of 0 and 1.

    Parameters
    ----------
    images : array or tensor
        float32 in [0, 1].
    threshold : float
        Pixels above it become 1. Ignored if a seed is given.
    seed : int or scalar tensor, optional
        Draw each pixel with its grey value as the probability of a 1, as
        Salakhutdinov and Murray (2008) do for MNIST. Equal seeds and shapes give
        equal draws; in training, give each batch its own:
        ``tf.data.Dataset.zip(images, tf.data.Dataset.random(seed=0)).map(
        lambda x, s: binarize(x, seed=s))``.

    Returns
    -------
    tensor
        The same shape, float32, only 0 and 1.

    Notes
    -----
    Scores on differently binarised images cannot be compared: say which was used.
    """
    images = tf.cast(images, tf.float32)
    if seed is not None:
        seed = seed if tf.is_tensor(seed) else check_seed(seed)
        seeds = tf.stack([tf.cast(seed, tf.int64), 0])
        threshold = tf.random.stateless_uniform(tf.shape(images), seeds)
    return tf.cast(images > threshold, tf.float32)
