"""Settings and fixtures that the tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # two workers may share one

import pytest


@pytest.fixture(scope="session")
def glyphs():
    """The builder of the grey glyphs, prepared (about 10 s, once)."""
    from tfgen.datasets import Glyphs

    builder = Glyphs()
    builder.download_and_prepare()
    return builder
