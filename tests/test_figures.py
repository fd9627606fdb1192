"""Figures: their pixels, their curves, their words, and what is refused."""

import base64
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from tfgen.plot import canvas, figures


def make_images(count=4, height=8, width=8, channels=1):
    return np.random.default_rng(0).random((count, height, width, channels))


def read_picture(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_pixels_are_drawn_exactly_on_the_fixed_scale(tmp_path):
    image = np.array([[0.0, 0.25], [0.75, 0.5]])[None, :, :, None]
    figures.show_images(image, path=tmp_path / "image.png")
    picture = read_picture(tmp_path / "image.png")[..., 0]
    side = picture.shape[0] - 2 * canvas.GAP
    inner = picture[canvas.GAP : -canvas.GAP, canvas.GAP : -canvas.GAP]
    expected = (
        np.round(255 * image[0, :, :, 0]).repeat(side // 2, 0).repeat(side // 2, 1)
    )
    np.testing.assert_allclose(inner, expected, atol=1)  # a dim image stays dim


def test_colour_and_grey_tensors_and_lists(tmp_path):
    colour = keras.ops.convert_to_tensor(make_images(3, channels=3), "float32")
    figures.show_images(colour, path=tmp_path / "colour.png")
    picture = read_picture(tmp_path / "colour.png")
    assert (picture[..., 0] != picture[..., 1]).any()
    figures.show_images([make_images()[0], make_images(1, 4, 4)[0]])  # sizes may differ
    figures.show_images(make_images().astype("float16"))
    figures.show_images(make_images() > 0.5)  # masks are images of 0 and 1


def test_smaller_images_are_enlarged_to_fit(tmp_path):
    small, large = np.full((2, 2, 1), 0.2), np.full((8, 8, 1), 0.6)
    figures.show_images([small, large], columns=2, path=tmp_path / "sizes.png")
    values, counts = np.unique(read_picture(tmp_path / "sizes.png"), return_counts=True)
    counts = dict(zip(values.tolist(), counts, strict=True))
    assert counts[51] == counts[153]


def test_wide_grids_are_averaged_down(tmp_path):
    image = np.indices((64, 3000)).sum(axis=0)[None, :, :, None] % 2
    figures.show_images(image, path=tmp_path / "wide.png")
    picture = read_picture(tmp_path / "wide.png")
    assert picture.shape[1] <= 1200
    np.testing.assert_allclose(picture[10:-10, 10:-10], 127.5, atol=45)


def test_titles_widen_the_cells(tmp_path):
    figures.show_images(make_images(), columns=4, path=tmp_path / "plain.png")
    titles = ["a long title of an image"] * 4
    figures.show_images(make_images(), titles, columns=4, path=tmp_path / "titled.png")
    plain, titled = (
        read_picture(tmp_path / name) for name in ("plain.png", "titled.png")
    )
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] >= 4 * 24 * canvas.CHARACTER


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (make_images()[0], r"images\[None\]"),
        (make_images()[..., 0], r"images\[\.\.\., None\]"),
        (make_images(channels=2), r"shape \(8, 8, 2\)"),
        (make_images(channels=4), "for colour"),
        (make_images(0), "no image"),
        ([], "no image"),
        (255 * make_images(), "Divide 8-bit images by 255"),
        (2 * make_images() - 1, r"\(images \+ 1\) / 2"),
        (make_images() * 0 + 1.001, "clip"),
        (np.full((1, 4, 4, 1), np.nan), "nan.*diverged loss"),
        (np.full((1, 4, 4, 1), np.inf), "inf.*diverged loss"),
        ("glyphs", r"shape \(\)"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        figures.show_images(images)


def test_rounding_errors_are_allowed():
    figures.show_images(np.array([-1e-7, 1 + 1e-7])[None, None, :, None])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="3 titles for 4 images"):
        figures.show_images(make_images(), ["a", "b", "c"])
    with pytest.raises(ValueError, match="columns=0"):
        figures.show_images(make_images(), columns=0)


def test_comparison(tmp_path):
    clean = make_images(2)
    columns = {"clean": clean, "damaged": clean**2, "small": clean[:, ::2, ::2]}
    titles = {"damaged": ["20.1 dB", "19.9 dB"]}
    figures.show_comparison(columns, titles, path=tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").exists()


def test_bad_comparisons_are_named():
    clean = make_images(2)
    with pytest.raises(ValueError, match="clean 2, damaged 1"):
        figures.show_comparison({"clean": clean, "damaged": clean[:1]})
    with pytest.raises(ValueError, match="'noisy', which is no column"):
        figures.show_comparison({"clean": clean}, {"noisy": ["a", "b"]})
    with pytest.raises(ValueError, match="1 titles for the 2 images of 'clean'"):
        figures.show_comparison({"clean": clean}, {"clean": ["a"]})
    with pytest.raises(ValueError, match="No columns"):
        figures.show_comparison({})
    with pytest.raises(ValueError, match="damaged: image 0: values .* from"):
        figures.show_comparison({"clean": clean, "damaged": 9 * clean})


@pytest.fixture
def kept_figures(monkeypatch):
    """Keep the figures that are drawn, to look into them."""
    kept = []
    monkeypatch.setattr(figures, "show_figure", lambda figure, *_: kept.append(figure))
    yield kept
    plt.close("all")


def test_history_curves(kept_figures):
    history = {"loss": [3, 2, 1], "val_loss": [3, 2.5, 2], "accuracy": [0.1, 0.2, 0.3]}
    figures.show_history(history, reference={"2 ln 2": 1.386})
    lines = {line.get_label(): line for line in kept_figures[0].axes[0].get_lines()}
    assert list(lines) == ["loss", "val_loss", "accuracy", "2 ln 2"]
    assert lines["val_loss"].get_linestyle() == "--"
    assert lines["val_loss"].get_color() == lines["loss"].get_color()
    assert lines["accuracy"].get_color() != lines["loss"].get_color()
    np.testing.assert_array_equal(lines["loss"].get_xdata(), [1, 2, 3])
    figures.show_history(SimpleNamespace(history=history), "accuracy")
    axes = kept_figures[1].axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["accuracy"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")


def test_tradeoff_curves(kept_figures):
    points = {"beta 1": (20.0, 80.0), "beta 4": (10.0, 95.0)}
    figures.show_tradeoff({"VAE": points, "PNG": {"": (500.0, 0.0)}}, "bits", "nats")
    axes = kept_figures[0].axes[0]
    vae, png = axes.get_lines()
    np.testing.assert_array_equal(vae.get_xydata(), [[20, 80], [10, 95]])
    assert vae.get_color() != png.get_color()
    assert [text.get_text() for text in axes.texts] == ["beta 1", "beta 4", ""]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bits", "nats")
    for curves in ({}, {"VAE": {}}):
        with pytest.raises(ValueError, match="needs a point"):
            figures.show_tradeoff(curves, "x", "y")


def test_panels_share_colours_lines_and_one_legend(kept_figures):
    x = np.arange(3)
    panels = {
        "A": {"healthy": (x, x), "this run": (x, 2 * x)},
        "B": {"this run": (x, x)},
    }
    figures.show_curves(panels, "step", "nats", reference={"ln 2": 0.7}, log="y")
    first, second = kept_figures[0].axes
    colors = {line.get_label(): line.get_color() for line in first.get_lines()}
    assert list(colors) == ["healthy", "this run", "ln 2"]
    assert colors["healthy"] != colors["this run"]
    assert second.get_lines()[0].get_color() == colors["this run"]
    np.testing.assert_array_equal(first.get_lines()[1].get_xydata().T, [x, 2 * x])
    assert (first.get_xscale(), first.get_yscale()) == ("linear", "log")
    assert [axes.get_title() for axes in kept_figures[0].axes] == ["A", "B"]
    (legend,) = kept_figures[0].legends
    assert [t.get_text() for t in legend.get_texts()] == ["healthy", "this run", "ln 2"]
    assert not first.get_legend()


def test_points(kept_figures):
    rng = np.random.default_rng(0)
    drawn, real = rng.normal(size=(2, 2, 5))
    line = {"equal": ([0, 1], [0, 1])}
    figures.show_points({"A": {"drawn": drawn, "real": real}}, "x", "y", lines=line)
    (axes,) = kept_figures[0].axes
    for group, points in zip(axes.collections, (drawn, real), strict=True):
        np.testing.assert_allclose(group.get_offsets().T, points)
    assert [line.get_label() for line in axes.get_lines()] == ["equal"]
    figures.show_points({"A": {"drawn": drawn}}, "x", "y")
    assert not kept_figures[1].legends, "one group needs no legend"


@pytest.mark.parametrize("show", [figures.show_curves, figures.show_points])
def test_bad_panels_are_named(show):
    for panels in ({}, {"A": {}}):
        with pytest.raises(ValueError, match="Every panel needs a series"):
            show(panels, "x", "y")
    with pytest.raises(ValueError, match=r"'a' has x of shape \(2,\) and y .* \(3,\)"):
        show({"A": {"a": ([1, 2], [1, 2, 3])}}, "x", "y")


def test_rows_have_names(kept_figures):
    figures.show_images(make_images(6), rows=["real", "drawn"])
    figures.show_comparison({"clean": make_images(2)}, rows=["cat", 7])
    texts = [[t.get_text() for t in f.axes[0].texts] for f in kept_figures]
    assert texts[0] == ["real", "drawn"]
    assert texts[1] == ["clean", "cat", "", "7"]
    with pytest.raises(ValueError, match="3 names for 2 rows"):
        figures.show_images(make_images(4), rows=["a", "b", "c"], columns=2)
    with pytest.raises(ValueError, match="1 names for 2 rows"):
        figures.show_comparison({"clean": make_images(2)}, rows=["a"])


def test_bad_histories_are_named():
    with pytest.raises(ValueError, match="empty"):
        figures.show_history({})
    with pytest.raises(ValueError, match="No 'los' in the history; it has loss"):
        figures.show_history({"loss": [1]}, "los")


def test_figures_are_displayed_with_alternative_text(notebook):
    figures.show_images(make_images())
    figures.show_images(make_images(), alt="Four squares of noise")
    figures.show_comparison({"clean": make_images(1), "damaged": make_images(1)})
    figures.show_history({"loss": [2, 1]})
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
    figures.show_images(make_images(25, 32, 32))
    assert len(notebook[0][1]["image/png"]) < 60_000


def test_nothing_is_displayed_in_a_script(capsys):
    figures.show_images(make_images())
    assert capsys.readouterr().out == ""
    assert not plt.get_fignums()


def test_ipython_is_not_needed(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    figures.show_images(make_images())


# --- Paths ------------------------------------------------------------------

SHOW = {
    "images": lambda path: figures.show_images(make_images(), path=path),
    "comparison": lambda path: figures.show_comparison(
        {"clean": make_images()}, path=path
    ),
    "history": lambda path: figures.show_history({"loss": [1]}, path=path),
    "curves": lambda path: figures.show_curves(
        {"A": {"a": ([1, 2], [1, 2])}}, "x", "y", path=path
    ),
    "points": lambda path: figures.show_points(
        {"A": {"a": ([1, 2], [1, 2])}}, "x", "y", path=path
    ),
    "tradeoff": lambda path: figures.show_tradeoff(
        {"VAE": {"beta": (1, 2)}}, "x", "y", path=path
    ),
}
LONG = "n" * 251 + ".png"


@pytest.mark.parametrize("show", SHOW.values(), ids=SHOW)
@pytest.mark.parametrize(
    "name", ["a.png", "a.SVG", "a", Path("a.pdf"), LONG, "日本.png", b"bytes.jpg"]
)
def test_figures_are_written(tmp_path, monkeypatch, show, name):
    monkeypatch.chdir(tmp_path)
    show(name)
    assert os.listdir() == [os.fsdecode(name)]
    assert os.path.getsize(name) > 100


@pytest.mark.parametrize("show", SHOW.values(), ids=SHOW)
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a.xyz", "the name must end in one of .*, .png, "),
        ("a.pgf", "the name must end in one of .*, .png, "),
        ("./no/a.png", "its folder does not exist"),
        ("folder.png", "it is a folder"),
        ("file/a.png", "Not a directory"),
        ("n" + LONG, "File name too long"),
        ("", "this is not the name of a file"),
        (3, "expected str, bytes or os.PathLike object"),
    ],
)
def test_a_path_is_judged_before_the_figure_is_drawn(
    tmp_path, monkeypatch, show, path, reason
):
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder.png")
    Path("file").touch()
    with pytest.raises(ValueError, match=f"^Cannot write {path}: .*{reason}"):
        monkeypatch.setattr(plt, "figure", None)
        show(path)
    assert sorted(os.listdir()) == ["file", "folder.png"]
