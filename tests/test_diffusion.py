"""The process, its steps, the training and what is drawn."""

import itertools
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.polynomial import Polynomial
from scipy import stats

from tfgen import diffusion
from tfgen.diffusion import (
    STEPS,
    Diffusion,
    adams_bashforth_step,
    estimate_clean,
    euler_step,
    even_times,
    guided_velocity,
    heun_step,
    logit_normal_times,
    mix_noise,
    solve_flow,
    velocity_loss,
    velocity_target,
)
from tfgen.muon import Muon
from tfgen.unet import build_denoising_unet

SHAPE = (8, 8, 1)
QUIET = dict(verbose=0)
SHAPES = [(5, 2), (5, 8, 8, 3), (5,)]


def halves(count, seed=0):
    """Images whose left (label 0) or right half (label 1) is bright, and labels."""
    labels = (np.random.default_rng(seed).random(count) < 0.5).astype(int)
    images = np.full((count, *SHAPE), 0.1, np.float32)
    images[labels == 0, :, :4] = 0.9
    images[labels == 1, :, 4:] = 0.9
    return images, labels


def side(images):
    """The label of each image, as its brightness says."""
    left, right = (np.mean(x, axis=(1, 2, 3)) for x in np.split(images, 2, axis=2))
    return (right > left).astype(int)


def network(classes=(), width=8, seed=0):
    """A small network with no weight at 0, as some are at first."""
    keras.utils.set_random_seed(seed)
    found, rng = build_denoising_unet(SHAPE, width, classes), np.random.default_rng(0)
    found.set_weights([w + rng.normal(0, 0.1, w.shape) for w in found.weights])
    return found


def model(classes=(), **options):
    made = Diffusion(network(classes), classes, **options)
    made.compile(run_eagerly=True)
    return made


@pytest.fixture(scope="module")
def plain():
    """A model without labels; tests must not change it."""
    return model()


@pytest.fixture(scope="module")
def told():
    """A model of two labels, of 2 and 3 values; tests must not change it."""
    return model(classes=(2, 3))


@pytest.fixture(scope="module")
def trained():
    """A model that has learned the two halves; tests must not change it."""
    keras.utils.set_random_seed(0)
    network = build_denoising_unet(SHAPE, 32, 2)
    made = Diffusion(network, 2, uniform_after=130, label_names=("left", "right"))
    schedule = keras.optimizers.schedules.CosineDecay
    made.compile(Muon(schedule(0.0, 200, warmup_target=6e-3, warmup_steps=20)))
    made.first = made.evaluate(*halves(256, seed=1), **QUIET)
    made.fit(*halves(1600), batch_size=16, epochs=2, **QUIET)
    return made


# --- the path ---


@pytest.mark.parametrize("shape", SHAPES)
def test_the_path_is_straight_from_noise_to_data(shape):
    rng = np.random.default_rng(0)
    clean, noise = rng.normal(size=(2, *shape))
    for t in (0.0, 0.3, 1.0):
        found = mix_noise(clean, noise, np.full((5, 1), t))
        np.testing.assert_allclose(found, t * clean + (1 - t) * noise)
    times = rng.random((5, 1))
    step = 1e-6
    change = mix_noise(clean, noise, times + step) - mix_noise(clean, noise, times)
    velocity = velocity_target(clean, noise)
    np.testing.assert_allclose(change / step, velocity, atol=1e-6)
    noisy = mix_noise(clean, noise, times)
    np.testing.assert_allclose(estimate_clean(noisy, velocity, times), clean)
    # Each row has the time of its own.
    np.testing.assert_allclose(noisy[2], mix_noise(clean, noise, times[2:3])[2])


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_the_loss_is_a_mean_of_squares_for_each(shape):
    velocity, target = np.random.default_rng(0).normal(size=(2, *shape))
    expected = [np.mean((a - b) ** 2) for a, b in zip(velocity, target, strict=True)]
    np.testing.assert_allclose(velocity_loss(velocity, target), expected, rtol=1e-5)


def test_the_best_velocity_is_a_conditional_mean():
    """For normal data N(m, s^2) it is known; so is the clean value behind a point."""
    rng, m, s = np.random.default_rng(0), 0.7, 0.4
    clean, noise = m + s * rng.normal(size=(200_000, 1)), rng.normal(size=(200_000, 1))
    times = rng.random((200_000, 1))
    noisy = mix_noise(clean, noise, times).numpy()
    best, target = normal_velocity(m, s)(noisy, times), velocity_target(clean, noise)
    least = np.mean(velocity_loss(best, target))
    assert 0.1 < least
    for other in (best + 0.1, best * 1.1, best + 0.1 * np.sin(9 * times)):
        assert np.mean(velocity_loss(other, target)) > least + 1e-3
    # Tweedie's formula: the mean behind a point is the point plus the noise's variance
    # times the slope of the log density, both of x_t / t = x + (1 - t) / t e.
    sigma, y = (1 - times) / times, noisy / times
    expected = y - sigma**2 * (y - m) / (s**2 + sigma**2)
    np.testing.assert_allclose(
        estimate_clean(noisy, best, times), expected, rtol=1e-5, atol=1e-7
    )


def normal_velocity(m, s):
    """The mean of x - e at a point, for x from N(m, s^2)."""

    def velocity(x, t):
        variance = t**2 * s**2 + (1 - t) ** 2
        return m + (t * s**2 - (1 - t)) / variance * (x - t * m)

    return velocity


def test_times_from_the_middle_are_logit_normal():
    times = logit_normal_times(20_000, (0, 1)).numpy()
    assert times.shape == (20_000, 1) and 0 < times.min() and times.max() < 1
    logits = np.log(times / (1 - times)).ravel()
    assert stats.kstest(logits, "norm").pvalue > 0.01
    np.testing.assert_array_equal(times, logit_normal_times(20_000, (0, 1)))
    assert not np.array_equal(times, logit_normal_times(20_000, (0, 2)))


def test_even_times_hold_one_of_each_part():
    times = np.stack([even_times(16, (0, seed)) for seed in range(500)])
    assert times.shape == (500, 16, 1)
    np.testing.assert_array_equal(np.floor(times[..., 0] * 16), [range(16)] * 500)
    assert stats.kstest(times.ravel(), "uniform").pvalue > 0.01
    assert even_times(tf.constant(3), (0, 1)).shape == (3, 1)


def test_guidance_extrapolates():
    with_label, without = np.random.default_rng(0).normal(size=(2, 4, 3))
    np.testing.assert_allclose(guided_velocity(with_label, without, 0), without)
    np.testing.assert_allclose(guided_velocity(with_label, without, 1), with_label)
    found = guided_velocity(with_label, without, 2.5)
    np.testing.assert_allclose(found, 2.5 * with_label - 1.5 * without)


# --- the steps, against another derivation ---


class SeededNoise:
    """A network whose velocity is noise, and what it has been asked."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.asked = []

    def __call__(self, state, time):
        answer = self.rng.normal(size=np.shape(state))
        self.asked.append((np.array(state), float(time), answer))
        return tf.constant(answer, tf.float32)


def integrate(times, velocities, start, end):
    """The integral of the polynomial through the velocities at the times."""
    total = 0.0
    for i, (time, velocity) in enumerate(zip(times, velocities, strict=True)):
        others = [t for j, t in enumerate(times) if j != i]
        weight = Polynomial.fromroots(others) if others else Polynomial([1.0])
        area = (weight / weight(time)).integ()
        total = total + (area(end) - area(start)) * velocity
    return total


GRIDS = [np.linspace(0, 1, 6), np.linspace(1, 0, 6), [0.1, 0.15, 0.4, 0.9, 1.0]]


@pytest.mark.parametrize("times", GRIDS)
@pytest.mark.parametrize("method", STEPS)
def test_each_step_integrates_a_polynomial_through_velocities(method, times):
    """Euler: a constant. Heun: the line through both ends. Adams-Bashforth: the line
    through this start and the last."""
    noise = SeededNoise()
    state = np.random.default_rng(1).normal(size=(3, 4))
    states = [np.array(x) for x in solve_flow(noise, tf.constant(state), times, method)]
    assert len(states) == len(times) - 1
    asked = iter(noise.asked)
    known = []
    for found, start, end in zip(states, times[:-1], times[1:], strict=True):
        where, when, velocity = next(asked)
        np.testing.assert_allclose(where, state, atol=1e-6)
        assert when == pytest.approx(start)
        known.append((start, velocity))
        if method == "heun":
            predicted = state + integrate(*zip(known[-1]), start, end)  # noqa: B905
            where, when, velocity = next(asked)
            np.testing.assert_allclose(where, predicted, atol=1e-6)
            assert when == pytest.approx(end)
            points = [known[-1], (end, velocity)]
        else:
            points = known[-2:] if method == "adams_bashforth" else known[-1:]
        state = state + integrate(*zip(*points, strict=True), start, end)
        np.testing.assert_allclose(found, state, atol=1e-6)
        state = found
    assert not list(asked)


@pytest.mark.parametrize(
    "step, order", [(euler_step, 1), (heun_step, 2), (adams_bashforth_step, 2)]
)
def test_errors_fall_as_is_said(step, order):
    """A flow that carries N(0, 1) to N(0.7, 0.4^2) takes x to 0.7 + 0.4 x."""
    velocity, start = normal_velocity(0.7, 0.4), np.linspace(-2, 2, 9)

    def error(steps):
        grid, state, before = np.linspace(0, 1, steps + 1), start, None
        for now, then in zip(grid[:-1], grid[1:], strict=True):
            state, before = step(velocity, state, now, then, before)
        return np.abs(state - (0.7 + 0.4 * start)).max()

    assert error(80) < 0.02
    assert error(40) / error(80) == pytest.approx(2**order, rel=0.2)


def test_a_flow_in_two_dimensions_carries_noise_to_points():
    """Two points, for which the best velocity is a mean with known weights."""
    points = np.array([[-1.0, 0.5], [1.0, 0.0]], np.float32)

    def velocity(x, t):
        distances = tf.reduce_sum((x[:, None] - t * points) ** 2, axis=-1)
        weights = tf.nn.softmax(-distances / (2 * (1 - t) ** 2 + 1e-6))
        return (weights @ points - x) / (1 - t + 1e-3)

    noise = tf.random.stateless_normal((400, 2), (0, 0))
    *_, found = solve_flow(velocity, noise, np.linspace(0, 1, 101))
    distances = np.linalg.norm(found[:, None] - points, axis=-1)
    assert np.quantile(distances.min(axis=1), 0.99) < 0.05
    assert abs(np.mean(distances[:, 0] < distances[:, 1]) - 0.5) < 0.1
    *_, back = solve_flow(normal_velocity(0.7, 0.4), found, np.linspace(1, 0, 101))
    np.testing.assert_allclose(back, (found - 0.7) / 0.4, atol=0.01)


@pytest.mark.parametrize(
    "times",
    [[], [0.5], [0, 0.5, 0.5, 1], [0, 0.7, 0.3, 1], [0, 1.5], [-0.1, 1], [0, np.nan, 1]]
    + [0.5, [[0, 1], [0, 1]]],
)
def test_times_out_of_order_or_range_are_refused(times):
    with pytest.raises(ValueError, match=r"times are at least two .*np.linspace"):
        next(solve_flow(SeededNoise(), np.zeros((2, 2)), times))


def test_another_method_is_refused(plain):
    for use in (
        lambda: next(solve_flow(SeededNoise(), np.zeros(2), [0, 1], "rk4")),
        lambda: plain.sample(1, method="rk4"),
    ):
        with pytest.raises(ValueError, match="'heun', 'euler'.*got 'rk4'"):
            use()


# --- training ---


def draws(seed, shape, count=3):
    """The seeds of one training step, and the noise and times that they draw."""
    generator = keras.random.SeedGenerator(seed)
    seeds = [tf.cast(generator.next(), tf.int64) for _ in range(count)]
    noise = tf.random.stateless_normal(shape, seeds[0]).numpy()
    logits = tf.random.stateless_normal((shape[0], 1), seeds[1]).numpy()
    return noise, 1 / (1 + np.exp(-logits)), seeds[-1]


@pytest.mark.parametrize("classes", [(), (2, 3)])
def test_one_step_makes_the_update_of_a_tape_by_hand(classes):
    images = np.random.default_rng(0).random((12, *SHAPE), np.float32)
    labels = np.arange(12)[:, None] % [2, 3]
    made = Diffusion(network(classes), classes, label_dropout=0.5, seed=3)
    made.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    other = network(classes)  # with equal weights

    noise, time, seed = draws(3, images.shape, 3 if classes else 2)
    given = {"time": time.astype(np.float32)}
    time = time[:, :, None, None]
    given["image"] = (time * (2 * images - 1) + (1 - time) * noise).astype(np.float32)
    if classes:
        left_out = tf.random.stateless_uniform((12, 1), seed).numpy() < 0.5
        assert 0 < left_out.sum() < 12
        given["label"] = np.where(left_out, [2, 3], labels)
    with tf.GradientTape() as tape:
        velocity = other(given, training=True)
        loss = tf.reduce_mean((velocity - (2 * images - 1 - noise)) ** 2)
    gradients = tape.gradient(loss, other.trainable_variables)

    data = (images, labels) if classes else (images,)
    logs = made.train_on_batch(*data, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    for now, start, gradient in zip(
        made.network.trainable_variables,
        other.trainable_variables,
        gradients,
        strict=True,
    ):
        expected = start - 0.01 * tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(now, expected, atol=1e-6)


def test_evaluation_draws_even_times_and_tells_all_labels(told, monkeypatch):
    images = np.random.default_rng(0).random((32, *SHAPE), np.float32)
    labels = np.arange(32)[:, None] % [2, 3]
    asked = []
    velocity = told.velocity

    def record(network, noisy, time, labels, training=False):
        asked.append((network, np.array(time).ravel(), np.array(labels)))
        return velocity(network, noisy, time, labels, training)

    monkeypatch.setattr(told, "velocity", record)
    told.evaluate(images, labels, batch_size=16, **QUIET)
    (first, times, _), (_, others, _) = asked
    assert first is told.averaged_network
    for found in (times, others):
        np.testing.assert_array_equal(np.floor(found * 16), range(16))
    assert not np.array_equal(times, others)
    np.testing.assert_array_equal(np.concatenate([x for *_, x in asked]), labels)


def test_labels_are_dropped_as_often_as_is_said():
    made = model(classes=(2, 3), label_dropout=0.25, seed=1)
    labels = tf.constant(np.arange(4000)[:, None] % [2, 3])
    found = made.drop_labels(labels).numpy()
    dropped = (found == [2, 3]).all(axis=1)
    np.testing.assert_array_equal(found[~dropped], labels.numpy()[~dropped])
    assert abs(dropped.mean() - 0.25) < 0.03
    assert model().drop_labels(None) is None


def test_times_become_even_after_the_steps_that_are_said():
    made = model(uniform_after=5, seed=1)
    even = []
    for step in (0, 4, 5, 100):
        made.optimizer.iterations.assign(step)
        times = np.array(made.draw_times(64)).ravel()
        even.append(np.array_equal(np.floor(times * 64), range(64)))
    assert even == [False, False, True, True]


def test_it_learns(trained):
    images, labels = halves(256, seed=1)
    found = trained.evaluate(images, labels, **QUIET)
    assert found < 0.3 * trained.first
    for guidance, right in ((1.0, 0.9), (2.0, 0.95)):
        drawn = trained.sample(labels=labels, seed=0, guidance=guidance)
        assert np.mean(side(drawn) == labels) > right
        errors = np.abs(drawn - images).mean(axis=(1, 2, 3))
        assert np.median(errors) < 0.1
    drawn = trained.sample(200, seed=0, guidance=0)  # both, without being told
    assert 0.2 < np.mean(side(drawn)) < 0.8


def test_the_way_there_leads_back(trained):
    _, labels = halves(8, seed=2)
    images = trained.sample(labels=labels, seed=0)
    for guidance in (1.0, 1.5):
        errors = []
        for steps in (10, 40):
            options = dict(steps=steps, labels=labels, guidance=guidance)
            noise = trained.encode(images, **options)
            assert noise.shape == images.shape and noise.dtype == np.float32
            back = trained.decode(noise, **options)
            errors.append(np.sqrt(np.mean((back - images) ** 2)))
        assert errors[1] < errors[0] < 0.2


def test_a_walk_goes_from_one_image_to_another(trained):
    images = trained.sample(labels=[0, 1], seed=0)
    walk = trained.interpolate(*images, 5, steps=40)
    assert walk.shape == (5, *SHAPE) and walk.dtype == np.float32
    assert 0 <= walk.min() and walk.max() <= 1
    assert side(walk[[0, -1]]).tolist() == [0, 1]
    options = dict(steps=5, labels=1, guidance=1.5)
    path = diffusion.arc(*trained.encode(images, **options), 4)
    found = trained.interpolate(*images, 4, **options)
    np.testing.assert_allclose(found, trained.decode(path, **options), atol=1e-5)


def test_the_arc_keeps_its_distance():
    start, end = np.random.default_rng(0).normal(size=(2, 6, 6, 2))
    path = diffusion.arc(start, end, 7)
    np.testing.assert_allclose(path[0], start)
    np.testing.assert_allclose(path[-1], end)
    lengths = np.linalg.norm(path.reshape(7, -1), axis=1)
    assert np.ptp(np.diff(lengths)) < 1  # between those of the ends, without a dip
    assert lengths.min() > 0.97 * min(lengths[0], lengths[-1])
    np.testing.assert_allclose(diffusion.arc(start, start, 3), [start] * 3)


# --- drawing ---


def by_hand(made, noise, labels, steps, guidance):
    """Euler's steps with the averaged network, in NumPy."""
    state = noise
    for step in range(steps):
        given = {"image": state, "time": np.full((len(state), 1), step / steps)}

        def velocity(labels, given=given):
            labels = np.broadcast_to(labels, (len(noise), 2))
            return made.averaged_network({**given, "label": labels}).numpy()

        with_label, without = velocity(labels), velocity([2, 3])
        state = state + (guidance * with_label + (1 - guidance) * without) / steps
    return np.clip(state / 2 + 0.5, 0, 1)


@pytest.mark.parametrize("guidance", [0, 0.5, 1, 2.5])
def test_what_is_drawn_is_what_the_steps_lead_to(told, guidance):
    labels = np.arange(5)[:, None] % [2, 3]
    noise = tf.random.stateless_normal((5, *SHAPE), (7, 0)).numpy()
    expected = by_hand(told, noise, labels, 4, guidance)
    options = dict(labels=labels, guidance=guidance, method="euler")
    found = told.sample(seed=7, steps=4, **options)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0.1 < np.std(found)
    np.testing.assert_array_equal(told.decode(noise, 4, **options), found)


@pytest.mark.parametrize(
    "labels, rows",
    [(1, [[1]] * 3), ([0, 1, 1], [[0], [1], [1]]), ([[0], [1], [0]], [[0], [1], [0]])]
    + [(range(2), [[0], [1]]), ([1], [[1]]), ("right", [[1]] * 3)]
    + [(["right", "left"], [[1], [0]])],
)
def test_one_label_is_given_for_all_or_one_for_each(trained, labels, rows):
    count = None if np.ndim(labels) else len(rows)
    found = trained.sample(count, labels=labels, seed=0, steps=2)
    expected = trained.sample(len(rows), labels=np.array(rows), seed=0, steps=2)
    np.testing.assert_array_equal(found, expected)


def test_several_labels_are_given_for_all_or_for_each(told):
    for count in (3, 1, None):  # without a count, one image
        found = told.sample(count, labels=(1, 2), seed=0, steps=2)
        expected = told.sample(labels=[(1, 2)] * (count or 1), seed=0, steps=2)
        np.testing.assert_array_equal(found, expected)


def test_labels_are_drawn_where_none_are_given(told, monkeypatch):
    given, follow = [], told.follow
    monkeypatch.setattr(
        told, "follow", lambda *args, **kw: given.append(args[2]) or follow(*args, **kw)
    )
    for seed in (0, 0, 1):
        told.sample(300, seed=seed, steps=1)
    np.testing.assert_array_equal(given[0], given[1])
    assert not np.array_equal(given[0], given[2])
    counts = np.unique(given[0], axis=0, return_counts=True)
    assert counts[0].tolist() == [[i, j] for i in (0, 1) for j in (0, 1, 2)]
    assert counts[1].min() > 30


def test_equal_seeds_draw_equal_images(plain):
    first = plain.sample(3, seed=0)
    np.testing.assert_array_equal(plain.sample(3, seed=0), first)
    assert not np.array_equal(plain.sample(3, seed=1), first)
    keras.utils.set_random_seed(1)
    free = plain.sample(3)
    assert not np.array_equal(plain.sample(3), free)
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(plain.sample(3), free)


def test_many_images_are_drawn_in_portions(told):
    noise = tf.random.stateless_normal((4100, *SHAPE), (0, 0)).numpy()  # 4096 and 4
    labels = np.arange(4100)[:, None] % [2, 3]
    found = told.decode(noise, 1, labels)
    assert found.shape == noise.shape
    for part in (slice(0, 4), slice(4094, 4100)):
        expected = told.decode(noise[part], 1, labels[part])
        np.testing.assert_allclose(found[part], expected, atol=1e-5)


def test_the_network_in_training_draws_if_it_is_asked_to():
    made = model(average_decay=0.9)
    made.fit(halves(12)[0], batch_size=4, **QUIET)
    averaged, last = (made.sample(2, seed=0, averaged=flag) for flag in (True, False))
    assert np.abs(averaged - last).max() > 1e-4
    made.averaged_network.set_weights(made.network.get_weights())
    made._leave("network")
    np.testing.assert_allclose(made.sample(2, seed=0), last, atol=1e-6)


def test_progress_is_shown_where_it_takes_long(plain, capsys, monkeypatch):
    def seconds_a_step(seconds):
        ticks = itertools.count(0, seconds)
        clock = types.SimpleNamespace(monotonic=lambda: next(ticks))
        monkeypatch.setattr(diffusion, "clock", clock)

    seconds_a_step(0.1)
    plain.sample(2, seed=0, steps=3)
    plain.sample(2, seed=0, steps=3, verbose=0)
    assert capsys.readouterr().out == ""
    plain.sample(2, seed=0, steps=3, verbose=1)
    assert "3/3" in capsys.readouterr().out
    seconds_a_step(2)
    plain.sample(2, seed=0, steps=5)
    shown = capsys.readouterr().out
    assert "2/5" not in shown and "5/5" in shown


def test_ctrl_c_leaves_all_as_it_was(plain, monkeypatch):
    expected, weights = plain.sample(2, seed=0), plain.get_weights()
    calls, guided = [], plain._guided

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return guided(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(plain, "_guided", interrupted)
        with pytest.raises(KeyboardInterrupt):
            plain.sample(2, seed=0)
    np.testing.assert_array_equal(plain.sample(2, seed=0), expected)
    for now, then in zip(plain.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


# --- bad input ---


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2", None])
def test_steps_are_whole_numbers_from_one(plain, steps):
    for use in (
        lambda: plain.sample(2, steps=steps),
        lambda: plain.decode(np.zeros((1, *SHAPE)), steps),
        lambda: plain.encode(np.zeros((1, *SHAPE), np.float32), steps),
    ):
        with pytest.raises(ValueError, match="steps must be a whole number, 1 or more"):
            use()


@pytest.mark.parametrize("count", [0, -1, 2.0, None])
def test_the_count_is_a_whole_number_from_one(plain, count):
    with pytest.raises(ValueError, match="count must be a whole number, 1 or more"):
        plain.sample(count)


def test_guidance_needs_classes_and_a_strength(plain, told):
    for guidance in (0, 1.5):
        with pytest.raises(ValueError, match=f"{guidance} needs .*built with classes"):
            plain.sample(2, guidance=guidance)
    plain.sample(2, guidance=1, steps=1)
    for guidance in (-1, np.nan, np.inf, None, "2", (1, 2)):
        with pytest.raises(ValueError, match=re.escape(f"0 or more; got {guidance}")):
            told.sample(2, guidance=guidance)


@pytest.mark.parametrize(
    "labels, message",
    [([[0, 3]] * 2, "from 0 to one less"), ([[-1, 0]] * 2, "from 0 to one less")]
    + [([[0.0, 1.0]] * 2, "integers of shape"), ([[0]] * 2, "integers of shape")]
    + [([[0, 1]] * 3, "2 images need as many labels; got 3"), (0, "integers of shape")]
    + [("Apple", "got string"), ([[0], [0, 1]], "one array of integers")],
)
def test_labels_that_do_not_fit_are_refused(told, labels, message):
    with pytest.raises(ValueError, match=message):
        told.sample(2, labels=labels)
    with pytest.raises(ValueError, match=message):
        told.decode(np.zeros((2, *SHAPE)), labels=labels, guidance=0)


def test_labels_need_classes_and_names_that_are_known(plain, trained):
    with pytest.raises(ValueError, match="Unknown label middle; choose from left, r"):
        trained.sample(2, labels=["left", "middle"])
    for use in (
        lambda: plain.sample(2, labels=1),
        lambda: plain.sample(labels=[0, 1]),
        lambda: plain.decode(np.zeros((2, *SHAPE)), labels=[0, 1]),
    ):
        with pytest.raises(ValueError, match="knows no labels: build it, and its"):
            use()


@pytest.mark.parametrize("shape", [(2, 8, 8), (8, 8, 1), (2, 8, 9, 1), (0, 8, 8, 1)])
def test_noise_has_the_shape_of_images(plain, shape):
    with pytest.raises(
        ValueError, match=r"Noise is finite and shaped .*, \(n, 8, 8, 1\).*got"
    ):
        plain.decode(np.zeros(shape))


def test_noise_is_finite(plain):
    with pytest.raises(ValueError, match="Noise is finite"):
        plain.decode(np.full((1, *SHAPE), np.nan))


@pytest.mark.parametrize("name", ["plain", "told"])
def test_images_to_encode_are_checked(name, request):
    made, images = request.getfixturevalue(name), np.full((2, *SHAPE), 0.5, np.float32)
    for bad, message in (
        (images * 510, "Divide 8-bit"),
        (images - 1, r"Images must be float32 in \[0, 1\]"),
        ((images * 255).astype("uint8"), "uint8"),
        (images[..., 0], r"of shape \(n, 8, 8, 1\)|height, width"),
        (images[:0], "at least one is needed"),
        ("photos", "load_dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            made.encode(bad)
        if not isinstance(bad, str) and len(bad):
            with pytest.raises(ValueError, match=message):
                made.interpolate(*bad)


def test_a_walk_has_two_ends(plain):
    for count in (0, 1, 2.5):
        with pytest.raises(ValueError, match="count .*(at least 2|1 or more)"):
            plain.interpolate(*np.zeros((2, *SHAPE), np.float32), count)


def small(inputs=("image", "time"), shape=SHAPE, last=None, labels=1, channels=1):
    """A network that takes and gives what is said."""
    shapes = {"image": shape, "time": (1,), "label": (labels,)}
    given = {name: keras.Input(shapes[name], name=name) for name in inputs}
    x = keras.layers.Conv2D(channels, 3, padding="same", activation=last)
    return keras.Model(given, x(given["image"]))


LABELLED = "image", "time", "label"
NETWORKS = {  # the network, classes, what is said
    "no time": (lambda: small(["image"]), (), r"'time': \(1,\)}, with"),
    "no labels": (small, 3, r"'label': \(1,\)}, with.*same classes"),
    "labels": (lambda: small(LABELLED), (), "same classes"),
    "of another number": (
        lambda: small(LABELLED, labels=2),
        3,
        r"takes .*\(2,\)}.*classes",
    ),
    "one tensor": (
        lambda: keras.Sequential([keras.Input(SHAPE), keras.layers.Dense(1)]),
        (),
        r"must take {'image'",
    ),
    "other channels": (lambda: small(channels=3), (), r"takes .*\(8, 8, 1\)"),
    "any size": (lambda: small(shape=(None, None, 1)), (), "of one size"),
    "an activation": (lambda: small(last="tanh"), (), "Leave the activation"),
    "no network": (lambda: "unet", (), "must be a keras.Model"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_networks_that_do_not_fit_are_refused(case):
    make, classes, message = NETWORKS[case]
    with pytest.raises(ValueError, match=message) as error:
        Diffusion(make(), classes)
    assert len(str(error.value)) < 500


def test_options_out_of_range_are_refused():
    for share in (-0.1, 1, np.nan):
        with pytest.raises(ValueError, match="label_dropout is a share"):
            Diffusion(small(), label_dropout=share)
    for steps in (-1, 1.5, "2"):
        with pytest.raises(ValueError, match="uniform_after is a number of steps"):
            Diffusion(small(), uniform_after=steps)
    Diffusion(small(), label_dropout=0, uniform_after=0)
    for classes, names in (((), ["a"]), (2, ["a"]), ((2, 3), ["a", "b"])):
        with pytest.raises(ValueError, match="label_names name each value of one"):
            diffusion.check_options(classes, 0.1, None, names)
    with pytest.raises(ValueError, match="classes is the number of values"):
        Diffusion(small(LABELLED), classes=1)
