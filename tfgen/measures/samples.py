"""Judge a generator by its samples: quality, variety, and whether it only copies.

The functions compare sets of feature vectors, (n, dimensions), such as
`classifier_features` gives. No figure means much alone: print beside it what real
images score against other real images.
"""

import numpy as np

from tfgen.images import check_images

BLOCK = 1000  # rows of a matrix of distances that are held at a time

# --- Distances of two distributions -----------------------------------------


def frechet_distance(features_a, features_b):
    """Frechet distance between two sets of features, each taken as a Gaussian.

    ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` with the means m and
    covariances C of the two sets. On the features of InceptionV3 this is the
    FID of Heusel et al., 2017 (arXiv:1706.08500); on other features its values
    cannot be compared with published FIDs. It is biased: fewer samples give a
    larger distance.

    Parameters
    ----------
    features_a, features_b : array, (n, dimensions)
        Features of two sets of images; each set must be larger than its number
        of dimensions.

    Returns
    -------
    float
        At least 0; 0 for equal means and covariances.

    Raises
    ------
    ValueError
        If the shapes do not match, a set is too small or a feature is not finite.
    """
    a, b = _checked(features_a, features_b, least=1)
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(
            f"{min(len(a), len(b))} samples cannot give a covariance of "
            f"{a.shape[1]} dimensions; use more samples than dimensions."
        )
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (C_a C_b)^(1/2) equals tr (R C_b R)^(1/2) with R = C_a^(1/2), and
    # R C_b R is symmetric, so that eigh serves and no complex root appears.
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    difference = a.mean(axis=0) - b.mean(axis=0)
    distance = difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(float(distance), 0.0)


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
        radii = _radii(centers, k)
        return np.mean(
            np.concatenate(
                [
                    (_squared_distances(block, centers) <= radii).any(axis=1)
                    for block in _blocks(points)
                ]
            )
        )

    return float(share_inside(fake, real)), float(share_inside(real, fake))


def coverage(real_features, fake_features, k=3):
    """Share of the real images that have a generated one close by.

    Close means: in the ball around the real image that reaches to its k-th nearest
    other real image (Naeem et al., 2020, arXiv:2002.09797). The balls of recall
    surround the generated images, so that a few stray images with large balls raise
    it; they raise nothing here.

    Parameters
    ----------
    real_features, fake_features : array, (n, dimensions)
        More than k real ones; equally many generated ones, since the figure grows
        with their number.
    k : int

    Returns
    -------
    float
        In [0, 1]. For two equally large sets from one distribution about
        1 - 2**-k, whatever the distribution.

    Raises
    ------
    ValueError
        If the shapes do not match, a set is too small or a feature is not finite.
    """
    real, fake = _checked(real_features, fake_features, least=1)
    if not 1 <= k < len(real):
        raise ValueError(
            f"{len(real)} real images have no neighbour number {k}; k must be from 1 "
            f"to {len(real) - 1}."
        )
    nearest = [_squared_distances(block, fake).min(axis=1) for block in _blocks(real)]
    return float(np.mean(np.concatenate(nearest) <= _radii(real, k)))


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


# --- How sure a share is -----------------------------------------------------


def wilson_interval(successes, trials, confidence=0.95):
    """Interval for a probability, from how often something happened.

    The probabilities p for which the share that was seen lies within z standard
    deviations ``(p (1 - p) / trials)^(1/2)`` of p, where z = 1.96 for 95 %. It stays in
    [0, 1], and has a width even where nothing or everything happened (Wilson, 1927).

    Parameters
    ----------
    successes, trials : int or array of int
        How often it happened, and how often it could have, independently of each
        other.
    confidence : float
        In (0, 1).

    Returns
    -------
    tuple of float or numpy.ndarray
        Lower and upper end, in [0, 1].

    Raises
    ------
    ValueError
        If there is no trial, there are more successes than trials, a number is not
        whole, or `confidence` is not between 0 and 1.
    """
    from scipy.special import ndtri

    successes, trials = np.asarray(successes), np.asarray(trials)
    whole = successes.dtype.kind in "iu" and trials.dtype.kind in "iu"
    if not whole or (trials < 1).any() or (successes < 0).any():
        raise ValueError(
            "successes are whole numbers from 0, trials from 1; got "
            f"{successes} and {trials}."
        )
    if (successes > trials).any():
        raise ValueError(f"{successes} successes in {trials} trials cannot be.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1; got {confidence!r}.")
    share, z = successes / trials, ndtri((1 + confidence) / 2)
    weight = trials / (trials + z**2)  # the middle leans towards 1/2
    middle = weight * share + (1 - weight) / 2
    half = z * weight * np.sqrt(share * (1 - share) / trials + (z / trials / 2) ** 2)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


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


def window_distances(images, photos, mirror=False):
    """How far images are from the nearest window of each of some larger photos.

    A generator that learned from random crops may copy any of them, so each image is
    compared with every window of its size. To allow for shifts of up to s pixels among
    images of equal size, cut s pixels off all sides of `images`.

    Parameters
    ----------
    images : array (n, height, width, channels)
        Values in [0, 1].
    photos : array (m, height, width, channels)
        At least as high and as wide as the images.
    mirror : bool
        Whether the photos are searched mirrored left to right, too.

    Returns
    -------
    numpy.ndarray, (n, m)
        The root mean square difference of the pixels, from 0 to 1, in the nearest
        window of each photo; exact to about 0.001.

    Raises
    ------
    ValueError
        If the shapes do not fit or a value is not in [0, 1].
    """
    images, photos = (
        check_images(x, name) for x, name in ((images, "images"), (photos, "photos"))
    )
    size = images.shape[1:]
    if photos.shape[3] != size[2] or min(np.subtract(photos.shape[1:3], size[:2])) < 0:
        raise ValueError(
            "Photos need the channels of the images, and at least their height and "
            f"width; got {photos.shape[1:]} for images of {size}."
        )
    both = np.concatenate([images, images[:, :, ::-1]]) if mirror else images
    points = both.reshape(len(both), -1) - np.float32(0.5)  # small: fewer digits lost
    own = np.square(points).sum(axis=1)
    nearest = []
    for photo in photos:
        least = np.inf
        for row in np.lib.stride_tricks.sliding_window_view(photo, size):
            windows = row.reshape(-1, points.shape[1]) - np.float32(0.5)
            squares = np.square(windows).sum(axis=1)[:, None] - 2 * windows @ points.T
            least = np.minimum(least, squares.min(axis=0))
        nearest.append(least + own)
    squared = np.stack(nearest, axis=1).reshape(-1, len(images), len(photos))
    return np.sqrt(np.maximum(squared.min(axis=0), 0) / points.shape[1])


def memorization_test(samples, train, test):
    """Whether samples are nearer to the training set than they should be.

    To a generator that has learned the distribution, training and held-out images
    are alike. So among the real images that are nearest to some sample, training
    images are as frequent as among all real images; to one that copies, more
    frequent. Each neighbour counts once, which makes the hypergeometric p-value
    exact however alike the samples are, if no real image is there twice (the idea is
    Meehan, Chaudhuri and Dasgupta's, 2020, arXiv:2004.05675).

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


def _radii(points, k):
    """Squared distance of each point to its k-th nearest other point, (n,)."""
    return np.concatenate(
        [
            np.partition(_squared_distances(block, points), k, axis=1)[:, k]
            for block in _blocks(points)
        ]
    )  # the nearest, at distance 0, is the point itself


def _squared_distances(a, b):
    """Squared Euclidean distances of all pairs, (len(a), len(b))."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(squares - 2 * a @ b.T, 0)
