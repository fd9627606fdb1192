"""load_dataset: what it returns, from names and from folders, and its errors."""

import hashlib
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfgen
from tfgen.data import tfds_sets
from tfgen.data.folder import read_image
from tfgen.data.loading import binarize, load_dataset


def all_images(dataset):
    return np.concatenate(
        [np.atleast_1d(batch) for batch in dataset.as_numpy_iterator()]
    )


def digest(dataset):
    return hashlib.sha256(all_images(dataset).tobytes()).hexdigest()


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """24 plain grey images of 20 x 30 pixels in two classes; value = 10 * number."""
    for i in range(24):
        path = tmp_path / "images" / ("even", "odd")[i % 2] / f"{i:02d}.png"
        save(path, np.full((20, 30), 10 * i, np.uint8))
    return tmp_path / "images"


def numbers(dataset):
    """Which of the images of `folder` a dataset returns, in order."""
    return np.rint(all_images(dataset)[:, 0, 0, 0] * 25.5).astype(int).tolist()


# Named datasets


def test_glyphs_are_float_batches_in_0_1(glyphs):
    dataset = load_dataset("glyphs", seed=0)
    images = all_images(dataset)
    assert images.shape == (20202, 32, 32, 1) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    assert next(iter(dataset)).shape == (64, 32, 32, 1)


def test_values_are_those_of_the_file(glyphs):
    """Against reading the records without load_dataset."""
    raw = [x["image"] for x in glyphs.as_dataset(split="test").take(5)]
    images = next(iter(load_dataset("glyphs", "test", batch_size=5)))
    np.testing.assert_allclose(images, np.stack(raw) / 255.0, atol=1e-6)


def test_labels_and_class_names(glyphs):
    dataset = load_dataset("glyphs", "test", labels=True)
    labels = np.concatenate([y for _, y in dataset.as_numpy_iterator()])
    assert dataset.class_names == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    np.testing.assert_array_equal(np.bincount(labels), 147)
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    "split, count", [("test", 3822), ("train[:10%]", 2020), ("train+test", 24024)]
)
def test_splits_of_a_name(glyphs, split, count):
    dataset = load_dataset("glyphs", split, batch_size=None)
    assert dataset.cardinality() == count


def test_photos_keep_their_sizes_and_colours():
    photos = load_dataset("photos", "test[:5]", batch_size=None)
    assert {x.shape for x in photos.as_numpy_iterator()} == {
        (512, 512, 3),
        (300, 451, 3),
        (400, 600, 3),
        (303, 384, 3),
        (1411, 1411, 3),
    }


def test_luma():
    colour = load_dataset("photos", "test[:2]", batch_size=None)
    gray = load_dataset("photos", "test[:2]", batch_size=None, channels=1)
    for image, luma in zip(
        colour.as_numpy_iterator(), gray.as_numpy_iterator(), strict=True
    ):
        expected = image @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(luma[..., 0], expected, atol=1.5 / 255)


def test_cached_and_streamed_sets_are_equal(glyphs):
    options = {"split": "test", "shuffle": False}
    cached = load_dataset("glyphs", cache=True, **options)
    first, second = all_images(cached), all_images(cached)
    streamed = all_images(load_dataset("glyphs", cache=False, **options))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, streamed)


def test_last_batch_and_drop_remainder(glyphs):
    sizes = [len(x) for x in load_dataset("glyphs", "test", batch_size=1000)]
    assert sizes == [1000, 1000, 1000, 822]
    dropped = load_dataset("glyphs", "test", batch_size=1000, drop_remainder=True)
    assert [len(x) for x in dropped] == [1000, 1000, 1000]


# Order and random crops

FAST_FORWARD = """
import sys
import tensorflow as tf
from test_loading import digest, load_dataset
tf.random.set_seed(0)
for options in ({}, {"crop": "random", "image_size": 24}, {"cache": False}):
    dataset = load_dataset("glyphs", "train[:5%]", seed=3, batch_size=100, **options)
    for _ in range(2):
        iter(dataset)
    print(digest(dataset))
dataset = load_dataset(sys.argv[1], "train", seed=3, cache=False, image_size=16)
iter(dataset), iter(dataset)
print(digest(dataset))
"""


def test_another_process_goes_on_at_any_epoch(glyphs, folder):
    process = subprocess.run(
        [sys.executable, "-c", FAST_FORWARD, str(folder)],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    there = process.stdout.split()
    tf.random.set_seed(0)  # as there: other tests may have set another
    here = []
    for source, options in [
        ("glyphs", {}),
        ("glyphs", {"crop": "random", "image_size": 24}),
        ("glyphs", {"cache": False}),
        (folder, {"cache": False, "image_size": 16, "split": "train"}),
    ]:
        options = {"split": "train[:5%]", "batch_size": 100, **options}
        dataset = load_dataset(source, seed=3, **options)
        epochs = [digest(dataset) for _ in range(3)]
        assert len(set(epochs)) == 3
        here.append(epochs[2])
    assert there == here


def test_several_record_files_are_streamed_in_a_repeatable_order(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    from tfgen.data import Glyphs
    from tfgen.data import glyphs as module

    monkeypatch.setattr(module, "DRAWS", {"train": 1, "test": 1})
    Glyphs(data_dir=tmp_path).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4)
    )
    options = {"data_dir": tmp_path, "cache": False, "seed": 1}
    dataset = load_dataset("glyphs", **options)
    epochs = [digest(dataset) for _ in range(2)]
    again = load_dataset("glyphs", **options)
    iter(again)
    assert digest(again) == epochs[1] != epochs[0]


def test_shuffle_is_for_training_splits_only(folder):
    options = {"image_size": 20, "seed": 0}
    assert sorted(numbers(load_dataset(folder, **options))) == list(range(24))
    assert numbers(load_dataset(folder, **options)) != numbers(
        load_dataset(folder, shuffle=False, **options)
    )
    in_order = [*range(0, 24, 2), *range(1, 24, 2)]
    assert numbers(load_dataset(folder, "all", **options)) == in_order


def test_seeds_differ(folder):
    orders = {
        tuple(numbers(load_dataset(folder, image_size=20, seed=seed)))
        for seed in range(3)
    }
    assert len(orders) == 3


# Sizes


def test_center_crop_scales_the_shorter_side(tmp_path):
    """A gradient from left to right, so that values tell positions."""
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (60, 1))
    save(tmp_path / "ramp.png", ramp)
    image = next(iter(load_dataset(tmp_path, image_size=30, channels=1)))[0, ..., 0]
    assert image.shape == (30, 30)
    expected = (np.arange(30) * 2 + 30 + 0.5) * 2 / 255  # columns 30 to 90, halved
    np.testing.assert_allclose(image[15, 1:-1], expected[1:-1], atol=2 / 255)


def test_random_crop_moves_and_stays_inside(tmp_path):
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (60, 1))
    save(tmp_path / "ramp.png", ramp)
    dataset = load_dataset(tmp_path, image_size=60, channels=1, crop="random", seed=0)
    lefts = [float(next(iter(dataset))[0, 0, 0, 0]) * 127.5 for _ in range(20)]
    assert len({round(left) for left in lefts}) > 5
    assert min(lefts) > -0.01 and max(lefts) < 60.01


def test_zoom_leaves_room_for_the_crop(tmp_path):
    ramp = np.tile(np.arange(0, 240, 3, dtype=np.uint8), (80, 1))
    save(tmp_path / "ramp.png", ramp)
    options = {"image_size": 64, "channels": 1, "zoom": 1.25}
    image = next(iter(load_dataset(tmp_path, **options)))[0, ..., 0]
    expected = np.arange(8, 72) * 3 / 255  # the middle, not scaled
    np.testing.assert_allclose(image, np.tile(expected, (64, 1)), atol=1e-6)
    dataset = load_dataset(tmp_path, crop="random", seed=0, **options)
    images = [next(iter(dataset)).numpy()[0, ..., 0] for _ in range(40)]
    lefts = {round(float(image[0, 0]) * 85) for image in images}
    assert len(lefts) > 10 and lefts <= set(range(17))
    for image in images:
        np.testing.assert_allclose(np.diff(image, axis=1), 3 / 255, atol=1e-6)


def test_half_of_the_images_are_mirrored(tmp_path):
    for i in range(20):
        ramp = np.tile(np.arange(i, i + 60, dtype=np.uint8), (60, 1))
        save(tmp_path / f"{i:02d}.png", ramp)
    options = {"image_size": 30, "crop": "random", "zoom": 1.5, "seed": 0}
    dataset = load_dataset(tmp_path, mirror=True, shuffle=False, **options)
    epochs = [np.concatenate(list(dataset))[:, 0] for _ in range(10)]
    left = [epoch[:, 0, 0] > epoch[:, -1, 0] for epoch in epochs]
    assert 0.35 < np.mean(left) < 0.65
    assert len({tuple(flags) for flags in left}) == 10, "drawn anew in each epoch"
    again = load_dataset(tmp_path, mirror=True, shuffle=False, **options)
    np.testing.assert_array_equal(np.concatenate(list(again))[:, 0], epochs[0])
    plain = np.concatenate(list(load_dataset(tmp_path, shuffle=False, **options)))
    assert np.all(plain[:, 0, 0] < plain[:, 0, -1])


def test_scaling_down_is_antialiased(tmp_path):
    """Stripes one pixel wide must become grey, not stripes or a flat black."""
    save(tmp_path / "stripes.png", np.tile(np.uint8([0, 255]), (64, 32)))
    image = next(iter(load_dataset(tmp_path, image_size=16)))
    np.testing.assert_allclose(image[:, :, 1:-1], 0.5, atol=0.03)


def test_pairs_and_enlargement(glyphs):
    images = next(
        iter(load_dataset("glyphs", "test[:5%]", image_size=(40, 48), channels=3))
    )
    assert images.shape == (64, 40, 48, 3)
    assert tf.reduce_max(images) <= 1 and tf.reduce_min(images) >= 0


# Kinds of files


def test_exif_rotation(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 200  # bright on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise when shown
    save(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    image = read_image(tmp_path / "a.jpg", 3)
    assert image.shape == (40, 20, 3)
    assert image[:15].mean() > 190 and image[25:].mean() < 10  # bright on top


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.uint8([[0, 1], [2, 2]]), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 9, 9, 9])
    image.save(tmp_path / "a.png", transparency=2)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png", 3),
        [[[255, 0, 0], [0, 255, 0]], [[255] * 3, [255] * 3]],
    )


def test_half_transparent_pixels_are_laid_over_white(tmp_path):
    save(tmp_path / "a.png", np.uint8([[[0, 0, 0, 255], [0, 0, 0, 128]]]))
    np.testing.assert_allclose(
        read_image(tmp_path / "a.png", 1)[0, :, 0], [0, 127], atol=1
    )


def test_16_bits(tmp_path):
    save(tmp_path / "a.png", np.uint16([[0, 257, 32896, 65535]]))
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png", 1)[0, :, 0], [0, 1, 128, 255]
    )


@pytest.mark.parametrize("extension", ["png", "JPG", "webp", "bmp", "gif", "tif"])
def test_formats(tmp_path, extension):
    save(tmp_path / f"a.{extension}", np.full((40, 40, 3), 100, np.uint8))
    (image,) = all_images(load_dataset(tmp_path, image_size=32))
    np.testing.assert_allclose(image, 100 / 255, atol=3 / 255)


def test_a_large_jpeg_is_decoded_small_but_alike(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (8, 12, 3), np.uint8))
    smooth.resize((1200, 800), Image.Resampling.BICUBIC).save(
        tmp_path / "a.jpg", quality=95
    )
    whole = read_image(tmp_path / "a.jpg", 3)
    small = read_image(tmp_path / "a.jpg", 3, size=(64, 64))
    assert whole.shape == (800, 1200, 3) and 128 <= small.shape[0] < 400
    shrunk = Image.fromarray(whole).resize(small.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(small - np.asarray(shrunk, float)).mean() < 2


# Folders


def test_labels_are_chosen_by_name(glyphs):
    chosen = load_dataset("glyphs", "test", labels=("typeface", "label"))
    plain = load_dataset("glyphs", "test", labels=True)
    for (_, pairs), (_, letters) in zip(chosen.take(3), plain.take(3), strict=True):
        assert pairs.shape == (len(letters), 2) and pairs.dtype == tf.int64
        np.testing.assert_array_equal(pairs[:, 1], letters)
        assert len(np.unique(pairs[:, 0])) > 5
    typefaces, letters = chosen.class_names
    assert len(typefaces) == 21 and letters == plain.class_names
    with pytest.raises(ValueError, match="has the labels label, typeface"):
        load_dataset("glyphs", labels=("label", "size"))


def test_a_folder_has_one_label(folder):
    with pytest.raises(ValueError, match="labels=True"):
        load_dataset(folder, image_size=20, labels=("label", "style"))


def test_labels_of_a_folder(folder):
    dataset = load_dataset(folder, image_size=20, labels=True)
    assert dataset.class_names == ["even", "odd"]
    for images, labels in dataset.as_numpy_iterator():
        values = np.rint(images[:, 0, 0, 0] * 25.5).astype(int)
        np.testing.assert_array_equal(labels, values % 2)


def test_slices_of_a_folder_are_disjoint_whole_and_mixed(folder):
    train, test = (
        numbers(load_dataset(folder, split, image_size=20))
        for split in ("train[:75%]", "train[75%:]")
    )
    assert len(train) == 18 and sorted(train + test) == list(range(24))
    assert len({i % 2 for i in test}) == 2


def test_train_and_test_sub_folders_share_class_numbers(tmp_path):
    for part, names in {"train": "abc", "test": "c"}.items():
        for name in names:
            save(tmp_path / part / name / "x.png", np.zeros((8, 8), np.uint8))
    test = load_dataset(tmp_path, "test", image_size=8, labels=True)
    assert [y.tolist() for _, y in test.as_numpy_iterator()] == [[2]]
    both = load_dataset(tmp_path, "all", image_size=8, labels=True)
    labels = [y for _, y in both.as_numpy_iterator()][0].tolist()
    assert both.class_names == list("abc") and sorted(labels) == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="'test', 'train' and 'all'"):
        load_dataset(tmp_path, "valid", image_size=8)


def truncate(path):
    save(path, np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8))
    path.write_bytes(path.read_bytes()[:300])


DAMAGES = {
    "truncated": (truncate, "image file is truncated"),
    "empty": (lambda path: path.write_bytes(b""), "cannot identify image file"),
    "text": (lambda path: path.write_text("a"), "cannot identify image file"),
    "missing": (os.remove, "No such file"),
    "floats": (lambda path: save(path, np.float32([[0.5]])), "not 8- or 16-bit"),
}


def train(images):
    vae = tfgen.VAE(
        tfgen.build_encoder((8, 8, 1), 2, 4), tfgen.build_decoder((8, 8, 1), 2, 4)
    )
    vae.compile(run_eagerly=True)
    return vae.fit(images, verbose=0)


USES = {
    "loop": lambda dataset: [image for image in dataset],
    "next": lambda dataset: [next(iterator) for iterator in 24 * [iter(dataset)]],
    "arrays": lambda dataset: list(dataset.as_numpy_iterator()),
    "arrays of it": lambda dataset: tfgen.random_patches(dataset, 4, 16),
    "fit": train,
    "fit what is made of it": lambda dataset: train(dataset.map(tfgen.binarize)),
}


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_each_time(folder, damage, reason, cache):
    path = folder / "even" / "02.tif"
    (folder / "even" / "02.png").rename(path)
    options = {"image_size": 8, "channels": 1, "batch_size": 4, "cache": cache}
    dataset = load_dataset(folder, shuffle=False, **options)
    damage(path)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            list(dataset)
        message = str(caught.value)
        assert message.startswith(f"Cannot read the image {path}: ")
        assert reason in message and message.count("\n") == 0
        assert message.endswith('Repair or remove it, or use on_error="skip".')


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_damaged_file_is_named_wherever_it_is_met(folder, use):
    truncate(folder / "even" / "02.png")
    dataset = load_dataset(folder, image_size=8, channels=1, batch_size=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="^Cannot read the image .*even.02.png"):
            use(dataset)


def test_it_is_a_dataset_like_any_other(folder):
    dataset = load_dataset(folder, image_size=8, labels=True, batch_size=5, seed=0)
    assert isinstance(dataset, tf.data.Dataset) and len(dataset) == 5
    assert dataset.class_names == ["even", "odd"]
    assert dataset.element_spec[0].shape == (None, 8, 8, 3)
    made = [dataset, dataset.map(lambda *pair: pair), dataset.take(5)]
    totals = [sum(labels.numpy().sum() for _, labels in other) for other in made]
    assert totals == [12] * 3

    @tf.function
    def count(dataset):
        total = tf.constant(0, tf.int64)
        for _, labels in dataset:
            total += tf.reduce_sum(labels)
        return total

    assert count(dataset) == 12


def test_another_tensorflow_has_loops_of_its_own(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tfgen.data.loops", None)  # as if it failed
    dataset = load_dataset(folder, image_size=8, labels=True)
    assert dataset.class_names == ["even", "odd"]
    assert sum(len(labels) for _, labels in dataset) == 24
    truncate(folder / "even" / "02.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="even.02.png"):
        list(load_dataset(folder, image_size=8))


@pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("name", ["日本.png", "a\nb.png", os.fsdecode(b"caf\xe9.png")])
def test_names_of_files(tmp_path, name, damaged):
    try:
        save(tmp_path / name, np.zeros((8, 8), np.uint8))
    except OSError:
        pytest.skip("not a name on this disk")
    dataset = load_dataset(tmp_path, image_size=8)
    if not damaged:
        assert len(all_images(dataset)) == 1
        return
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(name.replace("\udce9", "\\udce9"))):
        list(dataset)


def test_damaged_files_can_be_skipped(folder):
    for name in ("02.png", "04.png"):
        (folder / "even" / name).write_bytes(b"not an image")
    dataset = load_dataset(folder, image_size=20, on_error="skip", cache=False)
    expected = sorted({*range(24)} - {2, 4})
    with pytest.warns(UserWarning, match=r"Skipped 2 of 24 .*02\.png.*04\.png"):
        assert sorted(numbers(dataset)) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns only once
        assert sorted(numbers(dataset)) == expected


def test_a_large_folder_starts_at_once(tmp_path):
    """20,000 names (of one file) must not be opened before the first batch."""
    save(tmp_path / "first.png", np.zeros((8, 8), np.uint8))
    for i in range(20_000):
        os.link(tmp_path / "first.png", tmp_path / f"{i}.png")
    opened = []
    original = Image.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "open", lambda path: opened.append(1) or original(path))
        batch = next(iter(load_dataset(tmp_path, image_size=8, cache=False)))
    assert batch.shape == (64, 8, 8, 3) and len(opened) < 5_000


# Errors


@pytest.mark.parametrize(
    "source, options, message",
    [
        ("glyph", {}, "Did you mean 'glyphs'"),
        (
            "no such thing",
            {},
            "'chest_xrays', 'glyphs', 'groceries', 'photos'",
        ),
        ("glyphs/big", {}, "gray_32, color_64, color_128, new_typefaces"),
        (3, {}, "name of a dataset or a folder"),
        ("", {}, "name of a dataset or a folder"),
        ("glyphs", {"split": None}, "split must be"),
        ("glyphs", {"split": "valid"}, "splits are 'train', 'test'"),
        ("glyphs", {"split": "train[:0%]"}, "no images"),
        ("glyphs", {"crop": "middle"}, "center"),
        ("glyphs", {"crop": "random"}, "needs image_size"),
        ("glyphs", {"zoom": 0.5, "image_size": 8}, "at least 1, not 0.5"),
        ("glyphs", {"zoom": True, "image_size": 8}, "at least 1, not True"),
        ("glyphs", {"zoom": 2}, "zoom=2 needs image_size"),
        ("glyphs", {"batch_size": 0}, "above 0"),
        ("glyphs", {"batch_size": 2.5}, "whole number"),
        ("glyphs", {"image_size": -1}, "number of pixels"),
        ("glyphs", {"image_size": (8, 8, 3)}, "pair"),
        ("glyphs", {"image_size": "big"}, "number of pixels"),
        ("glyphs", {"channels": 2}, "1 .grey. or 3"),
        ("glyphs", {"on_error": "ignore"}, "skip"),
        ("photos", {}, "batch_size=None"),
        ("photos", {"labels": True, "image_size": 8}, "no labels"),
    ],
)
def test_errors_name_the_fix(glyphs, source, options, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(source, **options)


def test_a_folder_with_the_name_of_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photos" / "a.png", np.zeros((8, 8), np.uint8))
    for source in ("./photos", "photos/", Path("photos"), str(tmp_path / "photos")):
        assert len(load_dataset(source, image_size=8)) == 1
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere'"):
        load_dataset("nowhere/", image_size=8)


def test_folder_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images in"):
        load_dataset(tmp_path / "empty", image_size=8)
    with pytest.raises(ValueError, match="'train' and 'all'"):
        load_dataset(folder, "test", image_size=8)
    with pytest.raises(ValueError, match="holds none of the 24"):
        load_dataset(folder, "train[30:]", image_size=8)
    with pytest.raises(ValueError, match="differ in size"):
        load_dataset(folder)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_dataset(tmp_path / "nowhere")


def test_what_is_not_prepared_says_what_to_do(monkeypatch, tmp_path, capsys):
    import requests

    with pytest.raises(FileNotFoundError, match="download=True"):
        load_dataset("cifar10", data_dir=tmp_path, download=False)

    def refuse(url, timeout):
        assert timeout <= 10
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", refuse)
    with pytest.raises(ConnectionError, match=r"cs\.toronto\.edu cannot be reached"):
        load_dataset("cifar10", data_dir=tmp_path)
    assert "162" in capsys.readouterr().out  # MiB
    assert not (tmp_path / "cifar10").exists()


def test_a_network_that_never_answers_is_given_up(monkeypatch, tmp_path):
    import time

    import requests

    monkeypatch.setattr(tfds_sets, "NETWORK_TIMEOUT", 0.2)
    monkeypatch.setattr(requests, "head", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="cifar10"):
        load_dataset("cifar10", data_dir=tmp_path)
    assert time.monotonic() - start < 3


# Binary images


def test_pixels_above_the_threshold_become_1():
    images = np.float32([0, 0.25, 0.5, 0.75, 1]).reshape(1, 1, 5, 1)
    for kind in (np.asarray, tf.constant, np.float64):
        result = binarize(kind(images))
        assert result.dtype == tf.float32 and result.shape == images.shape
        np.testing.assert_array_equal(np.ravel(result), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(np.ravel(binarize(images, 0.2)), [0, 1, 1, 1, 1])
    for kind in ("float64", "float16"):
        data = tf.data.Dataset.from_tensors(images.astype(kind)).map(binarize)
        np.testing.assert_array_equal(np.ravel(next(iter(data))), [0, 0, 0, 1, 1])


def test_drawn_pixels_are_1_as_often_as_they_are_bright():
    grey = np.float32([0, 0.1, 0.5, 0.9, 1])
    drawn = binarize(np.broadcast_to(grey, (10_000, 5)), seed=0).numpy()
    assert set(np.unique(drawn)) == {0, 1} and drawn.dtype == np.float32
    # Four standard errors, 0 where the pixel is black or white.
    error = np.abs(drawn.mean(axis=0) - grey)
    assert (error <= 4 * np.sqrt(grey * (1 - grey) / 10_000)).all()
    correlations = np.corrcoef(drawn[:, 1:4].T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.04


def test_equal_seeds_give_equal_draws():
    images = np.full((4, 8, 8, 1), 0.5, np.float32)
    first = binarize(images, seed=1)
    np.testing.assert_array_equal(first, binarize(images, seed=1))
    np.testing.assert_array_equal(first, binarize(images, seed=tf.constant(1)))
    np.testing.assert_array_equal(first, binarize(images, threshold=0.9, seed=1))
    for other in (0, 2, 2**40, tf.constant(-1, tf.int64)):
        assert not np.array_equal(first, binarize(images, seed=other))


def test_datasets_are_binarised_as_the_docstring_says():
    images = np.full((40, 8, 8, 1), 0.5, np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(16)
    (line,) = re.findall(r"``(tf\.data.*?)``", binarize.__doc__, re.DOTALL)
    drawn = eval(line, {"tf": tf, "images": dataset, "binarize": binarize})
    assert drawn.cardinality() == 3
    assert drawn.element_spec == dataset.element_spec
    batches = list(drawn.as_numpy_iterator())
    assert set(np.unique(batches[0])) == {0, 1}
    assert not np.array_equal(batches[0], batches[1])
    again = list(drawn.as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(again))
    halved = all_images(dataset.map(lambda x: binarize(x, threshold=0.4)))
    np.testing.assert_array_equal(halved, 1)
