"""Answers to the exercises of chapter 6: right ones are in its solutions."""

NAMES = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import tfgen
"""

NEXT_SIDE = """
def next_side(side):
    while side % {step}:
        side += 1
    return side
"""

FIND_COPY = """
def find_copy(image, photos):
    height, width = image.shape[:2]
    best = 0, np.inf
    for top in range(photos.shape[1] - height{last}):
        for left in range(photos.shape[2] - width{last}):
            windows = photos[:, top : top + height, left : left + width]
            for view in ({views}):
                squares = np.square(view - image).mean(axis=(1, 2, 3))
                difference = {difference}
                if difference < best[1]:
                    best = int(squares.argmin()), float(difference)
    return best
"""
VIEWS = "windows, windows[:, :, ::-1]"
ROOT = "np.sqrt(squares.min())"

EXERCISES = {
    1: {
        "given": NAMES,
        "right": None,
        "wrong": {
            "padding 'same' throughout": "answer = 112",
            "the last layer adds its kernel": "answer = 116",
            "forgets one layer": "answer = 58",
        },
    },
    2: {
        "given": NAMES,
        "right": None,
        "wrong": {
            "slope first": "def fit_line(work, seconds):\n"
            "    return tuple(np.polyfit(work, seconds, 1))",
            "a line through the origin": "def fit_line(work, seconds):\n"
            "    return 0.0, (work @ seconds) / (work @ work)",
            "a line through the first and the last point": (
                "def fit_line(work, seconds):\n"
                "    b = (seconds[-1] - seconds[0]) / (work[-1] - work[0])\n"
                "    return seconds[0] - b * work[0], b"
            ),
        },
    },
    3: {
        "given": NAMES,
        "right": None,
        "wrong": {
            "multiples of 16": NEXT_SIDE.format(step=16),
            "multiples of 8": NEXT_SIDE.format(step=8),
            "powers of two": "def next_side(side):\n"
            "    return 2 ** int(np.ceil(np.log2(side)))",
        },
    },
    4: {
        "given": NAMES,
        "right": None,
        "wrong": {
            "laid side by side": "def even_kernel(small):\n"
            "    return np.tile(small, (2, 2, 1, 1))",
            "all weights equal": "def even_kernel(small):\n"
            "    return np.full((4, 4, *small.shape[2:]), small.mean())",
            "rows only": "def even_kernel(small):\n"
            "    return np.tile(small.repeat(2, axis=0), (1, 2, 1, 1))",
        },
    },
    5: {
        "given": NAMES,
        "right": None,
        "wrong": {
            "takes all images for squares": FIND_COPY.format(
                last=" + 1", views=VIEWS, difference=ROOT
            ).replace("height, width = image.shape[:2]", "height = width = len(image)"),
            "no mirror images": FIND_COPY.format(
                last=" + 1", views="windows,", difference=ROOT
            ),
            "misses the last positions": FIND_COPY.format(
                last="", views=VIEWS, difference=ROOT
            ),
            "mirrors top to bottom": FIND_COPY.format(
                last=" + 1", views="windows, windows[:, ::-1]", difference=ROOT
            ),
            "no square root": FIND_COPY.format(
                last=" + 1", views=VIEWS, difference="squares.min()"
            ),
        },
    },
}
