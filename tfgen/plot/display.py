"""How figures are displayed in notebooks and scripts, and written to files."""

import base64
import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from tfgen.plot.canvas import DPI
from tfgen.writing import write_whole


def show_figure(figure, alt, path):
    """Write the figure if a path is given; display it; close it."""
    try:
        if path is not None:
            buffer = io.BytesIO()
            suffix = Path(path).suffix[1:] or "png"
            figure.savefig(buffer, format=suffix, dpi=DPI)
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
