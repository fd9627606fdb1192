"""Measures of image quality."""

import numpy as np


def frechet_distance(features_a, features_b):
    """Frechet distance between two sets of features, each taken as a Gaussian.

    ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` with the means m and
    covariances C of the two sets. On the features of InceptionV3 this is the
    FID of Heusel et al., 2017 (arXiv:1706.08500); on other features its values
    cannot be compared with published FIDs.

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
