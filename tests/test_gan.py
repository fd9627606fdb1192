"""The networks, the losses, the training step and what surrounds it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfgen import gan as module
from tfgen.gan import (
    GAN,
    build_discriminator,
    build_generator,
    discriminator_loss,
    gradient_penalty,
    minimax_generator_loss,
    non_saturating_generator_loss,
    r1_penalty,
    r1_r2_penalty,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)

SHAPE = (8, 8, 1)


def halves(count, seed=0):
    """Images whose left or right half is bright: two modes, easily told."""
    right = np.random.default_rng(seed).random(count) < 0.5
    images = np.full((count, *SHAPE), 0.1, np.float32)
    images[~right, :, :4] = 0.9
    images[right, :, 4:] = 0.9
    return images


def small_gan(normalization="batch", **options):
    keras.utils.set_random_seed(0)
    classes = options.get("classes", ())
    generator = build_generator(SHAPE, latent_dim=8, width=8, classes=classes)
    discriminator = build_discriminator(SHAPE, 8, classes, normalization)
    return GAN(generator, discriminator, **options)


def mode_error(samples):
    """Mean distance to the nearer of the two images that `halves` gives."""
    modes = np.unique(halves(64), axis=0)
    return np.abs(samples[:, None] - modes).mean(axis=(2, 3, 4)).min(axis=1).mean()


@pytest.fixture(scope="module")
def gan():
    """A model for tests that change no weight."""
    model = small_gan()
    model.compile(run_eagerly=True)  # quicker for a few steps: nothing is traced
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


@pytest.mark.parametrize("shape", [(30, 30, 1), (64, 20, 3)])
@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_an_impossible_size_names_sizes_that_work(build, shape):
    with pytest.raises(ValueError, match="nearest sizes") as error:
        build(shape)
    named = [word.strip(".") for word in str(error.value).split("nearest")[1].split()]
    sizes = [tuple(map(int, word.split("x"))) for word in named if "x" in word]
    assert len(sizes) == 2
    for size in sizes:
        assert (size[0] == size[1]) == (shape[0] == shape[1])
        build((*size, shape[2]), width=4)


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


@pytest.mark.parametrize(
    "name, d_loss, g_loss",
    [  # of real outputs 2 and 0.5, fake outputs -3 and 0
        ("least_squares", (1 + 0.25) / 4 + (9 + 0) / 4, (16 + 1) / 4),
        ("hinge", (0 + 0.5) / 2 + (0 + 1) / 2, 1.5),
        ("wasserstein", -1.5 - 1.25, 1.5),
    ],
)
def test_further_losses_at_values_computed_by_hand(name, d_loss, g_loss):
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-3.0], [0.0]])
    losses = module.LOSSES[name]
    assert float(losses[0](real, fake)) == pytest.approx(d_loss)
    assert float(losses[1](fake)) == pytest.approx(g_loss)


def test_relativistic_losses_ask_which_of_a_pair_is_real():
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-3.0], [0.5]])
    expected = (np.log(1 + np.exp(-5)) + np.log(2)) / 2
    found = relativistic_discriminator_loss(real, fake)
    assert float(found) == pytest.approx(expected)
    found = relativistic_generator_loss(real, fake)
    assert float(found) == pytest.approx((np.log(1 + np.exp(5)) + np.log(2)) / 2)
    for loss in (relativistic_discriminator_loss, relativistic_generator_loss):
        shifted = loss(real + 7, fake + 7)  # only differences count
        assert float(shifted) == pytest.approx(float(loss(real, fake)), rel=1e-5)


def test_penalties_of_functions_whose_slope_is_known():
    real, fake = (tf.random.uniform((5, 4, 4, 1), seed=seed) for seed in (1, 2))
    alpha = tf.random.uniform((5, 1, 1, 1), seed=3)

    def linear(images):  # slope 3 * sqrt(16) = 12 everywhere
        return 3 * tf.reduce_sum(images, axis=(1, 2, 3))[:, None]

    def square(images):  # slope |x| at x
        return tf.reduce_sum(tf.square(images), axis=(1, 2, 3))[:, None] / 2

    assert float(gradient_penalty(linear, real, fake, alpha)) == pytest.approx(121)
    assert float(r1_penalty(linear, real, fake, alpha)) == pytest.approx(72)
    assert float(r1_r2_penalty(linear, real, fake, alpha)) == pytest.approx(144)
    between = (1 - alpha) * real + alpha * fake
    length = np.sqrt(np.square(between).sum(axis=(1, 2, 3)))
    expected = np.square(length - 1).mean()
    assert float(gradient_penalty(square, real, fake, alpha)) == pytest.approx(expected)
    expected = np.square(real).sum(axis=(1, 2, 3)).mean() / 2
    assert float(r1_penalty(square, real, fake, alpha)) == pytest.approx(expected)
    expected += np.square(fake).sum(axis=(1, 2, 3)).mean() / 2
    assert float(r1_r2_penalty(square, real, fake, alpha)) == pytest.approx(expected)


def test_the_gradient_penalty_survives_a_flat_discriminator():
    images = tf.Variable(tf.zeros((2, 4, 4, 1)))
    slope = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        loss = gradient_penalty(
            lambda x: slope * tf.reduce_sum(x, axis=(1, 2, 3))[:, None],
            images,
            images,
            tf.zeros((2, 1, 1, 1)),
        )
    assert np.isfinite(tape.gradient(loss, slope))


# --- training ---


def test_one_pass_makes_the_updates_of_two_separate_tapes():
    images = halves(16)
    model = small_gan(seed=3, average_decay=0.0)
    optimizers = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2)
    model.compile(*optimizers, run_eagerly=True)
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


def test_the_name_of_the_loss_chooses_the_generators_loss():
    outputs = tf.constant([[1.0]]), tf.constant([[-3.0]])
    for name, losses in module.LOSSES.items():
        found = small_gan("layer", loss=name).losses_of(*outputs)
        judged = outputs if name == "r3gan" else outputs[1:]
        assert found[0] == losses[0](*outputs) and found[1] == losses[1](*judged)


@pytest.mark.parametrize("loss", sorted({*module.LOSSES} - {"minimax"}))
def test_every_loss_that_does_not_saturate_learns_both_modes(loss):
    images = halves(1024)
    model = small_gan("layer" if loss in module.PENALTIES else "batch", loss=loss)
    model.compile(*(keras.optimizers.Adam(5e-3, beta_1=0.5) for _ in range(2)))
    before = mode_error(model.sample(200, seed=0))
    model.fit(images, epochs=6, batch_size=32, verbose=0)
    after = model.sample(200, seed=0)
    right = (after[:, :, 4:].mean(axis=(1, 2, 3)) > 0.5).mean()
    if loss == "non_saturating":
        assert mode_error(after) < 0.5 * before and 0.1 < right < 0.9
    assert mode_error(after) < 0.6 * before and 0.02 < right < 0.98


@pytest.mark.parametrize("loss", module.PENALTIES)
def test_the_weight_of_the_penalty_decides_how_steep_the_discriminator_gets(loss):
    def slope(weight):
        model = small_gan(None, loss=loss, penalty_weight=weight)
        model.compile(*(keras.optimizers.Adam(2e-3, beta_1=0.5) for _ in range(2)))
        images = halves(256)
        model.fit(images, epochs=4, batch_size=32, shuffle=False, verbose=0)
        judge = model.discriminator
        return float(r1_penalty(judge, tf.constant(images), None, None))

    assert slope(100.0) < 0.5 * slope(0.0)


def test_r3gan_with_labels_is_saved_and_goes_on_alike(tmp_path):
    images, labels = halves(16), np.arange(16) % 3
    options = {"classes": 3, "n_critic": 2, "penalty_weight": 0.5}
    model = small_gan("layer", loss="r3gan", **options)
    model.compile(run_eagerly=True)
    model.fit(images, labels, batch_size=4, verbose=0)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    loaded.run_eagerly = True
    logs = []
    for gan in (model, loaded):
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        logs.append(gan.fit(images, labels, **options).history)
    assert logs[0] == logs[1]
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("loss", module.LOSSES)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_every_loss_trains_in_mixed_precision(loss, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_gan("layer", loss=loss)
        model.compile(run_eagerly=True)
        for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
            if policy == "mixed_float16":  # the scale that training comes down to
                optimizer.dynamic_scale.assign(128.0)
        kernels = [
            network.trainable_variables[0]
            for network in (model.generator, model.discriminator)
        ]
        before = [kernel.numpy() for kernel in kernels]
        history = model.fit(halves(16), batch_size=8, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    for kernel, start in zip(kernels, before, strict=True):
        assert kernel.dtype == "float32" and not np.array_equal(kernel, start)


def test_metrics_are_without_the_penalty():
    logs = []
    for weight in (0.0, 1000.0):
        model = small_gan(None, loss="r1", penalty_weight=weight, seed=1)
        model.compile(run_eagerly=True)
        logs.append(model.train_on_batch(halves(16), return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)


def test_the_generator_moves_in_every_third_step_only():
    model = small_gan(n_critic=3, average_decay=0.5)
    model.compile(run_eagerly=True)
    moved = []
    for _ in range(6):
        before = [model.generator.layers[0].kernel.numpy()]
        before.append(model.averaged_generator.layers[0].kernel.numpy())
        model.train_on_batch(halves(16))
        after = model.generator, model.averaged_generator
        changes = [
            np.abs(network.layers[0].kernel - start).max() > 0
            for network, start in zip(after, before, strict=True)
        ]
        moved.append(changes)
    assert moved == [[False] * 2, [False] * 2, [True] * 2] * 2
    assert int(model.discriminator_optimizer.iterations) == 6


def test_a_discriminator_that_is_not_finite_stops_training():
    gan = small_gan()
    gan.compile(run_eagerly=True)
    gan.discriminator.layers[-1].kernel.assign(np.full((64, 1), np.inf))
    before = [w.numpy() for w in gan.trainable_variables]
    with pytest.raises(FloatingPointError, match="lower learning rates"):
        gan.fit(halves(32), verbose=0)
    for now, then in zip(gan.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_metrics_tell_the_state_of_the_game(gan):
    gan.reset_metrics()
    gan.track(1.0, 2.0, tf.constant([[3.0], [-1.0]]), tf.constant([[-2.0], [-5.0]]))
    result = {name: float(value) for name, value in gan.get_metrics_result().items()}
    assert result == {
        "discriminator_loss": 1.0,
        "generator_loss": 2.0,
        "real_accuracy": 0.5,
        "fake_accuracy": 1.0,
    }


# --- sampling ---


def test_sample_is_reproducible_and_in_range(gan):
    images = gan.sample(300, seed=4)
    assert images.shape == (300, *SHAPE) and images.dtype == np.float32
    assert 0 <= images.min() and images.max() <= 1
    np.testing.assert_array_equal(images, gan.sample(300, seed=4))
    assert not np.array_equal(images, gan.sample(300, seed=5))
    assert not np.array_equal(gan.sample(3), gan.sample(3))


def test_samples_come_from_the_averaged_generator_unless_asked_otherwise():
    model = small_gan()
    average = model.averaged_generator
    average.set_weights([w + 0.1 for w in average.get_weights()])
    latents = model.draw_latents(3, None, (4, 0))
    for found, network in (
        (model(latents), model.averaged_generator),
        (model.sample(3, 4), model.averaged_generator),
        (model.sample(3, 4, averaged=False), model.generator),
    ):
        np.testing.assert_allclose(found, network(latents), atol=1e-5)
    assert np.abs(model.sample(3, 4) - model.sample(3, 4, averaged=False)).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_samples_are_float32_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        assert small_gan().sample(2).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


def test_without_a_seed_samples_follow_that_of_keras(gan):
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(gan.sample(2))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("count", [0, -1, 2.5, "9", True])
def test_sample_refuses_a_count_that_is_none(gan, count):
    with pytest.raises(ValueError, match="1 or more"):
        gan.sample(count)


def test_latents_of_another_size_are_refused(gan):
    with pytest.raises(ValueError, match=r"\(n, 8\).*\(2, 9\)"):
        gan(tf.zeros((2, 9)))


# --- networks and options that are refused ---


@keras.saving.register_keras_serializable("tests")
def clip(images):
    return tf.clip_by_value(images, 0.0, 1.0)


GENERATORS = {  # what it ends in, and whether all of it lies in [0, 1]
    "sigmoid": (["sigmoid"], True),
    "hard sigmoid": (["hard_sigmoid"], True),
    "softmax": (["softmax"], True),
    "rescaled": (["tanh", layers.Rescaling(0.5, 0.5)], True),
    "clipped": ([layers.ReLU(max_value=1)], True),
    "own": ([layers.Lambda(clip)], True),
    "tanh": (["tanh"], False),
    "relu": (["relu"], False),
    "linear": ([], False),
    "nested": ([keras.Sequential([layers.Activation("tanh")])], False),
    "in bytes": (["sigmoid", layers.Rescaling(255.0)], False),
}


@pytest.mark.parametrize("case", GENERATORS)
def test_a_generator_makes_images_in_range_or_is_refused(case):
    last, right = GENERATORS[case]
    last = [layers.Activation(x) if isinstance(x, str) else x for x in last]
    body = [layers.Input((4,)), layers.Dense(64), *last, layers.Reshape((8, 8, 1))]
    generator, judge = keras.Sequential(body), build_discriminator((8, 8, 1), 4)
    if right:
        GAN(generator, judge)
        return
    with pytest.raises(ValueError, match=r"images in \[0, 1\].*End it in a sigmoid"):
        GAN(generator, judge)


@pytest.mark.parametrize("loss", module.LOSSES)
def test_a_discriminator_that_ends_in_a_sigmoid_is_refused(loss):
    last = layers.Dense(1, activation="sigmoid")
    judge = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), last])
    with pytest.raises(ValueError, match="discriminator must give numbers of any sign"):
        GAN(build_generator((8, 8, 1), 4, 4), judge, loss=loss)


@pytest.mark.parametrize("loss", module.PENALTIES)
def test_batch_normalisation_is_refused_at_whatever_depth(loss):
    def gan(norm):
        block = keras.Sequential([layers.Conv2D(4, 3), norm])
        body = [keras.Sequential([block]), layers.Flatten(), layers.Dense(1)]
        judge = keras.Sequential([layers.Input((8, 8, 1)), *body])
        return GAN(build_generator((8, 8, 1), 4, 4), judge, loss=loss)

    gan(layers.GroupNormalization(1))
    gan(layers.BatchNormalization(trainable=False))  # treats each image by itself
    with pytest.raises(ValueError, match="batch normalisation makes an output depend"):
        gan(layers.BatchNormalization())


def test_networks_of_a_fixed_batch_or_of_any_size_are_taken():
    flat = layers.Flatten(), layers.Dense(1)
    anything = layers.GlobalAveragePooling2D(), layers.Dense(1)
    for start, end in (
        (layers.Input(batch_shape=(5, 8, 8, 1)), flat),
        (layers.Input((None, None, 1)), (layers.Conv2D(4, 3), *anything)),
    ):
        model = GAN(build_generator((8, 8, 1), 4, 4), keras.Sequential([start, *end]))
        model.compile(run_eagerly=True)
        model.fit(np.zeros((5, 8, 8, 1), np.float32), verbose=0)
        assert model.sample(3).shape == (3, 8, 8, 1)


def test_networks_that_do_not_fit_are_refused():
    generator, discriminator = build_generator(SHAPE, 8, 8), build_discriminator(SHAPE)
    with pytest.raises(ValueError, match="keras.Input"):
        GAN(keras.Sequential([keras.layers.Dense(64)]), discriminator)
    with pytest.raises(ValueError, match="one image_shape"):
        GAN(generator, build_discriminator((16, 16, 1)))
    with pytest.raises(ValueError, match="1 logit per image"):
        GAN(
            generator,
            keras.Sequential([keras.Input(SHAPE), *discriminator.layers[:-1]]),
        )
    with pytest.raises(ValueError, match="latent vectors"):
        GAN(keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]), discriminator)


BAD_OPTIONS = {
    "unknown loss": ({"loss": "mse"}, r"choose from.*hinge.*wasserstein"),
    "n_critic": ({"n_critic": 0}, "n_critic"),
    "half a step": ({"n_critic": 1.5}, "n_critic"),
    "weight without penalty": ({"penalty_weight": 1.0}, "r1.*wasserstein"),
    "negative weight": ({"loss": "r1", "penalty_weight": -1.0}, "at least 0"),
    "batch norm": ({"loss": "wasserstein"}, "normalization=.layer"),
    "one class": ({"classes": 1}, "at least 2"),
    "no class": ({"classes": (3, 0)}, "at least 2"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_unknown_options_are_refused(case):
    options, message = BAD_OPTIONS[case]
    with pytest.raises(ValueError, match=message):
        small_gan(**options)


def test_an_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="'batch', 'layer' or None"):
        build_discriminator(SHAPE, normalization="instance")


# --- labels ---


def labelled(count):
    """`halves` and which one is bright."""
    images = halves(count)
    return images, (images[:, 0, -1, 0] > 0.5).astype(int)


def test_samples_show_the_labels_that_were_asked_for():
    images, right = labelled(2048)
    labels = np.stack([right, np.random.default_rng(0).integers(0, 3, 2048)], axis=1)
    images = images * (1 - 0.25 * labels[:, 1])[:, None, None, None]
    model = small_gan(classes=(2, 3))
    model.compile(*(keras.optimizers.Adam(5e-3, beta_1=0.5) for _ in range(2)))
    data = tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels))
    model.fit(data.batch(32), epochs=8, verbose=0)
    wanted = np.stack([np.arange(60) % 2, np.arange(60) % 3], axis=1)
    samples = model.sample(labels=wanted, seed=0)
    bright_right = samples[:, :, 4:].mean((1, 2, 3)) > samples[:, :, :4].mean((1, 2, 3))
    assert (bright_right == wanted[:, 0]).mean() > 0.95
    levels = [samples[wanted[:, 1] == k].max(axis=(1, 2)).mean() for k in range(3)]
    assert levels[0] > levels[1] + 0.1 > levels[2] + 0.2


def test_the_discriminator_judges_image_and_label_together():
    model = small_gan(classes=(2, 3))
    images, labels = halves(4), np.array([[0, 2], [1, 0], [1, 1], [0, 0]])
    logits = model.discriminator(images).numpy()
    expected = [logits[i, a] + logits[i, 2 + b] for i, (a, b) in enumerate(labels)]
    np.testing.assert_allclose(model.judge(images, labels)[:, 0], expected, atol=1e-5)
    latents = model.draw_latents(4, labels, seed=(0, 0)).numpy()
    np.testing.assert_array_equal(latents[0, 8:], [1, 0, 0, 0, 1])


@pytest.fixture(scope="module")
def conditional():
    """A model with one label, for tests that do not train it on."""
    model = small_gan(classes=2)
    model.compile(run_eagerly=True)
    return model


def test_one_label_may_be_a_vector_or_a_column(conditional):
    images, labels = labelled(16)
    start = conditional.get_weights()
    conditional.fit(images, labels, validation_data=(images, labels), verbose=0)
    conditional.set_weights(start)
    result = conditional.evaluate(images, labels, verbose=0)
    assert result == conditional.evaluate(images, labels[:, None], verbose=0)
    samples = (conditional.sample(labels=x, seed=1) for x in (labels, labels[:, None]))
    np.testing.assert_array_equal(*samples)


def test_labels_of_few_bits_are_no_problem():
    model = small_gan(classes=256)
    model.compile(run_eagerly=True)
    labels = np.array([0, 255], np.uint8)
    assert np.isfinite(model.evaluate(halves(2), labels, verbose=0)).all()
    assert len(model.sample(labels=labels)) == 2


def test_samples_without_labels_are_drawn_from_all_classes():
    model = small_gan(classes=(2, 3))
    assert model.sample(10, seed=0).shape == (10, *SHAPE)
    np.testing.assert_array_equal(model.sample(4, seed=0), model.sample(4, seed=0))
    assert model.sample(labels=[[0, 1], [1, 2]]).shape == (2, *SHAPE)


BAD_LABELS = {
    "too large": (np.array([0, 2]), r"from 0 to one less.*from .?0.? to .?2"),
    "negative": (np.array([-1, 1]), r"from 0 to one less.*from .?-1"),
    "not whole": (np.array([0.0, 1.0]), r"integers of shape \(n,\); got float64"),
    "one-hot": (np.eye(2, dtype=int), r"integers of shape \(n,\); got .*, 2\)"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels_are_refused(conditional, case):
    labels, message = BAD_LABELS[case]
    before = conditional.get_weights()
    with pytest.raises(ValueError, match=message) as error:
        conditional.fit(halves(2), labels, verbose=0)
    assert len(str(error.value)) < 400
    with pytest.raises(ValueError, match=message):
        conditional.sample(labels=labels)
    for now, then in zip(conditional.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_labels_are_needed_where_there_are_classes(gan, conditional):
    with pytest.raises(ValueError, match="as many labels"):
        conditional.sample(3, labels=[0, 1])
    with pytest.raises(ValueError, match="knows no labels"):
        gan.sample(labels=[0, 1])
    with pytest.raises(ValueError, match="count=0"):
        conditional.sample(labels=np.zeros(0, int))


def test_networks_built_for_other_classes_are_refused():
    generator = build_generator(SHAPE, 8, 8, classes=3)
    with pytest.raises(ValueError, match="same classes"):
        GAN(generator, build_discriminator(SHAPE, 8), classes=3)
    with pytest.raises(ValueError, match="same classes"):
        GAN(build_generator(SHAPE, 2, 8), build_discriminator(SHAPE, 8, 3), classes=3)
