"""Answers to the exercises of chapter 16: right ones are in its solutions."""

EXERCISES = {
    1: {
        "given": """
import numpy as np

import tfgen
""",
        "right": None,
        "wrong": {
            "does not look in the mirror": """
def near_copies(samples, train, held_out, level=0.05):
    _, usual = tfgen.nearest_neighbors(held_out, train)
    _, distances = tfgen.nearest_neighbors(samples, train)
    return distances < np.quantile(usual, level)
""",
            "only the samples are searched in the mirror": """
def near_copies(samples, train, held_out, level=0.05):
    _, usual = tfgen.nearest_neighbors(held_out, train)
    both = np.concatenate([train, train[:, :, ::-1]])
    _, distances = tfgen.nearest_neighbors(samples, both)
    return distances < np.quantile(usual, level)
""",
            "the limit comes from the samples": """
def near_copies(samples, train, held_out, level=0.05):
    both = np.concatenate([train, train[:, :, ::-1]])
    _, distances = tfgen.nearest_neighbors(samples, both)
    return distances < np.quantile(distances, level)
""",
            "the share counts from the wrong end": """
def near_copies(samples, train, held_out, level=0.05):
    both = np.concatenate([train, train[:, :, ::-1]])
    _, usual = tfgen.nearest_neighbors(held_out, both)
    _, distances = tfgen.nearest_neighbors(samples, both)
    return distances < np.quantile(usual, 1 - level)
""",
            "half a turn": """
def near_copies(samples, train, held_out, level=0.05):
    both = np.concatenate([train, train[:, ::-1, ::-1]])
    _, usual = tfgen.nearest_neighbors(held_out, both)
    _, distances = tfgen.nearest_neighbors(samples, both)
    return distances < np.quantile(usual, level)
""",
            "upside down": """
def near_copies(samples, train, held_out, level=0.05):
    both = np.concatenate([train, train[:, ::-1]])
    _, usual = tfgen.nearest_neighbors(held_out, both)
    _, distances = tfgen.nearest_neighbors(samples, both)
    return distances < np.quantile(usual, level)
""",
        },
    },
    2: {
        "given": """
import numpy as np
""",
        "right": None,
        "wrong": {
            "clips the mean, not each": """
def private_mean(gradients, clip, sigma, rng):
    mean = gradients.mean(axis=0)
    mean = mean * np.minimum(1, clip / np.linalg.norm(mean))
    return mean + sigma * clip * rng.standard_normal(mean.shape) / len(gradients)
""",
            "clips each number": """
def private_mean(gradients, clip, sigma, rng):
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    total = (np.clip(gradients, -clip, clip)).sum(axis=0)
    noise = sigma * clip * rng.standard_normal(total.shape)
    return (total + noise) / len(gradients)
""",
            "lengthens short gradients": """
def private_mean(gradients, clip, sigma, rng):
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    total = (gradients * clip / lengths).sum(axis=0)
    noise = sigma * clip * rng.standard_normal(total.shape)
    return (total + noise) / len(gradients)
""",
            "noise of the mean, not of the sum": """
def private_mean(gradients, clip, sigma, rng):
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    total = (gradients * np.minimum(1, clip / lengths)).sum(axis=0)
    noise = sigma * clip * rng.standard_normal(total.shape)
    return total / len(gradients) + noise
""",
            "the same noise at each call": """
def private_mean(gradients, clip, sigma, rng):
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    total = (gradients * np.minimum(1, clip / lengths)).sum(axis=0)
    noise = sigma * clip * np.random.default_rng(0).standard_normal(total.shape)
    return (total + noise) / len(gradients)
""",
            "noise that forgets the clip": """
def private_mean(gradients, clip, sigma, rng):
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    total = (gradients * np.minimum(1, clip / lengths)).sum(axis=0)
    noise = sigma * rng.standard_normal(total.shape)
    return (total + noise) / len(gradients)
""",
        },
    },
    3: {
        "given": """
import math

import numpy as np
from scipy import stats
""",
        "right": None,
        "wrong": {
            "as if it looked once": """
def least_matches(searches, alarms=1.0, bits=64):
    counts = np.arange(bits + 2)
    return int(counts[stats.binom.sf(counts - 1, bits, 0.5) <= min(alarms, 1e-6)][0])
""",
            "more than so many": """
def least_matches(searches, alarms=1.0, bits=64):
    counts = np.arange(bits + 2)
    return int(counts[searches * stats.binom.sf(counts, bits, 0.5) <= alarms][0])
""",
            "exactly so many": """
def least_matches(searches, alarms=1.0, bits=64):
    counts = np.arange(bits + 1)
    rare = searches * stats.binom.pmf(counts, bits, 0.5) <= alarms
    return int(counts[rare & (counts > bits / 2)][0])
""",
            "the normal distribution": """
def least_matches(searches, alarms=1.0, bits=64):
    limit = stats.norm.isf(alarms / searches)
    return math.ceil(bits / 2 + limit * math.sqrt(bits) / 2)
""",
            "both sides": """
def least_matches(searches, alarms=1.0, bits=64):
    counts = np.arange(bits + 2)
    tails = 2 * stats.binom.sf(counts - 1, bits, 0.5)
    return int(counts[searches * tails <= alarms][0])
""",
        },
    },
}
