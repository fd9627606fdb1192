"""The two embedded datasets, registered with TensorFlow Datasets on import.

``glyphs`` (capital letters in real typefaces) and ``photos`` (real photographs)
are built from files that the installed packages already contain, so nothing is
downloaded. Once ``tfgen`` is imported, ``tfds.load("glyphs")`` works as it does
for any other dataset. Sources and licences: ``data/README.md``.
"""

from tfgen.datasets.glyphs import Glyphs
from tfgen.datasets.photos import Photos

EMBEDDED = {builder.name: builder for builder in (Glyphs, Photos)}
"""The embedded builders by name."""

__all__ = ["EMBEDDED", "Glyphs", "Photos"]
