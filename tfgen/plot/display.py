"""How figures are displayed in notebooks and scripts, and written to files."""

import base64
import io
import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureCanvasBase
from PIL import Image

from tfgen.plot.canvas import DPI
from tfgen.provenance import FORMATS, check_source, save_options
from tfgen.writing import check_path, write_whole


def check_figure_path(path, source=None):
    """Raise ValueError unless a figure can be written to `path`, or it is None.

    `source` is what the file will say of how the images were made.
    """
    if path is None:
        check_source(path, source, ending=".png")
        return
    check_path(path)
    formats = {*FigureCanvasBase.get_supported_filetypes()} - {"pgf"}  # needs LaTeX
    if find_format(path) not in formats:
        raise ValueError(
            f"Cannot write {path}: the name must end in one of "
            f"{', '.join(f'.{name}' for name in sorted(formats))}."
        )
    check_source(path, source, ending=f".{find_format(path)}")


def find_format(path):
    """The extension of a file; without one, a figure is written as PNG."""
    return Path(os.fsdecode(path)).suffix[1:].lower() or "png"


def show_figure(figure, alt, path, source=None):
    """Write the figure if a path is given; display it; close it."""
    try:
        if path is not None:
            buffer, form = io.BytesIO(), find_format(path)
            options = {"pil_kwargs": save_options(FORMATS.get(f".{form}"), source)}
            figure.savefig(buffer, format=form, dpi=DPI, **(options if source else {}))
            write_whole(path, buffer.getvalue())
        if in_notebook():
            display_bundle(make_bundle(figure, alt), alt)
        elif getattr(figure.canvas, "required_interactive_framework", None):
            plt.show()
    finally:
        plt.close(figure)


def in_notebook():
    """Tell whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def make_bundle(figure, alt):
    """Give the figure as a notebook output, its PNG as small as it goes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    picture = Image.open(buffer).convert("RGB")
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        picture = red  # grey: a third of the bytes
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"image/png": png, "text/plain": alt}


def make_metadata(alt):
    return {"image/png": {"alt": alt}}


def display_bundle(bundle, alt, **kwargs):
    from IPython.display import display  # only in a kernel: not a dependency

    return display(bundle, metadata=make_metadata(alt), raw=True, **kwargs)
