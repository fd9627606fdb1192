"""A classifier for any set, and the features that it and InceptionV3 give."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.measures.features import (
    build_classifier,
    classifier_features,
    inception_features,
    train_classifier,
)


@pytest.fixture(scope="module")
def bars():
    """Images of a bright upper or lower half, with labels."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 256)
    images = rng.random((256, 16, 16, 1)).astype("float32") / 2
    images[labels == 0, :8] += 0.5
    images[labels == 1, 8:] += 0.5
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)


@pytest.fixture(scope="module")
def classifier(bars):
    return train_classifier(bars, epochs=3, verbose=0)


def test_a_classifier_learns_any_labelled_set(bars, classifier):
    assert classifier.output_shape == (None, 2)
    assert classifier.evaluate(bars, verbose=0)[1] > 0.95


def test_features_are_those_before_the_logits(bars, classifier):
    images, labels = next(iter(bars))
    features, probabilities = classifier_features(classifier, images)
    last = classifier.layers[-1]
    np.testing.assert_allclose(
        keras.ops.softmax(last(features)), probabilities, atol=1e-5
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.95


def test_features_are_alike_under_any_settings_of_keras(unusual_settings, bars):
    images = next(iter(bars))[0]
    keras.utils.set_random_seed(0)
    network = build_classifier((16, 16, 1), 2)
    features, probabilities = classifier_features(network, images)
    plain = network.layers[-2](keras.Sequential(network.layers[:-2])(images))
    assert {weight.dtype for weight in network.weights} <= {"float32", "uint32"}
    assert features.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(features, plain, atol=2e-3)
    trained = train_classifier(bars, epochs=2, verbose=0)
    assert trained.evaluate(bars, verbose=0)[1] > 0.9


def test_images_for_another_classifier_are_refused(classifier):
    with pytest.raises(ValueError, match="takes images of shape"):
        classifier_features(classifier, np.zeros((2, 32, 32, 1), np.float32))
    with pytest.raises(ValueError, match="Divide 8-bit images"):
        classifier_features(classifier, np.full((2, 16, 16, 1), 255.0))
    with pytest.raises(ValueError, match="Divide 8-bit images"):
        classifier_features(classifier, np.zeros((2, 16, 16, 1), np.uint8))
    with pytest.raises(ValueError, match="Divide 8-bit images"):
        inception_features(np.zeros((2, 16, 16, 1), np.uint8))


def test_data_without_labels_or_of_several_sizes_is_refused(bars):
    with pytest.raises(ValueError, match="labels=True"):
        train_classifier(bars.map(lambda image, label: image))
    with pytest.raises(ValueError, match="at least 16 x 16"):
        build_classifier((8, 8, 1))
    loose = tf.data.Dataset.from_generator(
        lambda: iter(bars),
        output_signature=(
            tf.TensorSpec((None, None, None, 1), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        ),
    )
    with pytest.raises(ValueError, match="image_size"):
        train_classifier(loose)


def test_without_a_network_inception_says_what_to_use(monkeypatch):
    def download(**options):
        raise OSError("URL fetch failure")

    monkeypatch.setattr(keras.applications, "InceptionV3", download)
    with pytest.raises(ConnectionError, match="classifier_features"):
        inception_features(np.zeros((1, 32, 32, 1), np.float32))


def test_inception_is_given_three_channels_in_its_own_range(monkeypatch):
    seen = []

    def network(batch, training):
        seen.append(batch.numpy())
        return tf.zeros((len(batch), 2048))

    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **options: network)
    images = np.ones((60, 32, 32, 1), np.float32)
    assert inception_features(images).shape == (60, 2048)
    assert [batch.shape for batch in seen] == [(50, 299, 299, 3), (10, 299, 299, 3)]
    assert all((batch == 1).all() for batch in seen)


FEATURES = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
CLASSIFIERS = {
    "softmax": (lambda: [*FEATURES, keras.layers.Dense(3, "softmax")], "probabilities"),
    "softmax layer": (
        lambda: [*FEATURES, keras.layers.Dense(3), keras.layers.Softmax()],
        "leave the softmax at its end out",
    ),
    "nested": (
        lambda: [
            *FEATURES,
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="head"),
        ],
        "ends in a whole model, head",
    ),
    "not built": (lambda: [keras.layers.Dense(3)], "begins with keras.Input"),
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_a_classifier_that_ends_otherwise_is_refused(case):
    make, message = CLASSIFIERS[case]
    with pytest.raises(ValueError, match=message):
        classifier_features(keras.Sequential(make()), np.zeros((4, 16, 16, 1), "f4"))
    with pytest.raises(ValueError, match="got <function"):
        classifier_features(build_classifier, np.zeros((4, 16, 16, 1), "f4"))
