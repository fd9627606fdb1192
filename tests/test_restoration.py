"""The networks, training, restoring photos of any size, and what surrounds it."""

import hashlib
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from tfgen import tiles as tiling
from tfgen.data.corruptions import add_gaussian_noise, downsample, mask_boxes
from tfgen.measures import restoring as metrics
from tfgen.restoration import (
    AdversarialRestorer,
    Bicubic,
    Restorer,
    SubPixel,
    adversarial_loss,
    build_denoiser,
    build_inpainter,
    build_patch_discriminator,
    build_upscaler,
    discriminator_loss,
)
from tfgen.tiles import estimate_noise, fill_depths

QUIET = dict(verbose=0)
SMALL = dict(width=8, blocks=1)
HOLES = partial(mask_boxes, count=2, size=5)


def pictures(count=8, height=16, width=16, channels=1, seed=0):
    """Two flat areas with a straight edge between them, in [0.2, 0.8]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] - np.array([[[height]], [[width]]]) / 2
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    side = (y * np.sin(angle) + x * np.cos(angle) > 0)[..., None]
    low, high = rng.uniform(0.2, 0.8, (2, count, 1, 1, channels))
    return np.where(side, high, low).astype(np.float32)


def shake(model, seed=0):
    """Give every convolution random weights of the size that training gives, so that
    each output depends on all pixels that the network sees; clip nothing."""
    rng = np.random.default_rng(seed)
    weights = []
    for weight in model.network.weights:
        shape = tuple(weight.shape)
        size = (1.5 / np.prod(shape[:-1])) ** 0.5 if len(shape) == 4 else 0.02
        weights.append(rng.normal(0, size, shape))
    weights[-2] *= 0.05  # a small correction
    weights[-1] += 0.5 * (model.network.name == "inpainter")  # of grey holes
    for network in (model.network, model.averaged_network):
        network.set_weights(weights)
    return model


def small(kind="denoise", channels=1, compiled=True, eager=True, **options):
    """Eager is quicker for a few steps, as nothing is traced."""
    keras.utils.set_random_seed(0)
    if kind == "denoise":
        network = build_denoiser(channels, **SMALL)
        corruption = partial(add_gaussian_noise, sigma=(10, 40))
    elif kind == "inpaint":
        network, corruption = build_inpainter(channels, **SMALL), HOLES
    else:
        network = build_upscaler(kind, channels, **SMALL)
        corruption = partial(downsample, scale=kind)
    model = Restorer(network, corruption, **options)
    if compiled:
        model.compile(run_eagerly=eager)
    return model


def known(kind, shape, seed=0):
    """What a network must be told about images of a shape (n, height, width, ...)."""
    rng = np.random.default_rng(seed)
    if kind == "denoise":
        return {"sigma": 25.0}
    if kind == "inpaint":
        return {"mask": (rng.random((*shape[:3], 1)) < 0.2).astype(np.float32)}
    return {}


@pytest.fixture(scope="module")
def frozen():
    """Networks for tests that change no weight, by kind and channels."""
    models = {}

    def get(kind="denoise", channels=1):
        if (kind, channels) not in models:
            models[kind, channels] = shake(small(kind, channels))
        return models[kind, channels]

    return get


@pytest.fixture(scope="module")
def trained():
    """A denoiser that has learned; tests must not change it."""
    keras.utils.set_random_seed(0)
    model = Restorer(
        build_denoiser(1, width=16, blocks=1),
        partial(add_gaussian_noise, sigma=25),
        average_decay=0.98,
    )
    model.compile(keras.optimizers.Adam(5e-3))
    data, test = pictures(640, seed=1), pictures(64, seed=2)
    history = model.fit(
        data, batch_size=16, epochs=4, validation_data=test, **QUIET
    ).history
    return model, history


# --- the networks ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width, blocks", [(1, 1), (7, 3)])
def test_networks_keep_or_multiply_the_size(channels, width, blocks):
    options = dict(channels=channels, width=width, blocks=blocks)
    image = np.zeros((2, 6, 10, channels), np.float32)
    sigma, mask = np.zeros((2, 1)), np.zeros((2, 6, 10, 1))
    results = [
        (build_denoiser(**options)({"image": image, "sigma": sigma}), 1),
        (build_inpainter(**options)({"image": image, "mask": mask}), 1),
    ] + [
        (build_upscaler(scale, **options)({"image": image}), scale)
        for scale in (2, 3, 4, 5)
    ]
    for result, scale in results:
        assert result.shape == (2, 6 * scale, 10 * scale, channels)
        assert result.dtype == tf.float32


def test_the_sizes_stay_unknown_until_an_image_comes():
    assert build_denoiser(3, **SMALL).output_shape == (None, None, None, 3)
    assert build_upscaler(3, 3, **SMALL).output_shape == (None, None, None, 3)
    fixed = keras.Input((6, 10, 1))
    assert Bicubic(3)(fixed).shape == (None, 18, 30, 1)
    assert SubPixel(2)(keras.Input((6, 10, 12))).shape == (None, 12, 20, 3)


def test_defaults_are_of_a_size_that_can_be_shipped():
    for network in (build_denoiser(), build_inpainter(), build_upscaler(4)):
        assert 50_000 < network.count_params() < 600_000


def test_the_denoiser_is_told_the_level():
    model = shake(small())
    image = pictures(2)
    results = [
        model.network({"image": image, "sigma": s * np.ones((2, 1))}).numpy()
        for s in (0, 25, 50)
    ]
    assert np.abs(results[1] - results[0]).mean() > 1e-4
    steps = [np.abs(a - results[0]).mean() for a in results[1:]]
    assert steps[0] < steps[1]


def test_the_inpainter_never_looks_into_the_holes():
    model = shake(small("inpaint", 3))
    image = pictures(2, channels=3)
    mask = known("inpaint", image.shape)["mask"]
    other = np.where(mask == 1, np.random.default_rng(1).random(image.shape), image)
    results = [
        model.network({"image": x, "mask": mask}).numpy() for x in (image, other)
    ]
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(results[0] * (1 - mask), image * (1 - mask))
    assert np.abs(results[0] - image)[mask[..., 0] == 1].min() > 0


def test_an_upscaler_corrects_a_bicubic_enlargement():
    network = build_upscaler(3, **SMALL)
    image = pictures(2)
    last = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    last[-1].set_weights([0 * w for w in last[-1].get_weights()])
    np.testing.assert_allclose(network({"image": image}), Bicubic(3)(image), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_that_of_pillow(scale):
    images = np.random.default_rng(0).random((2, 9, 13, 3), np.float32)
    result = Bicubic(scale)(images).numpy()
    size = 13 * scale, 9 * scale
    for image, large in zip(images, result, strict=True):
        for channel in range(3):
            picture = Image.fromarray(image[..., channel])
            expected = picture.resize(size, Image.Resampling.BICUBIC)
            # TensorFlow looks its weights up in a table of 1,024.
            np.testing.assert_allclose(large[..., channel], expected, atol=3e-3)


@pytest.mark.parametrize("scale, channels", [(1, 3), (2, 1), (2, 3), (3, 2)])
def test_sub_pixels_go_to_their_places(scale, channels):
    shape = 2, 4, 5, scale, scale, channels
    x = np.random.default_rng(0).random(shape, np.float32)
    expected = x.transpose(0, 1, 3, 2, 4, 5).reshape(2, 4 * scale, 5 * scale, channels)
    result = SubPixel(scale)(x.reshape(2, 4, 5, -1))
    np.testing.assert_array_equal(result, expected)


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


@pytest.mark.parametrize("name", ["channels", "width", "blocks"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_counts_that_are_none_are_refused(name, count):
    for build in (build_denoiser, build_inpainter, partial(build_upscaler, 2)):
        with pytest.raises(
            ValueError, match=f"{name} must be a whole number, 1 or more"
        ):
            build(**{name: count})


def test_scales_and_discriminators_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="scale must be .* got scale=0"):
        build_upscaler(0)
    with pytest.raises(ValueError, match="width must be .* got width=0"):
        build_patch_discriminator(width=0)


# --- training ---


def test_training_removes_noise(trained):
    model, history = trained
    assert history.keys() == {"loss", "psnr"} | {
        f"val_{name}" for name in Restorer.metric_names
    }
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    noisy = 20 * np.log10(255 / 25)
    assert history["val_input_psnr"][-1] == pytest.approx(noisy, abs=0.4)
    assert history["val_psnr"][-1] > noisy + 5
    assert history["val_ssim"][-1] > history["val_input_ssim"][-1] + 0.15
    image = pictures(4, 32, 40, seed=5)
    damaged = add_gaussian_noise(image, seed=0, sigma=25)["image"].numpy()
    restored = model.restore(damaged, sigma=25)
    before = metrics.psnr(image, damaged.clip(0, 1))
    assert (metrics.psnr(image, restored) > before + 4).all()


def test_evaluate_gives_what_psnr_and_ssim_give(trained):
    damaged = []

    def record(images, seed):
        damaged.append(add_gaussian_noise(images, seed, sigma=25))
        return damaged[-1]

    model = Restorer(trained[0].averaged_network, record)
    model.compile(run_eagerly=True)
    images = pictures(12, seed=3)
    result = model.evaluate(images, batch_size=4, return_dict=True, **QUIET)
    restored = np.concatenate([model.averaged_network(x) for x in damaged])
    noisy = np.concatenate([x["image"] for x in damaged])
    assert result == model.evaluate(images, batch_size=4, return_dict=True, **QUIET)
    expected = {"loss": np.abs(images - restored).mean()}
    for prefix, values in (("", restored), ("input_", noisy)):
        values = values.clip(0, 1)
        expected[f"{prefix}psnr"] = metrics.psnr(images, values).mean()
        expected[f"{prefix}ssim"] = metrics.ssim(images, values).mean()
    assert result == pytest.approx(expected, rel=1e-4)


def test_the_input_of_an_upscaler_is_judged_enlarged():
    model = small(2)
    images = pictures(6, 24, 32)
    result = model.evaluate(images, return_dict=True, **QUIET)
    enlarged = Bicubic(2)(downsample(images, scale=2)["image"]).numpy().clip(0, 1)
    assert result["input_psnr"] == pytest.approx(
        metrics.psnr(images, enlarged).mean(), rel=1e-4
    )
    assert result["input_ssim"] == pytest.approx(
        metrics.ssim(images, enlarged).mean(), rel=1e-4
    )


def test_the_averaged_network_is_used_and_the_other_trained(trained):
    model, _ = trained
    assert not model.averaged_network.trainable_variables
    damaged = {"image": pictures(3), "sigma": np.full((3, 1), 25.0)}
    result = model.restore(damaged["image"], sigma=25)
    averaged = model.averaged_network(damaged).numpy().clip(0, 1)
    np.testing.assert_allclose(result, averaged, atol=1e-5)
    np.testing.assert_allclose(model(damaged).numpy().clip(0, 1), averaged, atol=1e-5)
    np.testing.assert_allclose(
        model.predict(damaged, **QUIET).clip(0, 1), averaged, atol=1e-5
    )
    assert np.abs(model.network(damaged) - model.averaged_network(damaged)).max() > 1e-4


@pytest.mark.parametrize(
    "loss", ["huber", keras.losses.huber, keras.losses.Huber(), "Huber"]
)
def test_a_loss_is_a_name_a_function_or_an_object(loss):
    model = small()
    model.compile(loss=loss, run_eagerly=True)
    images, restored = pictures(3), pictures(3, seed=1)
    expected = np.mean(keras.losses.huber(images, restored))
    found = model.pixel_loss(tf.constant(images), tf.constant(restored))
    assert found.shape == (3,)
    np.testing.assert_allclose(np.mean(found), expected, rtol=1e-5)


@pytest.mark.parametrize("known_sides", [True, False])
def test_images_too_small_for_ssim_are_refused(known_sides):
    model = small(eager=False)
    spec = tf.TensorSpec((None, 8, 16, 1) if known_sides else (None, None, None, 1))
    data = tf.data.Dataset.from_generator(
        lambda: iter([pictures(4, 8, 16)]), output_signature=spec
    ).apply(tf.data.experimental.assert_cardinality(1))
    model.fit(data, verbose=0)  # training takes them
    with pytest.raises(ValueError, match="11 x 11 .* these images are 8 x 16") as error:
        model.evaluate(data, verbose=0)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("steps, decay", [(0, 0.0), (10, 0.5), (1000, 0.75)])
def test_average_weights_follow_the_formula(steps, decay):
    model = small(average_decay=0.75)
    model.optimizer.iterations.assign(steps)
    start = [weight.numpy() for weight in model.averaged_network.weights]
    for weight in model.network.weights:
        weight.assign_add(tf.ones_like(weight))
    model.average_weights()
    for average, before in zip(model.averaged_network.weights, start, strict=True):
        np.testing.assert_allclose(average, before + 1 - decay, atol=1e-6)


def test_without_averaging_the_trained_network_is_used():
    model = small(average_decay=0.0)
    model.fit(pictures(16), batch_size=8, **QUIET)
    pairs = zip(model.network.weights, model.averaged_network.weights, strict=True)
    for weight, average in pairs:
        np.testing.assert_allclose(average, weight, atol=1e-6)


def test_one_step_makes_the_update_of_a_tape_by_hand():
    images = pictures(8)
    model = small(compiled=False, seed=3)
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", run_eagerly=True)
    copy = keras.models.clone_model(model.network)
    copy.set_weights(model.network.get_weights())
    seed = tf.cast(keras.random.SeedGenerator(3).next(), tf.int64)
    damaged = model.corruption(images, seed)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((images - copy(damaged)) ** 2)
    gradients = tape.gradient(loss, copy.trainable_variables)
    logs = model.train_on_batch(images, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    expected = metrics.psnr(images, copy(damaged).numpy().clip(0, 1)).mean()
    assert logs["psnr"] == pytest.approx(expected, rel=1e-5)
    for now, before, gradient in zip(
        model.network.trainable_variables,
        copy.trainable_variables,
        gradients,
        strict=True,
    ):
        np.testing.assert_allclose(now, before - 0.1 * gradient, atol=1e-6)


def test_training_damages_afresh_and_evaluation_always_in_the_same_way():
    seeds = []

    def record(images, seed):
        seeds.append(tuple(np.array(seed).tolist()))
        return add_gaussian_noise(images, seed, sigma=10)

    model = Restorer(build_denoiser(1, **SMALL), record, seed=5)
    model.compile(run_eagerly=True)
    images = pictures(12)
    model.fit(images, batch_size=4, epochs=2, validation_data=images, **QUIET)
    model.evaluate(images, batch_size=4, **QUIET)
    first, validation, second, again, evaluation = np.reshape(seeds, (5, 3, 2)).tolist()
    assert validation == again == evaluation
    assert len(np.unique(first + second + validation, axis=0)) == 9


def test_equal_seeds_give_equal_models():
    def kernels(seed):
        model = small(seed=seed)
        model.fit(pictures(16), batch_size=8, shuffle=False, **QUIET)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    first = kernels(5)
    np.testing.assert_allclose(first, kernels(5), atol=1e-6)
    assert np.abs(first - kernels(6)).max() > 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = small()
        before = [w.numpy() for w in model.network.trainable_variables]
        logs = model.fit(pictures(16), batch_size=4, **QUIET).history
        restored = model.restore(pictures(1, 20, 30)[0, ..., 0], sigma=25)
        assert model.network.compute_dtype != "float32"
        inner = [layer.compute_dtype for layer in model.network.layers]
        assert policy.removeprefix("mixed_") in inner
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(list(logs.values())).all()
    for weight, start in zip(model.network.trainable_variables, before, strict=True):
        assert weight.dtype == "float32" and np.isfinite(weight).all()
        assert not np.array_equal(weight, start)
    assert restored.shape == (20, 30) and restored.dtype == np.float32
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


# --- restoring photos of any size ---

KINDS = ["denoise", "inpaint", 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_restore_gives_what_the_network_gives(frozen, kind, channels):
    model = frozen(kind, channels)
    images = pictures(2, 24, 16, channels)
    options = known(kind, images.shape)
    result = model.restore(images, **options)
    told = {"image": images, **options}
    if kind == "denoise":
        told["sigma"] = np.full((2, 1), 25.0)
    np.testing.assert_allclose(
        result, model.averaged_network(told).numpy().clip(0, 1), atol=1e-5
    )
    assert result.dtype == np.float32
    assert np.abs(result - tf.image.resize(images, result.shape[1:3])).mean() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (17, 2), (33, 31)])
def test_images_of_any_size_are_restored(frozen, kind, size):
    """Past their ends they are mirrored, up to a multiple of 8."""
    image = pictures(1, *size)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }
    result = frozen(kind).restore(image, **options)
    scale = kind if isinstance(kind, int) else 1
    assert result.shape == (size[0] * scale, size[1] * scale, 1)

    def pad(values):
        room = [(0, -side % 8) for side in size]
        return np.pad(values, [*room, (0, 0)], "symmetric")[None]

    told = {
        k: np.reshape(v, (1, 1)) if k == "sigma" else pad(v)
        for k, v in {"image": image, **options}.items()
    }
    whole = frozen(kind).averaged_network(told).numpy()[0].clip(0, 1)
    expected = whole[: size[0] * scale, : size[1] * scale]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["denoise", "inpaint", 3])
def test_the_result_has_the_form_of_the_images(frozen, kind):
    model, scale = frozen(kind, 3), kind if kind == 3 else 1
    batch = pictures(2, 9, 14, 3)
    options = known(kind, batch.shape)
    many = model.restore(batch, **options)
    assert many.shape == (2, 9 * scale, 14 * scale, 3)
    one = {k: v if k == "sigma" else v[0] for k, v in options.items()}
    single = model.restore(batch[0], **one)
    np.testing.assert_allclose(single, many[0], atol=1e-6)
    grey = model.restore(batch[0, ..., 0], **one)
    assert grey.shape == (9 * scale, 14 * scale)
    np.testing.assert_allclose(
        grey, model.restore(batch[0, ..., :1], **one)[..., 0], atol=1e-6
    )
    other = model.restore(batch.astype(np.float64), **options)
    np.testing.assert_array_equal(other, many)
    assert 0 <= many.min() and many.max() <= 1


@pytest.mark.parametrize("kind", ["denoise", "inpaint", 2])
def test_grey_in_a_network_for_colour(frozen, kind):
    model = frozen(kind, 3)
    grey = 0.5 * pictures(2, 16, 24) + 0.25
    options = known(kind, grey.shape)
    expected = model.restore(grey.repeat(3, axis=-1), **options)
    result = model.restore(grey, **options)
    inside = ((expected > 0) & (expected < 1)).all(axis=-1)  # not clipped
    assert inside.mean() > 0.8
    np.testing.assert_allclose(
        result[inside], expected.mean(axis=-1, keepdims=True)[inside], atol=1e-5
    )


@pytest.mark.parametrize("kind", ["denoise", "inpaint"])
def test_colour_in_a_network_for_grey_is_restored_channel_by_channel(frozen, kind):
    model = frozen(kind, 1)
    color = pictures(2, 16, 24, 3)
    options = known(kind, color.shape)
    result = model.restore(color, **options)
    for channel in range(3):
        expected = model.restore(color[..., channel : channel + 1], **options)
        np.testing.assert_allclose(
            result[..., channel : channel + 1], expected, atol=1e-5
        )


@pytest.mark.parametrize("scale", [2, 3])
def test_an_upscaler_for_grey_corrects_the_luma_of_colour(frozen, scale):
    model = frozen(scale, 1)
    color = pictures(1, 16, 24, 3)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    result = model.restore(color)
    luma = color @ weights[:, None]
    smooth = Bicubic(scale)(color - luma).numpy()
    network = model.averaged_network({"image": luma}).numpy()
    np.testing.assert_allclose(result, (smooth + network).clip(0, 1), atol=1e-5)


TILED = [(kind, channels, shown) for kind in KINDS for channels, shown in [(1, 1)]]
TILED += [("denoise", 3, 3), ("denoise", 1, 3), ("inpaint", 3, 1), (3, 1, 3), (2, 3, 3)]


@pytest.mark.parametrize("kind, channels, shown", TILED)
def test_tiles_together_are_the_whole_image(
    monkeypatch, capsys, frozen, kind, channels, shown
):
    model = frozen(kind, channels)
    rng = np.random.default_rng(0)
    if kind == "inpaint":  # looks far, and fills with bright pixels
        dark, size, tile, tiles = 0.1, (240, 300), 50, 30
    else:
        dark, size, tile, tiles = 0.4, (75, 93), 24, 16
    image = (dark + 0.2 * rng.random((*size, shown))).astype(np.float32)
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }

    def restore(tile):
        return model.restore(image, tile=tile, verbose=1, **options)

    whole = restore(10_000)
    assert "1/1" in capsys.readouterr().out
    assert 0 < whole.min() and whole.max() < 1  # nothing is hidden by clipping
    tiled = restore(tile)
    assert f"{tiles}/{tiles}" in capsys.readouterr().out
    np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)
    np.testing.assert_allclose(restore(2 * tile), whole, atol=1e-4, rtol=0)
    monkeypatch.setattr(tiling, "reach", lambda network: 0)
    assert np.abs(restore(tile) - whole).max() > 1e-3


ENSEMBLES = [("denoise", 3, 3), ("inpaint", 3, 3), (3, 1, 1), (2, 1, 3)]


@pytest.mark.parametrize("kind, channels, shown", ENSEMBLES)
def test_an_ensemble_is_the_mean_of_eight_ways(frozen, kind, channels, shown):
    model = frozen(kind, channels)
    brightness = 0.3 if kind == "inpaint" else 1  # whose holes become bright
    image = brightness * pictures(1, 24, 40, shown)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, 24, 40)).items()
    }
    results = []
    for turns in range(4):
        for mirror in (lambda x: x, np.fliplr):
            turned = {
                k: mirror(np.rot90(v, turns)) if np.ndim(v) else v
                for k, v in {"images": image, **options}.items()
            }
            results.append(np.rot90(mirror(model.restore(**turned)), -turns))
    assert 0 < np.min(results) and np.max(results) < 1  # nothing is clipped
    result = model.restore(image, ensemble=True, **options)
    np.testing.assert_allclose(result, np.mean(results, axis=0), atol=1e-5)
    assert np.abs(result - results[0]).max() > 1e-3


@pytest.mark.parametrize("kind, channels, shown", ENSEMBLES)
def test_an_ensemble_in_tiles_is_that_of_the_whole_image(frozen, kind, channels, shown):
    model = frozen(kind, channels)
    size, tile = ((40, 300), 100) if kind == "inpaint" else ((75, 93), 40)
    image = pictures(1, *size, shown)[0]
    options = {
        k: v if k == "sigma" else v[0] for k, v in known(kind, (1, *size)).items()
    }
    whole, tiled = (
        model.restore(image, tile=side, ensemble=True, **options)
        for side in (512, tile)
    )
    assert len(tiling.cut_windows(size, tile, 8)) > 1
    np.testing.assert_allclose(tiled, whole, atol=1e-4, rtol=0)


def test_an_ensemble_is_better(trained):
    model, _ = trained
    images = pictures(32, seed=2)
    noisy = add_gaussian_noise(images, 0, sigma=25)["image"]
    once, eightfold = (
        metrics.psnr(images, model.restore(noisy, sigma=25, ensemble=ensemble)).mean()
        for ensemble in (False, True)
    )
    assert eightfold > once + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_pixel_reaches_no_further_than_the_overlap(frozen, kind):
    model = frozen(kind)
    image = np.full((1, 128, 128, 1), 0.5, np.float32)
    other = image.copy()
    other[:, 64, 65] = 0.9
    told = {"sigma": np.full((1, 1), 25.0)} if kind == "denoise" else {}
    told |= {"mask": np.ones_like(image)} if kind == "inpaint" else {}
    if kind == "inpaint":  # the pixel is a hole here and none there
        told["mask"][:, 64, 65] = 0
    before, after = (
        model.averaged_network({**told, "image": x}).numpy() for x in (image, other)
    )
    scale = kind if isinstance(kind, int) else 1
    rows, columns = np.nonzero(np.abs(after - before)[0, ..., 0])
    places = np.stack([rows, columns]) / scale
    distance = np.abs(places - [[64], [65]]).max()
    reach = tiling.reach(model.network)
    assert distance - 1 < reach < distance + 8  # a bound, and not far above


@pytest.mark.parametrize("box", [np.s_[20:75, 31:100], np.s_[:50, 5:], np.s_[:, 40:]])
def test_the_depths_of_large_holes_are_filled(frozen, box):
    image = pictures(1, 97, 130, 3)[0]
    mask = np.zeros((97, 130, 1), np.float32)
    mask[box] = 1
    distance = ndimage.distance_transform_cdt(mask[..., 0], "chessboard")
    deep = distance > 16
    assert 0 < deep.sum() < (distance > 0).sum()
    filled, left = fill_depths(image * (1 - mask), mask)
    assert filled.dtype == left.dtype == np.float32
    np.testing.assert_array_equal(left[..., 0], (distance > 0) & ~deep)
    np.testing.assert_array_equal(filled[distance == 0], image[distance == 0])
    assert image.min() - 1e-5 <= filled[deep].min() < filled[deep].max() < 0.85
    restored = frozen("inpaint", 3).restore(image * (1 - mask), mask=mask)
    np.testing.assert_array_equal(restored[deep], filled[deep])
    flat, _ = fill_depths(0.3 * (1 - mask), mask)
    np.testing.assert_allclose(flat[deep], 0.3, atol=1e-5)


def test_shallow_holes_and_nothing_known_are_left_as_they_are():
    image, mask = np.random.default_rng(0).random((2, 64, 80, 1), np.float32)
    mask[:] = 0
    mask[10:42, 20:60] = 1  # 32 pixels high: none is 17 from the edge
    for hole in (mask, np.ones_like(mask)):
        filled, left = fill_depths(image, hole)
        assert filled is image and left is hole


@pytest.mark.parametrize("channels, shown", [(1, 1), (3, 3), (3, 1), (1, 3)])
def test_inpainting_keeps_known_pixels_bit_by_bit(frozen, channels, shown):
    model = frozen("inpaint", channels)
    image = np.random.default_rng(0).random((2, 41, 53, shown), np.float32)
    mask = known("inpaint", image.shape)["mask"]
    result = model.restore(image, mask=mask)
    kept = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(result[kept], image[kept])
    assert (result[~kept] != image[~kept]).mean() > 0.99


def test_a_mask_has_any_of_four_forms(frozen):
    model = frozen("inpaint", 1)
    images = pictures(2, 16, 24)
    mask = known("inpaint", (1, 16, 24))["mask"]
    expected = model.restore(images, mask=mask.repeat(2, axis=0))
    for form in (mask[0], mask[0, ..., 0], mask[0, ..., 0] == 1, mask[0].astype(int)):
        np.testing.assert_array_equal(model.restore(images, mask=form), expected)
    both = mask[..., 0].repeat(2, axis=0)
    both[1] = 1 - both[1]
    result = model.restore(images, mask=both)
    np.testing.assert_array_equal(result[0], expected[0])
    assert not np.array_equal(result[1], expected[1])


def test_each_image_can_have_its_own_sigma(frozen):
    model = frozen()
    images = pictures(3, 16, 24)
    levels = [5.0, 20.0, 70.0]
    result = model.restore(images, sigma=levels)
    for image, level, restored in zip(images, levels, result, strict=True):
        expected = model.restore(image, sigma=level)
        np.testing.assert_allclose(restored, expected, atol=1e-6)
    assert np.abs(result - model.restore(images, sigma=20)).max() > 1e-4


def test_without_a_sigma_the_noise_is_estimated(frozen):
    model = frozen()
    images = pictures(2, 64, 64)
    noisy = add_gaussian_noise(images, 0, sigma=np.array([10, 50]))["image"].numpy()
    assert noisy.min() < 0
    expected = model.restore(noisy, sigma=estimate_noise(noisy))
    for options in ({}, {"sigma": None}):
        np.testing.assert_array_equal(model.restore(noisy, **options), expected)


def test_progress_is_shown_if_wanted(frozen, capsys):
    images = pictures(2, 40, 40)
    frozen().restore(images, sigma=25)
    assert capsys.readouterr().out == ""
    frozen().restore(images, sigma=25, verbose=1)
    assert "2/2" in capsys.readouterr().out


ONE = pictures(1)[0]


@pytest.mark.parametrize(
    "kind, images, options, message",
    [
        ("denoise", (255 * ONE).astype(np.uint8), {}, "uint8.*255"),
        ("denoise", (255 * ONE).astype(int), {"sigma": 25}, "int64.*255"),
        ("denoise", 255 * ONE, {"sigma": 25}, r"\[0, 1\].*Divide"),
        ("denoise", 2 * ONE.round() - 1, {"sigma": 0}, r"\[0, 1\].*from -1"),
        ("inpaint", ONE - 1, {"mask": ONE.round()}, r"\[0, 1\].*from -0"),
        ("denoise", ONE * np.nan, {"sigma": 25}, r"\[0, 1\].*nan"),
        ("denoise", ONE * np.nan, {}, r"\[0, 1\].*nan"),
        (2, ONE + 0.8, {}, r"\[0, 1\].* to 1\.\d"),
        ("denoise", ONE[:, 0, 0], {"sigma": 25}, r"\(height, width\).*\(16,\)"),
        ("denoise", np.zeros((4, 4, 2)), {}, r"1 or 3 channels; got \(4, 4, 2\)"),
        ("denoise", np.zeros((0, 4)), {"sigma": 25}, r"got \(0, 4\)"),
        ("denoise", np.zeros((1, 1, 4, 4, 1)), {}, r"got \(1, 1, 4, 4, 1\)"),
        ("denoise", ONE, {"sigma": -5}, "at least 0, .*got -5 for 1 im"),
        ("denoise", ONE, {"sigma": np.nan}, "at least 0, .*got nan"),
        ("denoise", ONE, {"sigma": [25, 25]}, r"got \[25, 25\] for 1 im"),
        ("denoise", ONE, {"sigma": 25, "mask": ONE}, "told sigma .*mask and sigma"),
        ("denoise", ONE, {"noise": 25}, "told sigma .*; got noise"),
        ("inpaint", ONE, {}, "told mask .*; got nothing"),
        (2, ONE, {"sigma": 25}, "told nothing .*; got sigma"),
        (
            "inpaint",
            ONE,
            {"mask": np.zeros((16, 15))},
            r"\(16, 15, 1\).*16.*high and 16",
        ),
        ("inpaint", ONE, {"mask": np.zeros((2, 16, 16, 1))}, r"\(2, 16, 16, 1\)"),
        ("inpaint", ONE, {"mask": 0.5 * np.ones((16, 16))}, "1 in the holes and 0"),
        ("inpaint", ONE, {"mask": np.full((16, 16), np.nan)}, "1 in the holes"),
        ("inpaint", ONE, {"mask": 255 * np.ones((16, 16), int)}, "1 in the holes"),
        (2, ONE, {"tile": 0}, "tile must be .* got tile=0"),
        (2, ONE, {"tile": 2.5}, "tile must be .* got tile=2.5"),
    ],
)
def test_what_cannot_be_restored_is_refused(frozen, kind, images, options, message):
    with pytest.raises(ValueError, match=message):
        frozen(kind).restore(images, **options)


# --- the level of noise ---


@pytest.mark.parametrize("channels", [1, 3])
def test_the_noise_of_smooth_images_is_estimated(channels):
    images = pictures(4, 128, 128, channels)
    images = ndimage.gaussian_filter(images, (0, 3, 3, 0))
    levels = np.array([0, 3, 15, 60])
    noisy = add_gaussian_noise(images, seed=0, sigma=levels)["image"].numpy()
    result = estimate_noise(noisy)
    assert result.shape == (4,)
    np.testing.assert_allclose(result, levels, rtol=0.1, atol=0.1)


def test_the_estimate_is_near_that_of_scikit_image():
    pytest.importorskip("pywt")
    from skimage.restoration import estimate_sigma

    images = ndimage.gaussian_filter(pictures(3, 128, 128), (0, 3, 3, 0))
    noisy = add_gaussian_noise(images, seed=0, sigma=25)["image"].numpy()
    expected = [255 * estimate_sigma(image[..., 0]) for image in noisy]
    np.testing.assert_allclose(estimate_noise(noisy), expected, rtol=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_row_of_pixels_has_no_estimate(size):
    assert estimate_noise(np.ones((3, *size, 1))).tolist() == [0, 0, 0]


# --- saving and resuming ---


def same_variables(model, other):
    for ours, theirs in zip(
        [*model.variables, *model.optimizer.variables],
        [*other.variables, *other.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_loaded_model_goes_on_as_the_saved_one(tmp_path):
    images, options = pictures(16), dict(batch_size=4, shuffle=False, **QUIET)
    model = small(average_decay=0.9, seed=1)
    model.fit(images, **options)
    model.save(tmp_path / "restorer.keras")
    loaded = keras.models.load_model(tmp_path / "restorer.keras")
    loaded.run_eagerly = True
    assert (loaded.average_decay, loaded.seed) == (0.9, 1)
    assert loaded.corruption.func is add_gaussian_noise
    assert tuple(loaded.corruption.keywords["sigma"]) == (10, 40)
    assert loaded.optimizer.iterations == 4
    image = pictures(1, 20, 30)
    np.testing.assert_array_equal(
        model.restore(image, sigma=25), loaded.restore(image, sigma=25)
    )
    assert model.evaluate(images, **QUIET) == loaded.evaluate(images, **QUIET)
    model.fit(images, **options)
    loaded.fit(images, **options)
    same_variables(model, loaded)


@pytest.mark.parametrize("kind", ["inpaint", 3])
def test_a_model_that_was_never_compiled_can_be_saved(tmp_path, kind):
    model = shake(small(kind, compiled=False))
    model.save(tmp_path / "restorer.keras")
    loaded = keras.models.load_model(tmp_path / "restorer.keras")
    image = pictures(1, 12, 18)
    options = known(kind, image.shape)
    np.testing.assert_array_equal(
        model.restore(image, **options), loaded.restore(image, **options)
    )
    damaged = [m.corruption(pictures(1, 12, 18), [0, 1]) for m in (model, loaded)]
    np.testing.assert_array_equal(*(x["image"] for x in damaged))


def test_weights_round_trip(tmp_path):
    model, other = small(seed=1), small(seed=1)
    model.fit(pictures(8), batch_size=4, **QUIET)
    model.save_weights(tmp_path / "restorer.weights.h5")
    other.load_weights(tmp_path / "restorer.weights.h5")
    same_variables(model, other)
    assert other.optimizer.iterations == 2


RUN = """
import shutil, sys
from functools import partial
import keras, numpy as np, tensorflow as tf
import tfgen

folder, copy, report = sys.argv[1:]
keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
restorer = tfgen.Restorer(
    tfgen.build_denoiser(1, width=4, blocks=1),
    partial(tfgen.add_gaussian_noise, sigma=(0, 50)),
)
restorer.compile()
photo = np.random.default_rng(0).random((32, 32, 1), np.float32)
data = tfgen.random_patches([photo], 8, 32, batch_size=8, seed=1)

class Copy(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        print("epoch", epoch)
        if epoch == 2:  # what a power cut would leave
            shutil.copytree(folder, copy)

backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
restorer.fit(data, epochs=4, verbose=0, callbacks=[backup, Copy()])
state = [*restorer.variables, *restorer.optimizer.variables]
np.savez(report, *[np.asarray(v) for v in state])
"""


def test_an_interrupted_run_resumes_bit_equal_in_a_new_process(tmp_path):
    def run(folder, copy):
        """The epochs that were trained, and a digest of the final state."""
        paths = [tmp_path / name for name in (folder, copy, f"{folder}.npz")]
        command = [sys.executable, "-c", RUN, *paths]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        content = b"".join(a.tobytes() for a in np.load(paths[-1]).values())
        return result.stdout.count("epoch"), hashlib.sha256(content).hexdigest()

    epochs, whole = run("whole", "cut")
    epochs_left, resumed = run("cut", "unused")
    assert (epochs, epochs_left) == (4, 2)
    assert resumed == whole


# --- bad input, each refused before any weight has changed ---


def one_nan():
    images = pictures(16)
    images[5, 3, 3] = np.nan
    return images


BAD_IMAGES = {
    "-1 to 1": (pictures(16) * 2 - 1, r"from -0.* to 0.*255"),
    "0 to 255": (pictures(16) * 255, r"\[0, 1\].* to \d\d\d.*Divide"),
    "8 bit": ((pictures(16) * 255).astype("uint8"), "uint8.*255"),
    "NaN": (one_nan(), r"\[0, 1\].*nan"),
    "channels": (pictures(16, channels=3), r"width, 1\); got .*16, 16, 3.*channels=1"),
    "rank": (pictures(16)[..., 0], r"width, 1\); got .*16, 16\)"),
    "none": (pictures(16)[:0], "at least one is needed"),
}


@pytest.fixture(scope="module")
def traced():
    """A model that runs as a graph, for tests that change no weight."""
    return small(eager=False)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused(traced, case, kind, method):
    images, message = BAD_IMAGES[case]
    if kind == "dataset":
        images = tf.data.Dataset.from_tensor_slices(images).batch(16)
    before = traced.get_weights()
    with pytest.raises(ValueError, match=message) as error:
        getattr(traced, method)(images, **QUIET)
    assert len(str(error.value)) < 400  # the message, no stack of graph nodes
    for now, then in zip(traced.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_bad_validation_images_are_refused():
    model = small()
    for case in ("-1 to 1", "8 bit", "channels"):
        images, message = BAD_IMAGES[case]
        with pytest.raises(ValueError, match=message):
            model.fit(pictures(4), validation_data=images, **QUIET)


def test_labels_are_refused(traced):
    images, labels = pictures(16), np.zeros(16)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    examples = tf.data.Dataset.from_tensor_slices({"image": images}).batch(16)
    for method in (traced.fit, traced.evaluate):
        with pytest.raises(ValueError, match="images alone"):
            method(images, labels, **QUIET)
        with pytest.raises(ValueError, match="images alone"):
            method(pairs, **QUIET)
        with pytest.raises(ValueError, match=r'x\["image"\]'):
            method(examples, **QUIET)


def not_a_number(images, seed):
    return {"image": images * np.nan, "sigma": tf.ones((tf.shape(images)[0], 1))}


def test_a_loss_that_is_not_finite_stops_training():
    model = Restorer(build_denoiser(1, **SMALL), not_a_number)
    model.compile()
    before = model.network.get_weights()
    for method in (model.fit, model.evaluate):
        with pytest.raises(FloatingPointError, match="lower learning rate"):
            method(pictures(4), **QUIET)
    for now, then in zip(model.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_learning_rate_that_explodes_stops_training():
    model = small(compiled=False)
    model.compile(keras.optimizers.SGD(1e30), "mean_squared_error", run_eagerly=True)
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        model.fit(pictures(16), batch_size=4, **QUIET)


def test_networks_that_take_no_dictionary_are_refused():
    image = keras.Input((None, None, 1))
    plain = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image))
    picture = keras.Input((None, None, 1), name="picture")
    nameless = keras.Model({"picture": picture}, plain(picture))
    for network in (plain, nameless, keras.Sequential([keras.layers.ReLU()]), None):
        with pytest.raises(ValueError, match="must take a dictionary"):
            Restorer(network, add_gaussian_noise)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"average_decay": 1.0}, r"in \[0, 1\); got 1"),
        ({"average_decay": -0.1}, r"in \[0, 1\); got -0.1"),
        ({"average_decay": np.nan}, r"in \[0, 1\); got nan"),
        ({"corruption": 25}, "function of .images, seed.*got 25"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Restorer(
            build_denoiser(1, **SMALL), **{"corruption": add_gaussian_noise, **options}
        )


# --- the adversarial restorer ---


def adversarial(compiled=True, features=True, **options):
    """An upscaler, a discriminator, and features of random convolutions."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((None, None, 1)), keras.layers.Conv2D(4, 3)]
    model = AdversarialRestorer(
        build_upscaler(2, **SMALL),
        build_patch_discriminator(1, width=4),
        partial(downsample, scale=2),
        features=keras.Sequential(layers) if features else None,
        **{"seed": 3, **options},
    )
    shake(model)
    if compiled:
        model.compile(run_eagerly=True)
    return model


def test_the_losses_at_values_computed_by_hand():
    zero, logits = tf.zeros((2, 3, 3, 1)), tf.constant([[2.0], [-1.0]])
    assert float(adversarial_loss(zero)) == pytest.approx(np.log(2))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * np.log(2))
    expected = np.log([1 + np.exp(-2), 1 + np.exp(1)]).mean()  # -log sigmoid
    assert float(adversarial_loss(logits)) == pytest.approx(expected)
    assert float(discriminator_loss(logits, zero)) == pytest.approx(
        expected + np.log(2)
    )
    assert float(discriminator_loss(zero, -logits)) == pytest.approx(
        expected + np.log(2)
    )
    assert float(adversarial_loss(tf.constant([-1e4]))) == 1e4


def test_one_adversarial_step_makes_the_updates_of_a_tape_by_hand():
    images = pictures(4)
    weights = dict(feature_weight=0.5, adversarial_weight=0.1)
    model = adversarial(compiled=False, **weights)
    model.compile(
        keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2), run_eagerly=True
    )
    other = adversarial(compiled=False, **weights)
    features = model.features.get_weights()

    restored = None
    with tf.GradientTape(persistent=True) as tape:
        small_images = downsample(images, scale=2)
        restored = other.network(small_images)
        real, fake = other.discriminator(images), other.discriminator(restored)
        a = tf.reduce_mean(tf.abs(images - restored))
        f = tf.reduce_mean((other.features(images) - other.features(restored)) ** 2)
        g = -tf.reduce_mean(tf.math.log_sigmoid(fake))
        d = -tf.reduce_mean(tf.math.log_sigmoid(real) + tf.math.log_sigmoid(-fake))
        loss = a + 0.5 * f + 0.1 * g
    logs = model.train_on_batch(images, return_dict=True)
    expected = {
        "loss": loss,
        "feature_loss": f,
        "adversarial_loss": g,
        "discriminator_loss": d,
        "psnr": metrics.psnr(images, restored.numpy().clip(0, 1)).mean(),
    }
    assert logs == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-4)
    for now, before, objective, rate in (
        (model.network, other.network, loss, 0.1),
        (model.discriminator, other.discriminator, d, 0.2),
    ):
        pairs = zip(now.trainable_variables, before.trainable_variables, strict=True)
        for weight, start in pairs:
            gradient = tape.gradient(objective, start)
            np.testing.assert_allclose(weight, start - rate * gradient, atol=1e-5)
            assert np.abs(gradient).max() > 0
    for now, before in zip(model.features.get_weights(), features, strict=True):
        np.testing.assert_array_equal(now, before)


def test_without_the_other_losses_it_is_a_restorer():
    images, options = pictures(8), dict(batch_size=4, shuffle=False, **QUIET)
    model = adversarial(False, feature_weight=0.0, adversarial_weight=0.0, seed=7)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    plain = shake(small(2, seed=7))
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
    names = {"loss", "psnr", "feature_loss", "adversarial_loss", "discriminator_loss"}
    assert history.keys() == names
    assert np.isfinite(list(history.values())).all()
    assert model.restore(pictures(1, 9, 7)[0]).shape == (18, 14, 1)


@pytest.mark.parametrize("features", [True, False])
def test_an_adversarial_model_keeps_the_state_of_both_optimizers(tmp_path, features):
    images, options = pictures(8), dict(batch_size=4, shuffle=False, **QUIET)
    model = adversarial(features=features, adversarial_weight=0.02, feature_weight=0.3)
    model.fit(images, **options)
    model.save(tmp_path / "restorer.keras")
    loaded = keras.models.load_model(tmp_path / "restorer.keras")
    loaded.run_eagerly = True
    assert (loaded.adversarial_weight, loaded.feature_weight) == (0.02, 0.3)
    assert (loaded.features is not None) == features
    assert loaded.optimizer.iterations == loaded.discriminator_optimizer.iterations == 2
    model.fit(images, **options)
    loaded.fit(images, **options)
    same_variables(model, loaded)
    for ours, theirs in zip(
        model.discriminator_optimizer.variables,
        loaded.discriminator_optimizer.variables,
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"discriminator": build_patch_discriminator(3, 1)}, "1 channels.*discr.*3"),
        ({"features": build_patch_discriminator(3, 1)}, "1 channels.*features.*3"),
        ({"feature_weight": -1.0}, "at least 0; got -1.0 for the features"),
        ({"adversarial_weight": -0.1}, "and -0.1 for the discriminator"),
        ({"average_decay": 1}, r"in \[0, 1\)"),
    ],
)
def test_adversarial_options_that_do_not_fit_are_refused(options, message):
    parts = {"discriminator": build_patch_discriminator(1, 1), **options}
    with pytest.raises(ValueError, match=message):
        AdversarialRestorer(
            build_upscaler(2, **SMALL), corruption=partial(downsample, scale=2), **parts
        )


def test_adversarial_training_refuses_bad_images_and_infinite_losses():
    model = adversarial()
    with pytest.raises(ValueError, match="Divide"):
        model.fit(pictures(4) * 255, **QUIET)
    last = model.discriminator.layers[-1]
    last.kernel.assign(tf.fill(last.kernel.shape, np.nan))
    before = model.network.get_weights()
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        model.fit(pictures(4), **QUIET)
    for now, then in zip(model.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
