"""Diffusion: a network that turns noise into images, step by step.

On the straight path ``x_t = t x + (1 - t) e`` the time t goes from 0, standard normal
noise e, to 1, an image x in [-1, 1]. A network learns the velocity ``x - e`` there, and
to draw is to follow it from noise: flow matching (Lipman et al., 2022,
arXiv:2210.02747), rectified flow (Liu, Gong and Liu, 2022, arXiv:2209.03003). Some
papers count time from the image to the noise. To use it elsewhere, copy this file with
`unet.py`, which holds the networks, `muon.py`, `model.py`, `checks.py` and `saving.py`.
"""

import functools
import itertools
import math
import time as clock

import keras
import numpy as np
import tensorflow as tf

from .checks import (
    as_data,
    as_labels,
    check_built,
    check_counts,
    check_logits,
    check_seed,
    class_counts,
    ends,
    finite,
    fits,
    is_count,
    require,
)
from .model import ImageModel, copy_of, in_float32
from .muon import Muon

# --- The process ------------------------------------------------------------


def mix_noise(clean, noise, time):
    """The point ``x_t = t x + (1 - t) e`` on the path from noise e to data x, both of
    shape (n, ...), at the times t, (n, 1), from 0 to 1 (arXiv:2209.03003)."""
    time = tf.reshape(time, (-1, *[1] * (len(clean.shape) - 1)))
    return time * clean + (1 - time) * noise


def velocity_target(clean, noise):
    """The velocity ``dx_t/dt = x - e`` on that path, the same at all times."""
    return clean - noise


@in_float32
def velocity_loss(velocity, target):
    """Mean squared error of each velocity, (n,). It does not go to 0: the best velocity
    is the mean of ``x - e`` over all pairs whose paths go through the point, and these
    means carry noise to the data (arXiv:2210.02747, theorems 1 and 2)."""
    axes = [*range(1, len(target.shape))]
    return tf.reduce_mean(tf.square(velocity - target), axes)


def estimate_clean(noisy, velocity, time):
    """The mean of the data that may be behind a point, ``x_t + (1 - t) v``: a network
    for velocities is a denoiser."""
    time = tf.reshape(time, (-1, *[1] * (len(noisy.shape) - 1)))
    return noisy + (1 - time) * velocity


def logit_normal_times(count, seed):
    """Times (count, 1), most of them near 1/2: the sigmoid of standard normal numbers
    (Esser et al., 2024, arXiv:2403.03206)."""
    return tf.sigmoid(tf.random.stateless_normal((count, 1), seed))


def even_times(count, seed):
    """Times (count, 1), one from each of `count` equal parts of [0, 1): uniform, and
    each batch even (after Kingma et al., 2021, arXiv:2107.00630)."""
    drawn = tf.random.stateless_uniform((count, 1), seed)
    parts = tf.cast(count, tf.float32)
    return (tf.range(parts)[:, None] + drawn) / parts


def guided_velocity(conditional, unconditional, guidance):
    """``v(none) + g (v(label) - v(none))``: with g = 1 the velocity as learned; with
    more, farther towards what sets the label apart, at the cost of variety (Ho and
    Salimans, 2022, arXiv:2207.12598, whose w is g - 1)."""
    return unconditional + guidance * (conditional - unconditional)


# Each step goes from a time to another, h later. It returns the new state, and what the
# next step may need: the velocity v at its start, and h.


def euler_step(velocity, state, start, end, before=None):
    """``x + h v``: the error at the end falls with h."""
    first, size = velocity(state, start), end - start
    return state + size * first, (first, size)


def heun_step(velocity, state, start, end, before=None):
    """``x + h (v + w) / 2``, with w the velocity where `euler_step` arrives: the error
    falls with h^2; two evaluations (Karras et al., 2022, arXiv:2206.00364)."""
    first, size = velocity(state, start), end - start
    second = velocity(state + size * first, end)
    return state + size * (first + second) / 2, (first, size)


def adams_bashforth_step(velocity, state, start, end, before=None):
    """``x + h (v + h (v - u) / (2 g))``, with u and g of the step before: the velocity
    in the middle of the step, extrapolated. The error falls with h^2; one evaluation
    (Bashforth and Adams, 1883). The first step is `euler_step`."""
    first, size = velocity(state, start), end - start
    last, last_size = before or (first, size)
    middle = first + size / (2 * last_size) * (first - last)
    return state + size * middle, (first, size)


STEPS = {
    "adams_bashforth": adams_bashforth_step,
    "heun": heun_step,
    "euler": euler_step,
}


def solve_flow(velocity, state, times, method="adams_bashforth"):
    """Follow ``dx/dt = velocity(x, t)`` from a state at the first of the times, which
    rise, or fall from data to noise; yield the state at each other. A method is a name
    in `STEPS`."""
    times = np.asarray(times, np.float32)
    ordered = times.ndim == 1 and {*np.sign(np.diff(times))} in ({1}, {-1})
    require(
        ordered and times.min() >= 0 and times.max() <= 1,
        "times are at least two numbers in [0, 1], each above the one before, or each "
        f"below it, such as np.linspace(0, 1, 21); got {times}.",
    )
    require(method in STEPS, f"method is one of {[*STEPS]}; got {method!r}.")
    state, before = tf.cast(state, tf.float32), None
    for start, end in itertools.pairwise(tf.unstack(times)):
        state, before = STEPS[method](velocity, state, start, end, before)
        yield state


def arc(start, end, count):
    """Noise, (count, ...), on the way from one to another, as far from 0 as these all
    along: a spherical interpolation (Shoemake, 1985)."""
    cosine = np.sum(start * end) / np.linalg.norm(start) / np.linalg.norm(end)
    angle = max(np.arccos(np.clip(cosine, -1, 1)), 1e-6)
    t = np.linspace(0, 1, count).reshape(-1, *[1] * start.ndim)
    return (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class Diffusion(ImageModel):
    """A network that learns the velocity from noise to images.

    Parameters
    ----------
    network : keras.Model
        Maps ``{"image": (n, height, width, channels), "time": (n, 1)}``, points between
        noise at 0 and images in [-1, 1] at 1, to velocities; with `classes` it takes
        ``"label"``, (n, number of labels) int32, too, where the number of values of a
        label stands for "not told".
    classes : int or tuple of int
        How many values each label has, if the images have labels.
    label_dropout : float
        Share of the images whose labels the network is not told in training, so that it
        learns the velocity without them, which guidance needs.
    uniform_after : int, optional
        Training steps after which times are drawn by `even_times`, two thirds of all,
        say; before, or always, by `logit_normal_times`.
    average_decay : float
        Decay of the running average of the weights, in [0, 1), shorter in the first
        steps. The averaged network is the one that is evaluated and draws.
    seed : int, optional
        Seed of the noise in training. Without it, Keras' global seed decides.
    label_names : tuple of str
        What the values of a single label are called, so that `sample` takes names.

    Notes
    -----
    Train with ``fit(images)`` or, with `classes`, ``fit(images, labels)``; what it
    refuses is in `ImageModel`. The metric ``loss`` is the mean of `velocity_loss`; in
    evaluation the times are even. It is no likelihood.
    """

    metric_names = ("loss",)
    averaged = ("network",)

    def __init__(
        self,
        network,
        classes=(),
        label_dropout=0.1,
        uniform_after=None,
        average_decay=0.998,
        seed=None,
        label_names=(),
        **kwargs,
    ):
        classes = class_counts(classes)
        check_network(network, classes)
        check_options(classes, label_dropout, uniform_after, label_names)
        image_shape = network.output_shape[1:]
        super().__init__(image_shape, classes, average_decay, seed, **kwargs)
        self.network = network
        self.averaged_network = copy_of(network)
        self.label_dropout = label_dropout
        self.uniform_after = uniform_after
        self.label_names = tuple(label_names)
        # A graph of this model alone: that of a class is traced for every model.
        self._guided = tf.function(self._guided, reduce_retracing=True)

    def compile(self, optimizer=None, **kwargs):
        """Choose the optimizer, by default `Muon` with a learning rate of 4e-3; a long
        training takes one that falls to 0, such as ``Muon(keras.optimizers.schedules.
        CosineDecay(0.0, steps, warmup_target=6e-3, warmup_steps=100))``. Other
        arguments are those of `ImageModel.compile`."""
        super().compile(self.prepare(optimizer or Muon(), self.network), **kwargs)

    def train_step(self, data):
        images, labels = self.check_batch(data)
        clean = 2 * images - 1  # to [-1, 1]
        noise = tf.random.stateless_normal(tf.shape(clean), self.next_seed())
        time = self.draw_times(tf.shape(clean)[0])
        noisy, target = mix_noise(clean, noise, time), velocity_target(clean, noise)
        labels = self.drop_labels(labels)
        with tf.GradientTape() as tape:
            velocity = self.velocity(self.network, noisy, time, labels, training=True)
            loss = finite(velocity_loss(velocity, target))
            scaled_loss = self.scaled(loss, self.optimizer)

        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        self.average_weights()
        return self.track(loss=loss)

    def test_step(self, data):
        images, labels = self.check_batch(data)
        clean = 2 * images - 1
        # A fixed seed for each batch: equal weights and images give equal figures.
        seen = tf.cast(self.step_metrics["loss"].count, tf.int64)
        noise = tf.random.stateless_normal(tf.shape(clean), [0, seen])
        time = even_times(tf.shape(clean)[0], [1, seen])
        noisy, target = mix_noise(clean, noise, time), velocity_target(clean, noise)
        velocity = self.velocity(self.averaged_network, noisy, time, labels)
        return self.track(loss=finite(velocity_loss(velocity, target)))

    def draw_times(self, count):
        """The times of one training step, (count, 1)."""
        seed = self.next_seed()
        times = logit_normal_times(count, seed)
        if self.uniform_after is None:
            return times
        late = self.optimizer.iterations >= self.uniform_after
        return tf.where(late, even_times(count, seed), times)

    def drop_labels(self, labels):
        """Labels (n, k), those of some images replaced by "not told"."""
        if not self.classes:
            return None
        shape = tf.shape(labels)[0], 1
        drawn = tf.random.stateless_uniform(shape, self.next_seed())
        not_told = tf.constant(self.classes, labels.dtype)
        return tf.where(drawn < self.label_dropout, not_told, labels)

    def velocity(self, network, noisy, time, labels, training=False):
        """What a network says of points, times and labels (n, k)."""
        inputs = {"image": noisy, "time": time}
        if self.classes:
            inputs["label"] = tf.cast(labels, tf.int32)
        return tf.cast(network(inputs, training=training), tf.float32)

    def call(self, inputs, training=False):
        """The averaged network's velocities for what it takes."""
        return self.averaged_network(inputs, training=training)

    def check_inputs(self, inputs):
        needed = sorted(self.network.input)
        given = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        require(
            {*needed} <= {*given} and isinstance(inputs, dict),
            f"The network takes a dictionary with {needed}; got {given}. `sample` "
            "draws images.",
        )

    # --- What a trained model is used for; arrays in, arrays out. ---

    def sample(
        self,
        count=None,
        seed=None,
        steps=20,
        labels=None,
        guidance=1.0,
        method="adams_bashforth",
        averaged=True,
        verbose="auto",
    ):
        """Draw images: (count, height, width, channels) float32 in [0, 1].

        Parameters
        ----------
        count : int
            How many, at least 1; with labels, as many as there are.
        seed : int, optional
            Equal seeds draw the same noise. Without it, Keras' seed decides.
        steps : int
            From noise to images, at least 1: evaluations of the network.
        labels : int, str or array of such, optional
            What to draw, if there are `classes`: one for all, or (n,), or (n, k) for k
            labels. Without it each label is drawn uniformly.
        guidance : float
            See `guided_velocity`: 1 as learned, more is clearer and less varied, 0
            tells no label. All but 0 and 1 take twice the evaluations.
        method : {"adams_bashforth", "heun", "euler"}
            See `solve_flow`; "heun" takes twice the evaluations.
        averaged : bool
            Whether the averaged network draws, or the one in training.
        verbose : {"auto", 0, 1}
            1 shows progress, "auto" if it takes more than 5 seconds.
        """
        if count is not None or labels is None:
            check_counts(count=count)
        seed = check_seed(seed)
        seed = int(keras.random.randint((), 0, 2**31 - 1)) if seed is None else seed
        if labels is not None:
            labels = self.labels_for(labels, count)
            count = len(labels)
        elif self.classes:
            random = np.random.default_rng(seed)
            labels = random.integers(self.classes, size=(count, len(self.classes)))
        noise = tf.random.stateless_normal((count, *self.image_shape), (seed, 0))
        options = {"method": method, "averaged": averaged, "verbose": verbose}
        return self.decode(noise, steps, labels, guidance=guidance, **options)

    def decode(self, noise, steps=20, labels=None, **options):
        """The images, in [0, 1], to which standard normal noise flows, (n, height,
        width, channels). Other arguments are those of `sample`; without labels the
        network is told none."""
        check_counts(steps=steps)
        noise = np.asarray(noise, np.float32)
        require(
            fits(noise.shape, None, *self.image_shape)
            and len(noise)
            and np.isfinite(noise).all(),
            f"Noise is finite and shaped like images, (n, {str(self.image_shape)[1:]}, "
            f"n at least 1; got {noise.shape}.",
        )
        times = np.linspace(0, 1, steps + 1)
        return np.clip((self.follow(noise, times, labels, **options) + 1) / 2, 0, 1)

    def encode(self, images, steps=20, labels=None, **options):
        """The noise from which images in [0, 1], (n, height, width, channels), flow:
        `decode` turned around, and nearly its inverse, the better the more steps."""
        check_counts(steps=steps)
        images = np.asarray(as_data(images))
        unused = np.zeros((*images.shape[:1], len(self.classes)), int)
        images = self.check_images((images, unused) if self.classes else images)
        times = np.linspace(1, 0, steps + 1)
        return self.follow(2 * images - 1, times, labels, **options)

    def interpolate(self, start, end, count=8, steps=20, labels=None, **options):
        """Walk from one image to another, each (height, width, channels) in [0, 1],
        along an arc through their noise: (count, height, width, channels). Other
        arguments are those of `sample`, with one label for all."""
        check_counts(count=count)
        require(count > 1, "count holds both ends, so it is at least 2; got 1.")
        first, last = self.encode(np.stack([start, end]), steps, labels, **options)
        return self.decode(arc(first, last, count), steps, labels, **options)

    def follow(
        self, state, times, labels, guidance=1, averaged=True, verbose="auto", **method
    ):
        """Where points flow in the course of times, in portions of bounded memory."""
        require(
            np.isscalar(guidance)
            and not isinstance(guidance, str)
            and 0 <= guidance < math.inf,
            f"guidance is a finite number, 0 or more; got {guidance}.",
        )
        require(
            self.classes or guidance == 1,
            f"guidance={guidance} needs a Diffusion that is built with classes.",
        )
        self.refresh_averages()
        labels = self.labels_for(labels, len(state))
        labels = labels if guidance else self.labels_for(None, len(state))
        strength = None if guidance in (0, 1) else tf.constant(guidance, tf.float32)
        portion = max(1, 2**18 // math.prod(self.image_shape[:2]))
        portions = [slice(i, i + portion) for i in range(0, len(state), portion)]
        total = len(portions) * (len(times) - 1)
        progress = keras.utils.Progbar(total, verbose=0, unit_name="step")
        soon, arrived = clock.monotonic() + 5, []
        for part in portions:
            velocity = functools.partial(
                self._guided, labels=labels[part], guidance=strength, averaged=averaged
            )
            flow = solve_flow(velocity, state[part], times, **method)
            for _ in times[1:]:
                point = next(flow)
                late = verbose == "auto" and clock.monotonic() > soon
                progress.verbose = int(verbose == 1 or late)
                progress.add(1)
            arrived.append(point.numpy())
        return np.concatenate(arrived)

    def _guided(self, state, time, labels, guidance, averaged):
        """The velocity at one time for all states, with labels and without them."""
        network = self.averaged_network if averaged else self.network
        times = tf.fill((tf.shape(state)[0], 1), time)
        velocity = self.velocity(network, state, times, labels)
        if guidance is None:
            return velocity
        not_told = tf.ones_like(labels) * tf.constant(self.classes, labels.dtype)
        without = self.velocity(network, state, times, not_told)
        return guided_velocity(velocity, without, guidance)

    def labels_for(self, labels, count):
        """Labels (count, k), checked; those that mean "not told" for None."""
        if labels is None:
            return np.tile(np.array(self.classes, np.int64), (count, 1))
        require(
            self.classes,
            "This Diffusion knows no labels: build it, and its network, with "
            "classes=...",
        )
        labels = np.asarray(as_labels(labels))
        if labels.dtype.kind == "U" and self.label_names:
            unknown = ", ".join(sorted({*labels.flat} - {*self.label_names}))
            names = ", ".join(self.label_names)
            require(not unknown, f"Unknown label {unknown}; choose from {names}.")
            labels = np.vectorize(self.label_names.index, otypes=[int])(labels)
        if labels.ndim < 1 + (len(self.classes) > 1):  # one for all
            labels = np.tile(labels, (count or 1, 1))
        self.check_labels_form(labels)
        require(
            count in (None, len(labels)),
            f"{count} images need as many labels; got {len(labels)}.",
        )
        return self.check_labels(labels).numpy()


# --- Checks -----------------------------------------------------------------


def check_network(network, classes):
    """ValueError unless the network takes a point, its time and its labels, and gives a
    velocity."""
    check_built(network=network)
    inputs, output = ends(network)
    shape = tuple(getattr(output, "shape", ()))[1:]
    needed = {"image": shape, "time": (1,)}
    needed |= {"label": (len(classes),)} if classes else {}
    taken = getattr(inputs, "shape", inputs)
    if isinstance(inputs, dict):
        taken = {name: tuple(x.shape)[1:] for name, x in inputs.items()}
    require(
        taken == needed and len(shape) == 3 and None not in shape,
        f"With classes={classes}, a network that gives velocities of shape {shape} "
        f"must take {needed}, with images of one size; it takes {taken}. Build both "
        "with the same classes.",
    )
    check_logits(network=network)


def check_options(classes, label_dropout, uniform_after, label_names):
    """ValueError for a parameter out of range."""
    require(
        0 <= label_dropout < 1,
        f"label_dropout is a share from 0 to below 1; got {label_dropout}.",
    )
    require(
        uniform_after is None or is_count(uniform_after) or uniform_after == 0,
        f"uniform_after is a number of steps, 0 or more; got {uniform_after}.",
    )
    require(
        not label_names or classes == (len(label_names),),
        f"label_names name each value of one label; got {len(label_names)} names with "
        f"classes={classes}.",
    )
