"""Judge a generator by its samples: quality, variety, and whether it only copies.

All functions but the classifier's compare sets of feature vectors, (n, dimensions),
such as `classifier_features` gives; so does `tfgen.frechet_distance`. No figure means
much alone: print beside it what real images score against other real images.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BLOCK = 1000  # rows of a matrix of distances that are held at a time

# --- A classifier and its features ------------------------------------------


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
    keras.utils.set_random_seed(seed)
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
        If the images do not have the shape or range that the classifier takes.
    """
    images = np.asarray(images)
    if not tf.TensorShape(classifier.input_shape).is_compatible_with(images.shape):
        raise ValueError(
            f"The classifier takes images of shape {classifier.input_shape}; got "
            f"{images.shape}."
        )
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind != "f" or not (low >= 0 and high <= 1):
        raise ValueError(
            f"Images must be float32 in [0, 1]; these are {images.dtype} from "
            f"{low:.4g} to {high:.4g}. Divide 8-bit images by 255."
        )
    both = keras.Model(
        classifier.inputs[0],
        [classifier.layers[-2].output, classifier.layers[-1].output],
    )
    starts = range(0, len(images), 500)
    parts = [both(images[start : start + 500], training=False) for start in starts]
    features, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
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
    ConnectionError
        If the weights are not there and cannot be downloaded.
    """
    try:
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


# --- Distances of two distributions -----------------------------------------


def kernel_distance(features_a, features_b):
    """Squared maximum mean discrepancy of two sets of features.

    The unbiased estimate with the kernel ``(x . y / dimensions + 1)^3``
    (Binkowski et al., 2018, arXiv:1801.01401). On the features of InceptionV3 this
    is the KID.

    Parameters
    ----------
    features_a, features_b : array, (n, dimensions)
        At least 2 each.

    Returns
    -------
    float
        0 on average for two sets from one distribution, so that it can be negative.

    Raises
    ------
    ValueError
        If the shapes do not match, a set is too small or a feature is not finite.
    """
    a, b = _checked(features_a, features_b)

    def kernel_sum(products):
        kernel = products / a.shape[1] + 1
        return (kernel * kernel * kernel).sum()  # far faster than ** 3

    def mean_kernel(x, y):
        total = sum(kernel_sum(block @ y.T) for block in _blocks(x))
        if x is not y:
            return total / (len(x) * len(y))
        own = kernel_sum(np.square(x).sum(axis=1))
        return (total - own) / (len(x) * (len(x) - 1))

    return float(mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b))


def precision_recall(real_features, fake_features, k=3):
    """How many generated images look real, and how much of the real is generated.

    A set's manifold is made of balls around its points that reach to their k-th
    nearest neighbours. Precision is the share of generated points on the manifold of
    the real ones, recall the share of real points on that of the generated
    (Kynkaanniemi et al., 2019, arXiv:1904.06991).

    Parameters
    ----------
    real_features, fake_features : array, (n, dimensions)
        More than k each; equally many, since both figures grow with the number.
    k : int

    Returns
    -------
    tuple of float
        Precision and recall, in [0, 1].

    Raises
    ------
    ValueError
        If the shapes do not match, a set is too small or a feature is not finite.
    """
    real, fake = _checked(real_features, fake_features, least=k + 1)

    def share_inside(points, centers):
        radii = np.concatenate(
            [
                np.partition(_squared_distances(block, centers), k, axis=1)[:, k]
                for block in _blocks(centers)
            ]
        )  # the nearest, at distance 0, is the point itself
        return np.mean(
            np.concatenate(
                [
                    (_squared_distances(block, centers) <= radii).any(axis=1)
                    for block in _blocks(points)
                ]
            )
        )

    return float(share_inside(fake, real)), float(share_inside(real, fake))


# --- Variety ----------------------------------------------------------------


def class_shares(labels, classes):
    """Share of each class, (classes,), among labels (n,) from 0 to classes - 1."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise ValueError(
            "Labels are integers of shape (n,), n at least 1; got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Labels must be from 0 to {classes - 1}; these are from {labels.min()} to "
            f"{labels.max()}."
        )
    return np.bincount(labels, minlength=classes) / len(labels)


def class_coverage(labels, classes, least=0.01):
    """Number of classes whose share among labels (n,) is at least `least`."""
    return int((class_shares(labels, classes) >= least).sum())


def class_divergence(labels_a, labels_b, classes):
    """Jensen-Shannon divergence of two class histograms: from 0 for equal ones to
    ln 2 nats for two without a common class (Lin, 1991)."""
    a, b = (class_shares(labels, classes) for labels in (labels_a, labels_b))
    middle = (a + b) / 2

    def relative_entropy(p):
        return np.sum(p[p > 0] * np.log(p[p > 0] / middle[p > 0]))

    return float((relative_entropy(a) + relative_entropy(b)) / 2)


# --- Copies -----------------------------------------------------------------


def nearest_neighbors(points, candidates):
    """The candidate nearest to each point.

    Parameters
    ----------
    points, candidates : array, (n, dimensions) or images (n, height, width, channels)
        Images are compared pixel by pixel.

    Returns
    -------
    tuple of numpy.ndarray
        Indices into `candidates` and Euclidean distances, both (len(points),).
    """
    points, candidates = (
        np.asarray(x).reshape(len(x), -1) for x in (points, candidates)
    )
    points, candidates = _checked(points, candidates, least=1)
    indices, distances = [], []
    for block in _blocks(points):
        squared = _squared_distances(block, candidates)
        nearest = squared.argmin(axis=1)
        indices.append(nearest)
        # Computed anew: the expanded square loses the digits of small distances.
        distances.append(np.linalg.norm(block - candidates[nearest], axis=1))
    return np.concatenate(indices), np.concatenate(distances)


def memorization_test(samples, train, test):
    """Whether samples are nearer to the training set than they should be.

    To a generator that has learned the distribution, training and held-out images
    are alike. So among the real images that are nearest to some sample, training
    images are as frequent as among all real images; to one that copies, more
    frequent. Each neighbour counts once, which makes the hypergeometric p-value
    exact however alike the samples are (the idea is Meehan, Chaudhuri and
    Dasgupta's, 2020, arXiv:2004.05675).

    Parameters
    ----------
    samples, train, test : array, (n, dimensions) or images (n, height, width, channels)
        Test images must come from the same source as the training images.

    Returns
    -------
    dict
        ``share`` of training images among the distinct neighbours, the ``expected``
        share, and ``p_value``, the probability of at least this share for a
        generator that does not copy.
    """
    from scipy.stats import hypergeom

    indices, _ = nearest_neighbors(samples, np.concatenate([train, test]))
    neighbors = np.unique(indices)
    count = int((neighbors < len(train)).sum())
    total = len(train) + len(test)
    p_value = hypergeom.sf(count - 1, total, len(train), len(neighbors))
    return {
        "share": count / len(neighbors),
        "expected": len(train) / total,
        "p_value": float(p_value),
    }


# --- Helpers ----------------------------------------------------------------


def _checked(a, b, least=2):
    """Two sets of features as float64, or ValueError."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            "Two arrays of shape (n, dimensions) with equal dimensions are "
            f"needed; got {a.shape} and {b.shape}."
        )
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"At least {least} samples of each kind are needed; got {len(a)} and "
            f"{len(b)}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("A feature is NaN or infinite; check the classifier.")
    return a, b


def _blocks(array):
    return (array[start : start + BLOCK] for start in range(0, len(array), BLOCK))


def _squared_distances(a, b):
    """Squared Euclidean distances of all pairs, (len(a), len(b))."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(squares - 2 * a @ b.T, 0)
