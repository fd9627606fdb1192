"""The networks, losses and training of SRGAN."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_restoration import QUIET, small
from test_tiles import SMALL, pictures, shake

from tfgen.data.corruptions import downsample
from tfgen.measures import restoring as metrics
from tfgen.restoration import build_upscaler
from tfgen.srgan import (
    AdversarialRestorer,
    adversarial_loss,
    build_patch_discriminator,
    build_sharp_upscaler,
    discriminator_loss,
)

# --- the networks ---


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_sharp_upscaler_multiplies_the_size(scale, channels):
    network = build_sharp_upscaler(scale, channels, **SMALL)
    image = pictures(2, 6, 10, channels)
    result = network({"image": image})
    assert result.shape == (2, 6 * scale, 10 * scale, channels)
    assert result.dtype == tf.float32
    assert network.output_shape == (None, None, None, channels)


def test_the_sharp_upscaler_is_of_a_size_that_can_be_shipped():
    assert build_sharp_upscaler().count_params() == 721_929


def test_sharp_upscalers_that_cannot_be_are_refused():
    for scale in (0, 1, 3, 16, 2.5, "4"):
        with pytest.raises(ValueError, match="scale must be "):
            build_sharp_upscaler(scale)
    with pytest.raises(ValueError, match="width must be a multiple of 8; got 12"):
        build_sharp_upscaler(width=12)
    for name in ("channels", "width", "blocks"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            build_sharp_upscaler(**{name: 0})


@pytest.mark.parametrize("side", [16, 64])
def test_the_patch_discriminator_judges_patches(side):
    network = build_patch_discriminator(3, width=4)
    image = pictures(2, side, 2 * side, 3)
    logits = network(image)
    assert logits.shape == (2, side // 8, side // 4, 1) and logits.dtype == tf.float32
    if side == 64:  # the patch at the left does not see the right
        image[:, :, side:] = 0.5
        changed = np.abs(network(image) - logits).max(axis=(0, 1, 3))
        assert changed[0] == 0 and changed[-1] > 0


def test_a_discriminator_without_channels_is_refused():
    with pytest.raises(ValueError, match="width must be .* got width=0"):
        build_patch_discriminator(width=0)


# --- the adversarial restorer ---


def adversarial(compiled=True, features=True, **options):
    """An upscaler, a discriminator, and features of random convolutions."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((None, None, 1)), keras.layers.Conv2D(4, 3)]
    model = AdversarialRestorer(
        build_upscaler(2, **SMALL),
        options.pop("discriminator", None) or build_patch_discriminator(1, width=4),
        partial(downsample, scale=2),
        features=keras.Sequential(layers) if features else None,
        **{"seed": 3, **options},
    )
    for network in (model.network, model.averaged_network):
        shake(network)
    if compiled:
        model.compile(run_eagerly=True)
    return model


def test_the_losses_at_values_computed_by_hand():
    zero, logits = tf.zeros((2, 3, 3, 1)), tf.constant([[2.0], [-1.0]])
    assert float(adversarial_loss(zero, zero)) == pytest.approx(np.log(2))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(np.log(2))
    expected = np.log([1 + np.exp(2), 1 + np.exp(-1)]).mean()  # -log sigmoid(D(G) - D)
    assert float(adversarial_loss(logits, 0 * logits)) == pytest.approx(expected)
    assert float(discriminator_loss(0 * logits, logits)) == pytest.approx(expected)
    assert float(discriminator_loss(-logits, 0 * logits)) == pytest.approx(expected)
    assert float(adversarial_loss(tf.constant([1e4]), tf.constant([0.0]))) == 1e4


def test_one_adversarial_step_makes_the_updates_of_a_tape_by_hand():
    images = pictures(4)
    weights = dict(feature_weight=0.5, adversarial_weight=0.1, penalty_weight=3.0)
    model = adversarial(compiled=False, **weights)
    model.compile(
        keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2), run_eagerly=True
    )
    other = adversarial(compiled=False, **weights)
    features = model.features.get_weights()

    other.next_seed()  # of the damage
    draws = [tf.random.stateless_normal(images.shape, other.next_seed()) for _ in "ab"]
    with tf.GradientTape(persistent=True) as tape:
        small_images = downsample(images, scale=2)
        restored = other.network(small_images)
        fixed = tf.stop_gradient(restored)
        real, fake = other.discriminator(images), other.discriminator(restored)
        a = tf.reduce_mean(tf.abs(images - restored))
        f = tf.reduce_mean(abs(other.features(images) - other.features(restored)))
        g = -tf.reduce_mean(tf.math.log_sigmoid(fake - real))
        d = -tf.reduce_mean(tf.math.log_sigmoid(real - fake))
        judged = zip((images, fixed), draws, (real, fake), strict=True)
        p = sum(
            tf.reduce_mean((other.discriminator(x + 0.03 * draw) - logits) ** 2)
            for x, draw, logits in judged
        )
        loss, d_loss = a + 0.5 * f + 0.1 * g, d + 3 * p
    size = small_images["image"].shape[1:3]
    a_small, again = (
        tf.image.resize(x, size, "bicubic", antialias=True) for x in (images, restored)
    )
    logs = model.train_on_batch(images, return_dict=True)
    expected = {
        "loss": loss,
        "consistency_loss": tf.reduce_mean(abs(again - a_small)),
        "feature_loss": f,
        "adversarial_loss": g,
        "discriminator_loss": d,
        "penalty": p,
        "accuracy": np.mean(real > fake),
        "psnr": metrics.psnr(images, restored.numpy().clip(0, 1)).mean(),
    }
    assert logs == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-3)
    for now, before, objective, rate in (
        (model.network, other.network, loss, 0.1),
        (model.discriminator, other.discriminator, d_loss, 0.2),
    ):
        pairs = zip(now.trainable_variables, before.trainable_variables, strict=True)
        for weight, start in pairs:
            gradient = tape.gradient(objective, start)
            if gradient is None:  # the last bias: the losses know differences only
                gradient = tf.zeros_like(start)
            np.testing.assert_allclose(weight, start - rate * gradient, atol=1e-5)
    for now, before in zip(model.features.get_weights(), features, strict=True):
        np.testing.assert_array_equal(now, before)


def test_without_the_other_losses_it_is_a_restorer():
    images, options = pictures(8), dict(batch_size=4, shuffle=False, **QUIET)
    model = adversarial(False, feature_weight=0.0, adversarial_weight=0.0, seed=7)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    plain = small(2, seed=7)
    for network in (plain.network, plain.averaged_network):
        shake(network)
    model.fit(images, **options)
    plain.fit(images, **options)
    for name in ("network", "averaged_network"):
        for ours, theirs in zip(
            getattr(model, name).weights, getattr(plain, name).weights, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    result = model.evaluate(images, return_dict=True, **QUIET)
    expected = plain.evaluate(images, return_dict=True, **QUIET)
    assert result == pytest.approx(expected, rel=1e-4)


def test_an_adversarial_run_trains_as_a_graph_and_restores():
    model = adversarial(compiled=False, features=False)
    model.compile()
    history = model.fit(pictures(8), batch_size=4, **QUIET).history
    assert history["feature_loss"] == [0]
    names = {"consistency_loss", "feature_loss", "adversarial_loss", "penalty"}
    names |= {"loss", "psnr", "discriminator_loss", "accuracy"}
    assert history.keys() == names
    assert np.isfinite(list(history.values())).all()
    assert model.restore(pictures(1, 9, 7)[0]).shape == (18, 14, 1)
    assert AdversarialRestorer.from_config(model.get_config()).features is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"discriminator": build_patch_discriminator(3, 1)}, r", 1\), .*discr.*, 3\)"),
        ({"features": build_patch_discriminator(3, 1)}, r", 1\), .*feat.*, 3\)"),
        ({"feature_weight": -1.0}, "at least 0; got -1.0 for the features"),
        ({"adversarial_weight": -0.1}, "and -0.1 for the discriminator"),
        ({"penalty_weight": -2}, "at least 0; .* -2 for the penalty"),
        ({"warmup": -5}, "a warm-up of -5 steps"),
        ({"average_decay": 1}, r"in \[0, 1\)"),
    ],
)
def test_adversarial_options_that_do_not_fit_are_refused(options, message):
    parts = {"discriminator": build_patch_discriminator(1, 1), **options}
    with pytest.raises(ValueError, match=message):
        AdversarialRestorer(
            build_upscaler(2, **SMALL), corruption=partial(downsample, scale=2), **parts
        )


def judge_pairs(channels=2, width=4):
    """A discriminator that sees pairs and gives the maps inside too."""
    pair = keras.Input((None, None, channels))
    inner = keras.layers.Conv2D(width, 3, activation="relu")(pair)
    return keras.Model(pair, [keras.layers.Conv2D(1, 3)(inner), inner])


def test_a_discriminator_of_pairs_shares_its_maps(tmp_path):
    images = pictures(4)
    model = adversarial(features=False, discriminator=judge_pairs())
    smooth = tf.fill(images.shape, 0.25)
    logits, (inner,) = model.judge(images, smooth)
    seen = 4 * tf.concat([images - 0.25, smooth - 0.5], axis=-1)
    expected = model.discriminator(seen)
    np.testing.assert_allclose(logits, expected[0], atol=1e-6)
    np.testing.assert_allclose(inner, expected[1], atol=1e-6)
    assert model.train_on_batch(images, return_dict=True)["feature_loss"] > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for now, then in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_discriminator_of_other_pairs_is_refused():
    with pytest.raises(ValueError, match=r"discriminator model takes some of .*, 6\)"):
        adversarial(discriminator=judge_pairs(6))


@pytest.mark.parametrize("warmup, done, share", [(4, 3, 0), (4, 5, 0.5), (4, 9, 1)])
def test_the_weights_come_into_force_after_the_warmup(warmup, done, share):
    options = dict(feature_weight=2.0, adversarial_weight=3.0, consistency_weight=4.0)
    model = adversarial(warmup=warmup, pixel_weight=0.2, **options)
    model.optimizer.iterations.assign(done)
    names = "feature_loss", "adversarial_loss", "consistency_loss"
    loss = model.weigh(10.0, dict(zip(names, (1.0, 10.0, 100.0), strict=True)))
    np.testing.assert_allclose(loss, (1 - 0.8 * share) * 10 + share * 432, rtol=1e-6)


def test_a_patch_discriminator_that_ends_in_a_sigmoid_is_refused():
    judge = build_patch_discriminator(1, 1)
    judge.add(keras.layers.Activation("sigmoid"))
    with pytest.raises(ValueError, match="discriminator must give numbers of any sign"):
        AdversarialRestorer(build_upscaler(2, **SMALL), judge, downsample)


def test_a_discriminator_that_is_not_finite_stops_training():
    model = adversarial()
    last = model.discriminator.layers[-1]
    last.kernel.assign(tf.fill(last.kernel.shape, np.nan))
    before = model.network.get_weights()
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        model.fit(pictures(4), **QUIET)
    for now, then in zip(model.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
