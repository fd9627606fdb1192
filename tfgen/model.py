"""What all models of images share: checks of the data, averages, saving, resuming.

`GAN`, `VAE`, `Restorer` and their kin are `ImageModel`s. Their files hold networks,
losses and training steps; this one holds what surrounds a training step. It needs
Keras 3 on TensorFlow, `checks.py` and `saving.py`: copy the three beside the model.
"""

import contextlib
import functools
import inspect
import re
import weakref
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from .checks import (
    EMPTY,
    NO_CLASS,
    NO_WEIGHTS,
    NO_XLA,
    NOT_FINITE,
    OPTIONS,
    OTHER_VERSION,
    OUT_OF_RANGE,
    SIZE,
    as_data,
    as_labels,
    check_callbacks,
    check_optimizer,
    check_seed,
    ends,
    ensure,
    fits,
    look_at,
    require,
)
from .saving import load_value, save_value


class ImageModel(keras.Model):
    """A model that trains on images, float32 in [0, 1].

    `fit` and `evaluate` take arrays or `tf.data.Dataset`s, raise ValueError for images
    of another shape, type or range, and FloatingPointError if a loss stops being
    finite; the step at fault changes no weight. A saved model holds all of its state:
    options, weights, averages, optimizers and random generators. Another process loads
    it after ``import tfgen`` with ``keras.saving.load_model("model.keras")``. Functions
    and classes of your own are found there if they are registered with
    `keras.saving.register_keras_serializable`; saving warns of those that are not.

    The averaged copy of a network is the one that is evaluated and used. Where anything
    but training changes the network itself, such as ``load_weights``, ``set_weights``
    or another model that trains it, the average starts anew from its weights.

    Of two optimizers, ``optimizer`` is the one that callbacks find. Where they change
    its learning rate, the other rate keeps its proportion, unless it is changed as well
    or is a schedule.

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
        super().__init__(**{"dtype": "float32", **kwargs})  # its networks have theirs
        vars(self).update(_left={}, _shares={}, _training=False)  # not for Keras
        require(
            0 <= average_decay < 1,
            f"average_decay must be in [0, 1); got {average_decay}.",
        )
        self.image_shape = tuple(image_shape)
        self.classes = classes
        self.average_decay = average_decay
        self.seed = check_seed(seed)
        self.noise = keras.random.SeedGenerator(self.seed)
        self.step_metrics = {
            name: keras.metrics.Mean(name, dtype="float32")
            for name in self.metric_names
        }
        self.built = True  # the networks come built; there is nothing else to build

    # --- Averages, and what else than training changes a network. ---

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in cls.averaged:
            setattr(cls, f"averaged_{name}", _averaged(name))

    def refresh_averages(self):
        """Start the average of each network anew that something else than training has
        changed, if it has not changed the average too. Whatever reads an average, saves
        it or trains on does this by itself."""
        if not tf.executing_eagerly() or self._training:
            return
        for name, (network_left, average_left) in self._left.items():
            network, average = getattr(self, name), vars(self)[f"averaged_{name}"]
            if not _has(network, network_left):
                if _has(average, average_left):
                    average.set_weights(network.get_weights())
                self._leave(name)  # a file is loaded part by part, averages first

    def _leave(self, *names):
        """Remember the weights of networks and of their averages as they are now."""
        for name in names:
            networks = getattr(self, name), vars(self)[f"averaged_{name}"]
            self._left[name] = [_values(network) for network in networks]

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=True)
        train = self.train_function

        def train_function(iterator):
            self.refresh_averages()
            self.share_rate()
            self._training = True
            try:
                return train(iterator)
            finally:
                self._training = False
                self._leave(*self._left)

        self.train_function = train_function

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            super().make_test_function(force=True)
            self.test_function = self._refreshed(self.test_function)

    def make_predict_function(self, force=False):
        if self.predict_function is None or force:
            super().make_predict_function(force=True)
            self.predict_function = self._refreshed(self.predict_function)
        return self.predict_function

    def _refreshed(self, function):
        def refresh_and_run(data):
            self.refresh_averages()
            return function(data)

        return refresh_and_run

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
            average, network = vars(self)[f"averaged_{name}"], getattr(self, name)
            for weight in network.weights:
                require(
                    tf.as_dtype(weight.dtype).is_floating,
                    f"Of the {name}, {weight.path} is {weight.dtype}, which has no "
                    "average. Give Normalization(mean=..., variance=...) in place of "
                    "adapt, and quantize after training.",
                )
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
        variables = [v for network in networks for v in network.trainable_variables]
        optimizer = check_optimizer(optimizer, variables)
        around = keras.Model, keras.layers.InputLayer  # of the policy while loading
        parts = [p for p in self._flatten_layers() if not isinstance(p, around)]
        halves = any(part.compute_dtype == "float16" for part in parts)
        if halves and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(variables)
        return optimizer

    def compile(self, optimizer, /, **kwargs):
        """What Keras' own `compile` takes, but for losses and metrics.

        With ``jit_compile=True`` XLA leaves out what looks at values: the range of
        images and labels, and whether a loss is finite. Bad images then train, and a
        diverged loss spoils the weights; run ``evaluate`` without it first. Shapes and
        types are checked all the same, and what XLA cannot compile is a ValueError.
        """
        name = type(self).__name__
        unused = {"loss", "loss_weights", "metrics", "weighted_metrics"} & set(kwargs)
        unused = ", ".join(sorted(unused))
        require(not unused, f"A {name} has metrics and losses of its own: no {unused}.")
        if unknown := ", ".join(sorted(set(kwargs) - OPTIONS)):
            own = dict.fromkeys(_arguments(type(self), "compile"))
            known = ", ".join([*own, *sorted(OPTIONS)])
            raise TypeError(f"{name}.compile takes {known}; got {unknown}.")
        super().compile(optimizer, **{"jit_compile": False, **kwargs})
        for argument in _arguments(type(self), "__init__"):
            require(hasattr(self, argument), f"To be saved, keep it: self.{argument}.")
        self._rate = _rate(optimizer)
        self._shares.clear()
        for name, other in vars(self).items():
            if isinstance(other, keras.optimizers.Optimizer) and other is not optimizer:
                if _is_fixed(optimizer) and _is_fixed(other):
                    self._shares[name] = _rate(other), _share(other, optimizer)

    def share_rate(self):
        """Change the other rates by as much as something has changed the first."""
        for name, (left, share) in self._shares.items():
            rate, other = _rate(self.optimizer), getattr(self, name)
            if _rate(other) != left or share is None:  # changed by itself
                share = _share(other, self.optimizer)
            elif rate != self._rate:
                other.learning_rate = rate * share
            self._shares[name] = _rate(other), share
            self._rate = rate

    # --- Checking the data. ---

    def check_form(self, data):
        """Images and labels of a batch or of its description; ValueError for a shape
        or a type that the networks cannot take."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        name = f"This {type(self).__name__}"
        require(weights is None, f"{name} {NO_WEIGHTS}")
        require(
            labels is None or self.classes,
            f"{name} takes images alone, but the data holds labels too. Leave them "
            "out: fit(images), or dataset.map(lambda image, label: image).",
        )
        wanted = 'x["image"]', "images alone"
        if self.classes:
            wanted = '(x["image"], x["label"])', "images and labels"
        require(
            hasattr(images, "shape"),
            f"{name} takes {wanted[1]}, but the data is a {type(images).__name__}. "
            f"Take the images out of it: dataset.map(lambda x: {wanted[0]}).",
        )
        require(
            tf.TensorShape(images.shape).rank is not None,
            "The dataset does not tell the shape of its images: give "
            "tf.data.Dataset.from_generator an output_signature with one.",
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
        hint = ""
        if fits(labels.shape, None, sum(self.classes)) and count == 1:
            hint = " One-hot labels become integers with np.argmax(labels, axis=-1)."
        require(
            right and tf.as_dtype(labels.dtype).is_integer,
            f"With classes={self.classes}, labels are integers of shape "
            f"{'(n,)' if count == 1 else f'(n, {count})'}; got "
            f"{tf.as_dtype(labels.dtype).name} of shape {labels.shape}.{hint}",
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
        images = ensure(images, tf.size(images) > 0, EMPTY)
        if None in images.shape[1:] and None not in self.image_shape:
            sizes = tf.constant(self.image_shape), tf.shape(images)[1:]
            images = ensure(images, tf.reduce_all(sizes[0] == sizes[1]), SIZE, *sizes)
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
        data, _ = self.ready(self.check_form, data)
        require(
            isinstance(data, tf.data.Dataset) or hasattr(data, "shape"),
            f"An array or a tf.data.Dataset is needed here; got {type(data).__name__}.",
        )
        with self.plain_errors():
            if not isinstance(data, tf.data.Dataset):
                data = tf.data.Dataset.from_tensor_slices(data).batch(size)
            batch = None
            for batch in data.rebatch(size):
                yield batch
            require(batch is not None, EMPTY)

    @contextlib.contextmanager
    def plain_errors(self):
        """Replace TensorFlow's report of a check that failed in a graph by the check's
        message."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if NOT_FINITE in str(error):
                raise FloatingPointError(NOT_FINITE + ".") from None
            if found := re.search("<<(.*?)>>(]?)(.*)", str(error), re.DOTALL):
                text, of_ensure, rest = found.groups()
                values = re.findall(r"\[([^][]*)\]", rest)
                text = text.format(*values) if of_ensure else text
                raise ValueError(text) from None
            if found := re.search(
                r"No registered '(\w+)' OpKernel for XLA", str(error)
            ):
                raise ValueError(NO_XLA.format(found[1])) from None
            raise

    def check_held_out(self, data):
        """As `check_form`, for images to evaluate on."""
        return self.check_form(data)

    def ready(self, check, x, y=None, sample_weight=None, class_weight=None):
        """Images and labels as Keras takes them, their form checked where it is known
        before they are read."""
        weighed = sample_weight is not None or class_weight is not None
        require(not weighed, f"This {type(self).__name__} {NO_WEIGHTS}")
        require(
            not isinstance(x, tuple),
            "The first argument is a tuple. Give the images as one array, and labels, "
            "if the model has classes, beside them: fit(images, labels).",
        )
        x = as_data(x)
        y = y if y is None else as_labels(y)
        look_at(x, lambda x: check(x if y is None else (x, y)))
        return x, y

    def ready_to_validate(self, data):
        """As `ready`, for what `fit` takes as ``validation_data``."""
        if not isinstance(data, tuple):
            return self.ready(self.check_held_out, data)[0]
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        return self.ready(self.check_held_out, x, y, weights)

    # --- What Keras asks of a model. ---

    def watchers(self):
        """Callbacks of the model's own for each `fit` and `evaluate`."""
        return [AnyImage()]

    def fit(self, x=None, y=None, *args, **kwargs):
        given = _bound(keras.Model.fit, self, x, y, *args, **kwargs)
        callbacks = [*keras.tree.flatten(given.pop("callbacks", None) or [])]
        check_callbacks(callbacks)
        weights = given.pop("sample_weight", None), given.pop("class_weight", None)
        x, y = self.ready(self.check_form, given.pop("x"), given.pop("y"), *weights)
        if given.get("validation_data") is not None:
            given["validation_data"] = self.ready_to_validate(given["validation_data"])
        callbacks += self.watchers()
        if isinstance(x, tf.data.Dataset):
            callbacks.append(DataOrder(x))
        if isinstance(x, tf.data.Dataset | Iterator):
            given.setdefault("shuffle", False)  # it shuffles itself
        with self.plain_errors():
            history = super().fit(x, y, callbacks=callbacks, **given)
        self.share_rate()
        return history

    def evaluate(self, x=None, y=None, *args, **kwargs):
        given = _bound(keras.Model.evaluate, self, x, y, *args, **kwargs)
        callbacks = given.pop("callbacks", None)
        # Within `fit`, Keras passes its own list of callbacks, and data that are ready.
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), *self.watchers()]
            data = given["x"], given["y"], given.pop("sample_weight", None)
            given["x"], given["y"] = self.ready(self.check_held_out, *data)
        with self.plain_errors():
            return super().evaluate(callbacks=callbacks, **given)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        given = _bound(keras.Model.train_on_batch, self, x, y, *args, **kwargs)
        weights = given.pop("sample_weight", None), given.pop("class_weight", None)
        x, y = self.ready(self.check_form, given.pop("x"), given.pop("y"), *weights)
        with self.plain_errors():
            return super().train_on_batch(x, y, **given)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        given = _bound(keras.Model.test_on_batch, self, x, y, *args, **kwargs)
        data = given.pop("x"), given.pop("y"), given.pop("sample_weight", None)
        x, y = self.ready(self.check_held_out, *data)
        with self.plain_errors():
            return super().test_on_batch(x, y, **given)

    def check_inputs(self, inputs):
        """ValueError for a shape or a type that the model cannot be called with."""

    def __call__(self, inputs, *args, **kwargs):
        with self.plain_errors():
            self.check_inputs(inputs)
            return super().__call__(inputs, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        look_at(x := as_data(x), self.check_inputs)
        with self.plain_errors():
            return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x):
        look_at(x := as_data(x), self.check_inputs)
        with self.plain_errors():
            return super().predict_on_batch(x)

    @property
    def input_shape(self):
        """The shape of what a call takes: one, or a dictionary of them."""
        return keras.tree.map_structure(lambda x: x.shape, self.call_ends()[0])

    @property
    def output_shape(self):
        """The shape of what a call gives."""
        return self.call_ends()[1].shape

    def call_ends(self):
        """What a call takes and what it gives, as Keras' symbolic tensors."""
        first, *_, last = [getattr(self, f"averaged_{x}") for x in self.averaged] * 2
        return ends(first)[0], ends(last)[1]

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Write what a call of the model computes for programs without Keras; see
        `keras.Model.export`."""
        signature = input_signature or [
            keras.tree.map_structure(
                lambda x: keras.InputSpec(x.dtype, (None, *x.shape[1:]), name=x.name),
                self.call_ends()[0],
            )
        ]
        super().export(filepath, format, verbose, signature, **kwargs)

    def save(self, filepath, *args, **kwargs):
        """Save all of the model's state in a file that ends in ``.keras``."""
        require(
            not str(filepath).endswith((".h5", ".hdf5")),
            f"A {type(self).__name__} cannot be saved as {filepath}: end the name in "
            ".keras, or save its weights alone with save_weights('....weights.h5').",
        )
        super().save(filepath, *args, **kwargs)

    def get_config(self):
        options = {
            name: save_value(getattr(self, name), name)
            for name in _arguments(type(self), "__init__")
        }
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        known = {*_arguments(cls, "__init__"), "name", "trainable", "dtype"}
        require(set(config) <= known, OTHER_VERSION.format(cls.__name__))
        return cls(**{name: load_value(value, name) for name, value in config.items()})

    def get_compile_config(self):
        if self.compiled:
            names = _arguments(type(self), "compile")
            return {name: save_value(getattr(self, name), name) for name in names}

    def compile_from_config(self, config):
        self.compile(
            **{name: load_value(value, name) for name, value in config.items()}
        )

    def _random_states(self):
        """The states of every random generator, dropout's included: Keras does not
        save them, and a resumed run needs them."""
        states = [v for v in self.variables if v.name == "seed_generator_state"]
        return {f"random_state_{index}": state for index, state in enumerate(states)}

    def save_own_variables(self, store):
        self.refresh_averages()
        self.share_rate()
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


@contextlib.contextmanager
def usual_settings():
    """Build networks, in a `with` block or in a function decorated with this, alike
    whatever the settings of Keras are (those of `keras.json` or `keras.config`): layers
    for images (n, height, width, channels), with weights of float32. Policies that keep
    such weights, such as "mixed_float16", stay."""
    config = keras.config
    policy, floatx = config.dtype_policy(), config.floatx()
    layout = config.image_data_format()
    config.set_dtype_policy(policy if policy.variable_dtype == "float32" else "float32")
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        config.set_dtype_policy(policy)
        config.set_floatx(floatx)
        config.set_image_data_format(layout)


def in_float32(loss):
    """Decorate a loss: floats of any type that it is given are taken as float32."""

    def cast(value):
        kept = value is None or callable(value)
        return value if kept else tf.cast(value, tf.float32)

    @functools.wraps(loss)
    def decorated(*args, **kwargs):
        kwargs = {name: cast(value) for name, value in kwargs.items()}
        return loss(*map(cast, args), **kwargs)

    return decorated


def copy_of(network):
    """A network with the same layers and weights that is not trained."""
    try:
        copy = keras.models.clone_model(network)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"No copy can be made of the network {network.name}, which its average is. "
            "Its layers, and the functions in them, must be Keras' own or registered "
            "with keras.saving.register_keras_serializable, and no lambdas."
        ) from error
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


def _averaged(name):
    """The attribute of a model that holds the averaged copy of its network `name`."""
    attribute = f"averaged_{name}"

    def read(model):
        model.refresh_averages()
        if attribute not in vars(model):
            raise AttributeError(attribute)
        return vars(model)[attribute]

    def write(model, copy):
        vars(model)[attribute] = copy
        model._left[name] = [_values(copy)] * 2  # it has the weights of its network

    return property(read, write)


def _values(network):
    return [tf.convert_to_tensor(weight.value) for weight in network.weights]


def _has(network, values):
    """Whether these are the weights of a network, to the last bit. Those still in the
    same place of memory are: TensorFlow writes beside what is held here."""
    for now, then in zip(_values(network), values, strict=True):
        now, then = np.asarray(now), np.asarray(then)
        if now.ctypes.data != then.ctypes.data:
            equal = np.array_equal(now, then)
            if not equal and not np.array_equal(now, then, equal_nan=True):
                return False
    return True


# --- Optimizers and calls ---------------------------------------------------


def _rate(optimizer):
    rate = optimizer.learning_rate  # a variable, or what a schedule gives
    return float(tf.convert_to_tensor(getattr(rate, "value", rate)))


def _share(other, first):
    """The proportion of two rates; None where the first is 0."""
    return _rate(other) / _rate(first) if _rate(first) else None


def _is_fixed(optimizer):
    """Whether the learning rate is a number that can be changed, not a schedule."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return isinstance(inner.get_config()["learning_rate"], float)


def _bound(method, *args, **kwargs):
    """The arguments of a call of a method by name, but for the first, self."""
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    given.update(given.pop("kwargs", {}))
    return dict(list(given.items())[1:])


# --- Saving and resuming ----------------------------------------------------


def _arguments(cls, method):
    """Names of the arguments of a method, through the classes up to `ImageModel`."""
    names = []
    for part in cls.__mro__[: cls.__mro__.index(ImageModel)]:
        if method in vars(part):
            spec = inspect.getfullargspec(vars(part)[method])
            names += spec.args[1:] + spec.kwonlyargs
    return names


class AnyImage(keras.callbacks.Callback):
    """ValueError for data that turn out to hold no image."""

    def on_train_begin(self, logs=None):
        self.met = False

    def on_train_batch_end(self, batch, logs=None):
        self.met = True

    def on_epoch_end(self, epoch, logs=None):
        require(self.met, EMPTY)

    def on_test_begin(self, logs=None):
        self.met_in_test = False

    def on_test_batch_end(self, batch, logs=None):
        self.met_in_test = True

    def on_test_end(self, logs=None):
        require(self.met_in_test, EMPTY)


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
