"""Membership inference: do the scores of a model tell which images it was trained on?

An attack gives each image a score: the higher, the more likely it was trained on. It is
judged on images of which one knows: members, and others drawn from the same pool.
"""

import numpy as np


def roc_curve(members, others):
    """How many members an attack finds, and how many others it accuses wrongly.

    One point for each threshold: all images that score at least as much are accused.
    Equal scores are accused together. A score that knows nothing gives about the
    diagonal. The area below the curve, ``scipy.integrate.trapezoid(true, false)``, is
    the probability that a member scores higher than another image, where equal scores
    count half: the AUC.

    Parameters
    ----------
    members : array, (n,)
        Scores of images that the model was trained on.
    others : array, (m,)
        Scores of images that it was not trained on. Both kinds must be drawn at random
        from one pool; else the curve also shows how the pools differ.

    Returns
    -------
    tuple of numpy.ndarray
        False-positive rates, the share of others that are accused, and true-positive
        rates, the share of members; both rise from 0 to 1. One point more than there
        are different scores.

    Raises
    ------
    ValueError
        For scores of another shape, none at all, or one that is not finite.
    """
    members, others = _checked(members, "members"), _checked(others, "others")
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    rates = []
    for scores in (others, members):
        accused = len(scores) - np.searchsorted(np.sort(scores), thresholds)
        rates.append(np.concatenate([[0], accused]) / len(scores))
    return tuple(rates)


def true_positive_rate(members, others, false_positives=0.01):
    """Share of members that an attack finds while it accuses few others wrongly.

    The AUC is a mean over all thresholds, most of which accuse so many wrongly that
    the attack proves nothing. This figure shows whether it can be sure of some members
    (Carlini et al., 2022, "Membership inference attacks from first principles",
    arXiv:2112.03570).

    Parameters
    ----------
    members, others : array, (n,) and (m,)
        As in `roc_curve`.
    false_positives : float
        Largest share of others that may be accused, in (0, 1]; m must be at least
        ``1 / false_positives``.

    Returns
    -------
    float
        In [0, 1]; about `false_positives` for a score that knows nothing. Never more
        than is found at this rate, also where many scores are equal.

    Raises
    ------
    ValueError
        As in `roc_curve`; for a rate outside (0, 1], or too few others for it.
    """
    false, true = roc_curve(members, others)
    if not 0 < false_positives <= 1:
        raise ValueError(
            f"false_positives is a rate above 0, at most 1; got {false_positives!r}."
        )
    if false_positives < 1 / len(others):
        raise ValueError(
            f"{len(others)} others cannot show a false-positive rate of "
            f"{false_positives:g}; at least {np.ceil(1 / false_positives):.0f} can."
        )
    return float(true[false <= false_positives][-1])


def _checked(scores, name):
    """Scores as float64, or ValueError."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(
            f"The scores of {name} are one number an image, of shape (n,), n at least "
            f"1; got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"The scores of {name} contain NaN or infinity.")
    return scores
