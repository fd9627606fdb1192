"""Find, prepare and read a dataset by its TensorFlow Datasets name."""

import contextlib
import difflib
import re
import threading
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfgen.data import EMBEDDED
from tfgen.data.embedded import data_folders, preparation_lock, writable_folder
from tfgen.data.source import Source

NETWORK_TIMEOUT = 5  # seconds


def is_registered(name):
    """Whether `name`, such as "glyphs/color_64", is that of a known dataset."""
    base = re.split("[/:]", name)[0]
    return base in EMBEDDED or base in _registered_names()


def open_named(name, split, data_dir=None, download=True, labels=True):
    """Find a dataset, prepare it if need be, and describe one of its splits.

    The parameters and errors are those of `tfgen.load_dataset`.

    Returns
    -------
    Source
    """
    builder = _prepared_builder(name, data_dir, download)
    try:
        count = builder.info.splits[split].num_examples
    except (AssertionError, KeyError, ValueError) as error:
        raise ValueError(
            f"{name!r} has no split {split!r}. Its splits are "
            f"{', '.join(map(repr, builder.info.splits))}; a part of one is written "
            "'train[:80%]'."
        ) from error
    if not count:
        raise ValueError(f"The split {split!r} of {name!r} has no images.")

    features = builder.info.features
    images = [key for key in features if isinstance(features[key], tfds.features.Image)]
    if not images:
        raise ValueError(f"{name!r} has no images; it has {', '.join(features)}.")
    image_key = "image" if "image" in images else images[0]
    image = features[image_key]
    if image.np_dtype != np.uint8 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"{name!r} has {np.dtype(image.np_dtype)} images of shape {image.shape}. "
            "Only uint8 images with 1, 3 or 4 channels can be loaded."
        )
    wanted = ("label",) if isinstance(labels, bool) else tuple(labels)
    known = [k for k in features if isinstance(features[k], tfds.features.ClassLabel)]
    if not isinstance(labels, bool) and not (wanted and set(wanted) <= set(known)):
        raise ValueError(
            f"labels={labels!r}: {name!r} has the labels {', '.join(known) or 'none'}."
        )
    has_label = set(wanted) <= set(known)
    class_names = [features[key].names for key in wanted] if has_label else None
    if isinstance(labels, bool) and has_label:
        (class_names,) = class_names

    def read(shuffle, seed):
        # The records were mixed once when they were prepared. Their files are not
        # shuffled again: that order would depend on how far earlier epochs were read.
        config = tfds.ReadConfig(try_autocache=False)
        others = [key for key in images if key != image_key]
        dataset = builder.as_dataset(
            split=split,
            decoders={key: tfds.decode.SkipDecoding() for key in others},
            read_config=config,
        )

        def choose(example):
            numbers = [example[key] for key in wanted] if has_label else [np.int64(0)]
            one = isinstance(labels, bool)
            return example[image_key], numbers[0] if one else tf.stack(numbers)

        return dataset.map(choose)

    return Source(count, image.shape, class_names, read, shuffles=False)


def _prepared_builder(name, data_dir, download):
    """The builder of a dataset, prepared now if it is not there yet."""
    folders = [Path(data_dir).expanduser()] if data_dir else data_folders()
    for folder in folders:
        builder = _builder(name, folder)
        if Path(builder.data_dir).is_dir() and builder.is_prepared():
            return builder
    embedded = builder.name in EMBEDDED
    if not (download or embedded):
        raise FileNotFoundError(
            f"{name!r} is not in {' or '.join(map(str, folders))}. Call once with "
            "download=True to fetch it."
        )
    folder = Path(data_dir).expanduser() if data_dir else writable_folder()
    builder = _builder(name, folder)
    if not embedded:
        _announce_download(builder)
        with preparation_lock(folder / f".{builder.name}.lock"):
            builder = _builder(name, folder)  # perhaps prepared while we waited
            builder.download_and_prepare()
            return builder
    builder.download_and_prepare()
    return builder


def _builder(name, folder):
    """The builder of a dataset in a folder, or a ValueError that helps."""
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.registered.DatasetNotFoundError:
        pass
    except ValueError as error:
        base, _, config = name.partition("/")
        if is_registered(name) and config:
            configs = list(tfds.builder_cls(base).builder_configs) or ["none"]
            raise ValueError(
                f"{base!r} has no variant {config!r}. Its variants: "
                f"{', '.join(configs)}."
            ) from error
        if is_registered(name):
            raise
    close = difflib.get_close_matches(name, _registered_names(), n=4)
    raise ValueError(
        f"There is no dataset or folder {name!r}. "
        + (f"Did you mean {' or '.join(map(repr, close))}? " if close else "")
        + f"Embedded are {', '.join(map(repr, EMBEDDED))}; other names are those of "
        "tensorflow.org/datasets."
    )


def _registered_names():
    return tfds.list_builders(with_community_datasets=False)


def _announce_download(builder):
    """Print what will be downloaded, and fail soon if that is impossible."""
    import requests  # which TensorFlow Datasets downloads with

    size = builder.info.download_size or sum(
        info.size for info in builder.url_infos.values()
    )
    amount = str(tfds.core.utils.Size(size)) if size else "of unknown size"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return  # TensorFlow Datasets explains what to fetch by hand
    print(
        f"{builder.name} is not prepared yet. It will be downloaded ({amount}) to "
        f"{builder.data_dir}."
    )
    url = next(iter(builder.url_infos), "https://storage.googleapis.com")
    answers = []

    def knock():
        with contextlib.suppress(requests.RequestException):
            answers.append(requests.head(url, timeout=NETWORK_TIMEOUT))

    # In a thread, since looking up the host's name knows no time limit.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(2 * NETWORK_TIMEOUT)
    if not answers:
        host = url.split("/")[2]
        raise ConnectionError(
            f"{builder.name!r} is not prepared and {host} cannot be reached to "
            f"download it ({amount}). Connect to the internet, or set TFDS_DATA_DIR to "
            f"a folder that holds it, or use {' or '.join(map(repr, EMBEDDED))}, which "
            "need no download."
        )
