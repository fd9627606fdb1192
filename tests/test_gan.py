"""The networks, the losses, the training step and what surrounds it."""

import hashlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import gan as module
from tfgen.gan import (
    GAN,
    build_discriminator,
    build_generator,
    discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
)

SHAPE = (8, 8, 1)


def halves(count, seed=0):
    """Images whose left or right half is bright: two modes, easily told."""
    right = np.random.default_rng(seed).random(count) < 0.5
    images = np.full((count, *SHAPE), 0.1, np.float32)
    images[~right, :, :4] = 0.9
    images[right, :, 4:] = 0.9
    return images


def small_gan(**options):
    keras.utils.set_random_seed(0)
    generator = build_generator(SHAPE, latent_dim=8, width=8)
    return GAN(generator, build_discriminator(SHAPE, width=8), **options)


@pytest.fixture
def gan():
    model = small_gan()
    model.compile()
    return model


# --- networks ---


@pytest.mark.parametrize(
    "shape",
    [(4, 4, 1), (16, 12, 2), (28, 28, 1), (32, 48, 3), (64, 64, 3), (128, 128, 3)],
)
def test_networks_meet_at_every_supported_size(shape):
    generator = build_generator(shape, latent_dim=100, width=8)
    discriminator = build_discriminator(shape, width=8)
    images = generator(tf.random.normal((2, 100)))
    assert images.shape == (2, *shape) and images.dtype == tf.float32
    assert 0 <= tf.reduce_min(images) and tf.reduce_max(images) <= 1
    assert discriminator(images).shape == (2, 1)
    assert isinstance(generator, keras.Sequential)
    assert isinstance(discriminator, keras.Sequential)


@pytest.mark.parametrize(
    "shape", [(30, 30, 1), (100, 100, 3), (64, 20, 3), (2, 2, 1), (1, 3000, 1)]
)
@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_an_impossible_size_names_sizes_that_work(build, shape):
    with pytest.raises(ValueError, match="nearest sizes") as error:
        build(shape)
    named = [word.strip(".") for word in str(error.value).split("nearest")[1].split()]
    sizes = [tuple(map(int, word.split("x"))) for word in named if "x" in word]
    assert len(sizes) == 2
    for size in sizes:
        build((*size, shape[2]), width=4)


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 0), 32])
def test_an_image_shape_has_three_parts(shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        build_generator(shape)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="latent_dim"):
        build_generator(latent_dim=0)
    with pytest.raises(ValueError, match="width"):
        build_discriminator(width=0)


# --- losses ---


def test_losses_at_values_computed_by_hand():
    zero = tf.zeros((4, 1))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * np.log(2))
    assert float(non_saturating_generator_loss(zero)) == pytest.approx(np.log(2))
    assert float(minimax_generator_loss(zero)) == pytest.approx(-np.log(2))


def test_losses_equal_keras_cross_entropy():
    real, fake = np.random.default_rng(0).normal(0, 5, (2, 100, 1)).astype("float32")
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    ones, zeros = np.ones_like(real), np.zeros_like(real)
    for loss, expected in (
        (discriminator_loss(real, fake), entropy(ones, real) + entropy(zeros, fake)),
        (non_saturating_generator_loss(fake), entropy(ones, fake)),
        (minimax_generator_loss(fake), -entropy(zeros, fake)),
    ):
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_only_the_minimax_gradient_vanishes_when_the_discriminator_is_sure():
    logit = tf.Variable(-12.0)
    with tf.GradientTape(persistent=True) as tape:
        minimax = minimax_generator_loss(logit)
        non_saturating = non_saturating_generator_loss(logit)
    assert abs(tape.gradient(minimax, logit)) < 1e-5
    assert abs(tape.gradient(non_saturating, logit)) > 0.99


# --- training ---


def test_one_pass_makes_the_updates_of_two_separate_tapes():
    images = halves(16)
    model = small_gan(seed=3, average_decay=0.0)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    generator = keras.models.clone_model(model.generator)
    discriminator = keras.models.clone_model(model.discriminator)
    generator.set_weights(model.generator.get_weights())
    discriminator.set_weights(model.discriminator.get_weights())

    latents = keras.random.normal((16, 8), seed=keras.random.SeedGenerator(3))
    with tf.GradientTape() as tape:
        fake = generator(latents, training=True)
        loss = discriminator_loss(
            discriminator(images, training=True), discriminator(fake, training=True)
        )
    d_gradients = tape.gradient(loss, discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        fake = generator(latents, training=True)
        loss = non_saturating_generator_loss(discriminator(fake, training=True))
    g_gradients = tape.gradient(loss, generator.trainable_variables)

    model.train_on_batch(images)
    for network, start, gradients, rate in (
        (model.discriminator, discriminator, d_gradients, 0.2),
        (model.generator, generator, g_gradients, 0.1),
    ):
        for after, before, gradient in zip(
            network.trainable_variables,
            start.trainable_variables,
            gradients,
            strict=True,
        ):
            np.testing.assert_allclose(after, before - rate * gradient, atol=1e-5)


def test_training_finds_both_modes():
    images = halves(2048)
    model = small_gan()
    model.compile(*(keras.optimizers.Adam(5e-3, beta_1=0.5) for _ in range(2)))
    before = model.sample(200, seed=0)
    model.fit(images, epochs=6, batch_size=32, verbose=0)
    after = model.sample(200, seed=0)

    def error(samples):  # distance to the nearer of the two real images
        modes = np.unique(images, axis=0)
        return np.abs(samples[:, None] - modes).mean(axis=(2, 3, 4)).min(axis=1).mean()

    assert error(after) < 0.5 * error(before)
    right = (after[:, :, 4:].mean(axis=(1, 2, 3)) > 0.5).mean()
    assert 0.1 < right < 0.9


def test_the_name_of_the_loss_chooses_the_generators_loss():
    outputs = tf.constant([[1.0]]), tf.constant([[-3.0]])
    for name, (_, generator_loss) in module.LOSSES.items():
        assert small_gan(loss=name).losses_of(*outputs)[1] == generator_loss(outputs[1])


def test_average_weights_follow_the_formula(gan):
    gan.average_decay = 0.75
    start = [w.numpy() for w in gan.averaged_generator.weights]
    for weight in gan.generator.weights:
        weight.assign_add(tf.ones_like(weight))
    gan.average_weights()
    for average, before in zip(gan.averaged_generator.weights, start, strict=True):
        np.testing.assert_allclose(average, before + 0.25, atol=1e-6)


def test_without_averaging_samples_come_from_the_generator():
    model = small_gan(average_decay=0.0)
    model.compile()
    model.fit(halves(64), batch_size=16, verbose=0)
    latents = tf.random.normal((4, 8))
    np.testing.assert_allclose(model(latents), model.generator(latents), atol=1e-5)


def test_metrics_tell_the_state_of_the_game(gan):
    gan.track(1.0, 2.0, tf.constant([[3.0], [-1.0]]), tf.constant([[-2.0], [-5.0]]))
    result = {name: float(value) for name, value in gan.get_metrics_result().items()}
    assert result == {
        "discriminator_loss": 1.0,
        "generator_loss": 2.0,
        "real_accuracy": 0.5,
        "fake_accuracy": 1.0,
    }


def test_fit_takes_validation_data_and_evaluate_repeats_itself(gan):
    images = halves(64)
    history = gan.fit(
        tf.data.Dataset.from_tensor_slices(images).batch(16),
        validation_data=tf.data.Dataset.from_tensor_slices(images).batch(16),
        verbose=0,
    ).history
    assert np.isfinite(history["val_discriminator_loss"]).all()
    noise = gan.noise.state.numpy()
    first = gan.evaluate(images, return_dict=True, verbose=0)
    assert first == gan.evaluate(images, return_dict=True, verbose=0)
    np.testing.assert_array_equal(noise, gan.noise.state)  # training is undisturbed


def test_equal_seeds_give_equal_models():
    def trained(seed):
        model = small_gan(seed=seed)
        model.compile()
        model.fit(halves(64), batch_size=16, shuffle=False, verbose=0)
        return model.generator.layers[0].kernel.numpy()

    np.testing.assert_allclose(trained(5), trained(5), atol=1e-6)
    assert np.abs(trained(5) - trained(6)).max() > 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_gan()
        model.compile()
        before = [w.numpy() for w in model.trainable_variables]
        history = model.fit(halves(256), batch_size=16, epochs=2, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    for weight, start in zip(model.trainable_variables, before, strict=True):
        assert weight.dtype == "float32" and np.isfinite(weight).all()
        assert not np.array_equal(weight, start)
    assert model.sample(2).dtype == np.float32
    scaled = isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


# --- sampling ---


def test_sample_is_reproducible_and_in_range(gan):
    images = gan.sample(300, seed=4)
    assert images.shape == (300, *SHAPE) and images.dtype == np.float32
    assert 0 <= images.min() and images.max() <= 1
    np.testing.assert_array_equal(images, gan.sample(300, seed=4))
    assert not np.array_equal(images, gan.sample(300, seed=5))
    assert not np.array_equal(gan.sample(3), gan.sample(3))


@pytest.mark.parametrize("count", [0, -1, 2.5, "9", True])
def test_sample_refuses_a_count_that_is_none(gan, count):
    with pytest.raises(ValueError, match="1 or more"):
        gan.sample(count)


def test_latents_of_another_size_are_refused(gan):
    with pytest.raises(ValueError, match=r"\(n, 8\).*\(2, 9\)"):
        gan(tf.zeros((2, 9)))


# --- saving and resuming ---


def test_a_loaded_model_goes_on_as_the_saved_one(gan, tmp_path):
    images = halves(64)
    options = dict(batch_size=16, shuffle=False, verbose=0)
    gan.fit(images, **options)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(gan.sample(4, seed=0), loaded.sample(4, seed=0))
    assert loaded.generator_optimizer.iterations == 4
    gan.fit(images, **options)
    loaded.fit(images, **options)
    for ours, theirs in zip(gan.variables, loaded.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_model_that_was_never_compiled_can_be_saved(tmp_path):
    model = small_gan()
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(model.sample(2, seed=0), loaded.sample(2, seed=0))


def test_weights_round_trip(gan, tmp_path):
    gan.fit(halves(32), batch_size=16, verbose=0)
    gan.save_weights(tmp_path / "gan.weights.h5")
    other = small_gan()
    other.compile()
    other.load_weights(tmp_path / "gan.weights.h5")
    np.testing.assert_array_equal(gan.sample(4, seed=0), other.sample(4, seed=0))
    for ours, theirs in zip(
        gan.discriminator_optimizer.variables,
        other.discriminator_optimizer.variables,
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


RUN = """
import os, sys
import keras, numpy as np, tensorflow as tf
from tfgen.gan import GAN, build_discriminator, build_generator

folder, stop_after, report = sys.argv[1], int(sys.argv[2]), sys.argv[3]
keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
discriminator = build_discriminator((8, 8, 1), width=8)
*body, logit = discriminator.layers
discriminator = keras.Sequential(
    [keras.Input((8, 8, 1)), *body, keras.layers.Dropout(0.3), logit]
)
gan = GAN(build_generator((8, 8, 1), 8, 8), discriminator)
gan.compile()
images = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
data = tf.data.Dataset.from_tensor_slices(images).shuffle(64, seed=1).batch(16)

class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == stop_after:
            os._exit(9)  # as a power cut would

backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
gan.fit(data, epochs=4, verbose=0, callbacks=[backup, Stop()])
state = [*gan.variables, *gan.generator_optimizer.variables,
         *gan.discriminator_optimizer.variables]
np.savez(report, *[np.asarray(v) for v in state])
"""


def test_an_interrupted_run_resumes_bit_equal_in_a_new_process(tmp_path):
    def run(name, stop_after):
        return subprocess.run(
            [sys.executable, "-c", RUN, tmp_path / name, str(stop_after)]
            + [tmp_path / f"{name}.npz"],
            check=False,
        ).returncode

    assert run("whole", -1) == 0
    assert run("cut", 2) == 9 and not (tmp_path / "cut.npz").exists()
    assert run("cut", -1) == 0
    whole, cut = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "cut"))

    def digest(arrays):
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays.values())).digest()

    assert digest(whole) == digest(cut)


# --- bad input, each refused before any weight has changed ---


BAD_IMAGES = {
    "-1 to 1": (halves(32) * 2 - 1, ValueError, r"from -0\.8.* to 0\.[78].*255"),
    "0 to 255": (halves(32) * 255, ValueError, r"\[0, 1\].*divide|Divide"),
    "8 bit": ((halves(32) * 255).astype("uint8"), ValueError, "uint8.*255"),
    "NaN": (np.full_like(halves(32), np.nan), ValueError, r"\[0, 1\]"),
    "channels": (np.zeros((32, 8, 8, 3), np.float32), ValueError, r"8, 8, 1.*8, 8, 3"),
    "size": (np.zeros((32, 16, 16, 1), np.float32), ValueError, "Resize"),
    "rank": (np.zeros((32, 8, 8), np.float32), ValueError, r"8, 8, 1"),
}


@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_fit_and_evaluate_refuse_bad_images(gan, case, kind):
    images, exception, message = BAD_IMAGES[case]
    if kind == "dataset":
        images = tf.data.Dataset.from_tensor_slices(images).batch(16)
    before = [w.numpy() for w in gan.trainable_variables]
    with pytest.raises(exception, match=message) as error:
        gan.fit(images, verbose=0)
    assert len(str(error.value)) < 400  # the message, not a stack of graph nodes
    for now, then in zip(gan.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(now, then)
    with pytest.raises(exception, match=message):
        gan.evaluate(images, verbose=0)


def test_a_bad_shape_is_named_after_good_ones_too(gan):
    gan.fit(halves(32), verbose=0)
    with pytest.raises(ValueError, match=r"\(n, 8, 8, 1\); got \(32, 8, 8\)"):
        gan.fit(halves(32)[..., 0], verbose=0)


def test_labels_are_refused(gan):
    images, labels = halves(32), np.zeros(32)
    with pytest.raises(ValueError, match="labels"):
        gan.fit(images, labels, verbose=0)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    with pytest.raises(ValueError, match="labels"):
        gan.fit(pairs, verbose=0)


def test_a_loss_that_is_not_finite_stops_training(gan):
    gan.discriminator.layers[-1].kernel.assign(np.full((64, 1), np.inf))
    before = [w.numpy() for w in gan.trainable_variables]
    with pytest.raises(FloatingPointError, match="lower learning rates"):
        gan.fit(halves(32), verbose=0)
    for now, then in zip(gan.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_networks_that_do_not_fit_are_refused():
    generator, discriminator = build_generator(SHAPE, 8, 8), build_discriminator(SHAPE)
    with pytest.raises(ValueError, match="keras.Input"):
        GAN(keras.Sequential([keras.layers.Dense(64)]), discriminator)
    with pytest.raises(ValueError, match="one image_shape"):
        GAN(generator, build_discriminator((16, 16, 1)))
    with pytest.raises(ValueError, match="one logit per image"):
        GAN(
            generator,
            keras.Sequential([keras.Input(SHAPE), *discriminator.layers[:-1]]),
        )
    with pytest.raises(ValueError, match="latent vectors"):
        GAN(keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]), discriminator)


@pytest.mark.parametrize("option", [{"loss": "mse"}, {"average_decay": 1.0}])
def test_unknown_options_are_refused(option):
    with pytest.raises(ValueError, match="choose from|average_decay"):
        small_gan(**option)
