"""Measures of image quality, of likelihood and of latent spaces."""

import math

import numpy as np
import tensorflow as tf


def psnr(images, restored, *, luma=False, border=0):
    """Peak signal-to-noise ratio of each image, in dB.

    ``10 log10(1 / MSE)`` with the mean over all pixels and channels. Published
    means are over images, of these values.

    Parameters
    ----------
    images, restored : array, (n, height, width, channels)
        Floats in [0, 1], equally shaped; clip what a network overshoots.
    luma : bool
        Compare only the luma of colour images, as tables of super-resolution do:
        BT.601 with the range of television, ``(16 + 65.481 R + 128.553 G + 24.966
        B) / 255``. Grey images are taken as they are.
    border : int
        Pixels to leave out on all four sides; tables of super-resolution leave out
        as many as the scale.

    Returns
    -------
    numpy.ndarray, (n,)
        Infinite for equal images.

    Raises
    ------
    ValueError
        For integers, values outside [0, 1], different shapes or a border that
        leaves nothing.
    """
    images, restored = _comparable(images, restored, luma, border)
    return tf.image.psnr(images, restored, 1.0).numpy()


def ssim(images, restored, *, luma=False, border=0):
    """Structural similarity of each image: 1 for equal images, near 0 for unlike ones.

    The mean over all windows of 11 x 11 pixels with Gaussian weights of standard
    deviation 1.5, and over channels (Wang, Bovik, Sheikh and Simoncelli, "Image
    quality assessment", 2004). Takes, returns and raises what `psnr` does; images
    need at least 11 pixels in each direction.
    """
    images, restored = _comparable(images, restored, luma, border)
    if min(images.shape[1:3]) < 11:
        raise ValueError(
            "SSIM looks at 11 x 11 pixels at a time, but these images are only "
            f"{images.shape[1]} x {images.shape[2]} within the border."
        )
    return tf.image.ssim(images, restored, 1.0).numpy()


def _comparable(images, restored, luma, border):
    """Two checked sets of images, reduced to what is to be compared."""
    pair = []
    for name, values in (("images", images), ("restored", restored)):
        values = np.asarray(values)
        if values.ndim != 4 or 0 in values.shape or values.dtype.kind != "f":
            raise ValueError(
                f"{name}: floats of shape (n, height, width, channels) are needed; got "
                f"{values.dtype} of shape {values.shape}. Divide 8-bit images by 255; "
                "write image[None] for a single one."
            )
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # also for NaN
            raise ValueError(
                f"{name}: values must be in [0, 1]; these run from {low:.4g} to "
                f"{high:.4g}. Divide 8-bit images by 255, or clip what a network "
                "overshoots with np.clip(x, 0, 1)."
            )
        pair.append(values.astype(np.float32))
    images, restored = pair
    if images.shape != restored.shape:
        raise ValueError(
            f"The images are {images.shape}, but the restored ones {restored.shape}."
        )
    if border < 0 or 2 * border >= min(images.shape[1:3]):
        raise ValueError(
            f"A border of {border} does not fit into images of {images.shape[1]} x "
            f"{images.shape[2]}."
        )
    inside = slice(border, -border or None)
    images, restored = images[:, inside, inside], restored[:, inside, inside]
    if luma and images.shape[-1] == 3:
        weights = np.array([[65.481], [128.553], [24.966]], np.float32) / 255
        images, restored = (x @ weights + 16 / 255 for x in (images, restored))
    return images, restored


# --- Restoration by several methods -----------------------------------------


def compare(clean, damaged, methods, *, round_to_bytes=False, **options):
    """PSNR and SSIM of a damaged image after each of several methods.

    Parameters
    ----------
    clean : array, (height, width, channels)
        Floats in [0, 1].
    damaged : dict of str to array, (1, ...)
        ``"image"`` and what is known of it, ``"sigma"`` or ``"mask"``: what the
        functions of `tfgen.corruption` return for ``clean[None]``.
    methods : dict of str to callable
        Each is called as ``method(image)``, ``method(image, sigma=25.0)`` or
        ``method(image, mask=mask)``, by what is known, as `tfgen.classics` and
        ``restorer.restore`` are. What it returns is clipped to [0, 1].
    round_to_bytes : bool
        Whether it is also rounded to 256 levels, as an image file would be.
    **options
        ``luma`` and ``border``, as for `psnr`.

    Returns
    -------
    numpy.ndarray, (methods, 2)

    Raises
    ------
    ValueError
        What `psnr`, `ssim` or a method raises.
    """
    known = {name: np.asarray(values)[0] for name, values in damaged.items()}
    image = known.pop("image")
    if "sigma" in known:
        known["sigma"] = float(known["sigma"][0])
    scores = []
    for method in methods.values():
        restored = np.clip(method(image, **known), 0, 1)
        if round_to_bytes:
            restored = np.rint(restored * 255) / 255
        pair = clean[None], restored[None]
        scores.append([psnr(*pair, **options)[0], ssim(*pair, **options)[0]])
    return np.array(scores, np.float64)


def untouched(image, **known):
    """The method to which others are compared: the damaged image as it is."""
    return image


def print_scores(names, methods, scores):
    """Print a table of PSNR and SSIM, each row as soon as it is known, and the means.

    Parameters
    ----------
    names, methods : collection of str
        The images, a row each, and the columns.
    scores : iterable of array, (methods, 2)
        What `compare` returns for each image.

    Returns
    -------
    numpy.ndarray, (images + 1, methods, 2)
        The rows; the last is the mean of the others.
    """
    width = max(map(len, [*names, "image"]))

    def print_row(name, cells):
        print(f"{name:<{width}}", *(f"{cell:>15}" for cell in cells), flush=True)

    def print_pairs(name, row):
        print_row(name, ["{:.2f} {:.4f}".format(*pair) for pair in row])

    print_row("", methods)
    print_row("image", ["PSNR   SSIM"] * len(methods))
    rows = []
    for name, row in zip(names, scores, strict=True):
        print_pairs(name, row)
        rows.append(row)
    rows.append(np.mean(rows, axis=0))
    print_pairs("mean", rows[-1])
    return np.array(rows)


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
    a, b = (np.asarray(x, dtype=np.float64) for x in (features_a, features_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            "Two arrays of shape (n, dimensions) with equal dimensions are "
            f"needed; got {a.shape} and {b.shape}."
        )
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(
            f"{min(len(a), len(b))} samples cannot give a covariance of "
            f"{a.shape[1]} dimensions; use more samples than dimensions."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("A feature is NaN or infinite; check the classifier.")
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (C_a C_b)^(1/2) equals tr (R C_b R)^(1/2) with R = C_a^(1/2), and
    # R C_b R is symmetric, so that eigh serves and no complex root appears.
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    difference = a.mean(axis=0) - b.mean(axis=0)
    distance = difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(float(distance), 0.0)


def bits_per_dimension(log_likelihood, image_shape, levels=1):
    """Convert nats an image to bits a dimension.

    Parameters
    ----------
    log_likelihood : float or array
        Log likelihood of an image, or a bound such as the ELBO, in nats.
    image_shape : tuple of int
        (height, width, channels); their product is the number of dimensions.
    levels : int
        1 if the likelihood is a probability (Bernoulli). If it is a density on
        [0, 1] (Gaussian), the number of grey levels of the images, such as 256:
        each pixel then stands for an interval of width 1 / levels.

    Returns
    -------
    float or array
        At most the bits that a coder built on the model needs for a dimension.
    """
    nats = np.asarray(log_likelihood) / math.prod(image_shape)
    return math.log2(levels) - nats / math.log(2)


def mutual_information_gap(latents, factors, bins=20):
    """How far each true factor of the images has a latent dimension of its own.

    The mutual information of a factor with the dimension that tells most about
    it, minus that with the second, over the factor's entropy (MIG; Chen et al.,
    2018, arXiv:1802.04942). Mutual information is estimated from histograms.

    Parameters
    ----------
    latents : array, (n, latent_dim)
        Such as the means that an encoder gives for n images; each dimension is
        cut into `bins` intervals of equal counts.
    factors : dict of str to array, (n,)
        What is known of the images. Integers are taken as classes, floats are cut
        into `bins` intervals of equal counts.
    bins : int
        At least 2. Histograms of few images overestimate the information: use
        well over ``bins**2`` images.

    Returns
    -------
    dict of str to float
        For each factor between 0 (two dimensions tell equally much, or none tells
        anything) and 1 (one dimension tells all, the others nothing).

    Raises
    ------
    ValueError
        If the lengths differ, there are fewer than 2 dimensions or bins, a value
        is not finite, or a factor never changes.
    """
    latents = np.asarray(latents, np.float64)
    if latents.ndim != 2 or latents.shape[1] < 2 or bins < 2:
        raise ValueError(
            "Latents of shape (n, latent_dim) with at least 2 dimensions and at "
            f"least 2 bins are needed; got {latents.shape} and bins={bins}."
        )
    if not np.isfinite(latents).all():
        raise ValueError("A latent is NaN or infinite; check the encoder.")
    columns = [_classes(column, bins) for column in latents.T]
    gaps = {}
    for name, values in factors.items():
        values = np.asarray(values)
        if values.shape != latents.shape[:1]:
            raise ValueError(
                f"The factor {name!r} needs one value for each of the "
                f"{len(latents)} latents; got shape {values.shape}."
            )
        if values.dtype.kind != "f":
            classes = np.unique(values, return_inverse=True)[1]
        elif np.isfinite(values).all():
            classes = _classes(values, bins)
        else:
            raise ValueError(f"The factor {name!r} holds a NaN or infinite value.")
        entropy = _mutual_information(classes, classes)
        if (classes == classes[0]).all():
            raise ValueError(f"The factor {name!r} is the same for all images.")
        second, first = sorted(_mutual_information(c, classes) for c in columns)[-2:]
        gaps[name] = (first - second) / entropy
    return gaps


def _classes(values, bins):
    """Number of the interval, of equal counts where it can be, of each value."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), values, side="right")


def _mutual_information(a, b):
    """In nats, from the joint histogram of two arrays of class numbers."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())
