"""Answers to the exercises of chapter 13: right ones are in its solutions."""

WORLD = """
import numpy as np
import tensorflow as tf
import tfgen
from tfgen.diffusion import mix_noise

image_shape = (4, 4, 1)
world = tf.random.stateless_uniform((5, *image_shape), (0, 0), -1, 1)
starts = tf.random.stateless_normal((8, *image_shape), (1, 0))


def ideal_velocity(state, time):
    difference = state[:, None] - time * world
    far = tf.reduce_sum(difference**2, axis=(2, 3, 4)) / (2 * (1 - time) ** 2)
    clean = tf.einsum("ni,ihwc->nhwc", tf.nn.softmax(-far), world)
    return (clean - state) / (1 - time)
"""

EXERCISES = {
    1: {
        "given": WORLD,
        "right": None,
        "wrong": {
            "a fifth of the sum": (
                "def one_step(images):\n    return np.sum(images, axis=0) / 5"
            ),
            "one of them": "def one_step(images):\n    return images[0]",
            "the median": "def one_step(images):\n    return np.median(images, axis=0)",
            "black": "def one_step(images):\n    return np.zeros(images.shape[1:])",
            "the mean of everything": (
                "def one_step(images):\n    return np.full(images.shape[1:], "
                "np.mean(images))"
            ),
        },
    },
    2: {
        "given": WORLD,
        "right": None,
        "wrong": {
            "Euler": "midpoint_step = tfgen.euler_step",
            "Heun": "midpoint_step = tfgen.diffusion.heun_step",
            "half a unit in place of half a step": """
def midpoint_step(velocity, state, start, end, before=None):
    first, size = velocity(state, start), end - start
    middle = velocity(state + first / 2, start + size / 2)
    return state + size * middle, (first, size)
""",
            "Heun's velocity halfway": """
def midpoint_step(velocity, state, start, end, before=None):
    first, size = velocity(state, start), end - start
    second = velocity(state + size * first, start + size / 2)
    return state + size * (first + second) / 2, (first, size)
""",
            "half a step": """
def midpoint_step(velocity, state, start, end, before=None):
    first, size = velocity(state, start), end - start
    middle = velocity(state + size / 2 * first, start + size / 2)
    return state + size / 2 * middle, (first, size)
""",
            "the middle of [0, end]": """
def midpoint_step(velocity, state, start, end, before=None):
    first, size = velocity(state, start), end - start
    middle = velocity(state + size / 2 * first, end / 2)
    return state + size * middle, (first, size)
""",
            "the state stays for the second look": """
def midpoint_step(velocity, state, start, end, before=None):
    first, size = velocity(state, start), end - start
    return state + size * velocity(state, start + size / 2), (first, size)
""",
            "the state alone": """
def midpoint_step(velocity, state, start, end, before=None):
    size = end - start
    middle = velocity(state + size / 2 * velocity(state, start), start + size / 2)
    return state + size * middle
""",
        },
    },
    3: {
        "given": WORLD,
        "right": None,
        "wrong": {
            "the share as the time": "def to_straight(z, a, b):\n    return z, a",
            "not divided": "def to_straight(z, a, b):\n    return z, a / (a + b)",
            "by the length": (
                "def to_straight(z, a, b):\n    return z / np.hypot(a, b), a / (a + b)"
            ),
            "the time of noise": (
                "def to_straight(z, a, b):\n    return z / (a + b), b / (a + b)"
            ),
            "only where squares sum to 1": (
                "def to_straight(z, a, b):\n    b = float(np.sqrt(1 - a**2))\n"
                "    return z / (a + b), a / (a + b)"
            ),
            "squares": ("def to_straight(z, a, b):\n    return z / (a + b), a**2"),
        },
    },
    4: {
        "given": WORLD,
        "right": None,
        "wrong": {
            "the network itself": """
def split_target(average, point, start, middle, end):
    return average(point, start, end)
""",
            "the mean of two": """
def split_target(average, point, start, middle, end):
    first = average(point, start, middle)
    return (first + average(point + (middle - start) * first, middle, end)) / 2
""",
            "both from the same point": """
def split_target(average, point, start, middle, end):
    way = (middle - start) * average(point, start, middle)
    return (way + (end - middle) * average(point, middle, end)) / (end - start)
""",
            "the way, not the velocity": """
def split_target(average, point, start, middle, end):
    first = (middle - start) * average(point, start, middle)
    return first + (end - middle) * average(point + first, middle, end)
""",
        },
    },
}
