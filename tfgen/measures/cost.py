"""What a network costs: the multiplications of a pass, and of a step of training."""

import math

import keras
import tensorflow as tf

from tfgen.checks import check_built, ends, is_count, require
from tfgen.model import ImageModel

# Which of an operation's inputs, or its output (None), is the kernel; and which tensor
# has a place for each use of the whole kernel.
CONVOLUTIONS = {
    "Conv2D": (1, None),
    "Conv2DBackpropInput": (1, 2),  # a transposed convolution, too
    "Conv2DBackpropFilter": (None, 2),
    "DepthwiseConv2dNative": (1, None),
    "DepthwiseConv2dNativeBackpropInput": (1, 2),
    "DepthwiseConv2dNativeBackpropFilter": (None, 2),
    "Conv3D": (1, None),
    "Conv3DBackpropInputV2": (1, 2),
    "Conv3DBackpropFilterV2": (None, 2),
}
PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}
UNSEEN = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}
UNSEEN |= {"PartitionedCall", "StatefulPartitionedCall", "PyFunc", "EagerPyFunc"}


def count_multiplications(network, image_shape=None, training=False):
    """Count the multiplications with which a network handles one image.

    Those of dense layers, convolutions of all kinds, attention and other products of
    matrices, wherever they are: in nested networks, shared layers (at each use) and
    layers of your own. What is done once for each value, as in activations and
    normalisations, is left out: it is little. A convolution that pads multiplies the
    zeros, too.

    Parameters
    ----------
    network : keras.Model
        One that knows its input; of a model of several networks, such as a `GAN`, give
        each by itself.
    image_shape : tuple of int, optional
        (height, width) of the image, for networks that take any size.
    training : bool
        Count a step of training: the pass, and the gradient of all weights that are
        trained. That is nearly three passes.

    Returns
    -------
    int
        Programs that count floating-point operations (FLOPs) take an addition for each
        multiplication, and give about twice as many.

    Raises
    ------
    ValueError
        Without the size that a network needs, or with another than it takes; or if it
        computes in a loop, a branch or a function of its own, which cannot be looked
        into: recurrent layers do, and convolutions in groups.
    """
    require(
        not isinstance(network, ImageModel),
        f"A {type(network).__name__} is a model around networks, which differ in what "
        "they cost. Count each, such as model.generator or model.network.",
    )
    check_built(network=network)
    inputs = keras.tree.map_structure(
        lambda end: tf.TensorSpec(fill_sides(end.shape, image_shape), end.dtype),
        ends(network)[0],
    )

    @tf.function(autograph=False)
    def compute(inputs):
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=training)
            parts = [tf.reduce_sum(x) for x in keras.tree.flatten(outputs)]
            total = tf.add_n([tf.cast(part, tf.float32) for part in parts])
        if training:
            return total, tape.gradient(total, network.trainable_variables)
        return total

    graph = compute.get_concrete_function(inputs).graph
    return sum(map(count_operation, find_needed(graph.outputs)))


def find_needed(tensors):
    """The operations that tensors depend on; a graph holds others, which never run."""
    needed, waiting = set(), [tensor.op for tensor in tensors if tensor is not None]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
    return needed


def fill_sides(shape, image_shape):
    """The shape of one input of a network with one image, whose sides are given."""
    known = [1, *shape[1:]]
    if None not in known and (image_shape is None or len(known) < 4):
        return known
    require(
        len(known) == 4
        and isinstance(image_shape, tuple | list)
        and len(image_shape) in (2, 3)
        and all(map(is_count, image_shape)),
        "image_shape is the height and width of an image, such as (64, 64), which "
        f"networks that take any size need; got {image_shape}.",
    )
    sides = [*image_shape[:2]]
    require(
        all(own in (None, side) for own, side in zip(known[1:3], sides, strict=True)),
        f"The network takes images of {known[1:3]}, not {image_shape}.",
    )
    return [1, *sides, known[3]]


def count_operation(operation):
    """The multiplications of one operation of a graph; 0 if it is no product."""
    kind, tensors = operation.type, [*operation.inputs]
    require(
        kind not in UNSEEN,
        f"The network computes {operation.name} in a loop, a branch or a function of "
        f"its own ({kind}): what that multiplies cannot be counted.",
    )
    if kind in CONVOLUTIONS:
        kernel, places = (
            operation.outputs[0] if index is None else tensors[index]
            for index in CONVOLUTIONS[kind]
        )
        return size_of(kernel.shape) * size_of(places.shape[:-1])
    if kind in PRODUCTS:
        flag = "transpose_a" if kind == "MatMul" else "adj_x"
        rows = tensors[0].shape[-2 if operation.get_attr(flag) else -1]
        return size_of(operation.outputs[0].shape) * rows
    if kind == "Einsum":
        return count_einsum(operation.get_attr("equation").decode(), tensors)
    return 0


def count_einsum(equation, tensors):
    """One multiplication for each value of all indices together."""
    lengths = {}
    for term, tensor in zip(equation.split("->")[0].split(","), tensors, strict=True):
        before, _, after = term.partition("...")
        free = len(tensor.shape) - len(before) - len(after)
        # Axes of an ellipsis are named from the last on, as they are broadcast.
        letters = [*before, *range(-free, 0), *after]
        for letter, length in zip(letters, tensor.shape, strict=True):
            lengths[letter] = max(lengths.get(letter, 1), length)
    return math.prod(lengths.values()) if len(tensors) > 1 else 0


def size_of(shape):
    require(
        shape.is_fully_defined(),
        "A layer makes a shape that is not known before it runs: what it multiplies "
        "cannot be counted.",
    )
    return math.prod(shape)
