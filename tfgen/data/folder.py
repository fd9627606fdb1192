"""Read a folder of image files."""

import os
import re
import warnings

import numpy as np
import tensorflow as tf

from tfgen.data.source import Source

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def open_folder(folder, split, channels, size, on_error):
    """List the images of a split of a folder and describe them.

    Parameters
    ----------
    folder : Path
    split, on_error
        As in `tfgen.load_dataset`.
    channels : {1, 3}
    size : (int, int) or None
        Height and width that are needed; JPEG files are decoded no larger than
        twice that, which is much faster.

    Returns
    -------
    Source
    """
    files, class_names = _select(folder, split)
    paths = [os.fsencode(path) for path, _ in files]
    labels = np.array([label for _, label in files], np.int64)
    problems = {}  # what is wrong with each damaged file that was met

    def decode(path, label):
        path = os.fsdecode(path)
        try:
            return read_image(path, channels, size), label
        except Exception as error:  # Pillow raises many kinds for damaged files
            reason = str(error).rstrip(".")
            problems[path] = f"Cannot read the image {path}: {reason}."
            # A black pixel stands for it, in a cache too; its label says where it is.
            place = list(problems).index(path)
            return np.zeros((1, 1, channels), np.uint8), np.int64(-1 - place)

    def load(path, label):
        image, label = tf.numpy_function(
            decode, [path, label], [tf.uint8, tf.int64], stateful=False
        )
        image.set_shape((None, None, channels))
        label.set_shape(())
        return image, label

    def fail(label):
        problem = list(problems.values())[-1 - label]
        problem = problem.encode("utf-8", "backslashreplace").decode()
        # Models and loops find what stands in << >> in the report of TensorFlow.
        raise ValueError(f'<<{problem} Repair or remove it, or use on_error="skip".>>')

    def check(image, label):
        """The image, or an error if it stands for a damaged file."""

        def stop():
            return tf.numpy_function(fail, [label], tf.int64, stateful=False)

        return image, tf.ensure_shape(tf.cond(label < 0, stop, lambda: label), ())

    def report():
        if problems and not report.done:
            report.done = True
            warnings.warn(
                f"Skipped {len(problems)} of {len(paths)} images that cannot be read: "
                f"{', '.join(sorted(problems))}",
                stacklevel=2,
            )
        return False

    report.done = False

    def read(shuffle, seed):
        dataset = tf.data.Dataset.from_tensor_slices((paths, labels))
        if shuffle:
            dataset = dataset.shuffle(len(paths), seed=seed)
        dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        if on_error == "skip":
            # The warning comes from an extra element that is read after all others.
            last = tf.data.Dataset.from_tensors(
                (tf.zeros((1, 1, channels), tf.uint8), tf.constant(0, tf.int64))
            ).filter(lambda *_: tf.numpy_function(report, [], tf.bool))
            dataset = dataset.filter(lambda _, label: label >= 0)
            dataset = dataset.concatenate(last)
        return dataset

    shape = (None, None, channels)
    return Source(len(paths), shape, class_names, read, shuffles=True, check=check)


def read_image(path, channels, size=None):
    """Read an image file as uint8 values.

    Upright (EXIF), the first picture of an animation, transparent pixels over
    white, 16 bits scaled to 8; see `tfgen.data.decoding`.

    Parameters
    ----------
    path : str
    channels : {1, 3}
        1 for luma, 3 for red, green and blue.
    size : (int, int), optional
        Height and width that suffice; a JPEG file may be decoded to any size not
        below twice that.

    Returns
    -------
    ndarray of uint8, shape (height, width, channels)
    """
    from PIL import Image

    from tfgen.data.decoding import decode

    with Image.open(path) as image:
        if size:
            image.draft(None, (2 * max(size), 2 * max(size)))
        photo = decode(image)
    pixels = photo.pixels
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(image).reshape(image.height, image.width, channels)


def _select(folder, split):
    """The (path, label) of every image of a split, and the class names."""
    match = re.fullmatch(r"(\w+)(?:\[(\d*%?):(\d*%?)\])?", split)
    base = match[1] if match else None
    root = folder
    parts = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    parts = [part for part in parts if part in ("train", "test", "validation", "val")]
    if base in parts:
        folder = folder / base
    elif base != "all" and (parts or base != "train"):
        raise ValueError(
            f"The folder {str(folder)!r} has no split {split!r}. It has "
            f"{', '.join(map(repr, parts or ['train']))} and 'all'; a part of one is "
            "written 'train[:80%]'."
        )
    names = []
    for place, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        names += [
            os.path.relpath(os.path.join(place, file), folder)
            for file in files
            if file.lower().endswith(EXTENSIONS) and not file.startswith(".")
        ]
    names.sort()
    if not names:
        raise ValueError(
            f"There are no images in {str(folder)!r}. Files that end in "
            f"{' '.join(EXTENSIONS)} are looked for, in sub-folders too."
        )
    # The classes are those of all splits together, so that their numbers agree.
    roots = [root / part for part in parts] or [root]
    class_names = sorted(
        {entry.name for place in roots for entry in os.scandir(place) if entry.is_dir()}
    )
    numbers = {name: number for number, name in enumerate(class_names)}
    depth = 1 if base == "all" and parts else 0  # there, names begin with the split
    owners = [(*name.split(os.sep)[depth:-1], None)[0] for name in names]
    if None in owners:
        class_names = None
    labels = [numbers.get(owner, 0) for owner in owners]

    # A fixed random order, so that a slice holds every class.
    order = np.random.default_rng(0).permutation(len(names))
    start, stop = (_position(text, len(names)) for text in match.groups()[1:])
    chosen = order[slice(start, stop)]
    if not len(chosen):
        raise ValueError(f"The split {split!r} holds none of the {len(names)} images.")
    return [(str(folder / names[i]), labels[i]) for i in sorted(chosen)], class_names


def _position(text, count):
    """Where in a sequence the end of a slice such as "80%" or "100" lies."""
    if not text:
        return None
    return round(int(text[:-1]) * count / 100) if text.endswith("%") else int(text)
