"""The grid of samples that grows while a model trains."""

import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import tfgen
from tfgen import provenance
from tfgen.plot.canvas import draw_grid
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


class LabelPainter(Painter):
    """Paints the shade that two labels ask for."""

    classes = (3, 20)

    def sample(self, count, seed=None, labels=None):
        assert labels.shape == (count, 2)
        shades = (20 * labels[:, 0] + labels[:, 1]) / 100 + float(self.shade)
        return np.ones((count, 4, 4, 1)) * shades[:, None, None, None]


def train(*callbacks, epochs=3, painter=Painter, **kwargs):
    painter = painter()
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


def test_columns_keep_their_labels_and_name_them(notebook, monkeypatch):
    grids = []

    def draw(images, titles=None, **kwargs):
        grids.append((images, titles))
        return draw_grid(images, titles, **kwargs)

    monkeypatch.setattr("tfgen.plot.progress.draw_grid", draw)
    names = (["A", "B", "C"], [f"face {number}" for number in range(20)])
    grid = SampleGrid(count=4, class_names=names)
    train(grid, painter=LabelPainter)
    images, titles = grids[-1]
    assert len(images) == len(titles) == 4 * 4 and set(titles[4:]) == {""}
    asked = [f"{names[0][first]}\n{names[1][second]}" for first, second in grid.labels]
    assert titles[:4] == asked and len(set(asked)) > 1
    shades = [image[0, 0, 0] for image in images[:4]]  # of epoch 0: what was asked
    np.testing.assert_allclose(shades, grid.labels @ [0.2, 0.01], atol=1e-6)
    assert (
        f"ask for {asked[0]}".replace("\n", " ") in notebook[-1][2]["image/png"]["alt"]
    )


def test_columns_without_names_give_numbers_and_without_labels_nothing(monkeypatch):
    monkeypatch.setattr("tfgen.plot.progress.in_notebook", lambda: True)
    shown = []
    monkeypatch.setattr(
        "tfgen.plot.progress.draw_grid",
        lambda images, titles=None, **kwargs: (
            shown.append(titles) or draw_grid(images, titles, **kwargs)
        ),
    )
    grid = SampleGrid(count=2)
    train(grid, painter=LabelPainter, epochs=1)
    assert shown[-1][:2] == [f"{first}\n{second}" for first, second in grid.labels]
    train(SampleGrid(count=2), epochs=1)
    assert shown[-1] is None


def test_labels_of_columns_are_those_that_the_model_would_draw():
    gan = tfgen.GAN(
        tfgen.build_generator((4, 4, 1), 3, 2, classes=(3, 20)),
        tfgen.build_discriminator((4, 4, 1), 2, classes=(3, 20)),
        classes=(3, 20),
    )
    gan.compile()
    grid = SampleGrid(count=5, seed=4)
    gan.fit(np.ones((4, 4, 4, 1), "float32"), np.zeros((4, 2), int), callbacks=[grid])
    np.testing.assert_allclose(grid.images[-1], gan.sample(5, seed=4), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "painter", "reason"),
    [
        (["A", "B"], LabelPainter, "(2,) names, the model has classes=(3, 20)"),
        ((["A", "B"], ["x"] * 20), LabelPainter, "(2, 20) names"),
        (["A", "B"], Painter, "(2,) names, the model has classes=()"),
    ],
)
def test_names_that_do_not_fit_are_named(names, painter, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        train(SampleGrid(class_names=names), painter=painter)


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


@pytest.mark.parametrize("name", ["samples.png", "samples.gif"])
def test_files_say_that_a_model_made_them(tmp_path, name):
    train(SampleGrid(count=4, path=tmp_path / name))
    with Image.open(tmp_path / name) as picture:
        xmp = provenance.read_xmp(picture)
        assert getattr(picture, "n_frames", 1) == (4 if name.endswith("gif") else 1)
    assert provenance.read_source(xmp) == "trainedAlgorithmicMedia"
