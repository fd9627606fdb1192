"""The program that trains the networks: with small ones, a few steps."""

import json
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data
from test_corruptions import photos

import tfgen
from tfgen import weights

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import train_weights  # noqa: E402
from train_weights import TRAININGS, begin_with, minus_psnr  # noqa: E402


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Small networks, two photos in a folder, and a new folder to work in."""
    recipes = {
        name: (partial(build, width=8, blocks=1), undo)
        for name, (build, undo) in weights.RECIPES.items()
    }
    monkeypatch.setattr(weights, "RECIPES", recipes)
    monkeypatch.setattr(train_weights, "RECIPES", recipes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    Image.fromarray(data.astronaut()[:90, :80]).save("mine/a.png")
    Image.fromarray(data.rocket()[:60, :120]).save("mine/b.png")
    load = train_weights.load_photos

    def load_crops(split, channels, source="photos"):
        crops = [photo[:96, :96] for photo in load(split, channels, source)]
        return crops[:2] if split == "test" else crops

    monkeypatch.setattr(train_weights, "load_photos", load_crops)
    yield tmp_path
    keras.mixed_precision.set_global_policy("float32")


def run(monkeypatch, line):
    monkeypatch.setattr(sys, "argv", ["train_weights.py", *line.split()])
    train_weights.main()


def read(folder, name):
    with np.load(folder / f"{name}.npz") as arrays:
        return [arrays[str(i)] for i in range(len(arrays.files))]


def test_a_network_is_trained_measured_and_stored(small, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in weights.FOLDER.iterdir()}
    models, fit = [], train_weights.fit

    def watched(model, *arguments):
        models.append(model)
        return fit(model, *arguments)

    monkeypatch.setattr(train_weights, "fit", watched)
    line = "photo --steps 4 --batch 2 --patch 16 --photos mine --out out"
    run(monkeypatch, line)
    content = (small / "out" / "photo.npz").read_bytes()
    restorer = weights.build_restorer("photo", content)
    averages = models[0].averaged_network.get_weights()
    for stored, average in zip(read(small / "out", "photo"), averages, strict=True):
        np.testing.assert_array_equal(stored, average.astype(np.float16))
    record = json.loads((small / "out" / "records.json").read_text())["photo"]
    assert record["command"] == f"python benchmarks/train_weights.py {line}"
    assert record["data"] == "2 photos of mine" and record["begun_with"] is None
    assert record["batch"] == "2 patches of 16" and record["steps"] == 4
    assert record["parameters"] == restorer.network.count_params()
    scores = train_weights.score("photo", restorer)
    found = record["untouched_psnr"], record["restored_psnr"]
    np.testing.assert_allclose(found, scores, atol=2e-3)
    line = f"{scores[0]:.2f} | {scores[1]:.2f}"
    assert line in (small / "out" / "README.md").read_text()
    after = {path: path.stat().st_mtime_ns for path in weights.FOLDER.iterdir()}
    assert before == after
    assert not list((small / "build/weights").iterdir())


def test_a_finder_is_measured_by_what_it_finds(small, monkeypatch):
    crops = photos(3, 48, 48)
    monkeypatch.setattr(train_weights.defects, "load_photos", lambda split: [])
    monkeypatch.setattr(train_weights.defects, "cut_crops", lambda photos: crops)
    line = "scratches --begin nothing --steps 2 --batch 2 --patch 16 --photos mine"
    run(monkeypatch, f"{line} --out out")
    record = json.loads((small / "out" / "records.json").read_text())["scratches"]
    content = (small / "out" / "scratches.npz").read_bytes()
    finder = weights.build_restorer("scratches", content)
    _, damaged, mask = train_weights.defects.damage("test", seed=1)
    found = finder.find(damaged)
    f1 = 2 * (found & mask).sum() / (found.sum() + mask.sum())
    assert record["f1"] == pytest.approx(f1, abs=1e-3)
    assert f"F1 {f1:.2f}" in (small / "out" / "README.md").read_text()


def test_a_training_goes_on_where_it_was(small, monkeypatch, capsys):
    """Two epochs of which the second is interrupted, then once more."""
    monkeypatch.setattr(train_weights, "EPOCH", 2)
    line = "upscale_x4_small --steps 4 --batch 2 --patch 16 --photos mine --out "
    run(monkeypatch, line + "whole")

    class Interrupted(Exception):
        pass

    def stop(self, epoch, logs=None):
        if epoch == 1:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(train_weights.Clock, "on_epoch_begin", stop)
        patch.setattr(train_weights.Clock, "on_epoch_end", lambda *_: None)
        with pytest.raises(Interrupted):
            run(monkeypatch, line + "parts")
    assert not (small / "parts").exists()
    capsys.readouterr()
    run(monkeypatch, line + "parts")
    printed = capsys.readouterr().out
    assert "Epoch 2/2" in printed and "Epoch 1/2" not in printed
    whole, parts = (
        read(small / name, "upscale_x4_small") for name in ("whole", "parts")
    )
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_other_options_are_another_training(monkeypatch):
    folders = []
    for line in ("photo", "photo --seed 1", "photo --steps 9", "photo"):
        monkeypatch.setattr(sys, "argv", ["train_weights.py", *line.split()])
        folders.append(train_weights.work_folder("photo"))
    assert len(set(folders)) == 3 and folders[0] == folders[3]


@pytest.mark.parametrize("name", TRAININGS)
def test_every_training_fits_its_network(name):
    training = TRAININGS[name]
    network = weights.RECIPES[name][0](width=8, blocks=1)
    model = training.model(network, training.corruption, seed=0)
    model.compile(**training.compiled, run_eagerly=True)
    images = photos(4, 24, 24, network.input["image"].shape[-1])
    before = network.get_weights()
    assert np.isfinite(model.train_on_batch(images)).all()
    pairs = zip(network.get_weights(), before, strict=True)
    assert any((after != before).any() for after, before in pairs)
    assert training.patch % 12 == 0 or training.patch % 64 == 0
    assert training.begin in (*TRAININGS, train_weights.NOTHING)


def test_a_denoiser_begins_with_what_a_blind_one_does():
    """Whatever it is told, until it is trained."""
    blind, told = (
        tfgen.build_denoiser(3, 8, 1, blind=blind) for blind in (True, False)
    )
    rng = np.random.default_rng(0)
    blind.set_weights([rng.normal(0, 0.1, w.shape) for w in blind.weights])
    begin_with(told, blind)
    images = photos(2, 16, 16)
    expected = blind({"image": images})
    for sigma in (0, 50):
        found = told({"image": images, "sigma": np.full((2, 1), sigma, np.float32)})
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_of_another_shape_stay_as_they_are():
    given, network = (tfgen.build_upscaler(scale, 1, 8, 1) for scale in (4, 2))
    before = network.get_weights()
    begin_with(network, given)
    rows = zip(network.get_weights(), given.get_weights(), before, strict=True)
    fits = [start.shape == was.shape for _, start, was in rows]
    assert fits == [True] * 6 + [False] * 2  # the last convolution
    for now, start, was in zip(
        network.get_weights(), given.get_weights(), before, strict=True
    ):
        np.testing.assert_array_equal(now, start if start.shape == was.shape else was)


def test_a_network_of_more_layers_cannot_be_begun_with():
    shallow, deep = (tfgen.build_upscaler(4, 1, 8, blocks) for blocks in (1, 2))
    with pytest.raises(ValueError, match="upscaler_x4 has 8 weights.*12.*as many"):
        begin_with(deep, shallow)


@pytest.mark.parametrize(
    "line, message",
    [
        ("photo --photos nowhere", "no folder 'nowhere'"),
        ("photo --patch 4000", "No photo is as large as a patch, 4000"),
        ("sharpen", "invalid choice: 'sharpen'"),
        ("inpaint --photos mine --patch 16 --batch 6", "is a multiple of 4; got 6"),
        ("photo --out mine/a.png", "a.png is no folder"),
    ],
)
def test_a_wrong_line_is_an_error(small, monkeypatch, capsys, line, message):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"--out out {line}")
    assert stop.value.code == 2 and message in capsys.readouterr().err
    assert not (small / "out").exists()


def test_the_loss_is_psnr_up_to_its_best():
    images = photos(3, 8, 8)
    for error, best, expected in [(0.1, 80, -20), (0, 40, -40), (0.01, 40, -36.99)]:
        loss = minus_psnr(images, images + np.float32(error), best=best)
        np.testing.assert_allclose(loss, expected, atol=0.01)


def test_photos_are_collected_in_three_sizes_with_and_without_colour(small):
    color = train_weights.collect_photos(3, small / "mine")
    assert [photo.shape for photo in color] == [
        (90, 80, 3), (60, 96, 3), (90, 80, 3),
        (63, 56, 3), (45, 40, 3), (42, 67, 3), (30, 48, 3), (63, 56, 3), (45, 40, 3),
    ]  # fmt: skip
    is_grey = [np.ptp(photo, axis=-1).max() < 1e-6 for photo in color]
    assert is_grey == [False, False, True, *[False] * 4, True, True]
    grey = train_weights.collect_photos(1, small / "mine")
    assert len(grey) == 3 * 2 * 4 and all(photo.shape[-1] == 1 for photo in grey)
    for channel in range(3):
        found = grey[2 + channel]
        np.testing.assert_array_equal(found, color[0][..., channel : channel + 1])
