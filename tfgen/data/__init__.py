"""Images to learn from, and what can happen to them.

`loading` gives any images as batches: of the embedded datasets, of a set of
TensorFlow Datasets, of a folder. `patches` cuts photos into squares, `corruptions`
damages images.

The embedded datasets are ``glyphs`` (capital letters in real typefaces),
``groceries`` (small photos of fruit and vegetables), ``chest_xrays`` (small X-rays,
healthy or with pneumonia) and ``photos`` (real photographs). They are built from files
that the installed packages already contain, so nothing is downloaded. They are
registered on import: once ``tfgen`` is imported, ``tfds.load("glyphs")`` works as it
does for any other dataset. Sources and licences: ``data/README.md`` of the project.
"""

from tfgen.data.chest_xrays import ChestXrays as ChestXrays
from tfgen.data.glyphs import Glyphs as Glyphs
from tfgen.data.groceries import Groceries as Groceries
from tfgen.data.photos import Photos as Photos

EMBEDDED = {
    builder.name: builder for builder in (ChestXrays, Glyphs, Groceries, Photos)
}
"""The embedded builders by name."""
