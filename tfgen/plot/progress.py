"""Samples while a model trains."""

import io
import math
import os
import warnings

import keras
import matplotlib.pyplot as plt
import numpy as np

from tfgen.checks import check_seed
from tfgen.plot.canvas import draw_grid, list_images, make_picture
from tfgen.plot.display import display_bundle, in_notebook, make_bundle, make_metadata
from tfgen.provenance import add_source, put_into_gif, save_options
from tfgen.writing import check_path, write_whole


class SampleGrid(keras.callbacks.Callback):
    """Show what a generator draws while it trains: a row an epoch, a column a latent.

    The same latent vectors are drawn every time, so that each column shows one of them
    on its way from noise to image. Row 0 is drawn before training. If the model draws
    by label, each column asks for the same labels all the time and names them above. A
    notebook keeps one figure that grows; a script shows nothing, and writes to `path`
    if one is given, a file that says that a trained model made the images
    (`save_image`).

    Parameters
    ----------
    count : int
        How many images to draw.
    every : int
        Draw after every so many epochs; the last epoch is always drawn.
    seed : int
        Chooses the latent vectors: ``model.sample(count, seed=seed)`` draws them.
    path : str or Path, optional
        ``"samples.png"`` is rewritten with the newest images, ``"samples-{epoch}.png"``
        keeps every epoch, ``"samples.gif"`` is an animation of all epochs so far. A
        file is replaced as a whole, so it is never half-written. Where that fails while
        a model trains, such as on a full disk, a warning says so and training goes on.
    class_names : list of str, or one list for each label
        Names of the labels' values, such as ``dataset.class_names``, for the titles of
        the columns; without it a title gives the numbers.

    Attributes
    ----------
    epochs : list of int
        How many epochs the model had been trained when each row was drawn.
    images : list of arrays (count, height, width, channels)
        The row of each of these epochs.
    labels : array (count, k) of int, or None
        What the columns ask for, if the model draws by k labels.

    Raises
    ------
    ValueError
        If `count` or `every` is below 1, or `path` cannot be written; when training
        begins, if `class_names` does not fit the model.
    """

    MAX_ROWS = 8  # of a longer training evenly spaced epochs, first and last included

    def __init__(self, count=10, every=1, seed=0, path=None, class_names=None):
        super().__init__()
        for name, value in (("count", count), ("every", every)):
            whole = isinstance(value, int | np.integer) and value is not True
            if not whole or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number from 1 is needed.")
        if path is not None:
            check_path(name_file(path, epoch=0))
        self.count, self.every, self.path = count, every, path
        self.seed = check_seed(seed)
        self.class_names = class_names
        self.epochs, self.images, self.labels = [], [], None

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "sample"):
            raise TypeError(
                f"SampleGrid needs a model with sample(count, seed=...), such as "
                f"tfgen.GAN; {type(self.model).__name__} has none."
            )
        self._display = None
        self._trained = None
        classes = getattr(self.model, "classes", ())
        self._names = list_names(self.class_names, classes)
        if classes:
            random = np.random.default_rng(self.seed)
            self.labels = random.integers(classes, size=(self.count, len(classes)))

    def on_epoch_begin(self, epoch, logs=None):
        if self._trained is None:  # the first epoch of this fit; a resumed one is not 0
            if self.epochs and self.epochs[-1] > epoch:
                self.epochs, self.images = [], []
            self._trained = epoch
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        self._trained = epoch + 1
        if self._trained % self.every == 0:
            self._draw()

    def on_train_end(self, logs=None):
        if self._trained is not None:
            self._draw()

    def _draw(self):
        """Draw the row of the current epoch, unless it is there already."""
        if not (self.epochs and self.epochs[-1] == self._trained):
            labels = {} if self.labels is None else {"labels": self.labels}
            images = self.model.sample(self.count, seed=self.seed, **labels)
            self.images.append(np.stack(list_images(images, "model.sample")))
            self.epochs.append(self._trained)
            if self.path is not None:
                self._write_path()
        if in_notebook():
            self._update_display()

    def _update_display(self):
        rows = np.linspace(
            0, len(self.epochs) - 1, min(len(self.epochs), self.MAX_ROWS)
        )
        rows = rows.round().astype(int)
        epochs = [self.epochs[row] for row in rows]
        cells = [image for row in rows for image in self.images[row]]
        rows = [f"epoch {epoch}" for epoch in epochs]
        alt = (
            f"Samples from the same {self.count} latent vectors, one row each after "
            f"epochs {', '.join(map(str, epochs))}"
        )
        titles = None
        if self.labels is not None:  # above the first row, a line for each label
            titles = ["\n".join(map(str, column)) for column in self._columns()]
            alt += f"; the columns ask for {', '.join(titles)}".replace("\n", " ")
            titles += [""] * (len(cells) - self.count)
        figure = draw_grid(cells, titles, columns=self.count, labels=rows)
        bundle = make_bundle(figure, alt)
        plt.close(figure)
        if self._display is None:
            self._display = display_bundle(bundle, alt, display_id=True)
        else:
            self._display.update(bundle, metadata=make_metadata(alt), raw=True)

    def _columns(self):
        """The names of the labels of each column."""
        return [
            [names[value] for names, value in zip(self._names, column, strict=True)]
            for column in self.labels
        ]

    def _write_path(self):
        name = name_file(self.path, self.epochs[-1])
        buffer = io.BytesIO()
        columns = math.ceil(math.sqrt(self.count))
        if name.lower().endswith(".png"):
            options = save_options("PNG", "generated")
            make_picture(self.images[-1], columns).save(buffer, "png", **options)
            content = buffer.getvalue()
        else:
            first, *rest = [make_picture(images, columns) for images in self.images]
            durations = [500] * len(rest) + [2000]  # milliseconds; rest on the last
            first.save(
                buffer,
                "gif",
                save_all=True,
                append_images=rest,
                duration=durations,
                loop=0,
            )
            content = put_into_gif(buffer.getvalue(), add_source(None, "generated"))
        try:
            write_whole(name, content)
        except OSError as error:
            warnings.warn(str(error), stacklevel=2)


def list_names(class_names, classes):
    """A list of names for each label; its numbers without names; or ValueError."""
    if class_names is None:
        return [range(size) for size in classes]
    names = list(class_names)
    names = [names] if all(isinstance(name, str) for name in names) else names
    sizes = tuple(map(len, names))
    if sizes != tuple(classes):
        raise ValueError(
            f"class_names has {sizes} names, the model has classes={tuple(classes)}: "
            "give one list of names for each label."
        )
    return names


def name_file(path, epoch):
    """The path with the number of the epoch in place of {epoch}; or ValueError."""
    try:
        name = os.fsdecode(path).format(epoch=epoch)
    except (TypeError, ValueError, LookupError, AttributeError):
        raise ValueError(
            f"path={str(path)!r}: it must be the name of a file, with nothing but "
            "{epoch} in braces."
        ) from None
    if os.path.splitext(name)[1].lower() not in (".png", ".gif"):
        raise ValueError(f"path={str(path)!r}: it must end in .png or .gif.")
    return name
