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


def show_images(
    images,
    titles=None,
    *,
    rows=None,
    columns=None,
    alt=None,
    path=None,
    source=None,
):
    """Show images in a grid, on the fixed scale from 0 (black) to 1 (white).

    Parameters
    ----------
    images : array or tensor (n, height, width, 1 or 3), or a list of single images
        Values in [0, 1]. The images of a list may differ in size; a smaller one is
        enlarged by a whole factor as far as it fits.
    titles : sequence of n strings, optional
        One title above each image.
    rows : sequence of strings, optional
        A name at the left of each row.
    columns : int, optional
        Images in a row. By default as many as make a grid of that many `rows`, or one
        that is about as wide as it is high.
    alt : str, optional
        What the picture shows, for readers who cannot see it.
    path : str or Path, optional
        Also write the figure to this file; its extension is the format, such as .png
        or .svg.
    source : {"generated", "mixed", "enhanced"}, optional
        What this file says of the images, as of `save_image`: made by a trained model;
        partly so, or shown beside real ones; denoised or enlarged. Without it the file
        says nothing, since images do not show how they were made.

    Raises
    ------
    ValueError
        For other shapes, types or values of images, another number of titles or
        names, a path that cannot be written, or one that cannot hold the source.

    Notes
    -----
    Pixels are enlarged by a whole factor without smoothing. Grids wider than 1,200
    pixels are averaged down by a whole factor: show a crop to see noise or detail.
    """
    check_figure_path(path, source)
    images = list_images(images)
    if columns is None:
        root = math.ceil(math.sqrt(len(images)))
        columns = math.ceil(len(images) / len(rows)) if rows else root
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
    rows = _name_rows(rows, math.ceil(len(images) / columns))
    noun = "image" if len(images) == 1 else "images"
    alt = alt or f"Grid of {len(images)} {noun}, {columns} in a row"
    show_figure(draw_grid(images, titles, columns, rows), alt, path, source)


def show_comparison(
    columns, titles=None, *, rows=None, alt=None, path=None, source=None
):
    """Show versions of the same images side by side: a column a version.

    Parameters
    ----------
    columns : dict of str to images
        For example ``{"clean": x, "damaged": y, "restored": z}``. Each value holds the
        same number of images, as for `show_images`; row i shows the i-th of each.
        The keys are written above the first row.
    titles : dict of str to sequence of strings, optional
        For some or all columns, a line above each image, such as its PSNR.
    rows : sequence of strings, optional
        A name at the left of each row.
    alt, path, source : optional
        As for `show_images`.
    """
    check_figure_path(path, source)
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
    count = len(next(iter(table.values())))
    for name in columns:
        if len(table[name]) != count:
            counts = ", ".join(f"{name} {len(table[name])}" for name in table)
            raise ValueError(
                f"Columns of different lengths: {counts}. Give equal ones."
            )
        if name in titles and len(titles[name]) != count:
            raise ValueError(
                f"{len(titles[name])} titles for the {count} images of {name!r}: give "
                "one title an image."
            )
    rows = _name_rows(rows, count)
    cells, texts = [], []
    for row in range(count):
        for name, images in table.items():
            cells.append(images[row])
            lines = [name] if row == 0 else []
            if name in titles:
                lines.append(str(titles[name][row]))
            texts.append("\n".join(lines))
    noun = "image" if count == 1 else "images"
    alt = alt or f"Comparison of {count} {noun}, side by side: {', '.join(columns)}"
    show_figure(draw_grid(cells, texts, len(columns), rows), alt, path, source)


def _name_rows(rows, count):
    """Check the names of `count` rows and return them as strings, or None."""
    if rows is None:
        return None
    if len(rows) != count:
        raise ValueError(f"{len(rows)} names for {count} rows: give one name a row.")
    return [str(name) for name in rows]


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
    figure, axes = plt.subplots(figsize=(7, 3), dpi=DPI, layout="constrained")
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
    figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    last = [f"{name} ends at {float(values[name][-1]):.3g}" for name in metrics]
    alt = alt or f"Curves over {len(values[metrics[0]])} epochs: {', '.join(last)}"
    show_figure(figure, alt, path)


def show_curves(
    panels,
    x_label,
    y_label,
    *,
    reference=None,
    log=False,
    columns=None,
    alt=None,
    path=None,
):
    """Show curves in small panels side by side, on common axes.

    Parameters
    ----------
    panels : dict of str to dict of str to (x, y)
        For each panel, under its title, its curves: a name and two sequences of equal
        length. A name has the same colour in every panel.
    x_label, y_label : str
        The quantities, with their units.
    reference : dict of str to float, optional
        Horizontal lines with their labels, in every panel.
    log : bool or {"x", "y"}
        Whether both axes, or one, are logarithmic.
    columns : int, optional
        Panels in a row; by default at most three.
    alt, path : optional
        As for `show_images`.

    Raises
    ------
    ValueError
        No panel, no curve in a panel, or sequences of different lengths.
    """

    def draw(axes, name, x, y, color):
        axes.plot(x, y, color=color, marker="o" if len(x) == 1 else None, label=name)

    figure = _draw_panels(panels, draw, columns, path)
    for axes in figure.axes:
        for label, height in (reference or {}).items():
            axes.axhline(height, color="0.4", linestyle=":", label=label)
        if log in (True, "x"):
            axes.set_xscale("log")
        if log in (True, "y"):
            axes.set_yscale("log")
    _finish_panels(figure, panels, x_label, y_label, alt, path)


def show_points(
    panels,
    x_label,
    y_label,
    *,
    lines=None,
    equal=False,
    columns=None,
    alt=None,
    path=None,
):
    """Show points in small panels side by side, on common axes.

    Parameters
    ----------
    panels : dict of str to dict of str to (x, y)
        For each panel, under its title, its groups of points: a name and two sequences
        of equal length. A name has the same colour in every panel.
    x_label, y_label : str
        The quantities, with their units.
    lines : dict of str to (x, y), optional
        Lines with their names, drawn in every panel.
    equal : bool
        Whether a unit has the same length on both axes.
    columns, alt, path : optional
        As for `show_curves`.

    Raises
    ------
    ValueError
        No panel, no group in a panel, or sequences of different lengths.
    """

    def draw(axes, name, x, y, color):
        size = 25 if len(x) < 100 else 4
        axes.scatter(x, y, s=size, color=color, linewidths=0, alpha=0.7, label=name)

    figure = _draw_panels(panels, draw, columns, path)
    for axes in figure.axes:
        for label, (x, y) in (lines or {}).items():
            axes.plot(x, y, color="0.4", linestyle=":", label=label)
        if equal:
            axes.set_aspect("equal")
    _finish_panels(figure, panels, x_label, y_label, alt, path)


def _draw_panels(panels, draw, columns, path):
    """Draw each panel's series with `draw` and return the figure."""
    check_figure_path(path)
    if not panels or not all(panels.values()):
        raise ValueError(
            "Every panel needs a series: give a dict such as "
            "{'title': {'name': (x, y)}}."
        )
    columns = min(columns or 3, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    size = (5, 3) if len(panels) == 1 else (0.5 + 2.3 * columns, 0.3 + 2.1 * rows)
    legend = 1.8 if len(names) > 1 else 0
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(size[0] + legend, size[1]),
        dpi=DPI,
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    figure.set_facecolor("white")
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)  # the lowest panel of each column
    for axes, (title, series) in zip(grid.flat, panels.items(), strict=False):
        for name, (x, y) in series.items():
            x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
            if x.ndim != 1 or x.shape != y.shape:
                raise ValueError(
                    f"{name!r} has x of shape {x.shape} and y of shape {y.shape}: give "
                    "two sequences of equal length."
                )
            draw(axes, name, x, y, PALETTE[names.index(name) % len(PALETTE)])
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _finish_panels(figure, panels, x_label, y_label, alt, path):
    """Write the labels and one legend, off the curves, and show the figure."""
    figure.supxlabel(x_label, fontsize=9)
    figure.supylabel(y_label, fontsize=9)
    named = {}
    for axes in figure.axes:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if len(named) > 1:
        place = "outside right upper"
        figure.legend(named.values(), named, fontsize=8, frameon=False, loc=place)
    alt = alt or f"{y_label} against {x_label}: {', '.join(panels)}"
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
    figure, axes = plt.subplots(figsize=(7, 3.5), dpi=DPI, layout="constrained")
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
        figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    alt = alt or f"{y_label} against {x_label}: {', '.join(curves)}"
    show_figure(figure, alt, path)
