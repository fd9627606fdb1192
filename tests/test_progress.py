"""The grid of samples that grows while a model trains."""

import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tfgen.plot.progress import SampleGrid


class Painter(keras.Model):
    """Paints each image in the shade of its latent; training makes all brighter."""

    def __init__(self):
        super().__init__()
        self.shade = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return self.shade * x

    def train_step(self, data):
        self.shade.assign_add(0.01)
        return {"loss": 1.0 - self.shade}

    def sample(self, count, seed=None):
        shades = np.random.default_rng(seed).random(count) / 2 + float(self.shade)
        return np.ones((count, 4, 4, 1)) * shades[:, None, None, None]


def train(*callbacks, epochs=3, **kwargs):
    painter = Painter()
    painter.compile()
    x = np.ones((4, 1))
    painter.fit(
        x, epochs=epochs, batch_size=4, callbacks=list(callbacks), verbose=0, **kwargs
    )
    return painter


def test_the_same_latents_are_drawn_every_epoch():
    grid = SampleGrid(count=5)
    train(grid)
    assert grid.epochs == [0, 1, 2, 3]
    shades = np.array([images[:, 0, 0, 0] for images in grid.images])
    assert shades.shape == (4, 5)
    np.testing.assert_allclose(np.diff(shades, axis=0), 0.01, atol=1e-6)


def test_every_few_epochs_and_the_last():
    grid = SampleGrid(every=2)
    train(grid, epochs=5)
    assert grid.epochs == [0, 2, 4, 5]


def test_training_goes_on_in_the_same_grid_and_starts_anew():
    grid = SampleGrid()
    painter = train(grid, epochs=2)
    painter.fit(np.ones((4, 1)), initial_epoch=2, epochs=3, callbacks=[grid], verbose=0)
    assert grid.epochs == [0, 1, 2, 3]
    train(grid, epochs=1)
    assert grid.epochs == [0, 1]


def test_one_display_is_updated(notebook):
    train(SampleGrid(count=2), epochs=20)
    assert [kind for kind, _, _ in notebook] == ["display"] + ["update"] * 21
    alt = notebook[-1][2]["image/png"]["alt"]
    assert "epochs 0, 3, 6, 9, 11, 14, 17, 20" in alt


def test_pictures_are_written(tmp_path):
    latest, every = tmp_path / "latest.png", tmp_path / "epoch-{epoch}.png"
    animation = tmp_path / "samples.gif"
    train(*(SampleGrid(path=path) for path in (latest, every, animation)))
    assert latest.read_bytes() == (tmp_path / "epoch-3.png").read_bytes()
    assert latest.read_bytes() != (tmp_path / "epoch-2.png").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "epoch-0.png",
        "epoch-1.png",
        "epoch-2.png",
        "epoch-3.png",
        "latest.png",
        "samples.gif",
    ]
    with Image.open(animation) as frames:
        assert frames.n_frames == 4


def test_an_interrupt_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "samples.gif"
    train(SampleGrid(path=path))
    before = path.read_bytes()

    def interrupt(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(SampleGrid(path=path))
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == ["samples.gif"]


def test_bad_grids_are_named():
    with pytest.raises(ValueError, match="count=0"):
        SampleGrid(count=0)
    with pytest.raises(ValueError, match="every=0"):
        SampleGrid(every=0)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("samples.jpeg", "path='samples.jpeg': it must end in .png or .gif"),
        (Path("samples"), "path='samples': it must end in .png or .gif"),
        ("", "path='': it must end in .png or .gif"),
        (3, "path='3': it must be the name of a file"),
        ("samples-{step}.png", "with nothing but {epoch} in braces"),
        ("samples-{}.png", "with nothing but {epoch} in braces"),
        ("samples-{.png", "with nothing but {epoch} in braces"),
        ("no/samples.png", "Cannot write no/samples.png: its folder does not exist"),
        ("run-{epoch}/a.png", "Cannot write run-0/a.png: its folder does not exist"),
        ("folder.png", "Cannot write folder.png: it is a folder"),
        ("n" * 252 + ".png", ".png: File name too long"),
    ],
)
def test_a_path_is_judged_when_it_is_given(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=re.escape(reason)):
        SampleGrid(path=path)
    assert os.listdir() == ["folder.png"]


def test_names_of_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["A.PNG", "{epoch:03d}.png", b"b.gif", "n" * 251 + ".png"]
    train(*map(SampleGrid, [2] * 4, [3] * 4, [0] * 4, names))
    expected = ["000.png", "003.png", "A.PNG", "b.gif", names[-1]]
    assert sorted(os.listdir()) == sorted(expected)


def test_a_picture_that_cannot_be_written_does_not_end_the_training(tmp_path):
    class Remove(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shutil.rmtree(tmp_path / "folder", ignore_errors=True)

    (tmp_path / "folder").mkdir()
    grid = SampleGrid(path=tmp_path / "folder" / "samples.png")
    with pytest.warns(UserWarning, match="samples.png: its folder does not exist"):
        train(Remove(), grid)
    assert grid.epochs == [0, 1, 2, 3]


def test_a_model_that_cannot_sample_is_named():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(TypeError, match="sample"):
        model.fit(np.ones((4, 1)), np.ones(4), callbacks=[SampleGrid()], verbose=0)


def test_bad_samples_are_named():
    class Bright(Painter):
        def sample(self, count, seed=None):
            return 1 + super().sample(count, seed)

    model = Bright()
    model.compile()
    with pytest.raises(ValueError, match="model.sample: image 0: values .* from 1"):
        model.fit(np.ones((4, 1)), callbacks=[SampleGrid()], verbose=0)
