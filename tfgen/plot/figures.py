"""Image grids, comparisons and curves."""

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from tfgen.plot.canvas import DPI, draw_grid, list_images
from tfgen.plot.display import check_figure_path, show_figure

# Okabe and Ito's palette: eight colours that colour-blind readers can tell apart.
# Yellow comes last, since it is faint on white.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#F0E442",
)


def show_images(images, titles=None, *, columns=None, alt=None, path=None):
    """Show images in a grid, on the fixed scale from 0 (black) to 1 (white).

    Parameters
    ----------
    images : array or tensor (n, height, width, 1 or 3), or a list of single images
        Values in [0, 1]. The images of a list may differ in size; a smaller one is
        enlarged by a whole factor as far as it fits.
    titles : sequence of n strings, optional
        One title above each image.
    columns : int, optional
        Images in a row. By default the grid is about as wide as it is high.
    alt : str, optional
        What the picture shows, for readers who cannot see it.
    path : str or Path, optional
        Also write the figure to this file; its extension is the format, such as .png
        or .svg.

    Raises
    ------
    ValueError
        For other shapes, types or values of images, another number of titles, or a
        path that cannot be written.

    Notes
    -----
    Pixels are enlarged by a whole factor without smoothing. Grids wider than 1,200
    pixels are averaged down by a whole factor: show a crop to see noise or detail.
    """
    check_figure_path(path)
    images = list_images(images)
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    if columns < 1:
        raise ValueError(f"columns={columns}: a grid needs at least 1 column.")
    columns = min(columns, len(images))
    if titles is not None:
        titles = [str(title) for title in titles]
        if len(titles) != len(images):
            raise ValueError(
                f"{len(titles)} titles for {len(images)} images: give one title an "
                "image, or none."
            )
    noun = "image" if len(images) == 1 else "images"
    alt = alt or f"Grid of {len(images)} {noun}, {columns} in a row"
    show_figure(draw_grid(images, titles, columns), alt, path)


def show_comparison(columns, titles=None, *, alt=None, path=None):
    """Show versions of the same images side by side: a column a version.

    Parameters
    ----------
    columns : dict of str to images
        For example ``{"clean": x, "damaged": y, "restored": z}``. Each value holds the
        same number of images, as for `show_images`; row i shows the i-th of each.
        The keys are written above the first row.
    titles : dict of str to sequence of strings, optional
        For some or all columns, a line above each image, such as its PSNR.
    alt, path : optional
        As for `show_images`.
    """
    check_figure_path(path)
    titles = titles or {}
    unknown = [name for name in titles if name not in columns]
    if unknown:
        raise ValueError(
            f"titles for {unknown[0]!r}, which is no column; the columns are "
            f"{', '.join(columns)}."
        )
    if not columns:
        raise ValueError("No columns: give a dict such as {'clean': x, 'damaged': y}.")
    table = {name: list_images(images, name) for name, images in columns.items()}
    rows = len(next(iter(table.values())))
    for name in columns:
        if len(table[name]) != rows:
            counts = ", ".join(f"{name} {len(table[name])}" for name in table)
            raise ValueError(
                f"Columns of different lengths: {counts}. Give equal ones."
            )
        if name in titles and len(titles[name]) != rows:
            raise ValueError(
                f"{len(titles[name])} titles for the {rows} images of {name!r}: give "
                "one title an image."
            )
    cells, texts = [], []
    for row in range(rows):
        for name, images in table.items():
            cells.append(images[row])
            lines = [name] if row == 0 else []
            if name in titles:
                lines.append(str(titles[name][row]))
            texts.append("\n".join(lines))
    noun = "image" if rows == 1 else "images"
    alt = alt or f"Comparison of {rows} {noun}, side by side: {', '.join(columns)}"
    show_figure(draw_grid(cells, texts, len(columns)), alt, path)


def show_history(history, *metrics, reference=None, alt=None, path=None):
    """Show how losses and metrics went from epoch to epoch.

    Parameters
    ----------
    history : keras.callbacks.History or its `.history` dict
        What `fit` returns.
    *metrics : str
        The curves to draw, such as ``"loss"``; all when none is named. The validation
        curve of each is dashed, in the same colour.
    reference : dict of str to float, optional
        Horizontal lines with their labels, such as ``{"2 ln 2": 1.386}``.
    alt, path : optional
        As for `show_images`.
    """
    check_figure_path(path)
    values = getattr(history, "history", history)
    if not values:
        raise ValueError("The history is empty: train for an epoch with fit first.")
    metrics = metrics or [name for name in values if not name.startswith("val_")]
    for name in metrics:
        if name not in values:
            raise ValueError(f"No {name!r} in the history; it has {', '.join(values)}.")
    figure, axes = plt.subplots(figsize=(5.5, 3), dpi=DPI, layout="constrained")
    figure.set_facecolor("white")
    for index, name in enumerate(metrics):
        color = PALETTE[index % len(PALETTE)]
        for key, style in ((name, "-"), (f"val_{name}", "--")):
            if key in values:
                curve = np.asarray(values[key], dtype=float)
                marker = "o" if len(curve) == 1 else None
                epochs = np.arange(1, len(curve) + 1)
                axes.plot(epochs, curve, style, color=color, marker=marker, label=key)
    for label, height in (reference or {}).items():
        axes.axhline(height, color="0.4", linestyle=":", label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel(metrics[0] if len(metrics) == 1 else "value")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    last = [f"{name} ends at {float(values[name][-1]):.3g}" for name in metrics]
    alt = alt or f"Curves over {len(values[metrics[0]])} epochs: {', '.join(last)}"
    show_figure(figure, alt, path)


def show_tradeoff(curves, x_label, y_label, *, alt=None, path=None):
    """Show two quantities against each other, one line of marked points a method.

    Parameters
    ----------
    curves : dict of str to dict of str to (float, float)
        For each method its points: the name that is written beside it, such as
        ``"beta 4"``, and its two values.
    x_label, y_label : str
        The quantities, with their units.
    alt, path : optional
        As for `show_images`.
    """
    check_figure_path(path)
    if not curves or not all(curves.values()):
        raise ValueError("Every curve needs a point; got " + repr(curves) + ".")
    figure, axes = plt.subplots(figsize=(5.5, 3.5), dpi=DPI, layout="constrained")
    figure.set_facecolor("white")
    for index, (name, points) in enumerate(curves.items()):
        x, y = zip(*points.values(), strict=True)
        axes.plot(x, y, "o-", color=PALETTE[index % len(PALETTE)], label=name)
        for label, point in points.items():
            axes.annotate(label, point, (5, 5), textcoords="offset points", fontsize=8)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(fontsize=8, frameon=False)
    alt = alt or f"{y_label} against {x_label}: {', '.join(curves)}"
    show_figure(figure, alt, path)
