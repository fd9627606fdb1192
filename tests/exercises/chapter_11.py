"""Answers to the exercises of chapter 11: right ones are in its solutions."""

GIVEN = """
import keras
import numpy as np
import tensorflow as tf


def bicubic(small):
    size = [4 * length for length in small.shape[:2]]
    return tf.image.resize(small, size, "bicubic").numpy()
"""
EVERY_FOURTH = """
def keep_every_fourth(images, seed=None):
    return {"image": images[:, ::4, ::4]}
"""
FROM_CORNER = """
def enlarge_from_corner(small):
    size = [4 * side for side in small.shape[:2]]
    return tf.raw_ops.ScaleAndTranslate(
        images=small[None],
        size=size,
        scale=(4, 4),
        translation=({moved}, {moved}),
        kernel_type="keyscubic",
        antialias=False,
    )[0].numpy()
"""
PROJECT = """
def project(large, small):
    height, width, channels = small.shape
    blocks = large.reshape(height, 4, width, 4, channels)
    missing = small - blocks.mean(axis=(1, 3))
    return {result}
"""
REPEATED = "missing.repeat(4, axis=0).repeat(4, axis=1)"

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "of a grey image": "answer = 9, 32 * 9",
            "once for each axis": "answer = 9, 32 * 27",
            "the cost of a small pixel": "answer = 27, 9 * 32 * 27",
            "the cost of one sum": "answer = 27, 9 * 32",
            "one number": "answer = 27",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "means of blocks": """
def keep_every_fourth(images, seed=None):
    return {"image": tf.nn.avg_pool2d(images, 4, 4, "VALID")}
"""
            + FROM_CORNER.format(moved=-1.5),
            "from the second pixel": """
def keep_every_fourth(images, seed=None):
    return {"image": images[:, 1::4, 1::4]}
"""
            + FROM_CORNER.format(moved=-1.5),
            "rows only": """
def keep_every_fourth(images, seed=None):
    return {"image": images[:, ::4]}
"""
            + FROM_CORNER.format(moved=-1.5),
            "no dict": """
def keep_every_fourth(images, seed=None):
    return images[:, ::4, ::4]
"""
            + FROM_CORNER.format(moved=-1.5),
            "plain bicubic": EVERY_FOURTH + "enlarge_from_corner = bicubic",
            "bilinear": EVERY_FOURTH
            + FROM_CORNER.format(moved=-1.5).replace("keyscubic", "triangle"),
            "moved the other way": EVERY_FOURTH + FROM_CORNER.format(moved=1.5),
            "moved by 2": EVERY_FOURTH + FROM_CORNER.format(moved=-2),
            "by whole pixels": EVERY_FOURTH
            + """
def enlarge_from_corner(small):
    return np.roll(bicubic(small), (-1, -1), (0, 1))
""",
        },
    },
    3: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "scale 2 only": """
def space_to_depth(image, scale):
    height, width, channels = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(height // 2, width // 2, -1)
""",
            "no transpose": """
def space_to_depth(image, scale):
    height, width, channels = image.shape
    return image.reshape(height // scale, width // scale, scale * scale * channels)
""",
            "channels first": """
def space_to_depth(image, scale):
    height, width, channels = image.shape
    blocks = image.reshape(height // scale, scale, width // scale, scale, channels)
    return blocks.transpose(0, 2, 4, 1, 3).reshape(height // scale, width // scale, -1)
""",
        },
    },
    4: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "nothing added": "def project(large, small):\n    return large",
            "means in place of detail": """
def project(large, small):
    return small.repeat(4, axis=0).repeat(4, axis=1)
""",
            "added bicubically": PROJECT.format(result="large + bicubic(missing)"),
            "half of it": PROJECT.format(result=f"large + {REPEATED} / 2"),
            "with the wrong sign": PROJECT.format(result=f"large - {REPEATED}"),
            "to one pixel of the block": """
def project(large, small):
    height, width, channels = small.shape
    blocks = large.reshape(height, 4, width, 4, channels).copy()
    blocks[:, 0, :, 0] += 16 * (small - blocks.mean(axis=(1, 3)))
    return blocks.reshape(large.shape)
""",
            "scaled": """
def project(large, small):
    height, width, channels = small.shape
    blocks = large.reshape(height, 4, width, 4, channels)
    means = blocks.mean(axis=(1, 3), keepdims=True)
    blocks = blocks * small[:, None, :, None] / means
    return blocks.reshape(large.shape)
""",
        },
    },
}
