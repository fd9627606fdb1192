"""Checks of what models are given, each a ValueError in plain words.

It needs Keras 3 on TensorFlow and nothing else; `model.py` stands on it.
"""

import math
import operator
import os
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

# --- What the messages say --------------------------------------------------

OPTIONS = {"auto_scale_loss", "jit_compile", "run_eagerly", "steps_per_execution"}
NO_WEIGHTS = "weighs all images alike: no sample_weight, no class_weight."
OUT_OF_RANGE = (
    "Images must be float32 in [0, 1]; this batch runs from {} to {}. Divide "
    "8-bit images by 255; bring images in [-1, 1] back with (images + 1) / 2."
)
SIZE = (
    "The networks are built for images of {}; this batch has images of {}. Resize the "
    "images, or build the networks for theirs."
)
NO_CLASS = (
    "With classes={}, labels must be from 0 to one less; this batch runs from {} to {}."
)
NOT_FINITE = (
    "A loss is no longer finite; this step changed no weight. Try lower learning "
    "rates, a larger batch, or float32 in place of mixed_float16"
)
OTHER_VERSION = (
    "This {} was saved by another version of its class. Load it with that version and "
    "save the weights of its networks: model.network.save_weights(...) for each."
)
NO_XLA = "XLA cannot compile {}, which this step computes: leave out jit_compile=True."
EMPTY = "There is no image: at least one is needed."
ONE_SIZE = (
    "A list holds images of one size, to form one array: resize them, then "
    "np.stack(images). Labels are given beside it."
)


# --- Arguments --------------------------------------------------------------


def require(condition, message):
    """Raise ValueError with this message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def is_count(value):
    """Whether a value is a whole number from 1."""
    return isinstance(value, int | np.integer) and value is not True and value > 0


def check_counts(**counts):
    """ValueError for a number that is not a whole one from 1."""
    for name, value in counts.items():
        require(
            is_count(value),
            f"{name} must be a whole number, 1 or more; got {name}={value!r}.",
        )


def check_seed(seed):
    """A seed as an integer of Python, or the tensor of a graph or None that it is;
    ValueError for anything but a whole number from 0 on."""
    if seed is None or tf.is_tensor(seed) and not tf.executing_eagerly():
        return seed
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    require(
        0 <= number < 2**63,
        f"A seed is a whole number, 0 or more, below 2**63; got {seed!r}.",
    )
    return number


def class_counts(classes):
    """How many values each label has, as a tuple; ValueError for fewer than 2."""
    sizes = (classes,) if np.ndim(classes) == 0 else tuple(classes)
    require(
        all(is_count(size) and size > 1 for size in sizes),
        "classes is the number of values of the label, at least 2, or a tuple of such "
        f"numbers; got {classes!r}.",
    )
    return sizes


def _halvings(height, width):
    """How often both sides are halved to leave at most 8 pixels; None if they
    cannot be."""
    count = 1
    while max(height, width) > 8 * 2**count:
        count += 1
    unit = 2**count
    return None if min(height, width) < 4 or height % unit or width % unit else count


def check_sizes(image_shape, **others):
    """The number of halvings, or ValueError for a size that cannot be built: both sides
    are multiples of 2 if the longer one has up to 16 pixels, of 4 up to 32, of 8 up to
    64, and so on."""
    sizes = (*image_shape, *others.values()) if np.ndim(image_shape) == 1 else ()
    require(
        len(sizes) == 3 + len(others) and all(is_count(size) for size in sizes),
        f"image_shape must be (height, width, channels), such as (32, 32, 1), and all "
        f"sizes at least 1; got image_shape={image_shape}, {others}.",
    )
    height, width, _ = image_shape
    if count := _halvings(height, width):
        return count
    candidates = {
        (h + up, w + right)
        for unit in (2**k for k in range(1, 14))
        for h, w in [(height // unit * unit, width // unit * unit)]
        for up in (0, unit)
        for right in (0, unit)
        if _halvings(h + up, w + right)
        and (h + up == w + right or height != width)  # a square has square neighbours
    }
    (a, b), (c, d), *_ = sorted(
        candidates, key=lambda size: abs(size[0] - height) + abs(size[1] - width)
    )
    raise ValueError(
        f"The networks halve both sides of an image until at most 8 pixels are left, "
        f"and {height}x{width} does not come out even. The nearest sizes that work "
        f"are {a}x{b} and {c}x{d}."
    )


def check_optimizer(optimizer, variables):
    """The optimizer, or that of a name; ValueError for what is none, or trains other
    variables."""
    try:
        optimizer = keras.optimizers.get(optimizer)
    except ValueError:
        optimizer = None
    require(
        optimizer is not None,
        "An optimizer is one of keras.optimizers, such as Adam(1e-3), or the name of "
        "one, such as 'adam'; this one is neither.",
    )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    trains = inner._trainable_variables if inner.built else variables
    require(
        list(map(id, trains)) == list(map(id, variables)),
        f"This {inner.name} optimizer trains other networks already, or these before "
        "some were frozen. Give each network, and each model, an optimizer of its own.",
    )
    require(
        not inner.use_ema,
        "The model averages its weights itself: average_decay in place of use_ema.",
    )
    return optimizer


def check_callbacks(callbacks):
    """ValueError for a callback that cannot work with averages."""
    swap = any(isinstance(one, keras.callbacks.SwapEMAWeights) for one in callbacks)
    require(
        not swap,
        "SwapEMAWeights exchanges weights for an average that the optimizer keeps; "
        "this model keeps one itself, and evaluates it. Leave the callback out.",
    )


# --- Data -------------------------------------------------------------------


def as_data(data):
    """Data as Keras takes it, lists of numbers as arrays; ValueError for what can be no
    data."""
    if isinstance(data, list | tuple):
        require(len(data) > 0, EMPTY)
        try:
            data = np.asarray(data)
        except ValueError:
            raise ValueError(ONE_SIZE) from None
        data = data if data.dtype.kind not in "US" else str(data.flat[0])
    if isinstance(data, str | bytes | os.PathLike):
        raise ValueError(
            "Data is an array or a tf.data.Dataset; got the name "
            f"{os.fsdecode(data)!r}. Load its images first: "
            f"load_dataset({os.fsdecode(data)!r})."
        )
    if isinstance(data, Iterator):  # Keras wants tuples of it
        return (batch if isinstance(batch, tuple) else (batch,) for batch in data)
    kind = type(data).__name__
    bare = hasattr(data, "shape") and not hasattr(data, "dtype")
    bare = (bare or hasattr(data, "__array__")) and not isinstance(data, type)
    if bare and not tf.is_tensor(data):
        data = np.asarray(data)
        require(data.dtype != object, ONE_SIZE)
    readable = hasattr(data, "__iter__") or hasattr(data, "__getitem__")
    require(
        readable and not isinstance(data, set | type),
        "Data is an array or a tf.data.Dataset, such as load_dataset returns; got "
        f"{None if data is None else kind}.",
    )
    return data


def as_labels(labels):
    """Labels as an array or tensor; ValueError for what can be none."""
    try:
        labels = labels if tf.is_tensor(labels) else np.asarray(labels)
    except ValueError:
        labels = np.array(None)
    require(
        tf.is_tensor(labels) or labels.dtype != object,
        "Labels form one array of integers. Those of a tf.data.Dataset go with its "
        "images: tf.data.Dataset.zip(images, labels).",
    )
    return labels


def look_at(data, check):
    """Check the form of data where it is known before they are read."""
    if isinstance(data, tf.data.Dataset):
        check(data.element_spec)
        require(data.cardinality() != 0, EMPTY)
    elif hasattr(data, "shape") or isinstance(data, Mapping):
        check(data)
        require(all(len(part) for part in keras.tree.flatten(data)), EMPTY)


def fits(shape, *expected):
    """Whether a shape may be the expected one; None stands for any length."""
    return tf.TensorShape(shape).is_compatible_with(expected)


def ensure(tensor, condition, message, *values):
    """The tensor, if a condition holds that the graph finds out; else the message, with
    the values in place of each {}, as the ValueError of `ImageModel.plain_errors`."""
    if tf.executing_eagerly():
        require(condition, message.format(*values))
        return tensor
    # No message is put together in the graph: XLA, which drops assertions, cannot.
    data = [f"<<{message}>>", *values]
    with tf.control_dependencies([tf.debugging.Assert(condition, data, summarize=-1)]):
        return tf.identity(tensor)


def finite(loss):
    """The loss, or an error that stops training if it is not finite."""
    return tf.debugging.check_numerics(loss, NOT_FINITE)


# --- Networks ---------------------------------------------------------------


def check_built(**networks):
    """ValueError for what is no network, one that does not know its input, or one that
    other settings of Keras have built than `usual_settings`."""
    for name, network in networks.items():
        kind = type(network).__name__
        given = getattr(network, "__qualname__", None) or repr(network)
        require(
            isinstance(network, keras.Model),
            f"The {name} must be a keras.Model, such as keras.Sequential([keras.Input("
            f"shape), ...]); got the {kind} {given:.60}.",
        )
        require(
            getattr(network, "outputs", None),
            f"The {name} does not know its input yet: begin it with "
            "keras.Input(shape). A model of a class of your own goes into "
            "keras.Sequential([keras.Input(shape), model]).",
        )
        check_usual(name, network)


def check_usual(name, network):
    """ValueError for a network that other settings of Keras have built than the usual
    ones: its weights are no float32, or it takes the channels first."""
    layouts = [getattr(part, "data_format", None) for part in network._flatten_layers()]
    require(
        "channels_first" not in layouts,
        f"A layer of the {name} has data_format='channels_first', but images are (n, "
        "height, width, channels). Set image_data_format to channels_last in "
        "keras.json, or keras.config.set_image_data_format('channels_last') first.",
    )
    types = {weight.dtype for weight in network.trainable_weights} - {"float32"}
    require(
        not types,
        f"The weights of the {name} must be float32; got {', '.join(sorted(types))}. "
        "Set floatx to float32 in keras.json, or keras.config.set_dtype_policy("
        "'float32') first; 'mixed_float16' computes in 16 bits with such weights.",
    )


def check_single(**networks):
    """ValueError for networks other than from one tensor of floats to one tensor."""
    check_built(**networks)
    for name, network in networks.items():
        plain = all(
            not isinstance(end, dict) and len(keras.tree.flatten(end)) == 1
            for end in ends(network)
        )
        require(plain, f"The {name} must take one tensor and give one tensor.")
        dtype = network.inputs[0].dtype
        require(
            tf.as_dtype(dtype).is_floating,
            f"The {name} would round what it is given to {dtype}: begin it with "
            "keras.Input(shape), which takes floats.",
        )


def ends(network):
    """What a network takes and what it gives: Keras' symbolic tensors, or a structure
    of them."""
    network = getattr(network, "_functional", network)  # that of a Sequential
    return network.input, network.output


def check_logits(**networks):
    """ValueError for networks with an activation at their end, such as a sigmoid, tanh
    or softmax, that keeps the output in [-1, 1] or at one sign."""
    for name, network in networks.items():
        low, high = output_range(network, draws=24)
        bounded = low >= 0 or high <= 0 or (low >= -1 and high <= 1)
        require(
            not bounded,
            f"The {name} must give numbers of any sign and size, such as logits, but "
            f"with whatever weights, it gave {low:.3g} to {high:.3g}. Leave the "
            "activation at its end out.",
        )


def output_range(network, draws=2):
    """The lowest and the highest output of a network with large random weights: what
    its last activation lets through. Afterwards it has its own weights again."""
    rng = np.random.default_rng(0)
    inputs = keras.tree.map_structure(
        lambda x: rng.random([2, *(side or 64 for side in x.shape[1:])], np.float32),
        ends(network)[0],
    )
    variables = network.trainable_variables
    own = [variable.numpy() for variable in variables]
    low, high = (np.inf, -np.inf) if variables else (np.nan, np.nan)
    try:
        for _ in range(draws):
            if low < -1 and high > 1:
                break
            for variable in variables:
                scale = 8 / math.sqrt(math.prod(variable.shape[:-1]))
                variable.assign(rng.normal(0, scale, variable.shape))
            output = np.asarray(network(inputs), np.float32)
            low, high = np.minimum(low, output.min()), np.maximum(high, output.max())
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
    return low, high
