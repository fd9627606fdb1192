"""Settings and fixtures that the tests share."""

import os
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest


@pytest.fixture(scope="session")
def glyphs():
    """The builder of the grey glyphs, prepared (about 10 s, once)."""
    from tfgen.data import Glyphs

    builder = Glyphs()
    builder.download_and_prepare()
    return builder


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for a Jupyter kernel, which records what is displayed."""
    displayed = []

    class Handle:
        def update(self, bundle, metadata, raw):
            displayed.append(("update", bundle, metadata))

    def display(bundle, metadata, raw, display_id=None):
        displayed.append(("display", bundle, metadata))
        return Handle() if display_id else None

    import IPython

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", display)
    return displayed
