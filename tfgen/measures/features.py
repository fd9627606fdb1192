"""Features of images, which generators are judged by: of a classifier of your own, or
of InceptionV3."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tfgen.checks import check_seed
from tfgen.images import check_images
from tfgen.model import usual_settings


@usual_settings()
def build_classifier(image_shape=(32, 32, 1), classes=26, dimensions=64):
    """Build a small Sequential classifier.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels), both sides at least 16.
    classes : int
    dimensions : int
        Length of the feature vector before the last layer.

    Returns
    -------
    keras.Sequential
        Maps (n, height, width, channels) in [0, 1] to logits (n, classes); the layer
        before the last gives the features.
    """
    if min(image_shape[:2]) < 16 or classes < 2 or dimensions < 1:
        raise ValueError(
            "A classifier needs images of at least 16 x 16 pixels, 2 classes and 1 "
            f"dimension; got {image_shape}, {classes} and {dimensions}."
        )
    network = keras.Sequential([layers.Input(image_shape)], name="classifier")
    for filters in (32, 64):
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.MaxPooling2D())
    network.add(layers.Conv2D(64, 3, padding="same", activation="relu"))
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.3))
    network.add(layers.Dense(dimensions, activation="relu"))
    network.add(layers.Dense(classes, dtype="float32"))
    return network


def train_classifier(train, epochs=4, validation_data=None, seed=0, verbose="auto"):
    """Train a classifier for any labelled set of images.

    Parameters
    ----------
    train : tf.data.Dataset
        Batches of (images, labels): images in [0, 1], labels from 0, such as
        ``load_dataset("glyphs", labels=True)``. Its attribute ``class_names``, if
        it has one, gives the number of classes; otherwise all labels are read.
    epochs : int
    validation_data : tf.data.Dataset, optional
    seed : int
        Seed of the weights and of dropout.
    verbose
        As in `keras.Model.fit`.

    Returns
    -------
    keras.Sequential
        As `build_classifier` makes it, compiled with the metric ``accuracy``.

    Raises
    ------
    ValueError
        If the dataset does not hold images of one size with labels.
    """
    spec = train.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or len(spec[1].shape) != 1:
        raise ValueError(
            "Batches of (images, labels) are needed: load_dataset(..., labels=True)."
        )
    shape = tuple(spec[0].shape[1:])
    if None in shape:
        raise ValueError("The images differ in size: load them with image_size=...")
    names = getattr(train, "class_names", None)
    classes = len(names or ()) or 1 + int(
        max(labels.numpy().max() for _, labels in train)
    )
    keras.utils.set_random_seed(check_seed(seed))
    network = build_classifier(shape, classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, metrics=["accuracy"])
    network.fit(
        train,
        epochs=epochs,
        validation_data=validation_data,
        shuffle=False,  # the dataset shuffles itself
        verbose=verbose,
    )
    return network


def classifier_features(classifier, images):
    """Features and probabilities that a classifier gives to images.

    Parameters
    ----------
    classifier : keras.Model
        Ends in a layer of logits; the layer before it gives the features.
    images : array, (n, height, width, channels)
        In [0, 1].

    Returns
    -------
    tuple of numpy.ndarray
        Features (n, dimensions) and probabilities (n, classes).

    Raises
    ------
    ValueError
        If the images do not have the shape or range that the classifier takes, or it
        does not end in a layer of logits.
    """
    images = check_images(images)
    if not getattr(classifier, "outputs", None) or len(classifier.layers) < 2:
        raise ValueError(
            "A classifier is a keras.Model that begins with keras.Input(shape) and "
            f"ends in a layer of features and one of logits; got {classifier!r:.60}."
        )
    if not tf.TensorShape(classifier.input_shape).is_compatible_with(images.shape):
        raise ValueError(
            f"The classifier takes images of shape {classifier.input_shape}; got "
            f"{images.shape}."
        )
    *_, before, last = classifier.layers
    if isinstance(last, keras.Model):
        raise ValueError(
            f"The classifier ends in a whole model, {last.name}. Add its layers one by "
            "one, so that the layer before the last gives the features."
        )
    with usual_settings():
        both = keras.Model(classifier.inputs[0], [before.output, last.output])
    starts = range(0, len(images), 500)
    parts = [both(images[start : start + 500], training=False) for start in starts]
    features, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    if (logits >= 0).all() and np.allclose(logits.sum(axis=-1), 1, atol=1e-3):
        raise ValueError(
            "The classifier gives probabilities, but must end in a layer of logits: "
            "leave the softmax at its end out."
        )
    return features, tf.nn.softmax(logits).numpy()


def inception_features(images):
    """Features of InceptionV3, the ones that FID and KID are defined on.

    Downloads 88 MB on first use. Images are enlarged bilinearly to 299 x 299; grey
    is repeated in three channels. Keras' weights are not those of the first FID
    code, so that figures differ a little from published ones.

    Parameters
    ----------
    images : array, (n, height, width, 1 or 3)
        In [0, 1].

    Returns
    -------
    numpy.ndarray, (n, 2048)
        Frechet distances need more than 2048 images.

    Raises
    ------
    ValueError
        If the images have another shape or range.
    ConnectionError
        If the weights are not there and cannot be downloaded.
    """
    images = check_images(images)
    try:
        with usual_settings():
            network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # urllib raises many kinds
        raise ConnectionError(
            "InceptionV3's weights cannot be downloaded here. Use "
            "classifier_features with a classifier of your own, and do not call the "
            f"result FID. ({error})"
        ) from None
    features = []
    for start in range(0, len(images), 50):
        batch = tf.image.resize(images[start : start + 50], (299, 299))
        batch = tf.repeat(batch, 3 // batch.shape[-1], axis=-1)
        features.append(network(2 * batch - 1, training=False).numpy())
    return np.concatenate(features)
