"""Answers to the exercises of chapter 3: right ones are in its solutions."""

IMPORTS = """
import numpy as np
from scipy.spatial.distance import cdist

import tfgen
from tfgen import kernel_distance
"""

EXERCISES = {
    1: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "measures instead": "coin, exponential = (0, 0), (0, 4.5)",
            "sees the third moment in the coin": "coin, exponential = (0, 4), (0, 4)",
            "Frechet sees more": "coin, exponential = (0, 0), (4, 4)",
            "does not square": "coin, exponential = (0, 0), (0, 2)",
            "near is no answer": "coin, exponential = (0.9, 0.9), (0.9, 3.6)",
        },
    },
    2: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "undoes nothing": """
def nearest_after_moves(images, candidates, most=4):
    return tfgen.nearest_neighbors(images, candidates)
""",
            "moves to the left only": """
def nearest_after_moves(images, candidates, most=4):
    found = [
        tfgen.nearest_neighbors(np.roll(images, -move, axis=2), candidates)
        for move in range(most + 1)
    ]
    indices, distances = (np.stack(values) for values in zip(*found))
    best = distances.argmin(axis=0), np.arange(len(images))
    return indices[best], distances[best]
""",
            "moves up and down": """
def nearest_after_moves(images, candidates, most=4):
    found = [
        tfgen.nearest_neighbors(np.roll(images, move, axis=1), candidates)
        for move in range(-most, most + 1)
    ]
    indices, distances = (np.stack(values) for values in zip(*found))
    best = distances.argmin(axis=0), np.arange(len(images))
    return indices[best], distances[best]
""",
            "forgets the last move": """
def nearest_after_moves(images, candidates, most=4):
    found = [
        tfgen.nearest_neighbors(np.roll(images, move, axis=2), candidates)
        for move in range(-most, most)
    ]
    indices, distances = (np.stack(values) for values in zip(*found))
    best = distances.argmin(axis=0), np.arange(len(images))
    return indices[best], distances[best]
""",
            "undoes any move": """
def nearest_after_moves(images, candidates, most=4):
    found = [
        tfgen.nearest_neighbors(np.roll(images, move, axis=2), candidates)
        for move in range(-4, 5)
    ]
    indices, distances = (np.stack(values) for values in zip(*found))
    best = distances.argmin(axis=0), np.arange(len(images))
    return indices[best], distances[best]
""",
        },
    },
    3: {
        "given": IMPORTS
        + """
sizes, whole = [100, 200, 400, 800, 1600], 80.0
means = {("noisy", n): 75 + 30_000 / n for n in sizes}
""",
        "right": None,
        "wrong": {
            "fits no weights": """
def without_bias(sizes, distances):
    return np.polyfit(1 / np.asarray(sizes), distances, deg=1)[1]
""",
            "first and last size only": """
def without_bias(sizes, distances):
    (n, m), (a, b) = np.asarray(sizes)[[0, -1]], np.asarray(distances)[[0, -1]]
    return (m * b - n * a) / (m - n)
""",
            "takes the largest set": """
def without_bias(sizes, distances):
    return distances[-1]
""",
            "fits a line to n": """
def without_bias(sizes, distances):
    return np.polyfit(sizes, distances, deg=1, w=sizes)[1]
""",
            "returns c": """
def without_bias(sizes, distances):
    sizes = np.asarray(sizes)
    return np.polyfit(1 / sizes, distances, deg=1, w=sizes)[0]
""",
            "nothing at all": "def without_bias(sizes, distances):\n    return 0\n",
        },
    },
    4: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "counts an image as its own neighbour": """
def neighbor_accuracy(real, fake):
    heap = np.concatenate([real, fake])
    is_real = np.arange(len(heap)) < len(real)
    return (is_real[cdist(heap, heap).argmin(axis=1)] == is_real).mean()
""",
            "asks the drawn only": """
def neighbor_accuracy(real, fake):
    heap = np.concatenate([real, fake])
    is_real = np.arange(len(heap)) < len(real)
    distances = cdist(heap, heap)
    np.fill_diagonal(distances, np.inf)
    return (is_real[distances.argmin(axis=1)] == is_real)[len(real) :].mean()
""",
            "returns the errors": """
def neighbor_accuracy(real, fake):
    heap = np.concatenate([real, fake])
    is_real = np.arange(len(heap)) < len(real)
    distances = cdist(heap, heap)
    np.fill_diagonal(distances, np.inf)
    return (is_real[distances.argmin(axis=1)] != is_real).mean()
""",
            "coverage": """
def neighbor_accuracy(real, fake):
    return tfgen.coverage(real, fake, k=1)
""",
        },
    },
}
