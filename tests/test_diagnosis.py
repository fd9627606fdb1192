"""Each fault is found, its cure is not; the package's own models have none."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfgen
from tfgen.diagnosis import diagnose

IMAGES = np.random.default_rng(0).random((4, 16, 16, 1), np.float32)
SIGNED = 2 * IMAGES - 1


def stack(shape, *parts):
    start = [] if shape is None else [layers.Input(shape)]
    return keras.Sequential([*start, *parts])


def up(filters, activation=None):
    return layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", activation=activation
    )


def down(filters, activation=None):
    return layers.Conv2D(filters, 4, strides=2, padding="same", activation=activation)


def generator(*end, side=4):
    first = layers.Dense(side * side * 4), layers.Reshape((side, side, 4))
    return stack((8,), *first, up(4, "relu"), *(end or [up(1, "sigmoid")]))


def discriminator(*end, first=None, side=16):
    first = first or [down(4), layers.LeakyReLU(negative_slope=0.2)]
    end = end or [layers.Flatten(), layers.Dense(1)]
    return stack((side, side, 1), *first, down(4), *end)


def encoder(numbers):
    return stack((16, 16, 1), down(4, "relu"), layers.Flatten(), layers.Dense(numbers))


def decoder(numbers, *end):
    first = layers.Dense(64), layers.Reshape((4, 4, 4)), up(4, "relu")
    return stack((numbers,), *first, *(end or [up(1)]))


def pair(**parts):
    return parts.get("g") or generator(), parts.get("d") or discriminator()


def damage(images, seed):
    return {"image": images}


def compiled(network, loss):
    network.compile("adam", loss)
    return network


@keras.saving.register_keras_serializable("tests")
class Round(layers.Layer):
    def call(self, x):
        return keras.ops.round(x)


def dead(bias):
    bias = keras.initializers.Constant(bias)
    return layers.Conv2D(4, 3, bias_initializer=bias, activation="relu")


BCE = keras.losses.BinaryCrossentropy
DENSE = layers.Flatten(), layers.Dense(1)
FAULTS = {  # what is said, a faulty and a cured (model, images)
    "bytes": ("uint8", (pair, np.uint8(255 * IMAGES)), (pair, IMAGES)),
    "not divided": ("to 25", (pair, 255 * IMAGES), (pair, IMAGES)),
    "not finite": ("nan", (pair, IMAGES * np.nan), (pair, IMAGES)),
    "no input": (
        "does not know its input",
        (lambda: stack(None, layers.Dense(1)), IMAGES),
        (discriminator, IMAGES),
    ),
    "sides that do not meet": (
        "the generator is for images of (20, 20, 1)",
        (lambda: pair(g=generator(side=5)), IMAGES),
        (pair, IMAGES),
    ),
    "images of another side": (
        "the discriminator is for images of (32, 32, 1)",
        (lambda: pair(d=discriminator(side=32)), IMAGES),
        (pair, IMAGES),
    ),
    "two activations": (
        "follows a relu",
        (
            lambda: pair(d=discriminator(first=[down(4, "relu"), layers.LeakyReLU()])),
            IMAGES,
        ),
        (lambda: pair(d=discriminator(first=[down(4), layers.LeakyReLU()])), IMAGES),
    ),
    "two layers of activation": (
        "follows a ReLU",
        (lambda: stack((8,), layers.ReLU(), layers.Activation("tanh")), IMAGES),
        (lambda: stack((8,), layers.ReLU(), layers.Activation("linear")), IMAGES),
    ),
    "a map": (
        "ends in (4, 4, 1), not in one number",
        (lambda: pair(d=discriminator(layers.Conv2D(1, 1))), IMAGES),
        (pair, IMAGES),
    ),
    "no mean and variance": (
        "gives 8 numbers, the decoder takes 8",
        (lambda: (encoder(8), decoder(8)), IMAGES),
        (lambda: (encoder(16), decoder(8)), IMAGES),
    ),
    "the same in one": (
        "gives 8 numbers, the decoder takes 8",
        (lambda: keras.Sequential([encoder(8), decoder(8)]), IMAGES),
        (lambda: encoder(16), IMAGES),
    ),
    "latents that do not meet": (
        "gives 16 numbers, the decoder takes 6",
        (lambda: (encoder(16), decoder(6)), IMAGES),
        (lambda: (encoder(16), decoder(8)), IMAGES),
    ),
    "[-1, 1] against a sigmoid": (
        "no values below 0",
        (pair, SIGNED),
        (lambda: pair(g=generator(up(1, "tanh"))), SIGNED),
    ),
    "[0, 1] against a tanh": (
        "gives [-1, 1]",
        (lambda: (encoder(16), decoder(8, up(1, "tanh"))), IMAGES),
        (lambda: (encoder(16), decoder(8, up(1, "sigmoid"))), IMAGES),
    ),
    "no gradient": (
        "no gradient reaches",
        (lambda: discriminator(Round(), *DENSE), IMAGES),
        (lambda: discriminator(*DENSE), IMAGES),
    ),
    "dead": (
        "no gradient reaches",
        (lambda: discriminator(first=[dead(-100.0)]), IMAGES),
        (lambda: discriminator(first=[dead(0.0)]), IMAGES),
    ),
    "logits through a sigmoid": (
        "takes logits",
        (
            lambda: compiled(
                discriminator(layers.Flatten(), layers.Dense(1, "sigmoid")),
                BCE(from_logits=True),
            ),
            IMAGES,
        ),
        (lambda: compiled(discriminator(), BCE(from_logits=True)), IMAGES),
    ),
    "probabilities without a sigmoid": (
        "takes probabilities",
        (lambda: compiled(discriminator(), "binary_crossentropy"), IMAGES),
        (
            lambda: compiled(
                discriminator(layers.Flatten(), layers.Dense(1, "sigmoid")),
                "binary_crossentropy",
            ),
            IMAGES,
        ),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_its_cure_is_not(name):
    said, (faulty, bad), (cured, good) = FAULTS[name]
    found = diagnose(faulty(), bad)
    assert any(said.lower() in finding.fault.lower() for finding in found), found
    assert all(finding.cure for finding in found)
    assert diagnose(cured(), good) == []


def test_several_faults_are_found_at_once():
    first = [down(4, "relu"), layers.LeakyReLU()]
    model = generator(side=5), discriminator(layers.Conv2D(1, 1), first=first)
    assert len(diagnose(model, SIGNED)) == 4


def test_a_model_of_ones_own_is_looked_at_by_its_parts():
    class Own(keras.Model):
        def __init__(self, generator, discriminator):
            super().__init__()
            self.generator = generator
            self.discriminator = discriminator

    assert diagnose(Own(*pair()), IMAGES) == []
    assert len(diagnose(Own(*pair(g=generator(side=5))), IMAGES)) == 1


def test_an_encoder_of_three_outputs_raises_no_alarm():
    given = keras.Input((16, 16, 1))
    outputs = [layers.Dense(8)(layers.Flatten()(given)) for _ in range(3)]
    assert diagnose((keras.Model(given, outputs), decoder(8)), IMAGES) == []


def test_a_discriminator_of_images_and_labels_raises_no_alarm():
    given, label = keras.Input((16, 16, 1)), keras.Input((), dtype="int32")
    x = layers.Concatenate()([layers.Flatten()(given), layers.Embedding(3, 4)(label)])
    judge = keras.Model([given, label], layers.Dense(1)(x))
    assert diagnose((generator(), judge), IMAGES) == []


def test_a_generator_of_images_from_images_is_no_encoder():
    colour = stack(
        (16, 16, 3), layers.Conv2D(3, 3, padding="same", activation="sigmoid")
    )
    judge = stack((16, 16, 3), down(4), layers.Conv2D(1, 3, activation="sigmoid"))
    (found,) = diagnose((colour, judge), np.repeat(IMAGES, 3, axis=-1))
    assert "not in one number an image" in found.fault


def test_a_decoder_of_latents_and_labels_raises_no_alarm():
    given = keras.Input((8,)), keras.Input((3,))
    x = layers.Dense(256, activation="sigmoid")(layers.Concatenate()(given))
    conditional = keras.Model(given, layers.Reshape((16, 16, 1))(x))
    assert diagnose((encoder(16), conditional), IMAGES) == []


def test_classes_of_a_model_of_ones_own():
    class Own(keras.Model):
        def __init__(self, classes):
            super().__init__()
            self.generator, self.discriminator = pair()
            self.classes = classes

    for classes in (10, (10,), ()):
        assert diagnose(Own(classes), IMAGES) == []


def test_standardized_images_raise_no_alarm():
    images = (IMAGES - IMAGES.mean()) / IMAGES.std()
    assert diagnose(discriminator(), images) == []


def test_several_losses_are_not_looked_at():
    network = discriminator()
    network.compile("adam", ["mse"])
    assert diagnose(network, IMAGES) == []


def test_other_data_is_refused():
    with pytest.raises(ValueError, match="images .n, height, width, channels."):
        diagnose(discriminator(), tf.data.Dataset.from_tensors(IMAGES))


def test_layers_that_are_added_one_by_one():
    network = keras.Sequential()
    for layer in (layers.Input((16, 16, 1)), down(4, "relu"), layers.LeakyReLU()):
        network.add(layer)
    assert len(diagnose(network, IMAGES)) == 1


def test_a_loss_of_its_own():
    def logits(targets, output):
        return keras.ops.softplus(output) - targets * output

    end = layers.Flatten(), layers.Dense(1, activation="sigmoid")
    assert len(diagnose(discriminator(*end), IMAGES, loss=logits)) == 1
    assert diagnose(discriminator(), IMAGES, loss=logits) == []
    assert diagnose(discriminator(*end), IMAGES, loss="mse") == []


def test_other_losses_raise_no_alarm():
    classes = layers.Flatten(), layers.Dense(3, activation="softmax")
    for loss in ("categorical_crossentropy", "sparse_categorical_crossentropy", "mse"):
        assert diagnose(compiled(discriminator(*classes), loss), IMAGES) == []


def test_nothing_is_changed():
    class Picky(layers.Layer):
        def call(self, x):
            if tf.executing_eagerly():
                raise RuntimeError("This layer runs on nothing.")
            return x

    for end in (layers.Flatten(), Picky()):
        network = discriminator(end)
        before = network.get_weights()
        with contextlib.suppress(RuntimeError):
            diagnose((generator(), network), IMAGES)
        for one, other in zip(network.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_judge_of_patches_alone_makes_no_images():
    judge = discriminator(layers.Conv2D(1, 1, activation="sigmoid"))
    assert diagnose(judge, SIGNED) == []


SIZE = 16, 16, 1
MODELS = {  # one of each of the package's models, and all of its networks
    "GAN": lambda: tfgen.GAN(
        tfgen.build_generator(SIZE, 8, 4), tfgen.build_discriminator(SIZE, 4)
    ),
    "conditional GAN": lambda: tfgen.GAN(
        tfgen.build_generator(SIZE, 8, 4, classes=3),
        tfgen.build_discriminator(SIZE, 4, classes=3, normalization="layer"),
        classes=3,
    ),
    "VAE": lambda: tfgen.VAE(
        tfgen.build_encoder(SIZE, 4, 4), tfgen.build_decoder(SIZE, 4, 4)
    ),
    "diffusion": lambda: tfgen.Diffusion(tfgen.build_denoising_unet(SIZE, 16)),
    "with labels": lambda: tfgen.Diffusion(
        tfgen.build_denoising_unet(SIZE, 16, classes=3), classes=3
    ),
    "large diffusion": lambda: tfgen.Diffusion(
        tfgen.build_large_denoising_unet(SIZE, widths=(16, 16))
    ),
    "denoiser": lambda: tfgen.Restorer(tfgen.build_denoiser(1, 8, 1), damage),
    "blind denoiser": lambda: tfgen.Restorer(
        tfgen.build_denoiser(1, 8, 1, blind=True), damage
    ),
    "inpainter": lambda: tfgen.Restorer(tfgen.build_inpainter(1, 8, 1), damage),
    "upscaler": lambda: tfgen.Restorer(tfgen.build_upscaler(2, 1, 8, 1), damage),
    "SRGAN": lambda: tfgen.AdversarialRestorer(
        tfgen.build_sharp_upscaler(2, 1, 8, 1),
        tfgen.build_patch_discriminator(1, 4),
        damage,
    ),
    "finder": lambda: tfgen.DefectFinder(tfgen.build_defect_finder(1, 8, 1), damage),
    "classifier": lambda: tfgen.build_classifier(SIZE, 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_package_raises_no_alarm(name):
    model = MODELS[name]()
    assert diagnose(model, IMAGES) == []
    if name != "classifier":
        model.compile()
        assert diagnose(model, IMAGES) == []


def test_trained_networks_raise_no_alarm():
    model = tfgen.load_pretrained("denoise")
    assert diagnose(model, IMAGES) == []
