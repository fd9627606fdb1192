"""Answers to the exercises of chapter 10: right ones are in its solutions."""

GIVEN = """
import numpy as np
import tensorflow as tf
import tfgen
from tfgen.measures.classics import inpaint_biharmonic

rows, columns = np.mgrid[:64, :64] / 64
photo = 0.5 + 0.3 * np.sin(9 * rows) * np.cos(7 * columns)
held_out = np.repeat(photo[None, ..., None], 3, axis=-1).astype("float32")
mask = np.zeros((1, 64, 64, 1), "float32")
mask[:, 20:22, 5:60] = mask[:, 10:60, 40:42] = 1
known = {"mask": mask}


class Filler:
    "Fills holes with the mean of the known pixels within 6 pixels."

    def restore(self, images, mask):
        size = (13, 13)
        known = tf.nn.avg_pool2d(1 - mask, size, 1, "SAME")
        sums = tf.nn.avg_pool2d(images * (1 - mask), size, 1, "SAME")
        return np.where(mask == 1, sums / known, images)


restorer = Filler()
"""
LEAD = """
def lead_in_box(restorer, images, top, left, size):
    box = (slice(None), slice({top}, {top} + size), slice(left, left + size))
    mask = np.zeros((*images.shape[:3], 1), "float32")
    mask[box] = 1
    cut = images * (1 - mask)
    pairs = zip(cut, mask, strict=True)
    smooth = np.stack([inpaint_biharmonic(image, hole) for image, hole in pairs])
    filled = restorer.restore(cut, mask=mask)
    scores = [tfgen.psnr(images[box], x[box]) for x in (filled, smooth)]
    return {lead}
"""
HARMONIC = """
def fill_harmonically(image, mask, steps):
    filled = {start}
    for _ in range(steps):
        padded = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="{mode}")
        neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1]
        neighbours = neighbours + padded[1:-1, :-2] + padded[1:-1, 2:]
        filled = {update}
    return filled
"""
START = "np.where(mask == 1, 0.5, image)"
UPDATE = "np.where(mask == 1, neighbours / 4, image)"

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "of the holes": "answer = 24",
            "times the share": "answer = 24 / 0.04",
            "20 in place of 10": "answer = 24 - 20 * np.log10(0.04)",
            "lower, not higher": "answer = 24 + 10 * np.log10(0.04)",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "behind, not ahead": LEAD.format(top="top", lead="scores[1] - scores[0]"),
            "one number for all": LEAD.format(
                top="top", lead="np.mean(scores[0] - scores[1])"
            ),
            "left for top": LEAD.format(top="left", lead="scores[0] - scores[1]"),
            "always in the middle": LEAD.format(top="9", lead="scores[0] - scores[1]"),
        },
    },
    3: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "wraps around": HARMONIC.format(start=START, mode="wrap", update=UPDATE),
            "black beyond the border": HARMONIC.format(
                start=START, mode="constant", update=UPDATE
            ),
            "begins with black": HARMONIC.format(
                start="image * (1 - mask)", mode="edge", update=UPDATE
            ),
            "smooths the known pixels": HARMONIC.format(
                start=START, mode="edge", update="neighbours / 4"
            ),
            "one pixel after the other": """
def fill_harmonically(image, mask, steps):
    filled = np.where(mask == 1, 0.5, image)
    for _ in range(steps):
        for y, x in np.argwhere(mask[..., 0] == 1):
            padded = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
            filled[y, x] = (
                padded[y, x + 1] + padded[y + 2, x + 1]
                + padded[y + 1, x] + padded[y + 1, x + 2]
            ) / 4
    return filled
""",
            "always as many steps": """
def fill_harmonically(image, mask, steps):
    filled = np.where(mask == 1, 0.5, image)
    for _ in range(1000 if steps else 0):
        padded = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
        sums = padded[:-2, 1:-1] + padded[2:, 1:-1]
        sums = sums + padded[1:-1, :-2] + padded[1:-1, 2:]
        filled = np.where(mask == 1, sums / 4, image)
    return filled
""",
            "biharmonic": """
def fill_harmonically(image, mask, steps):
    return inpaint_biharmonic(image, mask) if steps else np.where(mask == 1, 0.5, image)
""",
        },
    },
    4: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "across borders": """
def grow(mask, pixels):
    steps = range(-pixels, pixels + 1)
    return np.max([np.roll(mask, (y, x), (1, 2)) for y in steps for x in steps], axis=0)
""",
            "not diagonally": """
def grow(mask, pixels):
    steps = range(-pixels, pixels + 1)
    moved = [np.roll(mask, y, 1) for y in steps] + [np.roll(mask, x, 2) for x in steps]
    return np.max(moved, axis=0)
""",
            "a window of `pixels`": """
def grow(mask, pixels):
    return tf.nn.max_pool2d(mask, max(1, pixels), 1, "SAME").numpy()
""",
            "the mean in place of the largest": """
def grow(mask, pixels):
    return tf.nn.avg_pool2d(mask, 2 * pixels + 1, 1, "SAME").numpy()
""",
        },
    },
}
