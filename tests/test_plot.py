import base64
import io
import os
import sys
from types import SimpleNamespace

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from tfgen import figures, plot


def make_images(count=4, height=8, width=8, channels=1):
    return np.random.default_rng(0).random((count, height, width, channels))


def read_picture(path):
    return np.asarray(Image.open(path).convert("RGB"))


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


def test_pixels_are_drawn_exactly_on_the_fixed_scale(tmp_path):
    image = np.array([[0.0, 0.25], [0.75, 0.5]])[None, :, :, None]
    plot.show_images(image, path=tmp_path / "image.png")
    picture = read_picture(tmp_path / "image.png")[..., 0]
    side = picture.shape[0] - 2 * figures.GAP
    inner = picture[figures.GAP : -figures.GAP, figures.GAP : -figures.GAP]
    expected = (
        np.round(255 * image[0, :, :, 0]).repeat(side // 2, 0).repeat(side // 2, 1)
    )
    np.testing.assert_allclose(inner, expected, atol=1)  # a dim image stays dim


def test_colour_and_grey_tensors_and_lists(tmp_path):
    colour = keras.ops.convert_to_tensor(make_images(3, channels=3), "float32")
    plot.show_images(colour, path=tmp_path / "colour.png")
    picture = read_picture(tmp_path / "colour.png")
    assert (picture[..., 0] != picture[..., 1]).any()
    plot.show_images([make_images()[0], make_images(1, 4, 4)[0]])  # sizes may differ
    plot.show_images(make_images().astype("float16"))
    plot.show_images(make_images() > 0.5)  # masks are images of 0 and 1


def test_smaller_images_are_enlarged_to_fit(tmp_path):
    small, large = np.full((2, 2, 1), 0.2), np.full((8, 8, 1), 0.6)
    plot.show_images([small, large], columns=2, path=tmp_path / "sizes.png")
    values, counts = np.unique(read_picture(tmp_path / "sizes.png"), return_counts=True)
    counts = dict(zip(values.tolist(), counts, strict=True))
    assert counts[51] == counts[153]


def test_wide_grids_are_averaged_down(tmp_path):
    image = np.indices((64, 3000)).sum(axis=0)[None, :, :, None] % 2
    plot.show_images(image, path=tmp_path / "wide.png")
    picture = read_picture(tmp_path / "wide.png")
    assert picture.shape[1] <= 1200
    np.testing.assert_allclose(picture[10:-10, 10:-10], 127.5, atol=45)


def test_titles_widen_the_cells(tmp_path):
    plot.show_images(make_images(), columns=4, path=tmp_path / "plain.png")
    titles = ["a long title of an image"] * 4
    plot.show_images(make_images(), titles, columns=4, path=tmp_path / "titled.png")
    plain, titled = (
        read_picture(tmp_path / name) for name in ("plain.png", "titled.png")
    )
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] >= 4 * 24 * figures.CHARACTER


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (make_images()[0], r"images\[None\]"),
        (make_images()[..., 0], r"images\[\.\.\., None\]"),
        (make_images(channels=2), r"shape \(8, 8, 2\)"),
        (make_images(channels=4), "for colour"),
        (make_images(0), "no image"),
        ([], "no image"),
        (255 * make_images(), "Divide bytes by 255"),
        (2 * make_images() - 1, r"\(x \+ 1\) / 2"),
        (make_images() * 0 + 1.001, "clip"),
        (np.full((1, 4, 4, 1), np.nan), "not finite"),
        (np.full((1, 4, 4, 1), np.inf), "not finite"),
        ("glyphs", r"shape \(\)"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        plot.show_images(images)


def test_rounding_errors_are_allowed():
    plot.show_images(np.array([-1e-7, 1 + 1e-7])[None, None, :, None])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="3 titles for 4 images"):
        plot.show_images(make_images(), ["a", "b", "c"])
    with pytest.raises(ValueError, match="columns=0"):
        plot.show_images(make_images(), columns=0)


def test_comparison(tmp_path):
    clean = make_images(2)
    columns = {"clean": clean, "damaged": clean**2, "small": clean[:, ::2, ::2]}
    titles = {"damaged": ["20.1 dB", "19.9 dB"]}
    plot.show_comparison(columns, titles, path=tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").exists()


def test_bad_comparisons_are_named():
    clean = make_images(2)
    with pytest.raises(ValueError, match="clean 2, damaged 1"):
        plot.show_comparison({"clean": clean, "damaged": clean[:1]})
    with pytest.raises(ValueError, match="'noisy', which is no column"):
        plot.show_comparison({"clean": clean}, {"noisy": ["a", "b"]})
    with pytest.raises(ValueError, match="1 titles for the 2 images of 'clean'"):
        plot.show_comparison({"clean": clean}, {"clean": ["a"]})
    with pytest.raises(ValueError, match="No columns"):
        plot.show_comparison({})
    with pytest.raises(ValueError, match="damaged: image 0 has values"):
        plot.show_comparison({"clean": clean, "damaged": 9 * clean})


@pytest.fixture
def kept_figures(monkeypatch):
    """Keep the figures that are drawn, to look into them."""
    figures = []
    monkeypatch.setattr(
        plot, "show_figure", lambda figure, alt, path: figures.append(figure)
    )
    yield figures
    plt.close("all")


def test_history_curves(kept_figures):
    history = {"loss": [3, 2, 1], "val_loss": [3, 2.5, 2], "accuracy": [0.1, 0.2, 0.3]}
    plot.show_history(history, reference={"2 ln 2": 1.386})
    lines = {line.get_label(): line for line in kept_figures[0].axes[0].get_lines()}
    assert list(lines) == ["loss", "val_loss", "accuracy", "2 ln 2"]
    assert lines["val_loss"].get_linestyle() == "--"
    assert lines["val_loss"].get_color() == lines["loss"].get_color()
    assert lines["accuracy"].get_color() != lines["loss"].get_color()
    np.testing.assert_array_equal(lines["loss"].get_xdata(), [1, 2, 3])
    plot.show_history(SimpleNamespace(history=history), "accuracy")
    axes = kept_figures[1].axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["accuracy"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")


def test_tradeoff_curves(kept_figures):
    points = {"beta 1": (20.0, 80.0), "beta 4": (10.0, 95.0)}
    plot.show_tradeoff({"VAE": points, "PNG": {"": (500.0, 0.0)}}, "bits", "nats")
    axes = kept_figures[0].axes[0]
    vae, png = axes.get_lines()
    np.testing.assert_array_equal(vae.get_xydata(), [[20, 80], [10, 95]])
    assert vae.get_color() != png.get_color()
    assert [text.get_text() for text in axes.texts] == ["beta 1", "beta 4", ""]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bits", "nats")
    for curves in ({}, {"VAE": {}}):
        with pytest.raises(ValueError, match="needs a point"):
            plot.show_tradeoff(curves, "x", "y")


def test_bad_histories_are_named():
    with pytest.raises(ValueError, match="empty"):
        plot.show_history({})
    with pytest.raises(ValueError, match="No 'los' in the history; it has loss"):
        plot.show_history({"loss": [1]}, "los")


def test_figures_are_displayed_with_alternative_text(notebook):
    plot.show_images(make_images())
    plot.show_images(make_images(), alt="Four squares of noise")
    plot.show_comparison({"clean": make_images(1), "damaged": make_images(1)})
    plot.show_history({"loss": [2, 1]})
    alts = [metadata["image/png"]["alt"] for _, _, metadata in notebook]
    assert alts == [
        "Grid of 4 images, 2 in a row",
        "Four squares of noise",
        "Comparison of 1 image, side by side: clean, damaged",
        "Curves over 2 epochs: loss ends at 1",
    ]
    for _, bundle, _ in notebook:
        picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
        assert picture.format == "PNG"
    assert not plt.get_fignums(), "figures are closed, so that none is shown twice"


def test_a_grid_is_small_in_a_notebook(notebook):
    plot.show_images(make_images(25, 32, 32))
    assert len(notebook[0][1]["image/png"]) < 60_000


def test_nothing_is_displayed_in_a_script(capsys):
    plot.show_images(make_images())
    assert capsys.readouterr().out == ""
    assert not plt.get_fignums()


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
    grid = plot.SampleGrid(count=5)
    train(grid)
    assert grid.epochs == [0, 1, 2, 3]
    shades = np.array([images[:, 0, 0, 0] for images in grid.images])
    assert shades.shape == (4, 5)
    np.testing.assert_allclose(np.diff(shades, axis=0), 0.01, atol=1e-6)


def test_every_few_epochs_and_the_last():
    grid = plot.SampleGrid(every=2)
    train(grid, epochs=5)
    assert grid.epochs == [0, 2, 4, 5]


def test_training_goes_on_in_the_same_grid_and_starts_anew():
    grid = plot.SampleGrid()
    painter = train(grid, epochs=2)
    painter.fit(np.ones((4, 1)), initial_epoch=2, epochs=3, callbacks=[grid], verbose=0)
    assert grid.epochs == [0, 1, 2, 3]
    train(grid, epochs=1)
    assert grid.epochs == [0, 1]


def test_one_display_is_updated(notebook):
    train(plot.SampleGrid(count=2), epochs=20)
    assert [kind for kind, _, _ in notebook] == ["display"] + ["update"] * 21
    alt = notebook[-1][2]["image/png"]["alt"]
    assert "epochs 0, 3, 6, 9, 11, 14, 17, 20" in alt


def test_pictures_are_written(tmp_path):
    latest, every = tmp_path / "latest.png", tmp_path / "epoch-{epoch}.png"
    animation = tmp_path / "samples.gif"
    train(*(plot.SampleGrid(path=path) for path in (latest, every, animation)))
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
    train(plot.SampleGrid(path=path))
    before = path.read_bytes()

    def interrupt(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(plot.SampleGrid(path=path))
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == ["samples.gif"]


def test_bad_grids_are_named():
    with pytest.raises(ValueError, match="count=0"):
        plot.SampleGrid(count=0)
    with pytest.raises(ValueError, match="every=0"):
        plot.SampleGrid(every=0)
    with pytest.raises(ValueError, match=r"must end in \.png or \.gif"):
        plot.SampleGrid(path="samples.jpeg")


def test_a_model_that_cannot_sample_is_named():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(TypeError, match="sample"):
        model.fit(np.ones((4, 1)), np.ones(4), callbacks=[plot.SampleGrid()], verbose=0)


def test_bad_samples_are_named():
    class Bright(Painter):
        def sample(self, count, seed=None):
            return 1 + super().sample(count, seed)

    model = Bright()
    model.compile()
    with pytest.raises(ValueError, match="model.sample: image 0 has values"):
        model.fit(np.ones((4, 1)), callbacks=[plot.SampleGrid()], verbose=0)


def test_ipython_is_not_needed(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    plot.show_images(make_images())
