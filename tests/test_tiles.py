"""Photos of any size: tiles, ensembles, holes, the level of noise, what is refused."""

import contextlib
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, sparse

from tfgen import tiles as tiling
from tfgen.data.corruptions import add_gaussian_noise
from tfgen.restoration import (
    Bicubic,
    SmoothFilling,
    build_denoiser,
    build_inpainter,
    build_upscaler,
)
from tfgen.tiles import FARTHEST, Tiler, estimate_noise, fill_depths

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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("made", [1, 2])
def test_a_network_may_make_other_channels_than_it_takes(channels, made):
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, channels), name="image")
    maps = keras.layers.Conv2D(made, 5, padding="same", activation="sigmoid")(image)
    network = keras.Model({"image": image}, maps)
    tiler = Tiler(network, made)
    color = pictures(2, 40, 48, channels)
    expected = network({"image": color})
    for tile in (512, 16):
        found = tiler.restore(color, tile=tile)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        single = tiler.restore(color[0], tile=tile, ensemble=True)
        assert single.shape == (40, 48, made)
    grey = color[..., :1]
    expected = network({"image": grey.repeat(channels, axis=-1)})
    np.testing.assert_allclose(tiler.restore(grey), expected, atol=1e-5)
    if channels == 1:
        with pytest.raises(ValueError, match="of 1 channels; this one has 3"):
            tiler.restore(grey.repeat(3, axis=-1))
    if channels != made:
        with pytest.raises(ValueError, match="as many channels"):
            Tiler(network).restore(color)


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
    monkeypatch.setattr(tiler, "find_reach", lambda: 0)
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
    assert len(tiler.cut_windows(size, tile)) > 1
    np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pixel_reaches_no_further_than_the_overlap(frozen, kind):
    tiler = frozen(kind)
    image = np.full((1, 128, 128, 1), 0.5, np.float32)
    other = image.copy()
    other[:, 64:72, 64:72] = 0.9  # a multiple of 8, as all tiles
    told = {"sigma": np.full((1, 1), 25.0)} if kind == "denoise" else {}
    told |= {"mask": np.ones_like(image)} if kind == "inpaint" else {}
    if kind == "inpaint":  # the pixels are a hole here and none there
        told["mask"][:, 64:72, 64:72] = 0
    before, after = (
        tiler.network({**told, "image": x}).numpy() for x in (image, other)
    )
    scale = kind if isinstance(kind, int) else 1
    places = np.array(np.nonzero(np.abs(after - before)[0, ..., 0])) // scale
    distance = max(64 - places.min(), places.max() - 71)
    assert distance <= tiler.measure_reach() <= distance + 2


# --- networks of one's own ---

L = keras.layers


class Around(L.Layer):
    """A layer of one's own, from a function that keeps the shape."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return shape


class Halves(keras.Model):
    """A network without a graph of layers."""

    def __init__(self):
        super().__init__()
        self.parts = [L.MaxPooling2D(2), same(), L.UpSampling2D(2)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def get_config(self):
        return {}


def same(size=3, width=4, **options):
    return L.Conv2D(width, size, padding="same", activation="relu", **options)


def own(*parts, sides=(None, None), seed=0):
    """A network of layers one after the other; a list holds parts side by side, whose
    results become channels. All weights are random, the result is in [0, 1]."""
    keras.utils.set_random_seed(seed)

    def chain(x, parts):
        for part in parts:
            if isinstance(part, list):
                branches = [chain(x, branch) for branch in part]
                x = L.Concatenate()(branches)
            else:
                x = part(x)
        return x

    image = keras.Input((*sides, 1), name="image")
    x = chain(image, [*parts, L.Conv2D(1, 1), L.Rescaling(4.0)])
    if len(x.shape) == 4:
        x = L.Activation("sigmoid", dtype="float32")(x)
    return keras.Model({"image": image}, x)


def unet(depth, shrink=L.MaxPooling2D, grow=L.UpSampling2D, times=2, **options):
    """A network of the shape of a U, with a connection at each level."""

    def level(depth):
        if depth == 0:
            return [same()]
        inner = [shrink(times), *level(depth - 1), grow(times)]
        return [same(), [inner, []], same()]

    return own(*level(depth), **options)


def strided(times):
    return same(strides=times)


def transposed(times):
    return L.Conv2DTranspose(4, 2 * times, strides=times, padding="same")


def smooth_up(times):
    return L.UpSampling2D(times, interpolation="bilinear")


def half(policy, build):
    """A network built for mixed precision."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        return build()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def attend(x):
    x = 4 * x
    return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)


def attend_everywhere(x):
    return tf.reshape(attend(tf.reshape(x, (tf.shape(x)[0], -1, 4))), tf.shape(x))


def attend_within(side):
    """Attention within windows, as in SwinIR."""

    def call(x):
        n, (height, width), c = (
            tf.shape(x)[0],
            tf.unstack(tf.shape(x)[1:3]),
            x.shape[-1],
        )
        cut = tf.reshape(x, (n, height // side, side, width // side, side, c))
        x = tf.reshape(tf.transpose(cut, (0, 1, 3, 2, 4, 5)), (-1, side * side, c))
        x = tf.reshape(attend(x), (n, height // side, width // side, side, side, c))
        return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4, 5)), (n, height, width, c))

    return Around(call)


def pad_to(side):
    def call(x):
        cells = tf.nn.avg_pool2d(x, side, side, "SAME")
        large = tf.repeat(tf.repeat(cells, side, axis=1), side, axis=2)
        return x + large[:, : tf.shape(x)[1], : tf.shape(x)[2]]

    return call


def inner_network():
    image = keras.Input((None, None, 4))
    return keras.Model(image, Halves()(same()(image)))


TILED_NETWORKS = {
    "max pooling": lambda: unet(3),
    "max pooling, five times": lambda: unet(5),
    "max pooling by 3": lambda: unet(2, times=3),
    "max pooling by 3, three times": lambda: unet(3, times=3),
    "max pooling, no stride": lambda: own(same(), L.MaxPooling2D(9, 1, "same")),
    "max pooling in a layer of one's own": lambda: own(
        same(), Around(lambda x: tf.nn.max_pool2d(x, 11, 1, "SAME")), same()
    ),
    "average pooling": lambda: unet(4, L.AveragePooling2D, smooth_up),
    "average pooling by 7": lambda: own(L.AveragePooling2D(7), same(), smooth_up(7)),
    "strides": lambda: unet(3, strided, transposed),
    "strides without connections": lambda: own(
        *[strided(2) for _ in range(4)], *[transposed(2) for _ in range(4)]
    ),
    "a Lambda": lambda: own(L.Lambda(lambda x: tf.nn.avg_pool2d(x, 5, 1, "SAME"))),
    "separable": lambda: own(
        L.SeparableConv2D(4, 5, padding="same"),
        L.DepthwiseConv2D(7, padding="same"),
        same(dilation_rate=16),
    ),
    "a look to one side": lambda: own(
        L.ZeroPadding2D(((20, 0), (0, 9))), L.Cropping2D(((0, 20), (9, 0))), same()
    ),
    "padding and cropping": lambda: own(
        L.ZeroPadding2D(6), L.Conv2D(4, 5), L.Cropping2D(((1, 7), (8, 0)))
    ),
    "reflections": lambda: own(
        Around(lambda x: tf.pad(x, [[0, 0], [9, 9], [9, 9], [0, 0]], "REFLECT")),
        L.Conv2D(4, 19),
    ),
    "branches": lambda: own(
        [
            [L.AveragePooling2D(4), same(), L.UpSampling2D(4)],
            [L.MaxPooling2D(2), same(), smooth_up(2)],
            [],
        ],
    ),
    "enlarging": lambda: own(same(), L.UpSampling2D(3, interpolation="bicubic")),
    "enlarging by a convolution": lambda: own(same(), transposed(2), same()),
    "normalisation of channels": lambda: own(
        same(),
        L.LayerNormalization(),
        L.BatchNormalization(),
        L.PReLU(None, shared_axes=[1, 2]),
    ),
    "attention in windows": lambda: own(same(), attend_within(12)),
    "networks in networks": lambda: own(same(), inner_network(), Halves(), same()),
    "a threshold": lambda: own(Around(lambda x: tf.where(x > 0.5, 1.0, 0.0)), same(9)),
    "float16": lambda: half("mixed_float16", lambda: unet(3)),
    "bfloat16": lambda: half("mixed_bfloat16", lambda: unet(3, L.AveragePooling2D)),
    "one pixel": lambda: own(L.Conv2D(4, 1)),
    "one free side": lambda: own(
        same(), L.MaxPooling2D((1, 2)), L.UpSampling2D((1, 2)), sides=(16, None)
    ),
}
WHOLE_NETWORKS = {
    "global pooling": lambda: own(
        same(), Around(lambda x: x * tf.reduce_mean(x, (1, 2), keepdims=True))
    ),
    "global maximum": lambda: own(
        same(), Around(lambda x: x - tf.reduce_max(x, (1, 2), keepdims=True))
    ),
    "group normalisation": lambda: own(same(), L.GroupNormalization(2)),
    "attention": lambda: own(
        L.AveragePooling2D(8), same(), Around(attend_everywhere), L.UpSampling2D(8)
    ),
    "coordinates": lambda: own(
        Around(lambda x: x + tf.linspace(0.0, 1.0, tf.shape(x)[2])[:, None]), same()
    ),
    "around the edge": lambda: own(Around(lambda x: x + tf.roll(x, 4, 1)), same()),
    "mirrored": lambda: own(Around(lambda x: x[:, :, ::-1]), same()),
    "further than is tried": lambda: own(same(dilation_rate=FARTHEST + 40)),
    "multiples that it pads to itself": lambda: own(Around(pad_to(32))),
    "multiples of 3 that it pads to itself": lambda: own(Around(pad_to(24))),
}


def compare_tiles(network, sizes, tiles=(64, 23), tiler=None):
    """Check that tiles give the whole image, at all sizes."""
    tiler = tiler or Tiler(network)
    rng = np.random.default_rng(1)
    for weight in network.weights:  # also biases, and what begins as 0
        if len(weight.shape) == 1 and "variance" not in weight.name:
            weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    for size in sizes:
        image = rng.random((*size, 1), np.float32)
        whole = tiler.restore(image, tile=4096)
        assert whole.shape == (size[0] * tiler.scale, size[1] * tiler.scale, 1)
        assert min(size) < 9 or np.ptp(whole) > 0.02
        for tile in tiles:
            tiled = tiler.restore(image, tile=tile)
            np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)
    return tiler


@pytest.mark.parametrize("name", TILED_NETWORKS)
def test_tiles_of_any_network_are_the_whole_image(name, monkeypatch):
    fixed = name == "one free side"
    network = TILED_NETWORKS[name]()
    tiler = compare_tiles(network, [(16 if fixed else 75, 200), (5, 9)])
    monkeypatch.setattr(tiler, "find_reach", lambda: 0)
    if name != "one pixel":  # too small an overlap would be seen
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            compare_tiles(network, [(16 if fixed else 75, 200)], tiler=tiler)


@pytest.mark.parametrize("name", WHOLE_NETWORKS)
def test_a_network_that_looks_everywhere_gets_the_whole_image(name):
    network = WHOLE_NETWORKS[name]()
    with pytest.warns(UserWarning, match="restored whole, not in tiles"):
        compare_tiles(network, [(75, 200)], tiles=[64])
    Tiler(network).restore(np.zeros((40, 50), np.float32))  # no warning


def test_the_reach_is_that_of_the_farthest_look(monkeypatch):
    monkeypatch.setattr(tiling, "FARTHEST", 64)

    def reach(*parts):
        return Tiler(own(*parts)).measure_reach()

    assert reach(L.Conv2D(4, 1)) == 0
    assert reach(same(4)) == 2  # to the farther side
    assert reach(same(5), same(3)) == 3
    assert reach(same((1, 9)), same((5, 1))) == 4
    assert reach(same(3, dilation_rate=30)) == 30
    assert reach(same(6, strides=2), L.UpSampling2D(2), same(3)) == 3  # of whole pairs
    assert reach(L.UpSampling2D(2), same(9)) == 2
    assert reach(Bicubic(2)) == 2
    assert (
        reach(same(3, dilation_rate=70)) == reach(same(3, dilation_rate=90)) == np.inf
    )


def test_faint_looks_are_seen():
    """Whatever the weights are: NaN remains NaN."""
    network = own(*[same() for _ in range(20)])
    for factor in (1, 0.3, 0.01):
        network.set_weights([factor * weight for weight in network.get_weights()])
        assert Tiler(network).measure_reach() == 20
    squeeze = Around(lambda x: x * tf.reduce_mean(x, (1, 2), keepdims=True))
    faint = own(same(), same(), squeeze, L.Rescaling(1e-6), same())
    assert Tiler(faint).measure_reach() == np.inf
    options = tf.config.optimizer.get_experimental_options()
    assert options.get("remapping", True)  # as it was


def test_only_images_larger_than_a_tile_have_the_reach_measured(monkeypatch):
    tiler, lengths = Tiler(own(same(), strided(2), transposed(2))), []
    look = tiler.look

    def record(*lengths_):
        lengths.append(lengths_)
        return look(*lengths_)

    monkeypatch.setattr(tiler, "look", record)
    tiler.restore(np.zeros((1, 32, 29), np.float32)[0], tile=32)
    tiler.restore(np.zeros((64, 500), np.float32))
    assert lengths == []
    for size in [(33, 20), (64, 70), (20, 40)]:
        tiler.restore(np.zeros(size, np.float32), tile=32)
    ((near, far),) = lengths  # once, on the short strip
    assert near < 100 < FARTHEST < far


def test_a_network_for_single_images_restores_batches_and_colour():
    image = keras.Input((None, None, 1), batch_size=1, name="image")
    network = keras.Model({"image": image}, L.Conv2D(1, 3, padding="same")(image))
    compare_tiles(network, [(75, 200)])
    color = np.random.default_rng(0).random((2, 20, 30, 3), np.float32)
    assert Tiler(network).restore(color).shape == color.shape


@pytest.mark.parametrize("name, shape", [("sigma", (None, None, 1)), ("mask", (1,))])
def test_what_a_network_is_told_in_another_shape_is_refused(name, shape):
    told = keras.Input(shape, name=name)
    image = keras.Input((None, None, 1), name="image")
    tiler = Tiler(keras.Model({"image": image, name: told}, L.Conv2D(1, 1)(image)))
    known = {name: 5 if name == "sigma" else np.zeros((20, 30))}
    with pytest.raises(
        ValueError, match=rf"wants {name} of shape \(None, .*\(n, .*1\)"
    ):
        tiler.restore(np.zeros((20, 30), np.float32), **known)


def test_colour_in_a_network_for_two_channels_is_refused():
    image = keras.Input((None, None, 2), name="image")
    tiler = Tiler(keras.Model({"image": image}, L.Conv2D(2, 1)(image)))
    with pytest.raises(ValueError, match="images of 2 channels; this one has 3"):
        tiler.restore(np.zeros((20, 30, 3), np.float32))


def test_the_reach_is_measured_anew_for_other_weights(monkeypatch):
    """Of zeros behind a maximum nothing is to be seen: they look nowhere."""
    network = own(same(), L.MaxPooling2D(41, 1, "same"))
    weights = network.get_weights()
    network.set_weights([0 * weight for weight in weights])
    tiler = Tiler(network)
    assert tiler.find_reach() < 20
    network.set_weights(weights)
    assert tiler.find_reach() == 21
    monkeypatch.setattr(tiler, "measure_reach", lambda: 5)
    assert tiler.find_reach() == 21  # known by now
    network.set_weights([weight + 1 for weight in weights])
    assert tiler.find_reach() == 5


@pytest.mark.parametrize("sides", [(64, 64), (40, 24)])
def test_a_network_for_one_size_takes_smaller_images(sides):
    tiler = Tiler(own(same(), L.Flatten(), L.Reshape((*sides, 4)), sides=sides))
    for size in [sides, (sides[0], 7), (1, 1), (33, sides[1])]:
        image = np.random.default_rng(0).random(size, np.float32)
        room = [(0, side - n) for side, n in zip(sides, size, strict=True)]
        if max(room)[1] < 24:
            padded = np.pad(image, room, "symmetric")[None, ..., None]
            expected = tiler.network({"image": padded})[0, : size[0], : size[1], 0]
            np.testing.assert_allclose(tiler.restore(image), expected, atol=1e-6)
        assert tiler.restore(image, tile=8).shape == size
    for size in [(sides[0] + 1, 5), (5, sides[1] + 1)]:
        with pytest.raises(ValueError, match=rf"takes {sides[0]} x {sides[1]} and no"):
            tiler.restore(np.zeros(size, np.float32))


REFUSED_NETWORKS = {
    "valid padding": (lambda: own(L.Conv2D(4, 3)), r"\(128, 256, 1\).*\(126, 254, 1\)"),
    "cropping": (lambda: own(L.Cropping2D(2)), r"makes \(124, 252, 1\)"),
    "one and a half": (
        lambda: own(L.UpSampling2D(3), L.AveragePooling2D(2)),
        r"makes \(192, 384, 1\)",
    ),
    "half": (lambda: own(L.AveragePooling2D(2)), r"makes \(64, 128, 1\)"),
    "one side": (lambda: own(L.UpSampling2D((1, 2))), r"makes \(128, 512, 1\)"),
    "turned": (lambda: own(L.Permute((2, 1, 3))), r"makes \(256, 128, 1\)"),
    "always the same": (lambda: own(L.Resizing(32, 32)), r"makes \(32, 32, 1\)"),
    "no image": (
        lambda: own(Around(lambda x: x / [0, 0, 0])),
        "makes only an error",
    ),
    "other channels": (
        lambda: keras.Model(
            {"image": (x := keras.Input((None, None, 3), name="image"))},
            same(width=1)(x),
        ),
        r"\(128, 256, 3\) this one makes \(128, 256, 1\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED_NETWORKS)
def test_a_network_whose_result_has_another_size_is_refused(name):
    build, message = REFUSED_NETWORKS[name]
    tiler = Tiler(build())
    for size in [(40, 50), (300, 20)]:
        with pytest.raises(ValueError, match=message):
            tiler.restore(np.zeros(size, np.float32), tile=64)


def test_a_network_that_fails_on_large_images_only_is_refused():
    table = tf.random.uniform((48, 48, 1))
    network = own(
        Around(lambda x: x + table[: tf.shape(x)[1], : tf.shape(x)[2]]), same()
    )
    tiler = Tiler(network)
    assert tiler.restore(np.zeros((48, 40), np.float32)).shape == (48, 40)
    for tile in (512, 32):
        with contextlib.ExitStack() as stack:
            if tile == 32:
                stack.enter_context(pytest.warns(UserWarning, match="whole"))
            stack.enter_context(pytest.raises(ValueError, match="restore 64 x 56 pix"))
            tiler.restore(np.zeros((60, 50), np.float32), tile=tile)


def test_an_ensemble_of_any_network_in_tiles():
    tiler = Tiler(unet(2))
    image = np.random.default_rng(0).random((90, 70), np.float32)
    whole, tiled = (tiler.restore(image, tile=n, ensemble=True) for n in (512, 32))
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


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


@pytest.mark.parametrize(
    "box",
    [np.s_[20:60, 16:48], np.s_[:50, 9:], np.s_[30:70, :], np.s_[3:70, 3:90]],
)
def test_depths_are_nearly_harmonic(box):
    """As the linear equations say, one for each pixel of the hole."""
    y, x = np.indices((80, 96)) / 20
    image = np.float32(0.5 + 0.2 * np.sin(2 * y) + 0.2 * np.cos(3 * x + y))[..., None]
    hole = np.zeros((80, 96), bool)
    hole[box] = True
    mask = np.float32(hole[..., None])
    places = np.flatnonzero(hole)
    row = np.full(hole.size, -1)
    row[places] = np.arange(len(places))
    left, right = -4 * sparse.eye(len(places), format="lil"), np.zeros(len(places))
    for i, place in enumerate(places):
        top, start = divmod(place, 96)
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            beside = np.clip(top + down, 0, 79) * 96 + np.clip(start + across, 0, 95)
            if row[beside] < 0:
                right[i] -= image.ravel()[beside]
            else:
                left[i, row[beside]] += 1
    expected = sparse.linalg.spsolve(left.tocsc(), right)
    filled, _ = fill_depths(image * (1 - mask), mask, sight=0)
    error = filled.ravel()[places] - expected
    even = image[~hole].mean() - expected
    assert np.abs(error).max() < 0.05 and np.std(error) < 0.15 * np.std(even)


def test_no_pixel_of_a_large_hole_lies_outside_of_its_edge():
    image = np.random.default_rng(0).random((200, 180, 3), np.float32)
    mask = np.zeros((200, 180, 1), np.float32)
    mask[20:180, 30:150] = 1
    filled, _ = fill_depths(image * (1 - mask), mask, sight=0)
    inside = filled[mask[..., 0] > 0]
    assert 0.2 < inside[:, 0].mean() < 0.8 and filled.min() >= 0 and filled.max() <= 1


def test_a_large_hole_takes_a_second():
    image = np.random.default_rng(0).random((1000, 1000, 3), np.float32)
    mask = np.zeros((1000, 1000, 1), np.float32)
    mask[300:600, 300:600] = 1
    start = time.process_time()
    fill_depths(image * (1 - mask), mask)
    assert time.process_time() - start < 10  # 1 on a quiet core


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
    assert estimate_noise(np.ones((3, *size, 1)), scales=2).tolist() == [[0, 0]] * 3


def test_white_noise_has_the_same_level_at_all_scales():
    images = np.full((3, 512, 512, 1), 0.5, np.float32)
    levels = np.array([2, 10, 30])
    noisy = add_gaussian_noise(images, seed=0, sigma=levels)["image"].numpy()
    result = estimate_noise(noisy, scales=3)
    np.testing.assert_array_equal(result[:, 0], estimate_noise(noisy))
    np.testing.assert_allclose(result, np.tile(levels[:, None], 3), rtol=0.2)
    # The flattest of all blocks have a little less noise than the middle one.
    assert (result[:, 1:] < levels[:, None]).all()


def test_only_flat_and_gray_blocks_are_looked_at_when_coarse():
    rng = np.random.default_rng(0)
    image = rng.random((1, 256, 256, 1))  # texture
    image[:, :64] = 0
    image[:, 64:128] = 1
    image[:, 128:160] = 0.5 + rng.normal(0, 10 / 255, (1, 32, 256, 1))
    fine, coarse = estimate_noise(image, scales=2)[0]
    assert coarse == pytest.approx(10, rel=0.25)
    image[:, 128:] = 1
    assert estimate_noise(image, scales=2)[0, 1] == 0  # nothing else is left


def test_small_images_have_estimates_at_the_scales_they_have():
    noisy = np.random.default_rng(0).random((1, 9, 7, 1))
    result = estimate_noise(noisy, scales=4)
    assert result.shape == (1, 4)
    assert (result > 0).tolist() == [[True, True, False, False]]  # 9 x 7 to 1 x 0


@pytest.fixture(scope="module")
def training_photos():
    from tfgen import load_dataset

    photos = load_dataset("photos", "train", batch_size=None, channels=3, shuffle=False)
    return [photo[None] for photo in photos.as_numpy_iterator()]


def test_grains_in_jpeg_files_are_seen_at_half_of_the_size(training_photos):
    """The figures of the docstring."""
    from tfgen import add_sensor_noise, compress_jpeg

    def medians(damage):
        found = [estimate_noise(damage(x), scales=2)[0] for x in training_photos]
        return np.median(found, axis=0)

    def grains(photo):
        options = {"read": 20.0, "shot": 0.0, "grain": 1.0}
        return compress_jpeg(add_sensor_noise(photo, 0, **options)["image"], quality=50)

    white = medians(lambda x: add_gaussian_noise(x, 0, sigma=10.0)["image"])
    clean, stored = medians(lambda x: x), medians(lambda x: grains(x)["image"])
    np.testing.assert_allclose(white, [11, 10], atol=1)
    np.testing.assert_allclose(clean, [2, 2], atol=1)
    np.testing.assert_allclose(stored, [4, 12], atol=1)


@pytest.mark.parametrize("scales", [0, -1, 1.5, True])
def test_scales_are_counted(scales):
    with pytest.raises(ValueError, match=f"scales.*1 or more; got scales={scales}"):
        estimate_noise(np.zeros((1, 8, 8, 1)), scales=scales)


def test_the_noise_of_8_bit_images_is_not_estimated():
    with pytest.raises(ValueError, match="floats.*got uint8. Divide 8-bit images"):
        estimate_noise(np.zeros((1, 8, 8, 1), np.uint8))
