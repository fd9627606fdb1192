"""Answers to the exercises of chapter 1: right ones are in its solutions."""

PICTURES = """
import numpy as np
rows = np.linspace(0, 40, 1411)[:, None, None]
smooth = np.broadcast_to(rows + 100, (1411, 1411, 3)).astype("uint8")
grain = np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype("uint8")
photos = {"brick": grain, "retina": smooth}
"""
SPLIT = """
def split_by_name(names, fraction, seed):
    different = {different}
    order = np.random.default_rng(seed).permutation(different)
    return {result}
"""
CAST = "def to_uint8(image): return ({}).astype('uint8')"
KEPT = "np.isin(names, order[: round(fraction * len(different))])"

EXERCISES = {
    1: {
        "given": "import tfgen",
        "right": None,
        "wrong": {
            "forgets the last batch": "batches, full = 38, 38",
            "counts the last batch as full": "batches, full = 39, 39",
            "in the wrong order": "batches, full = 38, 39",
        },
    },
    2: {
        "given": PICTURES,
        "right": None,
        "wrong": {
            "not divided by the variance": """
def relative_error(image, factor):
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    return np.mean((image[::factor, ::factor] - blocks.mean(axis=(1, 3))) ** 2)
""",
            "divided by the variance of the large image": """
def relative_error(image, factor):
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    means = blocks.mean(axis=(1, 3))
    return np.mean((image[::factor, ::factor] - means) ** 2) / image.var()
""",
            "absolute error": """
def relative_error(image, factor):
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    means = blocks.mean(axis=(1, 3))
    return np.mean(np.abs(image[::factor, ::factor] - means)) / means.std()
""",
            "keeps the last pixel of each block": """
def relative_error(image, factor):
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    means = blocks.mean(axis=(1, 3))
    kept = image[factor - 1 :: factor, factor - 1 :: factor]
    return np.mean((kept - means) ** 2) / means.var()
""",
        },
    },
    3: {
        "given": "import numpy as np",
        "right": None,
        "wrong": {
            "cuts off": CAST.format("255 * image"),
            "rounds up": CAST.format("np.ceil(255 * image)"),
            "256 levels of equal width": CAST.format("np.minimum(256 * image, 255)"),
            "a little less than 256": CAST.format("255.999 * image"),
            "stays a float": "def to_uint8(image): return np.rint(255 * image)",
        },
    },
    4: {
        "given": "import numpy as np",
        "right": None,
        "wrong": {
            "splits patches": """
def split_by_name(names, fraction, seed):
    return np.random.default_rng(seed).uniform(size=len(names)) < fraction
""",
            "ignores the fraction": SPLIT.format(
                different="np.unique(names)",
                result=KEPT.replace("fraction", "0.5"),
            ),
            "ignores the seed": SPLIT.format(
                different="np.unique(names)", result=KEPT
            ).replace("default_rng(seed)", "default_rng(0)"),
            "returns names": SPLIT.format(
                different="np.unique(names)",
                result="order[: len(names) // 3]",
            ),
            "returns a list": SPLIT.format(
                different="np.unique(names)", result=f"list({KEPT})"
            ),
            "the order of a set, which changes from run to run": SPLIT.format(
                different="list(set(names.tolist()))", result=KEPT
            ),
            "depends on the order of the patches": SPLIT.format(
                different="list(dict.fromkeys(names.tolist()))", result=KEPT
            ),
        },
    },
}
