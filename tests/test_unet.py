"""The networks of diffusion: sizes, parts, and the one that comes with the package."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from tfgen import weights
from tfgen.model import copy_of
from tfgen.unet import (
    build_denoising_unet,
    build_large_denoising_unet,
    depth_to_space,
    light_residual_block,
    modulate,
    rms_normalize,
    space_to_depth,
)

rng = np.random.default_rng(0)


def points(network, count=2):
    """What a network takes, at random."""
    shape, others = network.input["image"].shape[1:], {}
    if "label" in network.input:
        others["label"] = np.zeros((count, network.input["label"].shape[1]), np.int32)
    image = rng.normal(size=(count, *shape)).astype(np.float32)
    return {"image": image, "time": np.full((count, 1), 0.5, np.float32), **others}


def stirred(network, scale=0.05):
    """The network with no weight at 0, as some are at first."""
    network.set_weights([w + rng.normal(0, scale, w.shape) for w in network.weights])
    return network


SMALL = {
    "light": lambda shape, classes: build_denoising_unet(shape, 8, classes),
    "large": lambda shape, classes: build_large_denoising_unet(shape, (8, 16), classes),
}


# --- sizes ---


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(
    "shape, classes",
    [((4, 4, 1), ()), ((16, 12, 2), 10), ((28, 28, 1), ()), ((32, 16, 3), (2, 3))],
)
def test_velocities_are_shaped_like_images(kind, shape, classes):
    network = SMALL[kind](shape, classes)
    assert set(network.input) == {"image", "time", *(["label"] if classes else [])}
    found = network(points(network))
    assert found.shape == (2, *shape) and found.dtype == tf.float32
    assert not np.any(found)  # at first, whatever it is given
    assert np.all(stirred(network)(points(network)))


@pytest.mark.parametrize("shape, count", [((64, 64, 3), 3), ((128, 64, 1), 4)])
def test_large_images_are_halved_until_8_pixels_are_left(shape, count):
    network = build_denoising_unet(shape, 4)
    sides = {layer.output.shape[1] for layer in network.layers if is_map(layer)}
    assert {shape[0] // 2**level for level in range(1, count + 1)} <= sides
    assert min(sides) == shape[0] // 2**count
    assert np.all(stirred(network)(points(network, 1)).shape == (1, *shape))


def is_map(layer):
    return isinstance(layer, layers.Conv2D)


@pytest.mark.parametrize("shape", [(30, 30, 1), (64, 20, 3)])
def test_an_impossible_size_names_sizes_that_work(shape):
    with pytest.raises(ValueError, match="nearest sizes") as error:
        build_denoising_unet(shape)
    for height, width in re.findall(r"(\d+)x(\d+)", str(error.value))[1:]:
        build_denoising_unet((int(height), int(width), shape[2]), 1)


def test_the_large_network_needs_sides_that_it_can_halve():
    with pytest.raises(ValueError, match="multiples of 8; got 60x64.*works is 64x64"):
        build_large_denoising_unet((60, 64, 3))
    with pytest.raises(ValueError, match="multiples of 4; got 1x9.*works is 4x8"):
        build_large_denoising_unet((1, 9, 3), (8, 8))
    for widths in ((), (48, 60), (48, 8.0), (0,), 48):
        with pytest.raises(ValueError, match="widths are multiples of 8"):
            build_large_denoising_unet((64, 64, 3), widths)
    with pytest.raises(ValueError, match="image_shape must be"):
        build_large_denoising_unet((64, 64))
    with pytest.raises(ValueError, match="image_shape must be"):
        build_large_denoising_unet((64, 64, 0))


def test_the_numbers_of_weights():
    """With others, weights that were saved before would not fit."""
    assert build_denoising_unet((28, 28, 1), classes=10).count_params() == 743_252
    network = build_large_denoising_unet((64, 64, 3), classes=35)
    assert network.count_params() == 2_142_364


# --- parts ---


def run(function, *arrays):
    inputs = [keras.Input(array.shape[1:]) for array in arrays]
    return np.array(keras.Model(inputs, function(*inputs))(list(arrays)))


def test_folding_is_what_tensorflow_calls_space_to_depth():
    x = rng.normal(size=(2, 6, 4, 3)).astype(np.float32)
    folded = run(space_to_depth, x)
    np.testing.assert_array_equal(folded, tf.nn.space_to_depth(x, 2))
    np.testing.assert_array_equal(run(depth_to_space, folded), x)


def test_normalised_channels_have_a_mean_square_of_one():
    x = rng.normal(0, [[[[3.0]]], [[[30.0]]]], (2, 4, 4, 8)).astype(np.float32)
    found = run(rms_normalize, x)
    np.testing.assert_allclose(np.mean(found**2, axis=-1), 1, rtol=1e-4)
    expected = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_modulation_scales_and_shifts_each_channel():
    x = rng.normal(size=(2, 4, 4, 8)).astype(np.float32)
    embedding = rng.normal(size=(2, 5)).astype(np.float32)
    inputs = keras.Input((4, 4, 8)), keras.Input((5,))
    network = keras.Model(inputs, modulate(*inputs))
    np.testing.assert_array_equal(network([x, embedding]), x)  # at first
    kernel, bias = rng.normal(size=(5, 16)), rng.normal(size=16)
    network.set_weights([kernel, bias])
    both = (embedding @ kernel + bias)[:, None, None]
    expected = x * (1 + both[..., :8]) + both[..., 8:]
    np.testing.assert_allclose(network([x, embedding]), expected, rtol=1e-4, atol=1e-5)


def test_light_blocks_begin_by_changing_nothing():
    x = rng.normal(size=(2, 4, 4, 8)).astype(np.float32)
    embedding = rng.normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(light_residual_block, x, embedding), x)


def test_the_way_up_is_given_what_its_size_was_on_the_way_down():
    network = stirred(build_denoising_unet((32, 32, 1), 8))
    convolutions = [x for x in network.layers if isinstance(x, layers.Conv2D)]
    (up,) = [x for x in convolutions if x.kernel.shape == (1, 1, 16, 32)]
    up.set_weights([np.zeros(w.shape) for w in up.weights])  # nothing from below
    given = points(network)
    one, two = network(given), network({**given, "image": given["image"] + 1})
    assert np.abs(one - two).max() > 1e-3


@pytest.mark.parametrize("kind", SMALL)
def test_time_and_each_label_are_heard(kind):
    network = stirred(SMALL[kind]((8, 8, 1), (2, 3)))
    given = points(network)
    first = np.array(network(given))
    later = np.array(network({**given, "time": given["time"] + 0.01}))
    assert np.abs(later - first).max() > 1e-4
    labels = [(0, 1), (1, 0), (2, 0), (0, 3)]  # the last two: not told
    found = [first]
    for label in labels:
        found.append(np.array(network({**given, "label": np.int32([label] * 2)})))
    for index, one in enumerate(found):
        assert all(np.abs(one - other).max() > 1e-4 for other in found[:index])


@pytest.mark.parametrize("kind", SMALL)
def test_images_of_a_batch_do_not_mix(kind):
    network = stirred(SMALL[kind]((8, 8, 1), ()))
    given = points(network, 3)
    alone = {name: value[1:2] for name, value in given.items()}
    found, expected = network(given)[1:2], network(alone)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", SMALL)
def test_times_are_told_in_full_precision(kind, policy):
    """Waves as quick as theirs would be lost in 16 bits."""
    keras.config.set_dtype_policy(policy)
    try:
        network = SMALL[kind]((8, 8, 1), ())
    finally:
        keras.config.set_dtype_policy("float32")
    waves = next(x for x in network.operations if x.output.shape == (None, 32))
    network = keras.Model(network.input, waves.output)
    given = {"image": np.zeros((1, 8, 8, 1)), "time": np.full((1, 1), 0.7431)}
    fastest = 100 if kind == "light" else 1000
    angles = 0.7431 * np.geomspace(1, fastest, 16)
    expected = [np.concatenate([np.sin(angles), np.cos(angles)])]
    np.testing.assert_allclose(network(given), expected, atol=1e-3)


@pytest.mark.parametrize("kind", SMALL)
def test_saved_networks_load_without_the_package(kind, tmp_path):
    """No layer is of the package's own."""
    network = stirred(SMALL[kind]((8, 8, 1), 3))
    modules = {
        type(part).__module__.split(".")[0] for part in network._flatten_layers()
    }
    assert modules == {"keras"}
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    given = points(network)
    for other in (loaded, copy_of(network)):
        np.testing.assert_allclose(other(given), network(given), atol=1e-5)


# --- the network that comes with the package ---


def plain_network():
    """What groceries.npz was trained as, written down once more, with inputs in a list:
    the noisy image, the time, the label."""

    def residual(x, width, embedding):
        h = layers.Activation("silu")(layers.GroupNormalization(8)(x))
        h = layers.Conv2D(width, 3, padding="same")(h)
        scale_and_shift = layers.Dense(2 * width)(embedding)[:, None, None, :]
        scale, shift = ops.split(scale_and_shift, 2, axis=-1)
        h = layers.GroupNormalization(8)(h) * (scale + 1) + shift
        h = layers.Conv2D(width, 3, padding="same")(layers.Activation("silu")(h))
        if x.shape[-1] != width:
            x = layers.Conv2D(width, 1)(x)
        return x + h

    image = keras.Input((64, 64, 3))
    time, label = keras.Input((1,)), keras.Input((1,), dtype="int32")
    waves = time * np.exp(np.linspace(0, np.log(1000), 16))[None].astype("float32")
    e = layers.Concatenate()([ops.sin(waves), ops.cos(waves)])
    e = layers.Dense(128)(e) + layers.Flatten()(layers.Embedding(36, 128)(label))
    e = layers.Dense(128, activation="silu")(layers.Activation("silu")(e))
    x, kept = layers.Conv2D(48, 4, strides=2, padding="same")(image), []
    for width in (48, 48, 64, 64, 96, 96):
        if width == 64 and len(kept) == 2 or width == 96 and len(kept) == 4:
            x = layers.AveragePooling2D(2)(x)
        x = residual(x, width, e)
        kept.append(x)
    x = residual(x, 96, e)
    y = ops.reshape(layers.GroupNormalization(8)(x), (-1, 16 * 4, 96))
    y = layers.MultiHeadAttention(4, 24)(y, y)
    x = residual(x + ops.reshape(y, (-1, 8, 8, 96)), 96, e)
    for width in (96, 96, 64, 64, 48, 48):
        if width == 64 and len(kept) == 4 or width == 48 and len(kept) == 2:
            x = layers.UpSampling2D()(x)
        x = residual(ops.concatenate([x, kept.pop()], axis=-1), width, e)
    x = layers.Activation("silu")(layers.GroupNormalization(8)(x))
    x = layers.Conv2D(12, 3, padding="same")(x)
    x = ops.reshape(x, (-1, 32, 32, 2, 2, 3))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 64, 64, 3))
    return keras.Model([image, time, label], x)


def by_creation(network):
    """The weights of a network: those of each kind of layer in the order in which the
    layers were made."""

    def key(weight):
        layer, rest = weight.path.split("/", 1)
        kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer).groups()
        return kind, int(number or 0), rest

    return sorted(network.weights, key=key)


def test_the_large_network_is_the_one_that_was_trained():
    content = (weights.FOLDER / "groceries.npz").read_bytes()
    diffusion = weights.build_diffusion(content)
    plain = plain_network()
    ours, theirs = by_creation(diffusion.network), by_creation(plain)
    assert len(ours) == len(theirs) == 177
    for weight, value in zip(theirs, ours, strict=True):
        weight.assign(value)
    image = rng.normal(size=(4, 64, 64, 3)).astype(np.float32)
    time = np.array([[0.02], [0.4], [0.7], [0.98]], np.float32)
    label = np.array([[0], [28], [34], [35]])
    expected = plain([image, time, label])
    found = diffusion({"image": image, "time": time, "label": label})
    assert np.std(expected) > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
