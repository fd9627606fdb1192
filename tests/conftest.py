"""Settings and fixtures that the tests share."""

import contextlib
import os
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # two workers may share one

import pytest


@contextlib.contextmanager
def settings_of_keras(floatx):
    """Settings that keras.json may hold: another floatx, and channels first."""
    from keras import config

    config.set_floatx(floatx)
    config.set_dtype_policy(floatx)  # follows floatx only in a new process
    config.set_image_data_format("channels_first")
    try:
        yield
        assert config.floatx() == config.dtype_policy().name == floatx
        assert config.image_data_format() == "channels_first"
    finally:
        config.set_floatx("float32")
        config.set_dtype_policy("float32")
        config.set_image_data_format("channels_last")


@pytest.fixture(params=["float16", "float64"])
def unusual_settings(request):
    with settings_of_keras(request.param):
        yield


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
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")  # now, as it would ask a shell for more than this one has
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", display)
    return displayed


@pytest.fixture
def asked(monkeypatch):
    """Load small networks in place of the trained ones; list their names."""
    from small_networks import build_restorer

    from tfgen import weights as pretrained

    names = []

    def load(name):
        names.append(name)
        return build_restorer(name)

    monkeypatch.setattr(pretrained, "load_pretrained", load)
    return names


@pytest.fixture
def here(tmp_path, monkeypatch, asked):
    """The folder to work in, with a photo in colour and one in grey; see `asked`."""
    from PIL import Image
    from small_networks import COLOR, GREY

    monkeypatch.chdir(tmp_path)
    Image.fromarray(COLOR).save("color.png")
    Image.fromarray(GREY).save("grey.png")
    return tmp_path


@pytest.fixture
def fails(here, capsys):
    """Check that a command ends in one line and leaves the folder as it was."""
    from tfgen.__main__ import main

    def contents():
        return {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}

    def check(line, expected):
        before = contents()
        capsys.readouterr()
        assert main(line.split()) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
        assert expected in printed.err
        assert "mean" not in printed.out
        assert contents() == before
        return printed

    return check
