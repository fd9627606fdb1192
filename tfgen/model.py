"""What all models of images share: checks of the data, averages, saving, resuming.

`GAN`, `VAE`, `Restorer` and their kin are `ImageModel`s. Their files hold networks,
losses and training steps; this one holds what surrounds a training step. It needs
Keras 3 on TensorFlow and nothing else: copy it beside the model.
"""

import contextlib
import functools
import inspect
import re
import weakref

import keras
import numpy as np
import tensorflow as tf


class ImageModel(keras.Model):
    """A model that trains on images, float32 in [0, 1].

    `fit` and `evaluate` take arrays or `tf.data.Dataset`s, raise ValueError for images
    of another shape, type or range, and FloatingPointError if a loss stops being
    finite; the step at fault changes no weight. A saved model holds all of its state:
    options, weights, averages, optimizers and random generators.

    A subclass

    - gives ``metric_names``, and ``averaged``, the attributes that hold networks of
      which ``averaged_...`` holds a copy;
    - keeps each argument of its ``__init__`` and its ``compile`` in an attribute of the
      same name, so that they can be saved (as in scikit-learn);
    - makes its optimizers with `prepare` in ``compile``, and passes the one that moves
      the averaged networks to ``super().compile``;
    - writes ``train_step`` and ``test_step``: `check_images` first, `scaled` and
      `finite` around each loss, `average_weights` and `track` last.

    Parameters
    ----------
    image_shape : tuple
        (height, width, channels); None for a side of any length.
    classes : tuple of int
        How many values each label has; empty for images alone.
    average_decay : float
        Decay of the running averages of the weights, in [0, 1); see `move_average`.
    seed : int, optional
        Seed of all that is drawn in training. Without it, Keras' global seed decides.
    """

    metric_names = ()
    averaged = ()

    def __init__(self, image_shape, classes=(), average_decay=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        require(
            0 <= average_decay < 1,
            f"average_decay must be in [0, 1); got {average_decay}.",
        )
        self.image_shape = tuple(image_shape)
        self.classes = classes
        self.average_decay = average_decay
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        self.step_metrics = {
            name: keras.metrics.Mean(name) for name in self.metric_names
        }
        self.built = True  # the networks come built; there is nothing else to build

    # --- For the training step. ---

    def next_seed(self):
        """A seed for `tf.random.stateless_*`: new in each step and on each replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.cast(self.noise.next(), tf.int64) + tf.cast([replica, 0], tf.int64)

    def scaled(self, loss, optimizer):
        """The mean loss as its gradient is to be taken: enlarged where the optimizer
        works around float16, and shared out among replicas, whose gradients add up."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return optimizer.scale_loss(tf.reduce_mean(loss) / replicas)

    def average_weights(self):
        """Move the averaged networks a step towards the trained ones."""
        for name in self.averaged:
            average, network = getattr(self, f"averaged_{name}"), getattr(self, name)
            move_average(
                average, network, self.optimizer.iterations, self.average_decay
            )

    def track(self, **values):
        """Add one batch to the metrics and return their running means."""
        for name, value in values.items():
            self.step_metrics[name].update_state(value)
        return {name: self.step_metrics[name].result() for name in values}

    @property
    def metrics(self):
        return list(self.step_metrics.values())

    # --- Compiling. ---

    def prepare(self, optimizer, *networks):
        """The optimizer, or that of a name such as "adam", built so that a saved state
        finds its place, and scaling its loss where a layer computes in float16."""
        require(
            not any(network.losses for network in networks),
            "Penalties of weights, such as a kernel_regularizer, are not part of the "
            "loss here. Leave them out; AdamW has weight_decay in their place.",
        )
        optimizer = keras.optimizers.get(optimizer)
        halves = any(part.compute_dtype == "float16" for part in self._flatten_layers())
        if halves and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(
            [v for network in networks for v in network.trainable_variables]
        )
        return optimizer

    def compile(self, optimizer, **kwargs):
        name = type(self).__name__
        unused = {"loss", "loss_weights", "metrics", "weighted_metrics"} & set(kwargs)
        require(not unused, f"A {name} has metrics and losses of its own: no {unused}.")
        # XLA drops the checks for values out of range.
        super().compile(optimizer, **{"jit_compile": False, **kwargs})
        for argument in _arguments(type(self), "__init__"):
            require(hasattr(self, argument), f"To be saved, keep it: self.{argument}.")

    # --- Checking the data. ---

    def check_form(self, data):
        """Images and labels of a batch or of its description; ValueError for a shape
        or a type that the networks cannot take."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        name = f"This {type(self).__name__}"
        require(weights is None, f"{name} weighs all images alike: no sample_weight.")
        require(
            labels is None or self.classes,
            f"{name} takes images alone, but the data holds labels too. Drop them: "
            "dataset.map(lambda image, label: image).",
        )
        require(
            hasattr(images, "shape"),
            f"{name} takes images alone, but the data is a {type(images).__name__}. "
            'Take the images out of it: dataset.map(lambda x: x["image"]).',
        )
        sides = zip(self.image_shape, ("height", "width", "channels"), strict=True)
        require(
            fits(images.shape, None, *self.image_shape),
            f"The networks are built for images of shape (n, "
            f"{', '.join(str(side or text) for side, text in sides)}); got "
            f"{images.shape}. Resize the images, load them with "
            f"channels={self.image_shape[-1]}, or build the networks for theirs.",
        )
        require(
            tf.as_dtype(images.dtype).is_floating,
            f"Images must be float32 in [0, 1]; got {tf.as_dtype(images.dtype).name}. "
            "Divide 8-bit images by 255.",
        )
        if self.classes:
            self.check_labels_form(labels)
        return images, labels

    def check_labels_form(self, labels):
        """ValueError for labels of a type or shape that `classes` does not fit."""
        require(
            labels is not None,
            f"This {type(self).__name__} has classes={self.classes} and needs labels "
            "beside the images: load_dataset(..., labels=True) or fit(images, labels).",
        )
        count = len(self.classes)
        right = (
            fits(labels.shape, None, count) or count == 1 and fits(labels.shape, None)
        )
        require(
            right and tf.as_dtype(labels.dtype).is_integer,
            f"With classes={self.classes}, labels are integers of shape "
            f"{'(n,)' if count == 1 else f'(n, {count})'}; got "
            f"{tf.as_dtype(labels.dtype).name} of shape {labels.shape}.",
        )

    def check_labels(self, labels):
        """Labels as (n, k), their range checked."""
        labels = tf.cast(tf.reshape(labels, (-1, len(self.classes))), tf.int64)
        low, high = tf.reduce_min(labels, 0), tf.reduce_max(labels, 0)
        sizes = tf.constant(self.classes, tf.int64)
        right = tf.reduce_all((low >= 0) & (high < sizes))
        return ensure(labels, right, NO_CLASS, sizes, low, high)

    def check_batch(self, data):
        """Images and labels (n, k) of one batch, their form and range checked."""
        images, labels = self.check_form(data)
        images = tf.cast(images, tf.float32)
        low, high = tf.reduce_min(images), tf.reduce_max(images)
        images = ensure(images, (low >= 0) & (high <= 1), OUT_OF_RANGE, low, high)
        if not self.classes:
            return images, None
        labels = self.check_labels(labels)
        with tf.control_dependencies([labels]):  # what needs the images alone waits too
            return tf.identity(images), labels

    def check_images(self, data):
        """The images of one batch, checked."""
        return self.check_batch(data)[0]

    def batches(self, data, size):
        """Batches, of form checked, of an array or a `tf.data.Dataset` of images."""
        data = data if isinstance(data, tf.data.Dataset) else np.asarray(data)
        with self.plain_errors(data):
            if not isinstance(data, tf.data.Dataset):
                data = tf.data.Dataset.from_tensor_slices(data).batch(size)
            batch = None
            for batch in data.rebatch(size):
                yield batch
            require(batch is not None, EMPTY)

    @contextlib.contextmanager
    def plain_errors(self, x=None, y=None, sample_weight=None):
        """Check the form of arrays and datasets first, and replace TensorFlow's report
        of a check that failed in a graph by the check's message."""
        if isinstance(x, tf.data.Dataset):
            self.check_form(x.element_spec)
            require(x.cardinality() != 0, EMPTY)
        elif isinstance(x, np.ndarray | tf.Tensor):
            self.check_form((x, y, sample_weight))
            require(len(x) > 0, EMPTY)
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if NOT_FINITE in str(error):
                raise FloatingPointError(NOT_FINITE + ".") from None
            if found := re.search("<<(.*?)>>", str(error), re.DOTALL):
                raise ValueError(found[1]) from None
            raise

    # --- What Keras asks of a model. ---

    def watchers(self):
        """Callbacks of the model's own for each `fit` and `evaluate`."""
        return []

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        callbacks = [*keras.tree.flatten(callbacks or []), *self.watchers()]
        if isinstance(x, tf.data.Dataset):
            callbacks.append(DataOrder(x))
            kwargs.setdefault("shuffle", False)  # the dataset shuffles itself
        with self.plain_errors(x, y, kwargs.get("sample_weight")):
            return super().fit(x, y, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, *args, callbacks=None, **kwargs):
        # Within `fit`, Keras passes its own list of callbacks.
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), *self.watchers()]
        with self.plain_errors(x, y, kwargs.get("sample_weight")):
            return super().evaluate(x, y, *args, callbacks=callbacks, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        with self.plain_errors(x, y):
            return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        with self.plain_errors(x, y):
            return super().test_on_batch(x, y, *args, **kwargs)

    def get_config(self):
        options = {
            name: _pack(self, name) for name in _arguments(type(self), "__init__")
        }
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        known = {*_arguments(cls, "__init__"), "name", "trainable", "dtype"}
        require(set(config) <= known, OTHER_VERSION.format(cls.__name__))
        return cls(**{name: _unpack(value) for name, value in config.items()})

    def get_compile_config(self):
        if self.compiled:
            names = _arguments(type(self), "compile")
            return {name: _pack(self, name) for name in names}

    def compile_from_config(self, config):
        self.compile(**{name: _unpack(value) for name, value in config.items()})

    def _random_states(self):
        """The states of every random generator, dropout's included: Keras does not
        save them, and a resumed run needs them."""
        states = [v for v in self.variables if v.name == "seed_generator_state"]
        return {f"random_state_{index}": state for index, state in enumerate(states)}

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for name, state in self._random_states().items():
            store[name] = state.numpy()

    def load_own_variables(self, store):
        states = self._random_states()
        known = states.keys() <= set(store.keys())
        require(known, OTHER_VERSION.format(type(self).__name__))
        super().load_own_variables(
            {k: store[k] for k in store.keys() if k not in states}
        )
        for name, state in states.items():
            state.assign(store[name])


# --- Networks ---------------------------------------------------------------


def copy_of(network):
    """A network with the same layers and weights that is not trained."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def move_average(average, network, step, decay):
    """Move the weights of one network towards those of another, by ``1 - decay`` of the
    way; further in the first steps, so that the average spans their last tenth."""
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(decay, step / (10 + step))
    for mean, weight in zip(average.weights, network.weights, strict=True):
        mean.assign_add((1 - decay) * (weight - mean))


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


# --- Checks -----------------------------------------------------------------

OUT_OF_RANGE = (
    "Images must be float32 in [0, 1]; this batch runs from {} to {}. Divide "
    "8-bit images by 255; bring images in [-1, 1] back with (images + 1) / 2."
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
EMPTY = "There is no image: at least one is needed."


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


def class_counts(classes):
    """How many values each label has, as a tuple; ValueError for fewer than 2."""
    sizes = (classes,) if np.ndim(classes) == 0 else tuple(classes)
    require(
        all(is_count(size) and size > 1 for size in sizes),
        "classes is the number of values of the label, at least 2, or a tuple of such "
        f"numbers; got {classes!r}.",
    )
    return sizes


def check_built(**networks):
    """ValueError for a network that does not know the shape of its input."""
    for name, network in networks.items():
        require(
            network.built,
            f"The {name} does not know its input yet: begin it with "
            "keras.Input(shape).",
        )


def fits(shape, *expected):
    """Whether a shape may be the expected one; None stands for any length."""
    return tf.TensorShape(shape).is_compatible_with(expected)


def ensure(tensor, condition, message, *values):
    """The tensor, if a condition holds that the graph finds out; else the message, with
    the values in place of each {}, as the ValueError of `ImageModel.plain_errors`."""
    message = tf.strings.format(f"<<{message}>>", values)
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(tensor)


def finite(loss):
    """The loss, or an error that stops training if it is not finite."""
    return tf.debugging.check_numerics(loss, NOT_FINITE)


# --- Saving and resuming ----------------------------------------------------


def _arguments(cls, method):
    """Names of the arguments of a method, through the classes up to `ImageModel`."""
    names = []
    for part in cls.__mro__[: cls.__mro__.index(ImageModel)]:
        if method in vars(part):
            spec = inspect.getfullargspec(vars(part)[method])
            names += spec.args[1:] + spec.kwonlyargs
    return names


def _pack(model, name):
    """An argument as Keras saves it; a partial function as its parts."""
    value, keywords = getattr(model, name), None
    if isinstance(value, functools.partial):
        value, keywords = value.func, value.keywords
    value = keras.saving.serialize_keras_object(value)
    return value if keywords is None else {"function": value, "keywords": keywords}


def _unpack(value):
    if isinstance(value, dict) and "keywords" in value:
        return functools.partial(_unpack(value["function"]), **value["keywords"])
    return keras.saving.deserialize_keras_object(value)


class DataOrder(keras.callbacks.Callback):
    """Start a resumed run where the shuffling of the data had arrived.

    A dataset that reshuffles counts how often an iterator was made. A new
    process begins at 0, so those of the epochs already trained are made again.
    """

    made = weakref.WeakKeyDictionary()

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset
        # Keras makes a second one after an epoch whose length it knows.
        self.per_epoch = 2 if dataset.cardinality() > 0 else 1

    def on_epoch_begin(self, epoch, logs=None):
        made = self.made.get(self.dataset, 0)
        for _ in range(made, epoch * self.per_epoch):
            iter(self.dataset)
            made += 1
        self.made[self.dataset] = made + self.per_epoch
