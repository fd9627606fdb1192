"""Measures of likelihood and of latent spaces."""

import math

import numpy as np


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
