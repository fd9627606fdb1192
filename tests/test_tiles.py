"""Photos of any size: tiles, ensembles, holes, the level of noise, what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfgen import tiles as tiling
from tfgen.data.corruptions import add_gaussian_noise
from tfgen.restoration import (
    Bicubic,
    SmoothFilling,
    SubPixel,
    build_denoiser,
    build_inpainter,
    build_upscaler,
)
from tfgen.tiles import Tiler, estimate_noise, fill_depths, reach

SMALL = dict(width=8, blocks=1)
KINDS = ["denoise", "inpaint", 2, 3, 4]


def pictures(count=8, height=16, width=16, channels=1, seed=0):
    """Two flat areas with a straight edge between them, in [0.2, 0.8]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] - np.array([[[height]], [[width]]]) / 2
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    side = (y * np.sin(angle) + x * np.cos(angle) > 0)[..., None]
    low, high = rng.uniform(0.2, 0.8, (2, count, 1, 1, channels))
    return np.where(side, high, low).astype(np.float32)


def shake(network, seed=0):
    """Give every convolution random weights of the size that training gives, so that
    each output depends on all pixels that the network sees; clip nothing."""
    rng = np.random.default_rng(seed)
    weights = []
    for weight in network.weights:
        shape = tuple(weight.shape)
        size = (1.5 / np.prod(shape[:-1])) ** 0.5 if len(shape) == 4 else 0.02
        weights.append(rng.normal(0, size, shape))
    weights[-2] *= 0.05  # a small correction
    weights[-1] += 0.5 * (network.name == "inpainter")  # of grey holes
    network.set_weights(weights)
    return network


def build(kind, channels=1):
    """A network that denoises, inpaints or enlarges by a factor."""
    keras.utils.set_random_seed(0)
    if kind == "denoise":
        return build_denoiser(channels, **SMALL)
    if kind == "inpaint":
        return build_inpainter(channels, **SMALL)
    return build_upscaler(kind, channels, **SMALL)


def known(kind, shape, seed=0):
    """What a network must be told about images of a shape (n, height, width, ...)."""
    rng = np.random.default_rng(seed)
    if kind == "denoise":
        return {"sigma": 25.0}
    if kind == "inpaint":
        return {"mask": (rng.random((*shape[:3], 1)) < 0.2).astype(np.float32)}
    return {}


@pytest.fixture(scope="module")
def frozen():
    """Networks, ready for photos, by kind and channels; no test changes a weight."""
    tilers = {}

    def get(kind="denoise", channels=1):
        if (kind, channels) not in tilers:
            tilers[kind, channels] = Tiler(shake(build(kind, channels)))
        return tilers[kind, channels]

    return get


# --- tiles and ensembles ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_restore_gives_what_the_network_gives(frozen, kind, channels):
    tiler = frozen(kind, channels)
    images = pictures(2, 24, 16, channels)
    options = known(kind, images.shape)
    result = tiler.restore(images, **options)
    told = {"image": images, **options}
    if kind == "denoise":
        told["sigma"] = np.full((2, 1), 25.0)
    np.testing.assert_allclose(
        result, tiler.network(told).numpy().clip(0, 1), atol=1e-5
    )
    assert result.dtype == np.float32
    assert np.abs(result - tf.image.resize(images, result.shape[1:3])).mean() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (17, 2), (33, 31)])
def test_images_of_any_size_are_restored(frozen, kind, size):
    """Past their ends they are mirrored, up to a multiple of 8."""
    image = pictures(1, *size)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }
    result = frozen(kind).restore(image, **options)
    scale = kind if isinstance(kind, int) else 1
    assert result.shape == (size[0] * scale, size[1] * scale, 1)

    def pad(values):
        room = [(0, -side % 8) for side in size]
        return np.pad(values, [*room, (0, 0)], "symmetric")[None]

    told = {
        k: np.reshape(v, (1, 1)) if k == "sigma" else pad(v)
        for k, v in {"image": image, **options}.items()
    }
    whole = frozen(kind).network(told).numpy()[0].clip(0, 1)
    expected = whole[: size[0] * scale, : size[1] * scale]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["denoise", "inpaint", 3])
def test_the_result_has_the_form_of_the_images(frozen, kind):
    tiler, scale = frozen(kind, 3), kind if kind == 3 else 1
    batch = pictures(2, 9, 14, 3)
    options = known(kind, batch.shape)
    many = tiler.restore(batch, **options)
    assert many.shape == (2, 9 * scale, 14 * scale, 3)
    one = {k: v if k == "sigma" else v[0] for k, v in options.items()}
    single = tiler.restore(batch[0], **one)
    np.testing.assert_allclose(single, many[0], atol=1e-6)
    grey = tiler.restore(batch[0, ..., 0], **one)
    assert grey.shape == (9 * scale, 14 * scale)
    np.testing.assert_allclose(
        grey, tiler.restore(batch[0, ..., :1], **one)[..., 0], atol=1e-6
    )
    other = tiler.restore(batch.astype(np.float64), **options)
    np.testing.assert_array_equal(other, many)
    assert 0 <= many.min() and many.max() <= 1


@pytest.mark.parametrize("kind", ["denoise", "inpaint", 2])
def test_grey_in_a_network_for_colour(frozen, kind):
    tiler = frozen(kind, 3)
    grey = 0.5 * pictures(2, 16, 24) + 0.25
    options = known(kind, grey.shape)
    expected = tiler.restore(grey.repeat(3, axis=-1), **options)
    result = tiler.restore(grey, **options)
    inside = ((expected > 0) & (expected < 1)).all(axis=-1)  # not clipped
    assert inside.mean() > 0.8
    np.testing.assert_allclose(
        result[inside], expected.mean(axis=-1, keepdims=True)[inside], atol=1e-5
    )


@pytest.mark.parametrize("kind", ["denoise", "inpaint"])
def test_colour_in_a_network_for_grey_is_restored_channel_by_channel(frozen, kind):
    tiler = frozen(kind, 1)
    color = pictures(2, 16, 24, 3)
    options = known(kind, color.shape)
    result = tiler.restore(color, **options)
    for channel in range(3):
        expected = tiler.restore(color[..., channel : channel + 1], **options)
        np.testing.assert_allclose(
            result[..., channel : channel + 1], expected, atol=1e-5
        )


@pytest.mark.parametrize("scale", [2, 3])
def test_an_upscaler_for_grey_corrects_the_luma_of_colour(frozen, scale):
    tiler = frozen(scale, 1)
    color = pictures(1, 16, 24, 3)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    result = tiler.restore(color)
    luma = color @ weights[:, None]
    smooth = Bicubic(scale)(color - luma).numpy()
    network = tiler.network({"image": luma}).numpy()
    np.testing.assert_allclose(result, (smooth + network).clip(0, 1), atol=1e-5)


TILED = [(kind, channels, shown) for kind in KINDS for channels, shown in [(1, 1)]]
TILED += [("denoise", 3, 3), ("denoise", 1, 3), ("inpaint", 3, 1), (3, 1, 3), (2, 3, 3)]


@pytest.mark.parametrize("kind, channels, shown", TILED)
def test_tiles_together_are_the_whole_image(
    monkeypatch, capsys, frozen, kind, channels, shown
):
    tiler = frozen(kind, channels)
    rng = np.random.default_rng(0)
    if kind == "inpaint":  # looks far, and fills with bright pixels
        dark, size, tile, tiles = 0.1, (240, 300), 50, 30
    else:
        dark, size, tile, tiles = 0.4, (75, 93), 24, 16
    image = (dark + 0.2 * rng.random((*size, shown))).astype(np.float32)
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }

    def restore(tile):
        return tiler.restore(image, tile=tile, verbose=1, **options)

    whole = restore(10_000)
    assert "1/1" in capsys.readouterr().out
    assert 0 < whole.min() and whole.max() < 1  # nothing is hidden by clipping
    tiled = restore(tile)
    assert f"{tiles}/{tiles}" in capsys.readouterr().out
    np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)
    np.testing.assert_allclose(restore(2 * tile), whole, atol=1e-4, rtol=0)
    monkeypatch.setattr(tiling, "reach", lambda network: 0)
    assert np.abs(restore(tile) - whole).max() > 1e-3


ENSEMBLES = [("denoise", 3, 3), ("inpaint", 3, 3), (3, 1, 1), (2, 1, 3)]


@pytest.mark.parametrize("kind, channels, shown", ENSEMBLES)
def test_an_ensemble_is_the_mean_of_eight_ways(frozen, kind, channels, shown):
    tiler = frozen(kind, channels)
    brightness = 0.3 if kind == "inpaint" else 1  # whose holes become bright
    image = brightness * pictures(1, 24, 40, shown)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, 24, 40)).items()
    }
    results = []
    for turns in range(4):
        for mirror in (lambda x: x, np.fliplr):
            turned = {
                k: mirror(np.rot90(v, turns)) if np.ndim(v) else v
                for k, v in {"images": image, **options}.items()
            }
            results.append(np.rot90(mirror(tiler.restore(**turned)), -turns))
    assert 0 < np.min(results) and np.max(results) < 1  # nothing is clipped
    result = tiler.restore(image, ensemble=True, **options)
    np.testing.assert_allclose(result, np.mean(results, axis=0), atol=1e-5)
    assert np.abs(result - results[0]).max() > 1e-3


@pytest.mark.parametrize("kind, channels, shown", ENSEMBLES)
def test_an_ensemble_in_tiles_is_that_of_the_whole_image(frozen, kind, channels, shown):
    tiler = frozen(kind, channels)
    size, tile = ((40, 300), 100) if kind == "inpaint" else ((75, 93), 40)
    image = pictures(1, *size, shown)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }
    whole, tiled = (
        tiler.restore(image, tile=side, ensemble=True, **options)
        for side in (512, tile)
    )
    assert len(tiling.cut_windows(size, tile, 8)) > 1
    np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)


def test_the_reach_of_layers_adds_up_in_pixels_of_the_input():
    def total(*layers):
        image = keras.Input((None, None, 4))
        return reach(keras.Sequential([image, *layers]))

    conv = keras.layers.Conv2D
    assert total(conv(4, 1)) == 0
    assert total(conv(4, 3)) == 1
    assert total(conv(4, 4)) == 2  # to the farther side
    assert total(conv(4, 5), conv(4, 3)) == 3
    assert total(conv(4, 3, dilation_rate=3)) == 3
    assert total(conv(4, 6, strides=2), conv(4, 3)) == 3 + 2
    assert total(conv(4, 2, strides=2), SubPixel(2), conv(4, 3)) == 1 + 2 + 1
    assert total(keras.layers.Conv2DTranspose(4, 4, strides=2), conv(4, 3)) == 2.5
    assert total(Bicubic(2)) == Bicubic.reach == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_pixel_reaches_no_further_than_the_overlap(frozen, kind):
    tiler = frozen(kind)
    image = np.full((1, 128, 128, 1), 0.5, np.float32)
    other = image.copy()
    other[:, 64, 65] = 0.9
    told = {"sigma": np.full((1, 1), 25.0)} if kind == "denoise" else {}
    told |= {"mask": np.ones_like(image)} if kind == "inpaint" else {}
    if kind == "inpaint":  # the pixel is a hole here and none there
        told["mask"][:, 64, 65] = 0
    before, after = (
        tiler.network({**told, "image": x}).numpy() for x in (image, other)
    )
    scale = kind if isinstance(kind, int) else 1
    rows, columns = np.nonzero(np.abs(after - before)[0, ..., 0])
    places = np.stack([rows, columns]) / scale
    distance = np.abs(places - [[64], [65]]).max()
    bound = reach(tiler.network)
    assert distance - 1 < bound < distance + 8  # a bound, and not far above


# --- holes ---


@pytest.mark.parametrize("box", [np.s_[20:75, 31:100], np.s_[:50, 5:], np.s_[:, 40:]])
def test_the_depths_of_large_holes_are_filled(frozen, box):
    image = pictures(1, 97, 130, 3)[0]
    mask = np.zeros((97, 130, 1), np.float32)
    mask[box] = 1
    distance = ndimage.distance_transform_cdt(mask[..., 0], "chessboard")
    deep = distance > 16
    assert 0 < deep.sum() < (distance > 0).sum()
    filled, left = fill_depths(image * (1 - mask), mask)
    assert filled.dtype == left.dtype == np.float32
    np.testing.assert_array_equal(left[..., 0], (distance > 0) & ~deep)
    np.testing.assert_array_equal(filled[distance == 0], image[distance == 0])
    assert image.min() - 1e-5 <= filled[deep].min() < filled[deep].max() < 0.85
    restored = frozen("inpaint", 3).restore(image * (1 - mask), mask=mask)
    np.testing.assert_array_equal(restored[deep], filled[deep])
    flat, _ = fill_depths(0.3 * (1 - mask), mask)
    np.testing.assert_allclose(flat[deep], 0.3, atol=1e-5)


def test_the_depths_begin_where_the_layer_sees_no_more(monkeypatch):
    monkeypatch.setattr(SmoothFilling, "windows", (3, 5, 9))
    monkeypatch.setattr(SmoothFilling, "sight", 4)
    tiler = Tiler(shake(build_inpainter(1, **SMALL)))
    mask = np.zeros((40, 40, 1), np.float32)
    mask[10:30, 10:30] = 1
    image = np.full((40, 40, 1), 0.5, np.float32)
    filled, _ = fill_depths(image * (1 - mask), mask, sight=4)
    restored = tiler.restore(image * (1 - mask), mask=mask)
    np.testing.assert_array_equal(restored[18:22, 18:22], filled[18:22, 18:22])
    assert filled[20, 20] > 0.4


def test_shallow_holes_and_nothing_known_are_left_as_they_are():
    image, mask = np.random.default_rng(0).random((2, 64, 80, 1), np.float32)
    mask[:] = 0
    mask[10:42, 20:60] = 1  # 32 pixels high: none is 17 from the edge
    for hole in (mask, np.ones_like(mask)):
        filled, left = fill_depths(image, hole)
        assert filled is image and left is hole


@pytest.mark.parametrize("channels, shown", [(1, 1), (3, 3), (3, 1), (1, 3)])
def test_inpainting_keeps_known_pixels_bit_by_bit(frozen, channels, shown):
    tiler = frozen("inpaint", channels)
    image = np.random.default_rng(0).random((2, 41, 53, shown), np.float32)
    mask = known("inpaint", image.shape)["mask"]
    result = tiler.restore(image, mask=mask)
    kept = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(result[kept], image[kept])
    assert (result[~kept] != image[~kept]).mean() > 0.99


def test_a_mask_has_any_of_four_forms(frozen):
    tiler = frozen("inpaint", 1)
    images = pictures(2, 16, 24)
    mask = known("inpaint", (1, 16, 24))["mask"]
    expected = tiler.restore(images, mask=mask.repeat(2, axis=0))
    for form in (mask[0], mask[0, ..., 0], mask[0, ..., 0] == 1, mask[0].astype(int)):
        np.testing.assert_array_equal(tiler.restore(images, mask=form), expected)
    both = mask[..., 0].repeat(2, axis=0)
    both[1] = 1 - both[1]
    result = tiler.restore(images, mask=both)
    np.testing.assert_array_equal(result[0], expected[0])
    assert not np.array_equal(result[1], expected[1])


# --- noise and what is refused ---


def test_each_image_can_have_its_own_sigma(frozen):
    tiler = frozen()
    images = pictures(3, 16, 24)
    levels = [5.0, 20.0, 70.0]
    result = tiler.restore(images, sigma=levels)
    for image, level, restored in zip(images, levels, result, strict=True):
        expected = tiler.restore(image, sigma=level)
        np.testing.assert_allclose(restored, expected, atol=1e-6)
    assert np.abs(result - tiler.restore(images, sigma=20)).max() > 1e-4


def test_without_a_sigma_the_noise_is_estimated(frozen):
    tiler = frozen()
    images = pictures(2, 64, 64)
    noisy = add_gaussian_noise(images, 0, sigma=np.array([10, 50]))["image"].numpy()
    assert noisy.min() < 0
    expected = tiler.restore(noisy, sigma=estimate_noise(noisy))
    for options in ({}, {"sigma": None}):
        np.testing.assert_array_equal(tiler.restore(noisy, **options), expected)


def test_progress_is_shown_if_wanted(frozen, capsys):
    images = pictures(2, 40, 40)
    frozen().restore(images, sigma=25)
    assert capsys.readouterr().out == ""
    frozen().restore(images, sigma=25, verbose=1)
    assert "2/2" in capsys.readouterr().out


ONE = pictures(1)[0]


@pytest.mark.parametrize(
    "kind, images, options, message",
    [
        ("denoise", (255 * ONE).astype(np.uint8), {}, "uint8.*255"),
        ("denoise", (255 * ONE).astype(int), {"sigma": 25}, "int64.*255"),
        ("denoise", 255 * ONE, {"sigma": 25}, r"\[0, 1\].*Divide"),
        ("denoise", 2 * ONE.round() - 1, {"sigma": 0}, r"\[0, 1\].*from -1"),
        ("inpaint", ONE - 1, {"mask": ONE.round()}, r"\[0, 1\].*from -0"),
        ("denoise", ONE * np.nan, {"sigma": 25}, r"\[0, 1\].*nan"),
        ("denoise", ONE * np.nan, {}, r"\[0, 1\].*nan"),
        (2, ONE + 0.8, {}, r"\[0, 1\].* to 1\.\d"),
        ("denoise", ONE[:, 0, 0], {"sigma": 25}, r"\(height, width\).*\(16,\)"),
        ("denoise", np.zeros((4, 4, 2)), {}, r"1 or 3 channels; got \(4, 4, 2\)"),
        ("denoise", np.zeros((0, 4)), {"sigma": 25}, r"got \(0, 4\)"),
        ("denoise", np.zeros((1, 1, 4, 4, 1)), {}, r"got \(1, 1, 4, 4, 1\)"),
        ("denoise", ONE, {"sigma": -5}, "at least 0, .*got -5 for 1 im"),
        ("denoise", ONE, {"sigma": np.nan}, "at least 0, .*got nan"),
        ("denoise", ONE, {"sigma": [25, 25]}, r"got \[25, 25\] for 1 im"),
        ("denoise", ONE, {"sigma": 25, "mask": ONE}, "told sigma .*mask and sigma"),
        ("denoise", ONE, {"noise": 25}, "told sigma .*; got noise"),
        ("inpaint", ONE, {}, "told mask .*; got nothing"),
        (2, ONE, {"sigma": 25}, "told nothing .*; got sigma"),
        (
            "inpaint",
            ONE,
            {"mask": np.zeros((16, 15))},
            r"\(16, 15, 1\).*16.*high and 16",
        ),
        ("inpaint", ONE, {"mask": np.zeros((2, 16, 16, 1))}, r"\(2, 16, 16, 1\)"),
        ("inpaint", ONE, {"mask": 0.5 * np.ones((16, 16))}, "1 in the holes and 0"),
        ("inpaint", ONE, {"mask": np.full((16, 16), np.nan)}, "1 in the holes"),
        ("inpaint", ONE, {"mask": 255 * np.ones((16, 16), int)}, "1 in the holes"),
        (2, ONE, {"tile": 0}, "tile must be .* got tile=0"),
        (2, ONE, {"tile": 2.5}, "tile must be .* got tile=2.5"),
    ],
)
def test_what_cannot_be_restored_is_refused(frozen, kind, images, options, message):
    with pytest.raises(ValueError, match=message):
        frozen(kind).restore(images, **options)


# --- the level of noise ---


@pytest.mark.parametrize("channels", [1, 3])
def test_the_noise_of_smooth_images_is_estimated(channels):
    images = pictures(4, 128, 128, channels)
    images = ndimage.gaussian_filter(images, (0, 3, 3, 0))
    levels = np.array([0, 3, 15, 60])
    noisy = add_gaussian_noise(images, seed=0, sigma=levels)["image"].numpy()
    result = estimate_noise(noisy)
    assert result.shape == (4,)
    np.testing.assert_allclose(result, levels, rtol=0.1, atol=0.1)


def test_the_estimate_is_near_that_of_scikit_image():
    pytest.importorskip("pywt")
    from skimage.restoration import estimate_sigma

    images = ndimage.gaussian_filter(pictures(3, 128, 128), (0, 3, 3, 0))
    noisy = add_gaussian_noise(images, seed=0, sigma=25)["image"].numpy()
    expected = [255 * estimate_sigma(image[..., 0]) for image in noisy]
    np.testing.assert_allclose(estimate_noise(noisy), expected, rtol=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_row_of_pixels_has_no_estimate(size):
    assert estimate_noise(np.ones((3, *size, 1))).tolist() == [0, 0, 0]
