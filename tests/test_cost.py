"""Multiplications counted, against TensorFlow's profiler and against hand counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tensorflow.python.profiler import model_analyzer, option_builder

import tfgen
from tfgen.checks import ends
from tfgen.measures.cost import count_einsum

BUILDERS = {  # what builds each network, small; the size of an image, where it is free
    "generator": (tfgen.build_generator, {"width": 8, "classes": 26}, None),
    "discriminator": (tfgen.build_discriminator, {"normalization": "layer"}, None),
    "encoder": (tfgen.build_encoder, {}, None),
    "decoder": (tfgen.build_decoder, {}, None),
    "U-Net": (
        tfgen.build_denoising_unet,
        {"image_shape": (16, 16, 1), "width": 16, "classes": (26, 21)},
        None,
    ),
    "large U-Net": (
        tfgen.build_large_denoising_unet,
        {"image_shape": (4, 4, 3), "widths": (8,), "classes": 3},
        None,
    ),
    "denoiser": (tfgen.build_denoiser, {"blocks": 2}, (32, 48)),
    "inpainter": (tfgen.build_inpainter, {"blocks": 1}, (32, 48)),
    "upscaler": (lambda: tfgen.build_upscaler(3, blocks=2), {}, (16, 24)),
    "sharp upscaler": (tfgen.build_sharp_upscaler, {"blocks": 1}, (16, 24)),
    "patch discriminator": (tfgen.build_patch_discriminator, {}, (32, 48)),
    "classifier": (tfgen.build_classifier, {}, None),
    "defect finder": (tfgen.build_defect_finder, {"blocks": 1}, (32, 48)),
}


def profile(network, image_shape, training=False):
    """Floating-point operations of one image, as TensorFlow's profiler counts them."""

    def specify(end):
        sides = end.shape[1:3] if None not in end.shape[1:3] else image_shape
        return tf.TensorSpec([1, *sides, *end.shape[3:]], end.dtype)

    @tf.function
    def compute(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(inputs, training=training))
        return tape.gradient(loss, network.trainable_weights) if training else loss

    specs = keras.tree.map_structure(specify, ends(network)[0])
    graph = compute.get_concrete_function(specs).graph
    options = option_builder.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return model_analyzer.profile(graph, options=options).total_float_ops


def test_every_network_of_the_package_is_profiled():
    built = {build.__name__ for build, _, _ in BUILDERS.values()} | {"build_upscaler"}
    assert {name for name in vars(tfgen) if name.startswith("build_")} < built


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_against_the_profiler(name):
    build, options, image_shape = BUILDERS[name]
    network = build(**options)
    found = tfgen.count_multiplications(network, image_shape)
    # Two operations for each multiplication, and what activations and the like do.
    assert 0.95 < 2 * found / profile(network, image_shape) < 1.0001


@pytest.mark.parametrize("name", ["denoiser", "decoder", "discriminator"])
def test_a_step_of_training_costs_nearly_three_passes(name):
    build, options, image_shape = BUILDERS[name]
    network = build(**options)
    forward = tfgen.count_multiplications(network, image_shape)
    step = tfgen.count_multiplications(network, image_shape, training=True)
    assert 2.5 * forward < step <= 3 * forward
    assert 0.95 < 2 * step / profile(network, image_shape, training=True) < 1.0001


def test_closed_forms():
    """kernel x places: by the formulas, for what the package does not build."""

    def count(*parts, shape=(8, 12, 6)):
        return tfgen.count_multiplications(
            keras.Sequential([layers.Input(shape), *parts])
        )

    assert count(layers.Dense(5)) == 8 * 12 * 6 * 5
    assert count(layers.Conv2D(4, 3, padding="same")) == 8 * 12 * 9 * 6 * 4
    assert count(layers.Conv2D(4, 3, strides=2)) == 3 * 5 * 9 * 6 * 4
    assert count(layers.Conv2D(4, 3, dilation_rate=2)) == 4 * 8 * 9 * 6 * 4
    assert count(layers.Conv2DTranspose(4, 5, 2)) == 8 * 12 * 25 * 6 * 4
    assert count(layers.DepthwiseConv2D(3, depth_multiplier=2)) == 6 * 10 * 9 * 12
    assert count(layers.SeparableConv2D(5, 3)) == 6 * 10 * (9 * 6 + 6 * 5)
    assert count(layers.Conv1D(4, 3), shape=(8, 6)) == 6 * 3 * 6 * 4
    assert count(layers.Conv3D(4, 2), shape=(3, 4, 5, 6)) == 2 * 3 * 4 * 8 * 6 * 4
    assert count(layers.Conv3DTranspose(4, 2), shape=(3, 4, 5, 6)) == 60 * 8 * 6 * 4
    assert count(layers.EinsumDense("abcd,de->abce", (8, 12, 5))) == 8 * 12 * 6 * 5
    assert count(layers.BatchNormalization(), layers.ReLU()) == 0


def test_attention_grows_with_the_square_of_its_places():
    def build(places, size=4, heads=2):
        x = layers.Input((places, 6))
        return keras.Model(x, layers.MultiHeadAttention(heads, size)(x, x))

    for places in (5, 10, 20):
        projections = 4 * places * 6 * 8  # queries, keys, values and the result
        pairs = 2 * places**2 * 8
        expected = projections + pairs
        assert tfgen.count_multiplications(build(places)) == expected


def test_nested_networks_and_shared_layers_count_at_each_use():
    inner = keras.Sequential([layers.Input((6,)), layers.Dense(6), layers.Dense(6)])
    x = layers.Input((6,))
    network = keras.Model(x, inner(inner(layers.Dense(6)(x))))
    assert tfgen.count_multiplications(network) == 5 * 36


def test_only_weights_that_are_trained_have_gradients():
    first, last = layers.Dense(7), layers.Dense(5)
    network = keras.Sequential([layers.Input((6,)), first, last])
    a, b = 6 * 7, 7 * 5
    assert tfgen.count_multiplications(network, training=True) == 2 * a + 3 * b
    first.trainable = False
    assert tfgen.count_multiplications(network, training=True) == a + 2 * b
    last.trainable = False
    assert tfgen.count_multiplications(network, training=True) == a + b


class Squares(layers.Layer):
    """A layer of one's own, with weights."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 5))

    def call(self, x):
        return ops.einsum("...i,ij->...j", x, self.kernel) + ops.matmul(x, self.kernel)


def test_a_layer_of_ones_own_is_counted():
    network = keras.Sequential([layers.Input((3, 4)), Squares()])
    assert tfgen.count_multiplications(network) == 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ab,bc->ac", [(3, 4), (4, 5)]),
        ("...ab,...bc->...ac", [(2, 1, 3, 4), (6, 4, 5)]),
        ("a...b,bc->a...c", [(3, 2, 2, 4), (4, 5)]),
    ],
)
def test_einsum(equation, shapes):
    tensors = [tf.zeros(shape) for shape in shapes]
    operands = [np.zeros(shape) for shape in shapes]
    _, report = np.einsum_path(equation, *operands)
    line = next(line for line in report.splitlines() if "Naive FLOP" in line)
    assert 2 * count_einsum(equation, tensors) == float(line.split(":")[1])
    assert count_einsum("ab->ba", [tf.zeros((3, 4))]) == 0


def test_counting_changes_nothing():
    network = tfgen.build_classifier()
    nodes = len(network.layers[0]._inbound_nodes)
    before = [weight.numpy() for weight in network.weights]
    tfgen.count_multiplications(network, training=True)
    for old, new in zip(before, network.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert len(network.layers[0]._inbound_nodes) == nodes


def test_what_cannot_be_counted_is_told():
    count = tfgen.count_multiplications
    vae = tfgen.VAE(tfgen.build_encoder(width=4), tfgen.build_decoder(width=4))
    with pytest.raises(ValueError, match="A VAE is a model around networks"):
        count(vae)
    with pytest.raises(ValueError, match="must be a keras.Model"):
        count("groceries")
    with pytest.raises(ValueError, match="does not know its input"):
        count(keras.Sequential([layers.Dense(3)]))
    denoiser = tfgen.build_denoiser(width=8, blocks=1)
    for shape in (None, 64, (32,), (32, 0), (32, 32.0), (1, 32, 32, 1)):
        with pytest.raises(ValueError, match="is the height and width of an image"):
            count(denoiser, shape)
    with pytest.raises(ValueError, match=r"takes images of \[32, 32\], not \(64, 64\)"):
        count(tfgen.build_discriminator(width=4), (64, 64))
    loop = keras.Sequential([layers.Input((5, 3)), layers.LSTM(4)])
    with pytest.raises(ValueError, match="in a loop, a branch or a function"):
        count(loop)
    assert count(denoiser, (32, 48, 1)) == count(denoiser, (32, 48)) > 0
