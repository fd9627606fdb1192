"""The networks that come with the package: there, whole, small, and better than
doing nothing."""

import functools
import json
import shutil

import numpy as np
import pytest

import tfgen
from tfgen import weights
from tfgen.data.groceries import CLASSES
from tfgen.measures.classics import enlarge_bicubic, inpaint_biharmonic
from tfgen.measures.perception import grid_share, patch_distance, ring_powers

GRID = np.tile([[0.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], (64, 64))
GRID = 8 / 255 * GRID[None, ..., None]  # levels
SIDE = 192  # of the crops, a multiple of every scale
load = functools.cache(weights.load_pretrained)  # for tests that change no weight


@pytest.fixture(scope="module")
def crop():
    """The middle of a test photo: grey of the cameraman, in colour of the coffee."""

    def middle(channels):
        photos = tfgen.load_dataset(
            "photos", "test", batch_size=None, channels=channels, shuffle=False
        )
        size = (512, 512) if channels == 1 else (400, 600)
        (photo,) = (
            p for p in photos.take(5).as_numpy_iterator() if p.shape[:2] == size
        )
        top, left = ((side - SIDE) // 2 for side in size)
        return photo[None, top : top + SIDE, left : left + SIDE]

    return middle


def restore(name, images, damaged):
    """PSNR of what a network makes of the damaged images."""
    known = {key: value.numpy() for key, value in damaged.items()}
    restored = load(name).restore(known.pop("image"), **known)
    assert restored.shape == images.shape
    return tfgen.psnr(images, restored)[0]


@pytest.mark.parametrize("name", ["denoise", "denoise_color"])
@pytest.mark.parametrize("sigma, gain", [(15, 5), (25, 6.5), (50, 9)])
def test_denoisers_take_noise_away(crop, name, sigma, gain):
    images = crop(3 if name == "denoise_color" else 1)
    noisy = tfgen.add_gaussian_noise(images, seed=0, sigma=sigma)
    before = tfgen.psnr(images, np.clip(noisy["image"], 0, 1))[0]
    assert restore(name, images, noisy) > before + gain


@pytest.mark.parametrize("name", ["denoise", "denoise_color"])
def test_denoisers_leave_what_is_clean(crop, name):
    images = crop(3 if name == "denoise_color" else 1)
    assert restore(name, images, tfgen.add_gaussian_noise(images, 0, sigma=0)) > 40


def test_the_inpainter_beats_biharmonic_filling(crop):
    images = crop(3)
    damaged = tfgen.mask_scratches(images, seed=0, width=5)
    filled = inpaint_biharmonic(*(damaged[key][0].numpy() for key in ("image", "mask")))
    before = tfgen.psnr(images, filled[None])[0]
    assert restore("inpaint", images, damaged) > before + 0.1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upscalers_beat_bicubic_enlargement(crop, scale):
    images = crop(1)
    damaged = tfgen.downsample(images, scale=scale)
    enlarged = enlarge_bicubic(damaged["image"][0], scale)
    before = tfgen.psnr(images, enlarged[None])[0]
    assert restore(f"upscale_x{scale}", images, damaged) > before + 0.5


@pytest.mark.parametrize(
    "name, power, grids",
    [("upscale_x4_features", 1.5, 0.01), ("upscale_x4_sharp", 2, 0.1)],
)
def test_the_sharp_upscalers_draw_texture(name, power, grids):
    """More of the finest structures than the L1 network's, nearer patches, a result
    that shrinks to what it was given, and no grid, or a few places with one."""
    photos = tfgen.load_dataset("photos", "test[:5]", batch_size=None, channels=1)
    distance = functools.partial(patch_distance, projections=12)  # quicker
    scores = []
    for photo in photos.as_numpy_iterator():
        image = photo[None, :256, :256]
        small = tfgen.downsample(image, scale=4)["image"].numpy()
        exact, sharp = (load(x).restore(small) for x in ("upscale_x4", name))
        assert tfgen.psnr(small, tfgen.downsample(sharp, scale=4)["image"]) > 38
        scores.append(
            [
                (ring_powers(sharp)[0, -2:] / ring_powers(exact)[0, -2:]).min(),
                distance(sharp, image)[0] / distance(exact, image)[0],
                grid_share(sharp)[0],
                grid_share(sharp * 0.9 + GRID)[0],
            ]
        )
    (powers, patches, *_), (*_, grid, planted) = (
        mean(scores, axis=0) for mean in (np.median, np.mean)
    )
    assert powers > power and patches < 0.8
    assert grid < grids
    assert planted > 0.5


def test_the_classifier_names_the_test_glyphs():
    classifier = load("glyph_classifier")
    data = tfgen.load_dataset("glyphs", "test", labels=True, batch_size=5000)
    ((images, labels),) = data.as_numpy_iterator()
    features, probabilities = tfgen.classifier_features(classifier, images)
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    records = json.loads((weights.FOLDER / "records.json").read_text("utf-8"))
    assert accuracy >= 0.99
    assert accuracy == pytest.approx(records["glyph_classifier"]["accuracy"], abs=1e-3)
    assert features.shape == (len(images), 64)


@pytest.mark.parametrize("name", weights.RECIPES)
def test_every_network_is_recorded_and_can_be_trained_further(name):
    records = json.loads((weights.FOLDER / "records.json").read_text("utf-8"))
    restorer = weights.load_pretrained(name)
    assert restorer.network.count_params() == records[name]["parameters"]
    if name not in ("scratches", "upscale_x4_sharp"):  # drawn texture costs PSNR
        assert records[name]["restored_psnr"] > records[name]["untouched_psnr"]
    assert f"`{name}`" in (weights.FOLDER / "README.md").read_text("utf-8")
    restorer.run_eagerly = True  # for one step, quicker
    before = restorer.network.get_weights()
    images = np.full((1, 24, 24, restorer.image_shape[-1]), 0.5, np.float32)
    assert np.isfinite(restorer.train_on_batch(images)).all()
    after = restorer.network.get_weights()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_groceries_are_drawn_by_label():
    """Red ones where pomegranates are asked for, yellow ones for lemons."""
    diffusion = load("groceries")
    labels = ["Pomegranate"] * 3 + ["Lemon"] * 3
    images = diffusion.sample(labels=labels, seed=0, steps=5, guidance=2, verbose=0)
    assert images.shape == (6, 64, 64, 3) and images.dtype == np.float32
    green = images[..., 1].mean(axis=(1, 2)) / images[..., 0].mean(axis=(1, 2))
    assert green[:3].max() < green[3:].min()
    assert images.std(axis=(1, 2, 3)).min() > 0.1


def test_the_groceries_are_recorded_and_can_be_trained_further():
    record = json.loads((weights.FOLDER / "records.json").read_text("utf-8"))
    diffusion = weights.load_pretrained("groceries")
    assert diffusion.network.count_params() == record["groceries"]["parameters"]
    assert "`groceries`" in (weights.FOLDER / "README.md").read_text("utf-8")
    assert diffusion.label_names == CLASSES
    data = tfgen.load_dataset(
        "groceries", "test[:8]", image_size=64, labels=True, batch_size=8
    )
    assert diffusion.evaluate(data, verbose=0) < 0.5  # of the variance of 1 and more
    diffusion.run_eagerly = True  # for one step, quicker
    before = diffusion.network.get_weights()
    diffusion.fit(data, verbose=0)
    after = diffusion.network.get_weights()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_all_weights_together_take_less_than_18_megabytes():
    files = list(weights.FOLDER.glob("*.npz"))
    others = "glyph_classifier", "groceries"
    assert {file.stem for file in files} == {*weights.RECIPES, *others}
    assert sum(file.stat().st_size for file in files) < 18e6


def test_an_unknown_name_is_answered_with_the_names():
    with pytest.raises(ValueError, match="'sharpen'.*denoise_color.*upscale_x4"):
        weights.load_pretrained("sharpen")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    shutil.copytree(weights.FOLDER, folder)
    monkeypatch.setattr(weights, "FOLDER", folder)
    weights.load_pretrained("denoise")
    path = folder / "denoise.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"denoise.npz are damaged.*git checkout"):
        weights.load_pretrained("denoise")
    path.write_bytes(content[:1000])
    with pytest.raises(ValueError, match="damaged"):
        weights.load_pretrained("denoise")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="denoise.npz"):
        weights.load_pretrained("denoise")
