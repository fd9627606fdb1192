"""What all models promise alike, and the functions that they share.

A new model is one more line in `MODELS`.
"""

import functools
import inspect
import itertools
import re
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import settings_of_keras

from tfgen.checks import (
    check_built,
    check_counts,
    check_logits,
    check_single,
    check_sizes,
    ensure,
    finite,
    fits,
    output_range,
    require,
)
from tfgen.data import corruptions
from tfgen.data.corruptions import (
    add_gaussian_noise,
    add_poisson_noise,
    downsample,
)
from tfgen.data.patches import random_patches  # noqa: F401
from tfgen.defects import DefectFinder, build_defect_finder, defect_loss
from tfgen.diffusion import Diffusion, velocity_loss
from tfgen.gan import GAN, PENALTIES, build_discriminator, build_generator
from tfgen.gan import LOSSES as gan_losses  # noqa: N811
from tfgen.measures.features import build_classifier
from tfgen.model import (
    DataOrder,
    ImageModel,
    copy_of,
    move_average,
    usual_settings,
)
from tfgen.restoration import (
    Restorer,
    batch_psnr,
    build_denoiser,
    build_inpainter,
    build_upscaler,
)
from tfgen.srgan import (
    AdversarialRestorer,
    adversarial_loss,
    build_patch_discriminator,
    build_sharp_upscaler,
    discriminator_loss,
)
from tfgen.unet import build_denoising_unet, build_large_denoising_unet
from tfgen.vae import (
    VAE,
    bernoulli_log_likelihood,
    build_decoder,
    build_encoder,
    gaussian_log_likelihood,
    kl_divergence,
)

SHAPE = (16, 16, 1)
QUIET = dict(verbose=0)


# --- The models ---


@keras.saving.register_keras_serializable("tests")
class Toy(ImageModel):
    """The least that a model must be: a network that takes noise out of images."""

    metric_names = ("loss",)
    averaged = ("network",)

    def __init__(self, network, average_decay=0.9, seed=None, **kwargs):
        super().__init__(network.output_shape[1:], (), average_decay, seed, **kwargs)
        self.network = network
        self.averaged_network = copy_of(network)

    def compile(self, optimizer=None, **kwargs):
        optimizer = optimizer or keras.optimizers.Adam(0.01)
        super().compile(self.prepare(optimizer, self.network), **kwargs)

    def train_step(self, data):
        images = self.check_images(data)
        with tf.GradientTape() as tape:
            loss = self.loss_of(images, self.network, self.next_seed(), training=True)
            scaled_loss = self.scaled(loss, self.optimizer)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        self.average_weights()
        return self.track(loss=loss)

    def test_step(self, data):
        images = self.check_images(data)
        return self.track(loss=self.loss_of(images, self.averaged_network, (0, 0)))

    def call(self, images, training=False):
        return self.averaged_network(images, training=training)

    def loss_of(self, images, network, seed, training=False):
        noise = tf.random.stateless_normal(tf.shape(images), seed, 0, 0.1)
        found = network(images + noise, training=training)
        return finite(tf.reduce_mean(tf.square(found - images), axis=(1, 2, 3)))


def with_dropout(network):
    """A Sequential network with a layer before its last that draws at random."""
    *body, last = network.layers
    start = keras.Input(network.input_shape[1:])
    return keras.Sequential([start, *body, keras.layers.Dropout(0.3), last])


def toy(**options):
    layers = [keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
    layers += [keras.layers.Conv2D(1, 3, padding="same", dtype="float32")]
    return Toy(with_dropout(keras.Sequential([keras.Input(SHAPE), *layers])), **options)


def gan(**options):
    classes = options.get("classes", ())
    normalization = "layer" if "loss" in options else "batch"  # for its penalty
    discriminator = build_discriminator(SHAPE, 4, classes, normalization)
    generator = build_generator(SHAPE, 4, 4, classes)
    return GAN(generator, with_dropout(discriminator), **options)


def vae(**options):
    encoder = with_dropout(build_encoder(SHAPE, 4, 4))
    return VAE(encoder, build_decoder(SHAPE, 4, 4), **options)


def restorer(**options):
    corruption = functools.partial(add_gaussian_noise, sigma=(10, 40))
    return Restorer(build_denoiser(1, 4, 1), **{"corruption": corruption, **options})


def adversarial(**options):
    image = keras.Input((None, None, 1))
    last = keras.layers.Conv2D(4, 3, data_format="channels_last")
    features = keras.Sequential([image, last])
    features.trainable = False
    return AdversarialRestorer(
        build_upscaler(2, 1, 4, 1),
        with_dropout(build_patch_discriminator(1, 4)),
        functools.partial(downsample, scale=2),
        features,
        **options,
    )


@keras.saving.register_keras_serializable("tests")
def draw_boxes(images, seed, count=4):
    """White boxes, about `count` of 16 to an image, and where they are."""
    shape = tf.concat([tf.shape(images)[:1], [4, 4, 1]], axis=0)
    cells = tf.random.stateless_uniform(shape, seed) < count / 16
    mask = tf.cast(tf.repeat(tf.repeat(cells, 4, axis=1), 4, axis=2), tf.float32)
    return {"image": tf.maximum(images, mask), "mask": mask}


@usual_settings()
def two_convolutions():
    image = keras.Input((None, None, 1), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = keras.layers.Dropout(0.3)(x)
    logits = keras.layers.Conv2D(1, 3, padding="same", dtype="float32")(x)
    return keras.Model({"image": image}, logits)


def finder(**options):
    corruption = functools.partial(draw_boxes, count=8)
    return DefectFinder(two_convolutions(), **{"corruption": corruption, **options})


def diffusion(**options):
    network = build_denoising_unet(SHAPE, 4, options.get("classes", ()))
    rng = np.random.default_rng(0)  # some begin as 0
    network.set_weights([w + rng.normal(0, 0.1, w.shape) for w in network.weights])
    return Diffusion(network, **options)


# name: what builds it, and options of its own that are not the defaults
MODELS = {
    "toy": (toy, {}),
    "gan": (gan, dict(classes=3, loss="r1", n_critic=2, penalty_weight=3.0)),
    "conditional gan": (
        functools.partial(gan, classes=(2, 3)),
        dict(loss="wasserstein", n_critic=3, penalty_weight=5.0),
    ),
    "vae": (
        functools.partial(vae, likelihood="gaussian"),
        dict(scale=0.3, beta=2.0, warm_up=4),
    ),
    "restorer": (restorer, dict(corruption=add_gaussian_noise)),
    "adversarial": (
        adversarial,
        dict(
            feature_weight=0.5,
            adversarial_weight=0.1,
            pixel_weight=0.5,
            consistency_weight=2.0,
            penalty_weight=3.0,
            warmup=1,
        ),
    ),
    "finder": (finder, dict(corruption=draw_boxes)),
    "diffusion": (
        functools.partial(diffusion, classes=(2, 3)),
        dict(classes=3, label_dropout=0.2, uniform_after=100, label_names=tuple("abc")),
    ),
}


def build(name, eager=True, **options):
    """A compiled model. Eager is quicker for a few steps, as nothing is traced."""
    keras.utils.set_random_seed(0)
    model = MODELS[name][0](**options)
    model.compile(run_eagerly=eager)
    return model


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module", params=MODELS)
def shared(request):
    model = build(request.param, eager=False)
    return request.param, model, state(model)


@pytest.fixture
def model(shared):
    """A compiled model that trains as a graph, which is traced once for all tests."""
    _, model, start = shared
    reset(model, start)
    return model


def pictures(count=8, height=16, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 0.9, (count, height, width, 1)).astype(np.float32)


def examples(model, images=None):
    """What `fit` takes: images, with labels if the model needs them."""
    images = pictures() if images is None else images
    if not model.classes:
        return (images,)
    labels = np.arange(len(images))[:, None] % model.classes
    return images, labels


def dataset(arrays, size=4):
    arrays = arrays if len(arrays) > 1 else arrays[0]
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def optimizers(model):
    kept = vars(model).values()
    return [value for value in kept if isinstance(value, keras.optimizers.Optimizer)]


def memory(model):
    """All variables that a model keeps: weights, random generators and optimizers."""
    of_optimizers = [v for optimizer in optimizers(model) for v in optimizer.variables]
    return [*model.weights, *model._random_states().values(), *of_optimizers]


def state(model):
    return [np.array(variable) for variable in memory(model)]


def reset(model, start):
    for variable, value in zip(memory(model), start, strict=True):
        variable.assign(value)


def weights(model):
    """Trained and averaged weights and all else of the networks."""
    return [np.array(weight) for weight in model.weights]


def pairs_of_networks(model):
    """(averaged network, trained network) for each that is averaged."""
    return [
        (getattr(model, f"averaged_{name}"), getattr(model, name))
        for name in model.averaged
    ]


def assert_equal(found, expected, **tolerance):
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        if tolerance:
            np.testing.assert_allclose(ours, theirs, **tolerance)
        else:
            np.testing.assert_array_equal(ours, theirs)


# --- Training and evaluating ---


def test_metrics_are_those_that_are_named(model):
    data = dataset(examples(model))
    history = model.fit(data, epochs=2, validation_data=data, **QUIET).history
    assert {key.removeprefix("val_") for key in history} == {*model.metric_names}
    if not isinstance(model, Restorer):  # which measures more when it is evaluated
        assert len(history) == 2 * len(model.metric_names)
    assert [metric.name for metric in model.metrics] == [*model.metric_names]
    assert np.isfinite(list(history.values())).all()


def test_evaluate_repeats_itself_and_leaves_training_undisturbed(model):
    data = dataset(examples(model))
    before = state(model)
    first = model.evaluate(data, return_dict=True, **QUIET)
    assert first == model.evaluate(data, return_dict=True, **QUIET)
    assert_equal(state(model), before)


def test_arrays_and_datasets_are_the_same(model):
    arrays = examples(model)
    start = state(model)

    def train(*data, size=None):
        reset(model, start)
        checked = arrays if len(arrays) > 1 else arrays[0]
        options = dict(shuffle=False, batch_size=size, validation_batch_size=4)
        return model.fit(*data, validation_data=checked, **options, **QUIET).history

    history = train(*arrays, size=4)
    assert train(dataset(arrays)) == {
        key: pytest.approx(history[key], rel=1e-4) for key in history
    }
    for data, size in ((arrays, 4), ([dataset(arrays)], None)):
        result = model.evaluate(*data, batch_size=size, return_dict=True, **QUIET)
        assert result == {
            key: pytest.approx(history[f"val_{key}"][0], rel=1e-4) for key in result
        }


def test_a_last_batch_counts_by_its_images():
    images = pictures(10)
    images[8:] = 0  # unlike the others
    model = build("toy")
    batches = images[:8], images[8:]
    losses = [model.loss_of(x, model.averaged_network, (0, 0)) for x in batches]
    expected = np.mean(np.concatenate(losses))
    assert model.evaluate(images, batch_size=8, **QUIET) == pytest.approx(expected)
    assert np.mean(losses[0]) > 1.1 * expected


def test_equal_seeds_give_equal_models(shared, model):
    name, _, start = shared

    def train(seed):
        reset(model, start)
        model.noise.state.assign(MODELS[name][0](seed=seed).noise.state)
        model.fit(dataset(examples(model)), **QUIET)
        return weights(model)

    first = train(5)
    assert_equal(train(5), first, atol=1e-6)
    others = train(6)
    distances = [np.abs(a - b).max() for a, b in zip(first, others, strict=True)]
    assert max(distances) > 1e-4 or name == "adversarial"  # nothing there is drawn


def test_a_learning_rate_scheduler_moves_what_is_averaged(model):
    def moved(rate):
        scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: rate)
        before = trained_weights()
        model.fit(dataset(examples(model)), callbacks=scheduler, **QUIET)
        assert model.optimizer.learning_rate == rate
        pairs = zip(trained_weights(), before, strict=True)
        return max(np.abs(now - then).max() for now, then in pairs)

    def trained_weights():
        networks = [network for _, network in pairs_of_networks(model)]
        return [v.numpy() for n in networks for v in n.trainable_variables]

    assert moved(0.125) > moved(0.0) == 0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = build(name)
        before = [v.numpy() for v in model.trainable_variables]
        for optimizer in optimizers(model):
            if policy == "mixed_float16":  # the scale that training comes down to
                optimizer.dynamic_scale.assign(128.0)
        history = model.fit(*examples(model), batch_size=4, **QUIET).history
    finally:
        keras.config.set_dtype_policy("float32")
    computed = {layer.compute_dtype for layer in model._flatten_layers()}
    assert policy.removeprefix("mixed_") in computed
    assert np.isfinite(list(history.values())).all()
    for weight, start in zip(model.trainable_variables, before, strict=True):
        assert weight.dtype == "float32" and np.isfinite(weight).all()
        assert not np.array_equal(weight, start)
    for optimizer in optimizers(model):
        scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaling == (policy == "mixed_float16")


# --- Settings of Keras ---


def compiled(model, **options):
    model.compile(**options)
    for optimizer in optimizers(model):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.dynamic_scale.assign(128.0)  # what training comes down to
    return model


BUILDERS = {
    build_generator: (SHAPE, 4, 4),
    build_discriminator: (SHAPE, 4),
    build_encoder: (SHAPE, 4, 4),
    build_decoder: (SHAPE, 4, 4),
    build_denoiser: (1, 4, 1),
    build_inpainter: (1, 4, 1),
    build_upscaler: (2, 1, 4, 1),
    build_sharp_upscaler: (2, 1, 8, 1),
    build_patch_discriminator: (1, 4),
    build_defect_finder: (1, 4, 1),
    build_denoising_unet: (SHAPE, 4, 3),
    build_large_denoising_unet: (SHAPE, (8, 16), (2, 3)),
    build_classifier: (SHAPE, 3),
}


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("floatx", ["float16", "bfloat16", "float64"])
def test_networks_are_built_alike_under_any_settings_of_keras(builder, floatx):
    def outputs():
        keras.utils.set_random_seed(0)
        network = builder(*BUILDERS[builder])
        inputs = keras.tree.map_structure(
            lambda x: rng.random([size or 16 for size in x.shape], np.float32),
            getattr(network, "_functional", network).input,
        )
        return [np.array(x(inputs)) for x in (network, copy_of(network))]

    rng = np.random.default_rng(0)
    expected = outputs()
    rng = np.random.default_rng(0)
    with settings_of_keras(floatx):
        found = outputs()
    assert_equal(found, expected)
    assert all(output.dtype == np.float32 for output in found)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "toy"])
def test_models_train_under_any_settings_of_keras(unusual_settings, name, tmp_path):
    model = compiled(MODELS[name][0](), run_eagerly=True)
    before = [v.numpy() for v in model.trainable_variables]
    assert {x.dtype for x in [*model.trainable_variables, *model.metrics]} == {
        "float32"
    }
    assert model.compute_dtype == "float32"
    data = dataset(examples(model))
    history = model.fit(data, validation_data=data, **QUIET).history
    model.fit(*examples(model), **QUIET)
    assert np.isfinite(list(history.values())).all()
    for weight, start in zip(model.trainable_variables, before, strict=True):
        assert not np.array_equal(weight, start)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    expected = model.evaluate(data, **QUIET)
    assert loaded.evaluate(data, **QUIET) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shared", ["restorer"], indirect=True)
def test_a_saved_model_is_loaded_under_another_policy(model, tmp_path):
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    assert_equal(state(loaded), state(model))


def test_a_loss_object_of_keras_serves_under_any_settings(unusual_settings):
    model = restorer()
    model.compile(loss=keras.losses.Huber(), run_eagerly=True)
    assert np.isfinite(model.fit(pictures(), **QUIET).history["loss"]).all()
    assert model.pixel_loss(pictures(), pictures()).dtype == tf.float32


OF_ONES_OWN = {
    "generator": lambda own: GAN(
        keras.Sequential([own((4,), SHAPE), keras.layers.Activation("sigmoid")]),
        build_discriminator(SHAPE, 4),
    ),
    "discriminator": lambda own: GAN(build_generator(SHAPE, 4, 4), own(SHAPE, (1,))),
    "encoder": lambda own: VAE(own(SHAPE, (8,)), build_decoder(SHAPE, 4, 4)),
    "decoder": lambda own: VAE(build_encoder(SHAPE, 4, 4), own((4,), SHAPE)),
    "network": lambda own: Restorer(convolution(), corruptions.blur),
    "patches": lambda own: AdversarialRestorer(
        build_denoiser(1, 4, 1), own(SHAPE, (1,)), add_gaussian_noise
    ),
    "features": lambda own: AdversarialRestorer(
        build_denoiser(1, 4, 1),
        build_patch_discriminator(1, 4),
        add_gaussian_noise,
        own(SHAPE, (1,)),
    ),
    "velocity": lambda own: Diffusion(velocities(own(SHAPE, SHAPE))),
}


def own(shape, result):
    """A network of layers of Keras alone."""
    last = [keras.layers.Dense(int(np.prod(result))), keras.layers.Reshape(result)]
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *last])


def convolution():
    image = keras.Input(SHAPE, name="image")
    restored = keras.layers.Conv2D(1, 3, padding="same")(image)
    return keras.Model({"image": image}, restored)


def velocities(network):
    image, time = keras.Input(SHAPE, name="image"), keras.Input((1,), name="time")
    return keras.Model({"image": image, "time": time}, network(image))


@pytest.mark.parametrize("case", OF_ONES_OWN)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_weights_of_other_types_are_refused(case, dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        with pytest.raises(ValueError, match=rf"float32; got {dtype}.*floatx"):
            OF_ONES_OWN[case](own)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("case", OF_ONES_OWN)
def test_layers_that_take_channels_first_are_refused(case):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match=r"channels_first.*image_data_format"):
            OF_ONES_OWN[case](own)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("case", OF_ONES_OWN)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_networks_of_ones_own_may_end_in_16_bits(case, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(OF_ONES_OWN[case](own), run_eagerly=True)
        history = model.fit(pictures().round(), **QUIET).history
        assert np.isfinite(list(history.values())).all()
        assert np.isfinite(model.evaluate(pictures().round(), **QUIET)).all()
        if hasattr(model, "sample"):
            assert model.sample(2).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_conditional_discriminator_of_ones_own_may_end_in_16_bits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        networks = build_generator(SHAPE, 4, 4, 3), own(SHAPE, (3,))
        model = compiled(GAN(*networks, classes=3), run_eagerly=True)
        model.fit(*examples(model), **QUIET)
    finally:
        keras.config.set_dtype_policy("float32")


def judge(images):
    return tf.reduce_sum(tf.square(images), axis=(1, 2, 3))[:, None]


LOSSES = dict.fromkeys(  # each once, in an order that every process agrees on
    [
        *(loss for pair in gan_losses.values() for loss in pair),
        *(penalty for penalty, _ in PENALTIES.values()),
        *(adversarial_loss, discriminator_loss, batch_psnr, defect_loss, velocity_loss),
        *(kl_divergence, bernoulli_log_likelihood, gaussian_log_likelihood),
    ]
)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_losses_take_any_float_type_as_float32(loss, dtype):
    rng = np.random.default_rng(0)
    names = inspect.signature(loss).parameters
    given = {
        name: judge if name == "judge" else rng.random((2, 3, 3, 1)).astype(kind)
        for name, kind in zip(names, ("float32", dtype, "float32", dtype), strict=False)
    }
    expected = {
        name: value if name == "judge" else tf.constant(value, "float32")
        for name, value in given.items()
    }
    for found in (loss(**given), loss(*given.values()), tf.function(loss)(**given)):
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, loss(**expected), rtol=1e-5)


# --- XLA ---


def test_models_train_with_xla(name):
    """The bicubic enlargement of the adversarial model cannot: Keras says so."""
    model = MODELS[name][0]()
    if name == "adversarial":
        with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
            model.compile(jit_compile=True)
    else:
        model.compile(jit_compile=True)
    with pytest.raises(ValueError, match="8-bit"):  # known without the values
        model.fit(*examples(model, BAD_IMAGES["8 bit"][0]), **QUIET)
    data = examples(model)
    assert np.isfinite(list(model.fit(*data, **QUIET).history.values())).all()
    assert np.isfinite(model.evaluate(*data, **QUIET)).all()


def test_what_is_predicted_with_xla_is_the_same():
    model = vae()
    expected = model.predict(pictures().round(), **QUIET)
    model.compile(jit_compile=True)
    found = model.predict(pictures().round(), **QUIET)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_xla_cannot_compile_is_said():
    model = Restorer(convolution(), add_poisson_noise)
    model.compile(jit_compile=True)
    for method in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match="XLA cannot.*Poisson.*leave out"):
            method(pictures())


# --- Averages ---


@pytest.mark.parametrize(
    "decay, changes",  # short at first
    [(0.75, {0: 1, 10: 0.5, 1000: 0.25}), (0.0, {0: 1, 10: 1, 1000: 1})],
)
def test_averages_follow_the_formula(model, decay, changes, monkeypatch):
    monkeypatch.setattr(model, "average_decay", decay)
    averages = [average for average, _ in pairs_of_networks(model)]
    start = [average.get_weights() for average in averages]
    for _, network in pairs_of_networks(model):
        network.set_weights([weight + 1 for weight in network.get_weights()])
    for step, change in changes.items():
        model.optimizer.iterations.assign(step)
        for average, values in zip(averages, start, strict=True):
            average.set_weights(values)
        model.average_weights()
        for average, values in zip(averages, start, strict=True):
            expected = [value + change for value in values]
            assert_equal(average.get_weights(), expected, atol=1e-6)


def test_each_step_moves_the_averages(model):
    expected = [average.get_weights() for average, _ in pairs_of_networks(model)]
    for step in (1, 2):
        model.fit(dataset(examples(model), 8), **QUIET)
        assert model.optimizer.iterations == step
        decay = step / (10 + step)
        for means, (_, network) in zip(expected, pairs_of_networks(model), strict=True):
            for mean, weight in zip(means, network.get_weights(), strict=True):
                mean += (1 - decay) * (weight - mean)
    for means, (average, _) in zip(expected, pairs_of_networks(model), strict=True):
        assert_equal(average.get_weights(), means, atol=1e-6)


def test_averaged_networks_are_used_and_the_others_are_trained(model):
    copies = {key for key in vars(model) if key.startswith("averaged_")}
    assert copies == {f"averaged_{name}" for name in model.averaged}
    trainable = {id(variable) for variable in model.trainable_variables}
    for average, network in pairs_of_networks(model):
        assert average.weights and not average.trainable_variables
        assert trainable >= {id(v) for v in network.trainable_variables} > set()
    data = dataset(examples(model))
    first = model.evaluate(data, **QUIET)
    for average, _ in pairs_of_networks(model):
        average.set_weights([0 * weight for weight in average.get_weights()])
    assert model.evaluate(data, **QUIET) != first


# --- Weights that something else than training puts into a network ---


def shaken(weights, seeds=itertools.count()):  # noqa: B008 - others at each call
    rng = np.random.default_rng(next(seeds))
    return [w * rng.uniform(0.8, 1.2, w.shape) + rng.uniform(0, 0.02) for w in weights]


def by_set_weights(network, tmp_path):
    network.set_weights(shaken(network.get_weights()))


def by_load_weights(network, tmp_path):
    other = copy_of(network)
    other.set_weights(shaken(network.get_weights()))
    other.save_weights(tmp_path / "other.weights.h5")
    network.load_weights(tmp_path / "other.weights.h5")


def by_assign(network, tmp_path):
    kernel = network.trainable_variables[0]
    flat = kernel.numpy().reshape(-1)
    flat[-1] += 0.5  # one number of one layer
    kernel.assign(flat.reshape(kernel.shape))


def by_checkpoint(network, tmp_path):
    saved = tf.train.Checkpoint(weights=[v.value for v in network.weights])
    path = saved.write(str(tmp_path / "checkpoint"))
    network.set_weights(shaken(network.get_weights()))
    saved.read(path)
    network.trainable_variables[0].value.assign_add(
        tf.ones(network.trainable_variables[0].shape)
    )


WAYS = [by_set_weights, by_load_weights, by_assign, by_checkpoint]
READ = {  # all that reads the averages of a model, but for `fit`
    "toy": [lambda model, images: model.evaluate(*images, **QUIET)],
    "gan": [
        lambda model, images: model.sample(3, seed=0),
        lambda model, images: model.predict(np.ones((2, 4), "float32"), **QUIET),
        lambda model, images: model(np.ones((2, 4), "float32")),
        lambda model, images: model.evaluate(*images, **QUIET),
        lambda model, images: model.test_on_batch(*images),
    ],
    "vae": [
        lambda model, images: model.encode(*images)[0],
        lambda model, images: model.sample(3, seed=0),
        lambda model, images: model.reconstruct(*images),
        lambda model, images: model.interpolate(*images[0][:2], 3),
        lambda model, images: model.log_likelihood(*images, 2, **QUIET),
        lambda model, images: model.predict(*images, **QUIET),
        lambda model, images: model.predict_on_batch(*images),
        lambda model, images: model(*images),
        lambda model, images: model.evaluate(*images, **QUIET),
    ],
    "restorer": [
        lambda model, images: model.restore(*images, sigma=20),
        lambda model, images: model(add_gaussian_noise(*images, seed=0)),
        lambda model, images: model.evaluate(*images, **QUIET),
    ],
    "adversarial": [
        lambda model, images: model.restore(*images),
        lambda model, images: model.evaluate(*images, **QUIET),
    ],
    "diffusion": [
        lambda model, images: model.sample(3, seed=0, steps=2),
        lambda model, images: model.decode(np.zeros((1, *SHAPE)), steps=1),
        lambda model, images: model.encode(images[0][:2], steps=1),
        lambda model, images: model.interpolate(*images[0][:2], 3, steps=1),
        lambda model, images: model(inputs(model)),
        lambda model, images: model.evaluate(*images, **QUIET),
    ],
}


def weights_of(networks):
    return [weights for network in networks for weights in network.get_weights()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fitted", [False, True])
def test_weights_put_into_a_network_are_those_that_are_used(
    model, shared, way, fitted, tmp_path
):
    data = examples(model)
    if fitted:
        model.fit(dataset(data), **QUIET)
    kept = weights_of(average for average, _ in pairs_of_networks(model))
    for read in READ.get(shared[0], []):
        before = read(model, data)
        for _, network in pairs_of_networks(model):
            way(network, tmp_path)
        after = read(model, data)  # nothing else looks at the averages before
        assert not np.array_equal(np.asarray(after), np.asarray(before))
        for average, network in pairs_of_networks(model):
            assert_equal(average.get_weights(), network.get_weights())
    if shared[0] in READ:
        now = weights_of(average for average, _ in pairs_of_networks(model))
        assert not all(map(np.array_equal, now, kept))


def test_training_goes_on_from_weights_put_into_a_network(model):
    model.fit(dataset(examples(model)), epochs=3, **QUIET)
    for _, network in pairs_of_networks(model):
        network.set_weights([0.5 * weight + 0.1 for weight in network.get_weights()])
    # A step in which the old average would have stayed at least a third behind.
    model.fit(dataset(examples(model), 8), **QUIET)
    for average, network in pairs_of_networks(model):
        for mean, weight in zip(average.weights, network.weights, strict=True):
            if weight.trainable:
                assert np.abs(mean - weight).max() < 0.025


def test_weights_that_a_callback_puts_in_are_those_of_the_validation(model):
    data = examples(model)
    _, network = pairs_of_networks(model)[0]

    class Put(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            by_set_weights(network, None)

        def on_test_begin(self, logs=None):
            by_set_weights(network, None)
            self.weights = network.get_weights()

    put = Put()
    model.fit(dataset(data), validation_data=dataset(data), callbacks=[put], **QUIET)
    average, _ = pairs_of_networks(model)[0]
    assert not np.array_equal(average.get_weights()[0], put.weights[0])
    assert_equal(average.get_weights(), network.get_weights())


def test_weights_put_into_a_network_are_saved_as_they_are_used(model, tmp_path):
    model.fit(dataset(examples(model)), **QUIET)
    for _, network in pairs_of_networks(model):
        by_set_weights(network, tmp_path)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for average, network in pairs_of_networks(loaded):
        assert_equal(average.get_weights(), network.get_weights())


def test_weights_of_a_whole_model_bring_their_averages(model, tmp_path):
    data = dataset(examples(model))
    model.fit(data, epochs=2, **QUIET)
    model.save_weights(tmp_path / "model.weights.h5")
    kept, expected = model.get_weights(), model.evaluate(data, **QUIET)
    for put in (
        lambda: model.load_weights(tmp_path / "model.weights.h5"),
        lambda: model.set_weights(kept),
        lambda: [v.assign(w) for v, w in zip(model.weights, kept, strict=True)],
    ):
        model.fit(data, **QUIET)
        put()
        assert model.evaluate(data, **QUIET) == expected
        average, network = pairs_of_networks(model)[0]
        assert not np.array_equal(average.get_weights()[0], network.get_weights()[0])


# --- Saving and resuming ---


def test_a_loaded_model_goes_on_as_the_saved_one(model, tmp_path):
    data = dataset(examples(model))
    model.fit(data, **QUIET)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert all(optimizer.iterations == 2 for optimizer in optimizers(loaded))
    assert_equal(state(loaded), state(model))
    loaded.run_eagerly = True
    found = loaded.evaluate(data, **QUIET), loaded.fit(data, **QUIET).history
    expected = model.evaluate(data, **QUIET), model.fit(data, **QUIET).history
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    for key, values in expected[1].items():
        assert found[1][key] == pytest.approx(values, rel=1e-4)
    assert_equal(state(loaded), state(model), atol=1e-5)


def test_weights_round_trip(model, tmp_path):
    start = state(model)
    model.fit(dataset(examples(model)), **QUIET)
    trained = state(model)
    model.save_weights(tmp_path / "model.weights.h5")
    reset(model, [0 * values for values in start])
    model.load_weights(tmp_path / "model.weights.h5")
    assert model.optimizer.iterations == 2
    assert_equal(state(model), trained)


class Cut(keras.callbacks.Callback):
    """Stop as if the power was cut, when the second epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_resumes_bit_equal(model, tmp_path):
    start = state(model)
    arrays = examples(model)
    arrays = arrays if len(arrays) > 1 else arrays[0]

    def run(folder, *callbacks):
        reset(model, start)
        data = tf.data.Dataset.from_tensor_slices(arrays).shuffle(8, seed=1).batch(4)
        backup = keras.callbacks.BackupAndRestore(
            tmp_path / folder, delete_checkpoint=False
        )
        model.fit(data, epochs=2, callbacks=[backup, *callbacks], **QUIET)
        return state(model)

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", Cut())
    resumed = run("cut")
    model._initial_epoch = None  # where Keras would begin ever after
    assert_equal(resumed, whole)


RUN = """
import shutil, sys
import keras, numpy as np, tensorflow as tf
from test_model import pictures, random_patches, state, toy

folder, copy, report = sys.argv[1:]
keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
model = toy()
model.compile()
patches = random_patches([pictures(1, 40, 40)[0]], 16, 16, batch_size=4, seed=1)
shuffled = tf.data.Dataset.from_tensor_slices(pictures(16)).shuffle(16, seed=1)
data = tf.data.Dataset.zip((patches, shuffled.batch(4))).map(lambda a, b: (a + b) / 2)

class Copy(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        print("epoch", epoch)
        if epoch == 2:  # what a power cut would leave
            shutil.copytree(folder, copy)

backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
model.fit(data, epochs=4, verbose=0, callbacks=[backup, Copy()])
np.savez(report, *state(model))
"""


def test_an_interrupted_run_resumes_bit_equal_in_a_new_process(tmp_path):
    """With dropout, shuffled images and random patches; what it needs is the base's."""

    def run(folder, copy):
        """How many epochs were trained, and the state in the end."""
        paths = [tmp_path / part for part in (folder, copy, f"{folder}.npz")]
        command = [sys.executable, "-c", RUN, *paths]
        options = dict(check=True, capture_output=True, text=True)
        result = subprocess.run(command, cwd=Path(__file__).parent, **options)
        return result.stdout.count("epoch"), list(np.load(paths[-1]).values())

    epochs, whole = run("whole", "cut")
    epochs_left, resumed = run("cut", "unused")
    assert (epochs, epochs_left) == (4, 2)
    assert_equal(resumed, whole)


# --- What is saved of one's own ---

registered = keras.saving.register_keras_serializable("tests")


@registered
def darken(images, seed, *args, **options):
    return {"image": images / 2, "sigma": tf.ones((tf.shape(images)[0], 1))}


def unregistered(images, seed, *args, **options):
    return darken(images, seed)


@registered
@tf.function
def darken_in_a_graph(images, seed):
    return darken(images, seed)


class Camera:
    """A callable object, not registered and without `get_config`."""

    def __init__(self, level=1.0):
        self.level = level

    def __call__(self, images, seed):
        return darken(images, seed)

    shoot = __call__


class Described(Camera):
    def get_config(self):
        return {"level": self.level}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@registered
class Known(Described):
    def __eq__(self, other):
        return type(self) is type(other) and self.level == other.level


@registered
class Forgetful(Described):
    def get_config(self):
        return {}


def same_image(x):
    return x


def relu(images, seed):  # the name of another function, which Keras knows
    return darken(images, seed)


def blur(images, seed):  # the name of another function, which tfgen has registered
    return darken(images, seed)


def arrays_equal(found, expected):
    return (
        type(found) is type(expected)
        and found.dtype == expected.dtype
        and np.array_equal(found, expected, equal_nan=found.dtype != bool)
        and np.shape(found) == np.shape(expected)
    )


ARGUMENTS = {  # of a partial function, which come back as they were
    "None": None,
    "text": "tests>darken",  # the name of a function, but a text
    "a tuple": (10, (40, [2.5, (True,)])),
    "a list": [10, 40],
    "a dictionary": {"levels": (1, 2)},
    "infinity": float("inf"),
    "a large number": 2**70,
    "a slice": slice(1, None, 2),
    "a function": darken,
    "a function of Keras": keras.activations.relu,
    "a class": Known,
    "an object": Known(3.0),
}
ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "bytes": np.arange(3, dtype=np.uint8),
    "booleans": np.array([True, False]),
    "NaN": np.array([np.nan, 1], np.float32),
    "nothing": np.zeros((0, 3)),
    "one float": np.float32(0.1),
    "one integer": np.int64(3),
    "no axes": np.array(3.0),
    "a tensor": tf.constant([1.5, 2.5], tf.float16),
    "a scalar tensor": tf.constant(3),
}
LOST = {  # arguments of a partial function that JSON cannot hold, or changes
    "a path": Path("levels"),
    "a set": {1, 2},
    "keys that are no text": {1: 2},
    "keys that mean something": {"tuple": [1]},
    "a description": {"class_name": "Known", "config": {}},
    "bytes": b"ab",
    "a complex number": 1j,
    "a generator": np.random.default_rng(0),
    "a variable": tf.Variable(1.0),
    "objects": np.array([1, "a"], object),
    "texts": tf.constant(["a"]),
    "a function": unregistered,
    "a function of TensorFlow": tf.nn.relu,
    "a function of NumPy": np.add,
    "a lambda": lambda: 1,
    "a class": Camera,
}
ONES_OWN = {  # corruptions that come back
    "registered": darken,
    "of a graph": darken_in_a_graph,
    "an object": Known(2.0),
    "by position": functools.partial(darken, 0.5),
    "of a partial": functools.partial(functools.partial(darken, 1, a=2), 3, a=4),
    "of an object": functools.partial(Known(2.0)),
}
TOLD = {  # corruptions that do not
    "not registered": unregistered,
    "a name of Keras": relu,
    "a name of tfgen": blur,
    "a lambda": lambda images, seed: darken(images, seed),
    "an object": Camera(),
    "a method": Camera().shoot,
    "an object, not registered": Described(2.0),
    "an object that forgets": Forgetful(2.0),
    "a partial": functools.partial(unregistered, level=1),
    **{f"with {k}": functools.partial(darken, level=v) for k, v in LOST.items()},
}


def saved(model, path, **options):
    model.save(path)
    return keras.saving.load_model(path, **options)


@pytest.mark.parametrize("case", ONES_OWN)
def test_a_corruption_of_ones_own_comes_back(case, tmp_path):
    corruption = ONES_OWN[case]
    found = saved(restorer(corruption=corruption), tmp_path / "m.keras").corruption
    assert_same_function(found, corruption)


def assert_same_function(found, expected):
    if isinstance(expected, functools.partial):
        found, expected = (
            (part.func, part.args, part.keywords) for part in (found, expected)
        )
    assert found == expected


def test_the_arguments_of_a_partial_come_back(tmp_path):
    partial = functools.partial(darken, *ARGUMENTS.values(), **ARGUMENTS)
    found = saved(restorer(corruption=partial), tmp_path / "model.keras").corruption
    assert_same_function(found, partial)
    assert str(found.args[2:5]) == str(partial.args[2:5])  # tuples are no lists


def test_arrays_in_a_partial_come_back(tmp_path):
    partial = functools.partial(darken, *ARRAYS.values(), **ARRAYS)
    found = saved(restorer(corruption=partial), tmp_path / "model.keras").corruption
    for ours, theirs in zip(found.args, ARRAYS.values(), strict=True):
        assert arrays_equal(ours, theirs), theirs
    assert list(found.keywords) == list(ARRAYS)


@pytest.mark.parametrize("case", TOLD)
def test_a_corruption_that_does_not_come_back_is_told_when_saved(case, tmp_path):
    model = restorer(corruption=TOLD[case])
    with pytest.warns(UserWarning, match="The corruption .*Register its functions"):
        loaded = saved(model, tmp_path / "model.keras")
    photo = pictures(1)[0]
    restored = loaded.restore(photo, sigma=20)
    np.testing.assert_array_equal(restored, model.restore(photo, sigma=20))
    loaded.compile(run_eagerly=True)
    for method in (loaded.fit, loaded.evaluate):
        with pytest.raises(ValueError, match="loaded without its corruption"):
            method(pictures(), **QUIET)


@pytest.mark.filterwarnings("ignore:The corruption")
def test_a_corruption_can_be_given_when_or_after_it_is_loaded(tmp_path):
    partial = functools.partial(unregistered, (1, 2), level=0.5)
    path = tmp_path / "model.keras"
    lost = saved(restorer(corruption=partial), path)
    again = saved(lost, tmp_path / "again.keras", custom_objects={})
    names = {"unregistered": unregistered}
    for file in (path, tmp_path / "again.keras"):
        found = keras.saving.load_model(file, custom_objects=names).corruption
        assert_same_function(found, partial)
    again.corruption = unregistered
    again.compile()
    assert np.isfinite(again.evaluate(pictures(), **QUIET)[0])


@registered
def own_loss(images, restored):
    return tf.abs(images - restored)


class OwnLoss(keras.losses.Loss):
    def __init__(self, weight=1.0, **options):
        super().__init__(**options)
        self.weight = weight

    def call(self, images, restored):
        return self.weight * tf.abs(images - restored)


@registered
class KnownLoss(OwnLoss):
    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


@registered
class ForgetfulLoss(OwnLoss):
    pass


LOSSES = {  # whether it comes back
    "registered": (own_loss, True),
    "a class": (KnownLoss(2.0), True),
    "a lambda": (lambda images, restored: own_loss(images, restored), False),
    "not registered": (OwnLoss(), False),
    "forgetful": (ForgetfulLoss(2.0), False),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_of_ones_own_comes_back_or_is_told(case, tmp_path):
    loss, comes_back = LOSSES[case]
    model = restorer()
    model.compile(loss=loss, run_eagerly=True)
    if comes_back:
        found = saved(model, tmp_path / "model.keras").loss
        assert type(found) is type(loss)
        assert getattr(found, "weight", found) == getattr(loss, "weight", loss)
        return
    with pytest.warns(UserWarning, match="The loss .*Register its functions"):
        loaded = saved(model, tmp_path / "model.keras")
    with pytest.raises(ValueError, match="loaded without its loss"):
        loaded.evaluate(pictures(), **QUIET)
    loaded.compile(loss=loss)
    assert np.isfinite(loaded.evaluate(pictures(), **QUIET)[0])


class Unknown(keras.layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize("kind", ["deep", "lambda", "optimizer"])
def test_a_layer_or_an_optimizer_that_does_not_come_back_is_told(kind, tmp_path):
    if kind == "optimizer":
        part = type("Unknown", (keras.optimizers.Adam,), {})()
        model, name = restorer(), "optimizer"
        model.compile(part)
    else:
        layer = Unknown() if kind == "deep" else keras.layers.Lambda(lambda x: x)
        block = keras.Sequential([keras.Input((None, None, 1)), layer])
        judge = build_patch_discriminator(1, 4)
        judge.add(block)
        name = "discriminator"
        model = AdversarialRestorer(build_denoiser(1, 4, 1), judge, darken)
    with pytest.warns(UserWarning, match=f"The {name} .* saved: .*Register its"):
        model.save(tmp_path / "model.keras")


def test_checkpoints_tell_and_backups_need_no_corruption(tmp_path):
    model = restorer(corruption=unregistered)
    model.compile(run_eagerly=True)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(pictures(), callbacks=[backup], **QUIET)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="The corruption unregistered"):
        model.fit(pictures(), callbacks=[checkpoint], **QUIET)


def test_saving_disturbs_no_random_numbers(model, tmp_path):
    def draw():
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
        return np.array(layer.kernel), np.array(keras.random.normal((3,)))

    keras.utils.set_random_seed(3)
    expected = draw()
    keras.utils.set_random_seed(3)
    model.save(tmp_path / "model.keras")
    assert_equal(draw(), expected)


# --- Other formats ---


def inputs(model):
    """What a call takes, at random."""
    rng = np.random.default_rng(0)
    return keras.tree.map_structure(
        lambda x: tf.cast(
            rng.random([2, *(side or 16 for side in x.shape[1:])], np.float32), x.dtype
        ),
        model.call_ends()[0],
    )


@pytest.mark.parametrize("state", ["fresh", "fitted", "loaded"])
def test_export_writes_what_a_call_computes(name, state, tmp_path):
    model = build(name)
    if state == "fitted":
        model.fit(*examples(model), **QUIET)
    if state == "loaded":
        model = saved(model, tmp_path / "model.keras")
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    found, expected = served.serve(inputs(model)), model(inputs(model))
    assert_equal([found], [expected], atol=1e-5)
    assert fits(found.shape, *model.output_shape)


def test_other_files_than_keras_are_refused_and_not_begun(name, tmp_path):
    model = build(name)
    for file in ("model.h5", "model.hdf5", "model.weights.h5"):
        with pytest.raises(ValueError, match=f"as .*{file}: end the name in .keras"):
            model.save(tmp_path / file)
    assert list(tmp_path.iterdir()) == []


# --- Arguments ---


def arguments(model, method):
    """Names of all arguments of a method, those for the class it is built on too."""
    classes = type(model).__mro__
    found = {}
    for cls in classes[: classes.index(ImageModel)]:
        if method in vars(cls):
            found |= inspect.signature(vars(cls)[method]).parameters
    return {key: value for key, value in found.items() if key not in ("self", "kwargs")}


def assert_same(found, expected):
    """Whether two arguments are the same: networks, optimizers, functions, values."""
    assert type(found) is type(expected)
    if isinstance(expected, functools.partial):
        assert (found.func, found.keywords) == (expected.func, expected.keywords)
    elif isinstance(expected, keras.Model):
        assert found.name == expected.name
        assert_equal(found.get_weights(), expected.get_weights())
    elif isinstance(expected, keras.optimizers.Optimizer):
        assert found.get_config() == expected.get_config()
    else:
        assert found == expected


def test_a_model_is_saved_with_every_argument_before_it_is_compiled(name, tmp_path):
    keras.utils.set_random_seed(0)
    make, options = MODELS[name]
    options = dict(average_decay=0.5, seed=3, name="mine") | options
    model = make(**options)
    attributes = {"loss": "loss_name"}  # `loss` itself is Keras' own
    for key, value in options.items():
        kept = getattr(model, attributes.get(key, key))
        assert kept == value or kept == (value,)
    for key, parameter in arguments(model, "__init__").items():
        if parameter.default is not inspect.Parameter.empty:
            given = getattr(model, attributes.get(key, key)) != parameter.default
            assert given, f"give {key} in MODELS another value than the default"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    copied = type(model).from_config(model.get_config())
    assert not loaded.compiled
    assert_equal(state(loaded), state(model))
    copied.set_weights(model.get_weights())
    for other in (loaded, copied):
        assert other.name == "mine"
        for key in arguments(model, "__init__"):
            attribute = attributes.get(key, key)
            assert_same(getattr(other, attribute), getattr(model, attribute))


def test_every_argument_of_compile_is_saved(name, tmp_path):
    model = MODELS[name][0]()
    given = {
        key: "mean_squared_error"
        if key == "loss"
        else keras.optimizers.SGD(2.0**-index, momentum=0.5, clipnorm=1.0)
        for index, key in enumerate(arguments(model, "compile"))
    }
    model.compile(**given)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    copied = type(model).from_config(model.get_config())
    copied.compile_from_config(model.get_compile_config())
    for other in (model, loaded, copied):
        for key, value in given.items():
            assert_same(getattr(other, key), value)
        assert other.optimizer in optimizers(other)


def test_no_argument_hides_a_name_of_the_base(name):
    model = MODELS[name][0]()
    base = ImageModel(SHAPE)
    own = {*inspect.signature(ImageModel).parameters, "loss", "optimizer"}
    given = {**arguments(model, "__init__"), **arguments(model, "compile")}
    assert [key for key in given if hasattr(base, key) and key not in own] == []


# --- What would otherwise be taken and not used ---


def names_of_optimizers(model):
    return [key for key in arguments(model, "compile") if key.endswith("optimizer")]


@pytest.mark.parametrize(
    "form",
    [
        lambda: "sgd",
        lambda: keras.optimizers.serialize(keras.optimizers.SGD(0.1)),
        lambda: keras.optimizers.SGD(0.1),
    ],
)
def test_an_optimizer_is_what_keras_takes_for_one(name, form):
    model = MODELS[name][0]()
    names = names_of_optimizers(model)
    model.compile(**{key: form() for key in names})
    assert len({id(optimizer) for optimizer in optimizers(model)}) == len(names)
    assert all(isinstance(one, keras.optimizers.SGD) for one in optimizers(model))


@pytest.mark.parametrize("wrong", [keras.optimizers.SGD, "adamm", 0.1])
def test_what_is_no_optimizer_is_refused(name, wrong):
    model = MODELS[name][0]()
    with pytest.raises(ValueError, match="An optimizer is one of keras.optimizers"):
        model.compile(**{names_of_optimizers(model)[-1]: wrong})


def test_an_optimizer_trains_one_set_of_weights(name):
    model, other = MODELS[name][0](), MODELS[name][0]()
    names = names_of_optimizers(model)
    one = keras.optimizers.SGD(0.1)
    if len(names) > 1:
        with pytest.raises(ValueError, match="an optimizer of its own"):
            model.compile(**dict.fromkeys(names, one))
        one = keras.optimizers.SGD(0.1)
    model.compile(**{names[0]: one})
    model.compile(**{names[0]: one})  # again for the same weights
    with pytest.raises(ValueError, match="an optimizer of its own"):
        other.compile(**{names[0]: one})


def test_an_average_of_the_optimizer_is_refused(model):
    swap = keras.callbacks.SwapEMAWeights()
    with pytest.raises(ValueError, match="SwapEMAWeights.*Leave the callback out"):
        model.fit(*examples(model), callbacks=swap, **QUIET)
    averaging = keras.optimizers.Adam(use_ema=True)
    with pytest.raises(ValueError, match="average_decay in place of use_ema"):
        model.compile(**{names_of_optimizers(model)[-1]: averaging})


def test_an_argument_that_compile_does_not_know_is_told_with_those_it_does(name):
    model = MODELS[name][0]()
    known = ", ".join(arguments(model, "compile"))
    wrong = {"learning_rate": 0.1}
    if names_of_optimizers(model)[0] != "optimizer":
        wrong = {"optimizer": "adam"}
    with pytest.raises(TypeError, match=f"compile takes {known}.*got {[*wrong][0]}"):
        model.compile(**wrong)


@pytest.mark.parametrize(
    "given", [{"metrics": ["mse"]}, {"loss_weights": [2.0]}, {"weighted_metrics": [1]}]
)
def test_metrics_and_weights_of_losses_are_refused(name, given):
    (word,) = given
    with pytest.raises(ValueError, match=f"metrics and losses of its own.*{word}"):
        MODELS[name][0]().compile(**given)


def test_weights_of_images_are_refused(model):
    images, *labels = examples(model)
    labels = labels or [None]
    start, weights = state(model), np.zeros(8)
    weighted = images, *labels, weights
    for use in (
        lambda: model.fit(images, *labels, sample_weight=weights, **QUIET),
        lambda: model.fit(images, *labels, class_weight={0: 1.0}, **QUIET),
        lambda: model.evaluate(images, *labels, sample_weight=weights, **QUIET),
        lambda: model.evaluate(images, *labels, None, 0, weights),
        lambda: model.train_on_batch(images, *labels, weights),
        lambda: model.train_on_batch(images, *labels, class_weight={0: 1.0}),
        lambda: model.test_on_batch(images, *labels, weights),
        lambda: model.fit(images, *labels, validation_data=weighted, **QUIET),
    ):
        with pytest.raises(ValueError, match="weighs all images alike"):
            use()
    if model.classes:
        data = tf.data.Dataset.from_tensor_slices((images, *labels, weights)).batch(4)
        for method in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match="weighs all images alike"):
                method(data, **QUIET)
    assert_equal(state(model), start)


def test_penalties_of_weights_are_refused():
    layer = keras.layers.Conv2D(1, 3, padding="same", kernel_regularizer="l2")
    model = Toy(keras.Sequential([keras.Input(SHAPE), layer]))
    with pytest.raises(ValueError, match="kernel_regularizer.*weight_decay"):
        model.compile()


@keras.saving.register_keras_serializable("tests")
class Extended(Toy):
    def __init__(self, *networks, extra=1, kept=True, **options):
        super().__init__(*networks, **options)
        if kept:
            self.extra = extra
        self.kept = kept


def test_a_subclass_keeps_its_arguments_to_be_saved(tmp_path):
    network = toy().network
    with pytest.raises(ValueError, match="keep it: self.extra"):
        Extended(network, kept=False).compile()
    model = Extended(network, extra=5)
    model.compile()
    config = model.get_config()
    assert (config["extra"], config["kept"]) == (5, True) and "networks" not in config


# --- Learning rates that callbacks change ---


class Warmer(keras.callbacks.Callback):
    """Sets the rate within an epoch, from 0 on."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.002 * batch


CALLBACKS = {  # each leaves a quarter of the rate
    "scheduler": lambda metric: keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: rate / 2
    ),
    "plateau": lambda metric: keras.callbacks.ReduceLROnPlateau(
        metric, 0.25, patience=0, min_delta=1e9, mode="min"
    ),
    "warmer": lambda metric: Warmer(),
}


def compiled_with(rates, name):
    model = MODELS[name][0]()
    names = names_of_optimizers(model)
    given = dict(zip(names, map(keras.optimizers.SGD, rates), strict=False))
    model.compile(**given, run_eagerly=True)
    return model, lambda: [float(getattr(model, key).learning_rate) for key in names]


@pytest.mark.parametrize("kind", CALLBACKS)
def test_callbacks_change_all_learning_rates_alike(name, kind, tmp_path):
    model, rates = compiled_with((0.008, 0.004), name)
    callback = CALLBACKS[kind](model.metric_names[0])
    data = dataset(examples(model))
    model.fit(data, epochs=2, callbacks=[callback], **QUIET)
    expected = [0.002, 0.001][: len(rates())]
    assert rates() == pytest.approx(expected, rel=1e-6)
    model.optimizer.learning_rate = 0.001
    path = tmp_path / "model.keras"
    model.save(path)
    assert rates() == pytest.approx([0.001, 0.0005][: len(rates())], rel=1e-6)
    loaded = keras.saving.load_model(path)
    names = names_of_optimizers(model)
    assert [getattr(loaded, key).learning_rate for key in names] == rates()


TWO = ["gan", "adversarial"]


@pytest.mark.parametrize("name", TWO)
def test_a_rate_that_is_changed_by_itself_stays(name):
    model, rates = compiled_with((0.008, 0.004), name)
    data = dataset(examples(model))
    model.discriminator_optimizer.learning_rate = 0.001
    model.fit(data, **QUIET)
    assert rates() == pytest.approx([0.008, 0.001])
    model.optimizer.learning_rate = 0.016  # the new proportion is kept
    model.fit(data, **QUIET)
    assert rates() == pytest.approx([0.016, 0.002])
    model.optimizer.learning_rate = 0.004
    model.discriminator_optimizer.learning_rate = 0.004
    model.fit(data, **QUIET)
    assert rates() == pytest.approx([0.004, 0.004])


@pytest.mark.parametrize("name", TWO)
def test_a_step_is_made_with_the_rates_that_a_callback_has_set(name):
    model, _ = compiled_with((0.008, 0.004), name)
    stop = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(dataset(examples(model)), callbacks=[stop], **QUIET)
    assert_equal([v.numpy() for v in model.trainable_variables], before)


@pytest.mark.parametrize("name", TWO)
def test_a_rate_of_0_has_no_proportion(name):
    model, rates = compiled_with((0.008, 0.004), name)
    data = dataset(examples(model))
    model.optimizer.learning_rate = 0.0
    model.discriminator_optimizer.learning_rate = 0.002
    model.fit(data, **QUIET)
    assert rates() == pytest.approx([0.0, 0.002])
    model.optimizer.learning_rate = 0.001
    model.fit(data, **QUIET)
    assert rates() == pytest.approx([0.001, 0.002])


@pytest.mark.parametrize("name", TWO)
def test_a_rate_with_a_schedule_keeps_to_it(name):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.008, 1, 0.5)
    for given in ((schedule, 0.004), (0.004, schedule)):
        model, rates = compiled_with(given, name)
        before = model.optimizer.iterations.numpy()
        model.fit(dataset(examples(model)), **QUIET)
        assert model.optimizer.iterations == before + 2
        expected = [0.008 / 4 if rate is schedule else rate for rate in given]
        assert rates() == pytest.approx(expected)


# --- Bad data, each refused before any weight has changed ---


@pytest.mark.parametrize("kind", ["float64", "float16"])
def test_any_float_type_is_taken_as_float32(model, kind):
    data = dataset(examples(model, pictures().astype(kind)))
    assert np.isfinite(list(model.fit(data, **QUIET).history.values())).all()


def test_single_steps_speak_as_plainly_as_fit(model):
    images, message = BAD_IMAGES["-1 to 1"]
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message) as error:
            method(*examples(model, images))
        assert str(error.value).startswith("Images must be")


def one_nan():
    images = pictures()
    images[1, 3, 3] = np.nan
    return images


BAD_IMAGES = {
    "-1 to 1": (pictures() * 2 - 1, r"from -0\.\d+ to 0\.[78].*255"),
    "0 to 255": (pictures() * 255, r"\[0, 1\].* to 2\d\d\.\d*\. Divide"),
    "8 bit": ((pictures() * 255).astype("uint8"), "uint8.*255"),
    "NaN": (one_nan(), r"\[0, 1\].*nan"),
    "channels": (pictures().repeat(3, axis=-1), r", 1\); got .*16, 16, 3.*channels=1"),
    "rank": (pictures()[..., 0], r", 1\); got .*16, 16\)"),
    "none": (pictures()[:0], "at least one is needed"),
}


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused(model, case, kind, method):
    images, message = BAD_IMAGES[case]
    data = examples(model, images)
    data = data if kind == "array" else [dataset(data)]
    before = weights(model)
    with pytest.raises(ValueError, match=message) as error:
        getattr(model, method)(*data, **QUIET)
    assert len(str(error.value)) < 400  # the message, no stack of graph nodes
    assert_equal(weights(model), before)


def test_images_of_another_size_are_refused_if_one_is_expected(model):
    data = examples(model, pictures(4, 12, 20))
    for method in (model.fit, model.evaluate):
        if model.image_shape[:2] != (None, None):
            with pytest.raises(ValueError, match=r"12, 20, 1\).*Resize"):
                method(*data, **QUIET)
            with pytest.raises(ValueError, match=r"16, 16, 1\).*12, 20, 1\)"):
                method(dataset(data), **QUIET)


def test_a_bad_shape_is_named_after_good_ones_too(model):
    model.fit(dataset(examples(model)), **QUIET)
    with pytest.raises(ValueError, match=r", 1\); got \(8, 16, 16\)"):
        model.fit(*examples(model, pictures()[..., 0]), **QUIET)


def test_bad_validation_images_are_refused(model):
    for case in ("-1 to 1", "8 bit", "channels"):
        images, message = BAD_IMAGES[case]
        data = examples(model, images)
        data = data if len(data) > 1 else data[0]
        with pytest.raises(ValueError, match=message):
            model.fit(dataset(examples(model)), validation_data=data, **QUIET)


def test_labels_are_refused_or_needed(model):
    images, labels = pictures(), np.zeros(8, int)
    refused = ((images,), "needs labels")
    if not model.classes:
        refused = ((images, labels), "images alone.*lambda image, label: image")
    before = weights(model)
    for method in (model.fit, model.evaluate):
        for data in (refused[0], [dataset(refused[0])]):
            with pytest.raises(ValueError, match=refused[1]):
                method(*data, **QUIET)
        with pytest.raises(ValueError, match=r'takes images .*x\["image"\]'):
            method(dataset([{"image": images}]), **QUIET)
    assert_equal(weights(model), before)


BAD_LABELS = {
    "too large": ([[0, 3]] * 8, r"from 0 to one less.*from .?0 3.? to .?0 3"),
    "negative": ([[1, -1]] * 8, r"from 0 to one less.*from .?1 -1"),
    "not whole": ([[0.0, 1.0]] * 8, r"integers of shape \(n, 2\); got float64"),
    "one of two": ([0] * 8, r"integers of shape \(n, 2\); got int64 of shape"),
}


@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("case", BAD_LABELS)
@pytest.mark.parametrize("shared", ["conditional gan"], indirect=True)
def test_bad_labels_are_refused(model, case, kind):
    labels, message = BAD_LABELS[case]
    data = pictures(), np.array(labels)
    data = data if kind == "array" else [dataset(data, 8)]
    before = weights(model)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message) as error:
            method(*data, **QUIET)
        assert len(str(error.value)) < 400
    assert_equal(weights(model), before)


COUNTED = "iteration", "moving_mean", "moving_variance"  # by a failed step too


def test_a_loss_that_is_not_finite_stops_training(model):
    for pair in pairs_of_networks(model):
        for network in pair:
            network.weights[-1].assign(np.nan * network.weights[-1])
    kept = [
        variable
        for variable in memory(model)
        if not variable.path.endswith((*COUNTED, "seed_generator_state"))
    ]
    before = [np.array(variable) for variable in kept]
    for method in (model.fit, model.evaluate):
        with pytest.raises(FloatingPointError, match="lower learning rates"):
            method(dataset(examples(model)), **QUIET)
        assert_equal([np.array(variable) for variable in kept], before)


# --- Data of other forms ---


def in_a_list(images):
    return list(images)


def in_nested_lists(images):
    return images.tolist()


def in_batches(images):
    return iter([images[:4], images[4:]])


class Sequence(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (self.images[4 * index : 4 * index + 4],)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("form", [in_a_list, in_nested_lists, in_batches, Sequence])
@pytest.mark.parametrize("name", ["toy", "vae", "restorer", "adversarial"])
def test_images_may_be_given_as_lists_or_batch_by_batch(name, form):
    model = build(name)
    model.fit(form(pictures()), batch_size=4, **QUIET)
    assert model.optimizer.iterations == 2
    found = model.evaluate(form(pictures()), batch_size=4, **QUIET)
    assert found == model.evaluate(pictures(), batch_size=4, **QUIET)


def test_labels_may_be_given_as_a_list():
    model = build("gan", classes=3)
    model.fit(list(pictures()), [0, 1, 2, 0, 1, 2, 0, 1], **QUIET)


NO_DATA = {  # what is no data, and what is to be read about it
    "name": ("photos", "load_dataset.'photos'"),
    "path": (Path("photos"), "load_dataset.'photos'"),
    "names": (["a.png", "b.png"], "load_dataset.'a.png'"),
    "nothing": (None, "array or a tf.data.Dataset.*got None"),
    "number": (3, "array or a tf.data.Dataset.*got int"),
    "function": (pictures, "array or a tf.data.Dataset.*got function"),
    "class": (np.ndarray, "array or a tf.data.Dataset.*got type"),
    "set": ({1.0, 2.0}, "array or a tf.data.Dataset.*got set"),
    "tuple": ((pictures(), pictures()), r"fit\(images, labels\)"),
    "sizes": ([pictures()[0], pictures()[0, :8]], "one size.*resize"),
    "objects": (np.array([pictures()[0], None], object), "one size.*resize"),
    "empty list": ([], "at least one is needed"),
    "scalar": (np.float32(0.5), "built for images of shape"),
}


@pytest.mark.parametrize("case", NO_DATA)
def test_what_is_no_data_is_refused_with_its_cure(model, case):
    data, message = NO_DATA[case]
    start = state(model)
    methods = [model.fit, model.evaluate, model.train_on_batch, model.test_on_batch]
    for method in methods:
        with pytest.raises(ValueError, match=message) as error:
            method(data)
        assert len(str(error.value)) < 250
    if case not in ("tuple", "scalar", "nothing"):
        with pytest.raises(ValueError, match=message):
            model.fit(*examples(model), validation_data=data, **QUIET)
    assert_equal(state(model), start)


@pytest.mark.parametrize("case", ["name", "nothing", "number", "names", "empty list"])
def test_predict_refuses_what_is_no_data(model, case):
    data, message = NO_DATA[case]
    for method in (model.predict, model.predict_on_batch):
        with pytest.raises(ValueError, match=message):
            method(data)


CALLS = {  # what each cannot be called with
    "gan": (pictures(), r"latent vectors of shape \(n, 4\); got \(8, 16, 16, 1\)"),
    "vae": (pictures(width=8), "built for images of shape"),
    "restorer": (pictures(), "dictionary with .'image', 'sigma'.*`restore` takes"),
    "adversarial": (pictures(), "dictionary with .'image'.*`restore` takes"),
    "diffusion": (pictures(), "with .'image', 'label', 'time'.*`sample` draws"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("method", ["__call__", "predict", "predict_on_batch"])
def test_calls_speak_as_plainly_as_fit(name, method):
    model = build(name)
    wrong, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as error:
        getattr(model, method)(wrong)
    assert len(str(error.value)) < 250 and "encountered" not in str(error.value)


NO_LABELS = {
    "name": ("labels", "got string"),
    "one-hot": (np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], "np.argmax"),
    "ragged": ([[1], [1, 2]], "one array of integers"),
    "dictionary": ({"label": [1]}, "one array of integers"),
    "dataset": (tf.data.Dataset.range(8), "one array of integers.*zip"),
}


@pytest.mark.parametrize("case", NO_LABELS)
def test_what_is_no_labels_is_refused_with_its_cure(case):
    labels, message = NO_LABELS[case]
    model = build("gan", classes=3)
    for method in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=message):
            method(pictures(), labels)


def generated(*batches, shape):
    signature = tf.TensorSpec(shape, tf.float32)
    return tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=signature
    )


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_dataset_of_unknown_shapes_is_checked_as_it_is_read():
    model = build("vae", eager=False)
    right, narrow = pictures(), pictures(width=8)
    loose = None, None, None, 1
    model.fit(generated(right, shape=loose), **QUIET)
    for data, message in (
        (generated(right, narrow, shape=loose), "images of .*16 16 1.*16 8 1"),
        (generated(right[:0], shape=loose), "at least one is needed"),
        (generated(right, shape=None), "output_signature"),
    ):
        for method in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=message):
                method(data, **QUIET)


def empty(data):
    return data.filter(lambda *parts: False)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_that_turn_out_to_hold_no_image_are_refused(model):
    data = dataset(examples(model))
    for use in (
        lambda: model.fit(empty(data), **QUIET),
        lambda: model.evaluate(empty(data), **QUIET),
        lambda: model.fit(data, validation_data=empty(data), **QUIET),
    ):
        with pytest.raises(ValueError, match="at least one is needed"):
            use()


def spoiled_validation(model):
    images, *labels = examples(model)
    name = "labels too" if not labels else "needs labels"
    other = images if labels else (images, np.zeros(8, int))
    yield (255 * images).astype("uint8"), "float32"
    yield (images[:0], *(part[:0] for part in labels)), "at least one is needed"
    yield other, name
    yield (images, *(labels or [None]), np.ones(8)), "weighs all images alike"
    yield (images[..., 0], *labels), "built for images of shape"
    if isinstance(model, Restorer):
        yield images[:, :8], "11 x 11 pixels"


def test_validation_data_are_looked_at_before_training(model):
    start = state(model)
    for data, message in spoiled_validation(model):
        forms = [data]
        if all(part is not None for part in keras.tree.flatten(data)):
            forms.append(tf.data.Dataset.from_tensor_slices(data).batch(4))
        for form in forms:
            with pytest.raises(ValueError, match=message):
                model.fit(*examples(model), validation_data=form, **QUIET)
            assert_equal(state(model), start)


# --- Seeds ---

WHOLE = [3, np.int64(3), np.uint8(3), np.array(3), tf.constant(3)]
NOT_WHOLE = [True, np.True_, 3.0, -1, 2**63, "3", [1, 2]]


def test_any_whole_number_is_a_seed(model):
    if hasattr(model, "sample"):
        first, *others = [model.sample(2, seed=seed) for seed in WHOLE]
        for other in others:
            np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("seed", WHOLE)
def test_a_model_keeps_its_seed_as_an_integer(name, seed):
    model = MODELS[name][0](seed=seed)
    assert model.seed == 3 and type(model.seed) is int


@pytest.mark.parametrize("seed", NOT_WHOLE)
def test_what_is_no_whole_number_is_no_seed(name, seed):
    with pytest.raises(ValueError, match="A seed is a whole number, 0 or more"):
        MODELS[name][0](seed=seed)


@pytest.mark.parametrize("seed", NOT_WHOLE)
def test_methods_take_whole_numbers_as_seeds(model, seed):
    for method, first in (("sample", 2), ("log_likelihood", pictures())):
        if hasattr(model, method):
            with pytest.raises(ValueError, match="A seed is a whole number, 0 or more"):
                getattr(model, method)(first, seed=seed)


# --- Several devices ---


def test_two_replicas_train_as_one():
    """In a process of its own, which makes two devices of the processor."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    script = Path(__file__).parent / "replicas.py"
    result = subprocess.run([*command, script], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


# --- The functions that the models share ---


def test_require_raises_its_message():
    require(True, "never")
    with pytest.raises(ValueError, match="^so it is$"):
        require([], "so it is")


def test_counts_are_whole_numbers_from_one():
    check_counts(width=1, blocks=np.int64(3))
    for value in (0, -1, 1.5, 2.0, "9", True, None):
        message = f"width must be a whole number, 1 or more; got width={value!r}."
        with pytest.raises(ValueError, match=re.escape(message)):
            check_counts(blocks=2, width=value)


def test_networks_must_know_their_input():
    body = keras.layers.Dense(2)
    check_built(encoder=keras.Sequential([keras.Input((3,)), body]))
    with pytest.raises(ValueError, match="decoder does not know.*keras.Input"):
        check_built(decoder=keras.Sequential([body]))


class Own(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def used(model):
    model(np.zeros((5, 3), np.float32))
    return model


def functional(wrap_input=lambda x: x, wrap_output=lambda x: x, dtype="float32"):
    start = keras.Input((3,), name="x", dtype=dtype)
    end = keras.layers.Dense(2)(start)
    return keras.Model(wrap_input(start), wrap_output(end))


def nested():
    body = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return keras.Sequential([keras.Input((3,)), body])


NETWORKS = {  # how it is built: None if it is taken, or what is said
    "functional": (functional, None),
    "lists": (lambda: functional(lambda x: [x], lambda x: [x]), None),
    "nested": (nested, None),
    "built by a call": (lambda: used(keras.Sequential([keras.layers.Dense(2)])), None),
    "a class in a model": (lambda: keras.Sequential([keras.Input((3,)), Own()]), None),
    "a class": (Own, "does not know its input"),
    "a class, called": (lambda: used(Own()), "does not know its input"),
    "not built": (lambda: keras.Sequential([keras.layers.Dense(2)]), "its input yet"),
    "a class in place of a model": (lambda: Own, "got the type Own"),
    "a function": (lambda: nested, "got the function nested"),
    "a layer": (lambda: keras.layers.Dense(2), "got the Dense <Dense"),
    "text": (lambda: "dense", "got the str 'dense'"),
    "nothing": (lambda: None, "got the NoneType None"),
    "a dictionary": (lambda: functional(lambda x: {"x": x}), "must take one tensor"),
    "named outputs": (lambda: functional(wrap_output=lambda x: {"x": x}), "one tensor"),
    "two outputs": (
        lambda: functional(wrap_output=lambda x: [x, x]),
        "give one tensor",
    ),
    "integers": (lambda: functional(dtype="int32"), "would round .* to int32"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_is_taken_or_one_sentence_says_what_is_wanted(case):
    make, message = NETWORKS[case]
    network = make()
    if message is None:
        check_single(critic=network)
        return
    with pytest.raises(ValueError, match=f"The critic .*{message}") as error:
        check_single(critic=network)
    assert len(str(error.value)) < 300


def test_a_network_that_cannot_be_copied_says_why():
    for last in (
        keras.layers.Lambda(lambda x: x),
        keras.layers.Activation(unregistered),
    ):
        network = keras.Sequential([keras.Input((3,)), last], name="mine")
        with pytest.raises(ValueError, match="No copy .* mine.*no lambdas"):
            copy_of(network)


def test_weights_that_have_no_average_are_told_before_a_step():
    def train(layer):
        layers = [layer, keras.layers.Conv2D(1, 3, padding="same")]
        model = Toy(keras.Sequential([keras.Input(SHAPE), *layers]))
        model.compile(run_eagerly=True)
        model.fit(pictures(), **QUIET)

    adapted = keras.layers.Normalization()
    adapted.adapt(pictures())
    with pytest.raises(ValueError, match="count is int.*mean=..., variance=..."):
        train(adapted)
    train(keras.layers.Normalization(mean=0.5, variance=0.1))


def judge_with(*last, start=(8, 8, 1)):
    body = [keras.Input(start), keras.layers.Flatten()]
    return keras.Sequential([*body, keras.layers.Dense(2), *last])


def activation(name, **options):
    return keras.layers.Activation(name, **options)


def by_operation(operation):
    start = keras.Input((8, 8, 1))
    return keras.Model(start, operation(judge_with()(start)))


def within(*last):
    """A model in a model in a model."""
    inner = keras.Sequential([keras.Input((2,)), *last])
    return judge_with(keras.Sequential([keras.Input((2,)), inner]))


class OwnHead(keras.layers.Layer):
    def call(self, x):
        return tf.sigmoid(x)


BOUNDED = {
    "argument": lambda: judge_with(keras.layers.Dense(1, activation="sigmoid")),
    "layer": lambda: judge_with(activation("tanh")),
    "softmax": lambda: judge_with(keras.layers.Softmax()),
    "hard sigmoid": lambda: judge_with(activation("hard_sigmoid")),
    "relu": lambda: judge_with(keras.layers.ReLU()),
    "log softmax": lambda: judge_with(activation("log_softmax")),
    "nested": lambda: within(activation("sigmoid")),
    "reshape": lambda: judge_with(activation("tanh"), keras.layers.Reshape((2, 1))),
    "operation": lambda: by_operation(keras.ops.sigmoid),
    "lambda": lambda: judge_with(keras.layers.Lambda(tf.sigmoid)),
    "own layer": lambda: judge_with(OwnHead()),
    "pooling": lambda: keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, activation="sigmoid")]
        + [keras.layers.GlobalAveragePooling2D()]
    ),
}
FREE = {
    "linear": judge_with,
    "zeros": lambda: judge_with(keras.layers.Dense(1, kernel_initializer="zeros")),
    "leaky": lambda: judge_with(keras.layers.LeakyReLU()),
    "capped": lambda: judge_with(activation("tanh"), keras.layers.Rescaling(30.0)),
    "one": lambda: judge_with(keras.layers.Dense(1), start=(1, 1, 1)),
    "normalised": lambda: judge_with(
        keras.layers.Dense(4), keras.layers.GroupNormalization(1), keras.layers.Dense(1)
    ),
    "discriminator": lambda: build_discriminator(SHAPE, 4),
    "patches": lambda: build_patch_discriminator(1, 4),
    "encoder": lambda: build_encoder(SHAPE, 4, 4),
    "decoder": lambda: build_decoder(SHAPE, 4, 4),
}


@pytest.mark.parametrize("case", [*BOUNDED, *FREE])
def test_an_activation_at_the_end_is_refused_where_logits_are_needed(case):
    network = {**BOUNDED, **FREE}[case]()
    before = network.get_weights()
    if case in FREE:
        check_logits(critic=network)
    else:
        with pytest.raises(ValueError, match="The critic must .*Leave the activation"):
            check_logits(critic=network)
    assert_equal(network.get_weights(), before)


def test_the_range_of_a_network_without_weights_is_unknown():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Activation("tanh")])
    assert np.isnan(output_range(network)).all()
    check_logits(critic=network)


@pytest.mark.parametrize(
    "size, halvings",
    [((4, 4), 1), ((16, 12), 1), ((18, 20), None), ((28, 32), 2), ((32, 48), 3)]
    + [((64, 64), 3), ((128, 128), 4), ((65, 65), None), ((128, 72), None)]
    + [((30, 30), None), ((100, 100), None), ((64, 20), None), ((2, 2), None)]
    + [((1, 300), None), ((1, 3000), None)],
)
def test_both_sides_are_halved_until_8_pixels_are_left(size, halvings):
    if halvings:
        assert check_sizes((*size, 3), width=4) == halvings
        return
    with pytest.raises(ValueError, match="nearest sizes that work") as error:
        check_sizes((*size, 3))
    sizes = re.findall(r"(\d+)x(\d+)", str(error.value))
    refused, *named = [(int(height), int(width)) for height, width in sizes]
    assert refused == size and len(named) == 2
    for height, width in named:
        assert height == width or size[0] != size[1]
        assert check_sizes((height, width, 3))


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 0), (32, 32.5, 1), 32])
def test_an_image_shape_has_three_parts(shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        check_sizes(shape)


def test_other_sizes_are_at_least_one():
    with pytest.raises(ValueError, match="'latent_dim': 0"):
        check_sizes((8, 8, 1), width=4, latent_dim=0)


def test_a_copy_is_another_network_that_is_not_trained():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    copy = copy_of(network)
    assert_equal(copy.get_weights(), network.get_weights())
    assert not copy.trainable_variables and network.trainable_variables
    network.layers[0].kernel.assign_add(tf.ones((3, 2)))
    assert np.abs(copy.layers[0].kernel - network.layers[0].kernel).min() > 0.9


def test_an_average_spans_the_last_tenth_of_the_first_steps():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    average = copy_of(network)
    for step in range(1, 101):
        network.layers[0].kernel.assign([[step]])
        move_average(average, network, step, 0.999)
    # Of n steps, step k has a weight in proportion to about k^9.
    assert average.get_weights()[0] == pytest.approx(100 * 10 / 11, rel=0.02)
    before = average.get_weights()[0]
    move_average(average, network, 10**6, 0.75)
    expected = before + 0.25 * (100 - before)
    assert average.get_weights()[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "shape, fit",
    [((5, 4, 4, 1), True), ((None, 4, 4, 1), True), ((5, 4, 4), False)]
    + [((5, 4, 4, 3), False), ((5, 4, 5, 1), False), (None, True)],
)
def test_a_shape_fits_where_its_sides_may_be_equal(shape, fit):
    assert fits(shape, None, 4, 4, 1) == fit


@pytest.mark.parametrize("wrap", [tf.function, lambda function: function])
def test_failed_checks_of_a_graph_say_what_is_wrong(wrap):
    @wrap
    def check(x):
        return ensure(x, tf.reduce_max(x) < 2, "At most {}; got {}.", 2, x[0])

    model = ImageModel(SHAPE)
    with model.plain_errors():
        assert check(tf.constant([1])) == 1
        with pytest.raises(ValueError, match="^At most 2; got 7.$"):
            with model.plain_errors():
                check(tf.constant([7]))


def test_other_errors_of_tensorflow_stay_as_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"):
        with ImageModel(SHAPE).plain_errors():
            raise tf.errors.InvalidArgumentError(None, None, "mine")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(value):
    assert finite(tf.constant(1.0)) == 1
    with pytest.raises(FloatingPointError, match="changed no weight"):
        with ImageModel(SHAPE).plain_errors():
            finite(tf.constant([0.0, value]))


def test_the_scaled_loss_is_the_mean_enlarged_by_the_optimizer():
    model, loss = ImageModel(SHAPE), tf.constant([1.0, 2.0, 6.0])
    assert model.scaled(loss, keras.optimizers.SGD()) == 3
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 8.0)
    scaling.build([])
    assert model.scaled(loss, scaling) == 24


def test_batches_are_of_any_size_and_checked():
    model, images = ImageModel(SHAPE), pictures(10)
    for data in (images, dataset([images], 3)):
        found = list(model.batches(data, 4))
        assert [len(batch) for batch in found] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate(found), images)
    with pytest.raises(ValueError, match="at least one is needed"):
        list(model.batches(dataset([images]).take(0), 4))
    with pytest.raises(ValueError, match="8-bit"):
        list(model.batches(images.astype(int), 4))


def test_an_average_decay_of_one_is_refused():
    for decay in (1, -0.1, np.nan):
        with pytest.raises(ValueError, match=rf"in \[0, 1\); got {decay}"):
            ImageModel(SHAPE, average_decay=decay)


DATA = {
    "shuffled": lambda: tf.data.Dataset.range(6).shuffle(6, seed=1),
    "of unknown length": lambda: (
        tf.data.Dataset.range(6).shuffle(6, seed=1).filter(lambda x: True)
    ),
    "drawn": lambda: tf.data.Dataset.random(1, True).take(6),
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of that length
@pytest.mark.parametrize("case", DATA)
def test_a_resumed_run_sees_its_data_in_the_order_of_a_whole_one(case):
    class Recorder(keras.Model):
        def train_step(self, data):
            seen.append(int(data))
            return {"loss": 0.0}

    def run(data, start, end):
        model = Recorder()
        model.compile(run_eagerly=True)
        epochs = dict(initial_epoch=start, epochs=end, shuffle=False, **QUIET)
        seen.clear()
        model.fit(data, callbacks=[DataOrder(data)], **epochs)
        return np.reshape(seen, (end - start, 6)).tolist()

    seen = []
    whole = run(DATA[case](), 0, 4)
    assert len({tuple(epoch) for epoch in whole}) == 4
    assert run(DATA[case](), 2, 4) == whole[2:]  # as in a new process
    data = DATA[case]()
    assert run(data, 0, 2) + run(data, 2, 4) == whole
