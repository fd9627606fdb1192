"""Answers to the exercises of chapter 11: right ones are in its solutions."""

GIVEN = """
import numpy as np
import tensorflow as tf
import tfgen

rows, columns = np.mgrid[:160, :240]
photo = 0.5 + 0.4 * np.sin(rows / 3) * np.cos(columns / 4)
held_out = 2 * [np.repeat(photo[..., None], 3, axis=-1).astype("float32")]
smalls = [tfgen.downsample(x[None], scale=4)["image"][0].numpy() for x in held_out]


class Enlarger:
    "Lanczos' filter, a little askew."

    def restore(self, small):
        size = [4 * length for length in small.shape[:2]]
        large = tf.image.resize(small, size, "lanczos5").numpy()
        return np.clip(0.95 * large + 0.05 * np.roll(large, (1, 2), (0, 1)), 0, 1)


restorer = Enlarger()
"""
EIGHT = """
def restore_eightfold(restorer, small):
    results = []
    for step in {steps}:
        for turns in {turns}:
            result = restorer.restore(np.rot90(small[:, ::step], turns))
            results.append({back})
    return np.mean(results, axis=0)
"""
BACK = "np.rot90(result, -turns)[:, ::step]"
SAME_ORDER = "np.rot90(result[:, ::step], -turns)"

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "of a grey image": "answer = 9",
            "once for each axis": "answer = 3 * 3",
            "not squared": "answer = 2 * 3 * 3",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "means of blocks": """
def keep_every_fourth(images, seed=None):
    return {"image": tf.nn.avg_pool2d(images, 4, 4, "VALID")}
""",
            "from the second pixel": """
def keep_every_fourth(images, seed=None):
    return {"image": images[:, 1::4, 1::4]}
""",
            "rows only": """
def keep_every_fourth(images, seed=None):
    return {"image": images[:, ::4]}
""",
            "no dict": """
def keep_every_fourth(images, seed=None):
    return images[:, ::4, ::4]
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
            "bicubic": """
def restore_eightfold(restorer, small):
    size = [4 * length for length in small.shape[:2]]
    return np.clip(tf.image.resize(small, size, "bicubic"), 0, 1)
""",
            "one way": """
def restore_eightfold(restorer, small):
    return restorer.restore(small)
""",
            "turned only": EIGHT.format(steps="(1,)", turns="range(4)", back=BACK),
            "mirrored only": EIGHT.format(steps="(1, -1)", turns="(0,)", back=BACK),
            "undone in the same order": EIGHT.format(
                steps="(1, -1)",
                turns="range(4)",
                back=SAME_ORDER,
            ),
        },
    },
}
