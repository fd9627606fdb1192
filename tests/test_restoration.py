"""The networks, training, restoring photos of any size, and what surrounds it."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_tiles import SMALL, build, known, pictures, shake

from tfgen.data.corruptions import add_gaussian_noise, blur, downsample, mask_boxes
from tfgen.measures import restoring as metrics
from tfgen.restoration import (
    Bicubic,
    Restorer,
    SubPixel,
    build_denoiser,
    build_inpainter,
    build_upscaler,
)

QUIET = dict(verbose=0)


def small(kind="denoise", channels=1, compiled=True, eager=True, **options):
    """Eager is quicker for a few steps, as nothing is traced."""
    corruptions = {
        "denoise": partial(add_gaussian_noise, sigma=(10, 40)),
        "inpaint": partial(mask_boxes, count=2, size=5),
    }
    corruption = corruptions.get(kind) or partial(downsample, scale=kind)
    model = Restorer(build(kind, channels), corruption, **options)
    if compiled:
        model.compile(run_eagerly=eager)
    return model


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
    network = shake(build("denoise"))
    image = pictures(2)
    results = [
        network({"image": image, "sigma": s * np.ones((2, 1))}).numpy()
        for s in (0, 25, 50)
    ]
    assert np.abs(results[1] - results[0]).mean() > 1e-4
    steps = [np.abs(a - results[0]).mean() for a in results[1:]]
    assert steps[0] < steps[1]


def test_the_inpainter_never_looks_into_the_holes():
    network = shake(build("inpaint", 3))
    image = pictures(2, channels=3)
    mask = known("inpaint", image.shape)["mask"]
    other = np.where(mask == 1, np.random.default_rng(1).random(image.shape), image)
    results = [network({"image": x, "mask": mask}).numpy() for x in (image, other)]
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


@pytest.mark.parametrize("name", ["channels", "width", "blocks"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_counts_that_are_none_are_refused(name, count):
    for make in (build_denoiser, build_inpainter, partial(build_upscaler, 2)):
        with pytest.raises(
            ValueError, match=f"{name} must be a whole number, 1 or more"
        ):
            make(**{name: count})


def test_scales_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="scale must be .* got scale=0"):
        build_upscaler(0)


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
    images = pictures(10, seed=3)  # the last batch counts by its images
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


def test_the_averaged_network_is_used(trained):
    model, _ = trained
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
    model = small(eager=known_sides)  # eagerly, the sides of a batch are known
    spec = tf.TensorSpec((None, None, None, 1))
    data = tf.data.Dataset.from_generator(
        lambda: iter([pictures(4, 8, 16)]), output_signature=spec
    ).apply(tf.data.experimental.assert_cardinality(1))
    if known_sides:
        model.fit(data, verbose=0)  # training takes them
    with pytest.raises(ValueError, match="11 x 11 .* these images are 8 x 16") as error:
        model.evaluate(data, verbose=0)
    assert len(str(error.value)) < 200


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


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_restored_images_are_float32_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small(compiled=False)
        restored = model.restore(pictures(1, 20, 30)[0, ..., 0], sigma=25)
    finally:
        keras.config.set_dtype_policy("float32")
    assert restored.shape == (20, 30) and restored.dtype == np.float32


def test_an_ensemble_is_better(trained):
    model, _ = trained
    images = pictures(32, seed=2)
    noisy = add_gaussian_noise(images, 0, sigma=25)["image"]
    once, eightfold = (
        metrics.psnr(images, model.restore(noisy, sigma=25, ensemble=ensemble)).mean()
        for ensemble in (False, True)
    )
    assert eightfold > once + 0.1


# --- saving ---


@pytest.mark.parametrize("kind", ["inpaint", 3])
def test_a_loaded_model_damages_and_restores_as_the_saved_one(tmp_path, kind):
    model = small(kind, compiled=False)
    shake(model.averaged_network)
    model.save(tmp_path / "restorer.keras")
    loaded = keras.models.load_model(tmp_path / "restorer.keras")
    assert loaded.scale == model.scale == (1 if kind == "inpaint" else kind)
    image = pictures(1, 12, 18)
    options = known(kind, image.shape)
    np.testing.assert_array_equal(
        model.restore(image, **options), loaded.restore(image, **options)
    )
    damaged = [m.corruption(pictures(1, 12, 18), [0, 1]) for m in (model, loaded)]
    np.testing.assert_array_equal(*(x["image"] for x in damaged))


# --- what is refused ---


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
    for network in (plain, nameless):
        with pytest.raises(ValueError, match="must take a dictionary"):
            Restorer(network, add_gaussian_noise)
    for network in (keras.Sequential([keras.layers.ReLU()]), None, build_denoiser):
        with pytest.raises(ValueError, match="The network (does not know|must be a)"):
            Restorer(network, add_gaussian_noise)


def network_with(*last, many=False):
    image = keras.Input((None, None, 1), name="image")
    x = keras.layers.Conv2D(1, 3, padding="same")(image)
    for layer in last:
        x = layer(x)
    return keras.Model({"image": image}, [x, x] if many else x)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "relu", "hard_sigmoid"])
def test_networks_whose_last_activation_fits_are_taken(name):
    Restorer(network_with(keras.layers.Activation(name)), blur)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_network_of_images_from_minus_one_is_refused(depth):
    last = keras.layers.Activation("tanh")
    for _ in range(depth):
        last = keras.Sequential([keras.Input((None, None, 1)), last])
    with pytest.raises(ValueError, match=r"run from -\S+ to \S+, as .*a tanh"):
        Restorer(network_with(last), blur)
    Restorer(network_with(last, keras.layers.Rescaling(0.5, offset=0.5)), blur)


def test_networks_that_give_no_images_are_refused():
    for network in (
        network_with(keras.layers.GlobalAveragePooling2D()),
        network_with(many=True),
    ):
        with pytest.raises(ValueError, match="must give images, one tensor"):
            Restorer(network, blur)


def test_a_network_of_one_size_says_so():
    image = keras.Input((16, 16, 1), name="image")
    network = keras.Model({"image": image}, keras.layers.Dense(1)(image))
    model = Restorer(network, blur)
    model.compile()
    with pytest.raises(ValueError, match=r"\(n, 16, 16, 1\); got \(4, 24, 16"):
        model.fit(np.zeros((4, 24, 16, 1), np.float32), **QUIET)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"corruption": 25}, "function of .images, seed.*got 25"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Restorer(
            build_denoiser(1, **SMALL), **{"corruption": add_gaussian_noise, **options}
        )
