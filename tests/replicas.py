"""Training on two devices at once; `test_model.py` runs this in its own process.

The devices must be made before TensorFlow starts: one processor is taken for two. Each
replica is given half of each batch.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

(processor,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    processor, [tf.config.LogicalDeviceConfiguration()] * 2
)

from test_model import (  # noqa: E402
    MODELS,
    QUIET,
    Toy,
    arguments,
    assert_equal,
    dataset,
    examples,
    pictures,
    toy,
    weights,
)

from tfgen.model import ImageModel  # noqa: E402
from tfgen.muon import Muon  # noqa: E402
from tfgen.vae import VAE, build_decoder, build_encoder  # noqa: E402


@pytest.fixture(scope="module")
def two_devices():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def alike(monkeypatch):
    """Leave out what each replica computes for itself, so that two equal one.

    Batch normalisation and dropout do nothing, and each replica draws its rows of what
    one alone draws for all images.
    """

    class Nothing:  # a class, as what it stands for
        def __new__(cls, *args, **kwargs):
            return keras.layers.Identity()

    def shared(draw):
        def draw_rows(shape, seed, *args, **kwargs):
            context = tf.distribute.get_replica_context()
            if context is None:  # the networks' first weights
                return draw(shape, seed, *args, **kwargs)
            start, count = context.replica_id_in_sync_group * shape[0], shape[0]
            whole = count * context.num_replicas_in_sync
            rows = draw(tf.concat([[whole], shape[1:]], 0), seed, *args, **kwargs)
            return rows[start : start + count]

        return draw_rows

    for layer in ("BatchNormalization", "Dropout"):
        monkeypatch.setattr(keras.layers, layer, Nothing)
    for name in ("stateless_normal", "stateless_uniform"):
        monkeypatch.setattr(tf.random, name, shared(getattr(tf.random, name)))
    monkeypatch.setattr(
        ImageModel, "next_seed", lambda self: tf.cast(self.noise.next(), tf.int64)
    )


def build(name):
    keras.utils.set_random_seed(0)
    make, options = MODELS[name]
    if "n_critic" in options:
        options = {**options, "n_critic": 1} if name == "conditional gan" else {}
    model = make(**options)
    given = {
        key: keras.optimizers.SGD(0.002)
        for key in arguments(model, "compile")
        if key.endswith("optimizer")
    }
    model.compile(**given, run_eagerly=name != "toy")  # eager is quicker
    return model


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize("name", MODELS)
def test_two_replicas_make_the_steps_of_one(name, two_devices):
    one = build(name)
    with two_devices.scope():
        two = build(name)
    start = weights(one)
    assert_equal(weights(two), start)
    data = dataset(examples(one, pictures(16)), 8)  # two steps
    expected = one.fit(data, **QUIET).history
    found = two.fit(data, **QUIET).history
    assert found == {key: pytest.approx(expected[key], rel=1e-5) for key in found}
    moved = [np.abs(a - b).max() for a, b in zip(weights(one), start, strict=True)]
    assert np.median(moved) > 1e-5
    assert_equal(weights(two), weights(one), atol=1e-6, rtol=1e-5)
    assert np.isfinite(two.evaluate(data, **QUIET)).all()


@pytest.mark.usefixtures("alike")
def test_orthogonal_steps_are_made_from_the_gradient_of_all(two_devices):
    def build():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Conv2D(32, 3, padding="same") for _ in range(2)]
        last = keras.layers.Conv2D(1, 3, padding="same")
        model = Toy(keras.Sequential([keras.Input((16, 16, 1)), *layers, last]))
        model.compile(Muon(0.01))
        return model

    one = build()
    with two_devices.scope():
        two = build()
    start = weights(one)
    data = dataset(examples(one, pictures(16)), 8)
    for model in (one, two):
        model.fit(data, **QUIET)
    assert_equal(weights(two), weights(one), atol=1e-4)
    moved = [np.abs(a - b).max() for a, b in zip(weights(one), start, strict=True)]
    assert min(moved) > 1e-3


def test_replicas_draw_noise_of_their_own(two_devices):
    with two_devices.scope():
        model = toy()

    def draw():
        return tf.random.stateless_normal((4,), model.next_seed())

    drawn = [
        tuple(values.numpy())
        for _ in range(2)
        for values in two_devices.experimental_local_results(two_devices.run(draw))
    ]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("name", ["gan", "vae", "restorer", "adversarial"])
def test_replicas_train_with_noise_of_their_own(name, two_devices, monkeypatch):
    with two_devices.scope():
        model = build(name)
    drawn = []
    if hasattr(model, "corruption"):
        corrupt = model.corruption

        def record(images, seed):
            drawn.append(tuple(seed.numpy()))
            return corrupt(images, seed)

        model.corruption = record
    else:
        draw = tf.random.stateless_normal

        def record(shape, seed):
            drawn.append(tuple(seed.numpy()))
            return draw(shape, seed)

        monkeypatch.setattr(tf.random, "stateless_normal", record)
    model.fit(dataset(examples(model), 4), **QUIET)  # two steps
    assert len(set(drawn)) == len(drawn) == 4


def test_several_steps_of_the_critic_are_refused(two_devices):
    with two_devices.scope():
        model = MODELS["gan"][0](n_critic=2)
        with pytest.raises(ValueError, match="n_critic=2 works on one device only"):
            model.compile()


def test_grey_pixels_are_warned_of_only_where_there_are_some(two_devices):
    """Warnings are errors here."""
    with two_devices.scope():
        networks = build_encoder((16, 16, 1), 4, 4), build_decoder((16, 16, 1), 4, 4)
        model = VAE(*networks)
        model.compile(run_eagerly=True)
    binary = dataset([pictures().round()], 8)
    model.fit(binary, **QUIET)
    model.evaluate(binary, **QUIET)
    with pytest.warns(UserWarning, match="binarize"):
        model.fit(dataset([pictures()], 8), **QUIET)
