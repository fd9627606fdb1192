"""Common faults of image networks, found by running random inputs through them."""

import contextlib
from collections import namedtuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .checks import ends, fits, output_range, require

Finding = namedtuple("Finding", ["fault", "cure"])
PAIRS = ("generator", "discriminator"), ("encoder", "decoder"), ("network",)
SHAPERS = layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax


def diagnose(model, data, loss=None):
    """Look for common faults in networks of your own.

    Parameters
    ----------
    model : keras.Model, or pair of them
        A network; (generator, discriminator); (encoder, decoder); or a model that has
        such a pair as attributes of these names. It is not trained.
    data : array (n, height, width, channels)
        Images on the scale that the networks are trained on: shape and range count.
    loss : callable or str, optional
        Of (targets, output); by default what the last network is compiled with.

    Returns
    -------
    list of Finding
        Named tuples (fault, cure) of strings. An empty one proves no health.
    """
    images = np.asarray(data)
    require(images.ndim == 4, "data: images (n, height, width, channels) are needed.")
    networks, rules = find_networks(model), [look_at_images(images)]
    for name, network in networks.items():
        if not getattr(network, "outputs", None):
            cure = "Begin it with keras.Input(shape)."
            return [Finding(f"The {name} does not know its input.", cure)]
        rules += [look_at_layers(name, network), look_at_gradients(name, network)]
        rules.append(look_at_range(name, network, images))
    rules.append(look_at_shapes(networks, images, getattr(model, "classes", ())))
    loss = loss or getattr(model, "loss", None) or getattr(network, "loss", None)
    if isinstance(loss, str) or callable(loss):
        rules.append(look_at_loss(network, keras.losses.get(loss)))
    return [Finding(*finding) for rule in rules for finding in rule]


def find_networks(model):
    if isinstance(model, tuple | list):
        one, two = (shape_of((getattr(x, "inputs", None) or [x])[0]) for x in model)
        coder = len(one) == 3 and one[2:] != two[2:]  # the other judges no such images
        return dict(zip(PAIRS[coder], model, strict=True))
    for names in PAIRS:
        if all(isinstance(getattr(model, name, None), keras.Model) for name in names):
            return {name: getattr(model, name) for name in names}
    parts = [part for part in model.layers if isinstance(part, keras.Model)]
    return find_networks(parts) if len(parts) == 2 else {"network": model}


def look_at_images(images):
    if images.dtype.kind != "f" or not (np.abs(images) <= 5).all():
        fault = f"{images.dtype} images, from {images.min():.3g} to {images.max():.3g}."
        yield fault, "Divide bytes by np.float32(255); where NaN, look for 0 / 0."


def shape_of(end):
    """The shape of a network's only input or output, or of its image; else ()."""
    end = end.get("image") if isinstance(end, dict) else end
    return tuple(getattr(end, "shape", ())[1:])


def look_at_shapes(networks, images, classes):
    shapes = {name: [*map(shape_of, ends(x))] for name, x in networks.items()}
    for name, shape in shapes.items():
        side = shape[name in ("generator", "decoder")]
        if len(side) == 3 and not fits(images.shape[1:], *side):
            fault = f"The {name} is for images of {side}, these are {images.shape[1:]}."
            yield fault, "Resize them, or follow the side through the strides."
    (_, made), *_, (taken, judged) = *shapes.values(), *shapes.values()
    if "generator" in shapes and judged not in ((1,), (int(np.sum(classes)),)):
        fault = f"The discriminator ends in {judged}, not in one number an image."
        yield fault, "End it in Flatten and Dense(1), unless it shall judge patches."
    if "encoder" in shapes and len(made) == len(taken) == 1 and made != (2 * taken[0],):
        fault = f"The encoder gives {made[0]} numbers, the decoder takes {taken[0]}."
        yield fault, "For a VAE: 2 * latent_dim, means and log variances; then a draw."


def look_at_range(name, network, images):
    """Whether the last activation reaches the images, and nothing else."""
    shape = shape_of(ends(network)[1])
    if name in ("generator", "decoder") or shape == images.shape[1:]:
        low, high = output_range(network)
        if low >= 0 > images.min() + 0.01:
            yield f"The {name} gives no values below 0.", "End in tanh, or use [0, 1]."
        if -1 <= low < -0.5 and high <= 1 and images.min() >= 0:
            yield f"The {name} gives [-1, 1], not [0, 1].", "Use a sigmoid, or [-1, 1]."


def look_at_layers(name, network):
    def shaper(layer):
        own = getattr(getattr(layer, "activation", None), "__name__", "linear")
        return type(layer).__name__ if isinstance(layer, SHAPERS) else own

    for layer in network._flatten_layers():
        if isinstance(layer, (*SHAPERS, layers.Activation)) and layer._inbound_nodes:
            before = layer._inbound_nodes[0].input_tensors[0]._keras_history.operation
            if "linear" not in (shaper(layer), shaper(before)):
                fault = f"In the {name}, {layer.name} follows a {shaper(before)}."
                yield fault, f"Leave one out, such as that of {before.name}."


def look_at_gradients(name, network):
    rng, variables = np.random.default_rng(0), network.trainable_variables
    inputs = keras.tree.map_structure(
        lambda x: rng.random([2, *(side or 64 for side in x.shape[1:])], np.float32),
        ends(network)[0],
    )
    own = [variable.numpy() for variable in variables]
    try:
        for variable in variables:  # a layer that begins at zero stops all before it
            variable.assign_add(rng.normal(0, 0.01, variable.shape))
        with tf.GradientTape() as tape:
            outputs = [tf.cast(x, "float32") for x in tf.nest.flatten(network(inputs))]
            total = sum(tf.reduce_sum(x * rng.random(x.shape)) for x in outputs)
        gradients = tape.gradient(total, variables)
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
    pairs = zip(variables, gradients, strict=True)
    if dead := [v.path for v, g in pairs if g is None or not np.any(g)]:
        fault = f"In the {name}, no gradient reaches {', '.join(dead)}."
        yield fault, "Look for tf.round, argmax or .numpy(), dead ReLUs, a flat end."


def look_at_loss(network, loss):
    """Whether a cross-entropy takes what the last layer gives."""
    low, high = output_range(network, draws=24)
    ones = np.ones([2, *(side or 8 for side in shape_of(ends(network)[1]))], "float32")
    probability = low >= 0 and high <= 1
    with contextlib.suppress(Exception):  # a loss of other targets
        even = (0.5 - probability / 2) * ones
        costs = [np.mean(loss(target * ones, even)) for target in (0, 1)]
        if np.allclose(costs, np.log(2)) and probability:
            yield "The loss takes logits, but gets [0, 1].", "Leave the sigmoid out."
        elif np.allclose(costs, np.log(2)):
            yield "The loss takes probabilities, gets others.", "Say from_logits=True."
