"""The embedded datasets: what they contain, and that preparing them is safe."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfgen
from tfgen.data import ChestXrays, Glyphs, Groceries, Photos, embedded, single
from tfgen.data import glyphs as module

# Prepares a small set of glyphs in the folder argv[1]. With two more arguments it
# creates the first file when it has begun, and goes on once the second exists.
PREPARE = """
import pathlib, sys, time
from tfgen.data import Glyphs, glyphs
folder, *files = map(pathlib.Path, sys.argv[1:])
glyphs.DRAWS = {"train": 1, "test": 1}
draw_poses = glyphs.draw_poses
def pause(split):
    if files:
        files[0].touch()
        while not files[1].exists():
            time.sleep(0.02)
    return draw_poses(split)
glyphs.draw_poses = pause
builder = Glyphs(data_dir=folder)
builder.download_and_prepare()
print("examples", builder.info.splits["train"].num_examples)
"""


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PREPARE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def read(builder, split):
    """All examples of a split as a dict of arrays or, for photos, of lists."""
    if builder.name == "glyphs":
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
    return {name: [example[name] for example in examples] for name in examples[0]}


@pytest.fixture
def few(monkeypatch):
    """Make the glyphs sets small: every letter in every typeface once."""
    monkeypatch.setattr(module, "DRAWS", {"train": 1, "test": 1})


@pytest.fixture(scope="module")
def splits(glyphs):
    return {split: read(glyphs, split) for split in ("train", "test")}


@pytest.mark.parametrize("split, draws", [("train", 37), ("test", 7)])
def test_every_letter_in_every_typeface_equally_often(splits, split, draws):
    pairs = np.zeros((26, 21), int)
    np.add.at(pairs, (splits[split]["label"], splits[split]["typeface"]), 1)
    np.testing.assert_array_equal(pairs, draws)


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_bright_letters_inside_a_dark_frame(splits, split):
    images = np.stack(splits[split]["image"])
    assert images.shape[1:] == (32, 32, 1) and images.dtype == np.uint8
    assert images.max(axis=(1, 2, 3)).min() > 200
    assert images[:, [0, -1]].max() == images[:, :, [0, -1]].max() == 0
    ink = (images > 127).mean(axis=(1, 2, 3))
    assert 0.01 < ink.min() and ink.max() < 0.6


def test_pose_features_are_in_their_ranges(splits):
    for name, (low, high) in {
        "size": (0.6, 0.875),
        "rotation": (-15, 15),
        "shear": (-0.2, 0.2),
    }.items():
        values = np.array(splits["train"][name])
        assert values.dtype == np.float32
        assert low <= values.min() and values.max() <= high
        np.testing.assert_allclose(values.mean(), (low + high) / 2, atol=0.01 * high)


def test_size_is_the_longer_side_of_the_letter(splits):
    images = np.stack(splits["test"]["image"])[..., 0] > 100
    sides = [
        32 - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
        for occupied in (images.any(axis=1), images.any(axis=2))
    ]
    error = np.maximum(*sides) - 32 * np.array(splits["test"]["size"])
    assert abs(error.mean()) < 0.5 and np.abs(error).max() < 3


def test_rotation_and_shear_turn_a_bar_as_documented(splits):
    test = splits["test"]
    bars = [
        i
        for i in range(len(test["label"]))
        if test["label"][i] == 8 and test["typeface"][i] in (0, 1)  # upright sans I
    ]
    assert len(bars) == 14
    errors = []
    rows, columns = np.mgrid[:32, :32]
    for i in bars:
        weights = test["image"][i][..., 0].ravel()
        covariance = np.cov(columns.ravel(), -rows.ravel(), aweights=weights)
        _, vectors = np.linalg.eigh(covariance)
        right, up = vectors[:, 1] * np.sign(vectors[1, 1])
        leaning = np.degrees(np.arctan2(right, up))  # clockwise from the vertical
        expected = np.degrees(np.arctan(test["shear"][i])) - test["rotation"][i]
        errors.append(leaning - expected)
    assert np.mean(np.abs(errors)) < 1.5 and np.max(np.abs(errors)) < 3.5


def test_train_and_test_share_no_image_and_no_pose(splits):
    def prints(split):
        return {hashlib.sha256(x.tobytes()).digest() for x in splits[split]["image"]}

    assert not prints("train") & prints("test")
    for name in ("size", "rotation", "shear"):
        shared = set(splits["train"][name]) & set(splits["test"][name])
        assert len(shared) < 30  # by chance, of 77 million pairs


def test_all_letters_of_a_typeface_differ():
    outlines = module.draw_outlines(64)
    for typeface in range(len(module.TYPEFACES)):
        drawings = {outlines[typeface, i][0].tobytes() for i in range(26)}
        assert len(drawings) == 26


def test_color_config(few, tmp_path):
    builder = Glyphs(data_dir=tmp_path, config="color_64")
    builder.download_and_prepare()
    examples = read(builder, "test")
    images = np.stack(examples["image"]) / 255
    assert images.shape == (546, 64, 64, 3)
    ground, ink = (np.stack(examples[f"{k}_color"]) for k in ("ground", "letter"))
    contrast = np.abs((ground - ink) @ [0.299, 0.587, 0.114])
    assert contrast.min() >= 0.4
    np.testing.assert_allclose(images[:, 0, 0], ground, atol=0.002)
    farthest = np.abs(images - ground[:, None, None]).sum(axis=-1)
    farthest = farthest.reshape(546, -1).argmax(axis=1)
    inner = images.reshape(546, -1, 3)[np.arange(546), farthest]
    np.testing.assert_allclose(inner, ink, atol=0.002)


def test_example_has_the_same_pose_in_every_config(few):
    poses = {}
    for config in ("gray_32", "color_64"):
        generate = Glyphs(data_dir="unused", config=config)._generate_examples("test")
        key, example = next(generate)
        poses[config] = key, example["typeface"], example["size"], example["shear"]
    assert poses["gray_32"] == poses["color_64"]


def test_a_config_keeps_whole_typefaces_for_testing(few, tmp_path):
    builder = Glyphs(data_dir=tmp_path, config="new_typefaces")
    builder.download_and_prepare()
    parts = {split: read(builder, split) for split in builder.info.splits}
    faces = {split: set(part["typeface"]) for split, part in parts.items()}
    names = builder.info.features["typeface"].names
    assert {names[i] for i in faces["test"]} == set(module.HELD_OUT)
    assert faces["train"] == faces["validation"] == set(range(21)) - faces["test"]
    for split in parts:  # every letter in every typeface, in the poses of the others
        pairs = set(zip(parts[split]["label"], parts[split]["typeface"], strict=True))
        assert len(pairs) == len(parts[split]["label"]) == 26 * len(faces[split])
    poses = module.draw_poses("test")
    for split in ("validation", "test"):
        assert set(parts[split]["size"]) <= set(poses["size"])


@pytest.fixture(scope="module")
def prepared_twice(tmp_path_factory):
    """A folder in which two processes have prepared the same set at once."""
    root = tmp_path_factory.mktemp("twice")
    begun, go_on, folder = root / "begun", root / "go_on", root / "data"
    first = start(folder, begun, go_on)
    second = None
    try:
        wait_for(begun.exists)
        second = start(folder)
        waiting = second.stdout.readline()
        go_on.touch()
        results = [(*p.communicate(timeout=120), p.returncode) for p in (first, second)]
    finally:
        for process in filter(None, (first, second)):
            process.kill()
    return folder, waiting, results


def test_two_processes_prepare_the_same_set_at_once(prepared_twice):
    folder, waiting, results = prepared_twice
    assert "Waiting for another process" in waiting
    for (output, errors, returncode), prepares in zip(
        results, (True, False), strict=True
    ):
        assert returncode == 0, errors
        assert "examples 546" in output
        assert ("Preparing" in output) == prepares
    assert not list(folder.rglob("incomplete.*"))


def test_another_process_writes_the_same_bytes(few, prepared_twice, tmp_path):
    Glyphs(data_dir=tmp_path).download_and_prepare()
    here, there = (
        {path.name: path.read_bytes() for path in folder.rglob("*.tfrecord*")}
        for folder in (tmp_path, prepared_twice[0])
    )
    assert len(here) == 2 and here == there


def test_a_killed_preparation_is_made_good(few, tmp_path):
    begun, folder = tmp_path / "begun", tmp_path / "data"
    process = start(folder, begun, tmp_path / "never")
    wait_for(begun.exists)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()
    assert list(folder.rglob("incomplete.*")), "the kill came too early or too late"

    builder = Glyphs(data_dir=folder)
    assert not builder.is_prepared()
    builder.download_and_prepare()
    assert not list(folder.rglob("incomplete.*"))
    assert len(read(builder, "train")["image"]) == 546


def test_ctrl_c_leaves_nothing_half_written(few, monkeypatch, tmp_path):
    def interrupt(split):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "draw_poses", interrupt)
    builder = Glyphs(data_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        builder.download_and_prepare()
    assert not builder.is_prepared()
    assert not list(tmp_path.rglob("incomplete.*"))


def test_a_damaged_copy_is_made_anew(few, tmp_path):
    Glyphs(data_dir=tmp_path).download_and_prepare()
    (tmp_path / "glyphs" / "gray_32" / "1.0.0" / "dataset_info.json").unlink()
    builder = Glyphs(data_dir=tmp_path)
    builder.download_and_prepare()
    assert len(read(builder, "test")["image"]) == 546


@pytest.fixture(scope="module")
def groceries():
    builder = Groceries()
    builder.download_and_prepare()
    return {
        split: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        for split in ("train", "validation", "test")
    }


def test_groceries_are_small_photos_in_colour(groceries):
    counts = [len(part["image"]) for part in groceries.values()]
    assert counts == [1489, 196, 1071]
    for part in groceries.values():
        images = part["image"]
        assert images.shape[1:] == (80, 80, 3) and images.dtype == np.uint8
        assert np.std(images, axis=(1, 2, 3)).min() > 8, "none is empty"
        assert np.ptp(images.astype(int), axis=3).mean(axis=(1, 2)).min() > 1


def test_classes_of_groceries_are_what_they_are_called(groceries):
    """By their colour, in photos that the means were not taken from."""
    names = Groceries().info.features["label"].names
    train, test = groceries["train"], groceries["test"]
    chosen = [names.index(n) for n in ("Aubergine", "Lime", "Orange", "Tomato")]

    def colours(part):
        kept = np.isin(part["label"], chosen)
        return part["image"][kept].mean(axis=(1, 2)), part["label"][kept]

    points, labels = colours(train)
    means = np.stack([points[labels == label].mean(axis=0) for label in chosen])
    red, green, blue = means.T
    assert red.argmax() in (2, 3) and green.argmax() in (1, 2) and red.argmin() == 0
    points, labels = colours(test)
    nearest = np.abs(points[:, None] - means).sum(axis=2).argmin(axis=1)
    assert np.mean(np.array(chosen)[nearest] == labels) > 0.7


def test_no_grocery_is_in_two_splits(groceries):
    seen = {}
    for split, part in groceries.items():
        small = part["image"].reshape(-1, 16, 5, 16, 5, 3).mean(axis=(2, 4, 5))
        small = small.reshape(len(small), -1)
        small = small - small.mean(axis=1, keepdims=True)
        seen[split] = small / np.linalg.norm(small, axis=1, keepdims=True)
    assert np.max(seen["test"] @ seen["train"].T) < 0.95
    assert np.max(seen["validation"] @ seen["train"].T) < 0.95
    counts = np.bincount(groceries["train"]["label"], minlength=35)
    assert np.sum(counts >= 16) == 34 and counts.max() == 100 and counts.min() == 0


@pytest.fixture(scope="module")
def chest_xrays():
    builder = ChestXrays()
    builder.download_and_prepare()
    return {
        split: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        for split in ("train", "validation", "test")
    }


def test_half_of_the_chest_xrays_of_each_split_show_pneumonia(chest_xrays):
    assert ChestXrays().info.features["label"].names == ["healthy", "pneumonia"]
    for split, count in {"train": 1214, "validation": 135, "test": 234}.items():
        part = chest_xrays[split]
        assert part["image"].shape == (2 * count, 28, 28, 1)
        np.testing.assert_array_equal(np.bincount(part["label"]), count)
        assert np.std(part["image"], axis=(1, 2, 3)).min() > 7, "none is empty"


def test_chest_xrays_are_bit_for_bit_those_of_medmnist(chest_xrays):
    """The sum of the hashes of a split's images, each with its label."""
    for split, expected in {
        "train": "95d0cd63002081b3",
        "validation": "a285ffa1ceb529a0",
        "test": "438221a3b189d67e",
    }.items():
        part, total = chest_xrays[split], 0
        for image, label in zip(part["image"], part["label"], strict=True):
            digest = hashlib.sha256(bytes([label]) + image.tobytes()).digest()
            total += int.from_bytes(digest[:8], "big")
        assert f"{total % 2**64:016x}" == expected


def test_chest_xrays_have_the_right_side_up_and_the_right_label(chest_xrays):
    """The belly is brighter than the corner above a shoulder; ill lungs are paler."""
    train = chest_xrays["train"]
    mean = train["image"][..., 0].mean(axis=0)
    assert mean[-4:, 8:20].mean() > mean[:4, :4].mean() + 50
    lungs = train["image"][:, 8:18, 6:11].mean(axis=(1, 2, 3))
    assert lungs[train["label"] == 1].mean() > lungs[train["label"] == 0].mean() + 5


def test_no_chest_xray_for_testing_is_in_another_split(chest_xrays):
    unit = {}
    for split, part in chest_xrays.items():
        flat = part["image"].reshape(len(part["image"]), -1).astype(float)
        flat -= flat.mean(axis=1, keepdims=True)
        unit[split] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    for split in ("train", "validation"):
        assert np.max(unit["test"] @ unit[split].T) < 0.96


@pytest.fixture(scope="module")
def photos():
    builder = Photos()
    builder.download_and_prepare()
    return {split: read(builder, split) for split in ("train", "test")}


def test_no_scene_is_in_both_splits(photos):
    scenes = {
        split: {name.decode().removesuffix("_left") for name in photos[split]["name"]}
        for split in photos
    }
    scenes = {k: {name.removesuffix("_right") for name in scenes[k]} for k in scenes}
    assert len(scenes["train"]) == 26 and len(scenes["test"]) == 12
    assert not scenes["train"] & scenes["test"]


def test_photos_are_those_of_scikit_image(photos):
    from skimage import data

    for split, name, gray in [
        ("train", "astronaut", False),
        ("test", "camera", True),
        ("test", "chelsea", False),
    ]:
        at = photos[split]["name"].index(name.encode())
        original = getattr(data, name)()
        if gray:
            original = np.stack(3 * [original], axis=-1)
        np.testing.assert_array_equal(photos[split]["image"][at], original)
        assert bool(photos[split]["gray"][at]) is gray


def test_every_photo_has_its_licence_in_the_readme(photos):
    readme = Path(__file__).parents[1] / "data" / "README.md"
    rows = re.findall(r"^\| `(\w+)` \| t\w+ \|.*\|$", readme.read_text(), re.M)
    names = [name.decode() for split in photos.values() for name in split["name"]]
    assert sorted(rows) == sorted(names)


def test_data_folders_in_order(monkeypatch, tmp_path):
    project = Path(__file__).parents[1]
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert embedded.data_folders() == [project / "data"]
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert embedded.data_folders() == [tmp_path, project / "data"]
    assert embedded.writable_folder() == tmp_path
    monkeypatch.setattr(embedded, "_PROJECT", tmp_path)  # not a checkout
    assert embedded.data_folders()[1] == Path.home() / "tensorflow_datasets"


def test_a_read_only_folder_is_passed_over_and_said(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file" / "folder"))
    own = Path(__file__).parents[1] / "data"
    assert embedded.writable_folder() == own
    assert capsys.readouterr().out.count("\n") == 1


def test_tfds_load_prepares_in_the_first_folder(few, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(embedded, "_PROJECT", tmp_path / "elsewhere")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    _, info = tfds.load("glyphs", with_info=True)
    assert Path(info.data_dir).is_relative_to(tmp_path)


def test_load_picture_gives_floats_and_lists_the_names_for_an_unknown_one():
    with pytest.raises(ValueError, match="no picture 'cat'. There are: beetle, cars, "):
        tfgen.load_picture("cat")
    picture = tfgen.load_picture("cars")
    assert picture.shape == (373, 560, 3) and picture.dtype == np.float32
    assert 0 <= picture.min() < 0.1 and 0.9 < picture.max() <= 1


@pytest.mark.parametrize("name", ["radiograph_cables", "radiograph_ribs"])
def test_the_radiographs_are_grey(name):
    picture = tfgen.load_picture(name)
    assert picture.shape[1:] == (480, 1) and np.std(picture) > 0.1


def test_no_two_pictures_have_one_name():
    names = [path.stem for path in single.PICTURES.iterdir() if path.suffix != ".zip"]
    assert len(set(names)) == len(names)
