"""Answers to the exercises of chapter 14: right ones are in its solutions."""

EXERCISES = {
    1: {
        "given": """
import numpy as np
""",
        "right": None,
        "wrong": {
            "chosen with the test labels": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(scores[test_ill])[::-1]
    threshold = descending[int(np.ceil(sensitivity * len(descending) - 1e-9)) - 1]
    return threshold, np.mean(scores[~test_ill] < threshold)
""",
            "the threshold itself is called healthy": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known[known_ill])[::-1]
    threshold = descending[int(np.ceil(sensitivity * len(descending) - 1e-9)) - 1]
    return threshold, np.mean(scores[~test_ill] <= threshold)
""",
            "an interpolated quantile": """
def report(known, known_ill, scores, test_ill, sensitivity):
    threshold = np.quantile(known[known_ill], 1 - sensitivity)
    return threshold, np.mean(scores[~test_ill] < threshold)
""",
            "a quantile of all images": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known)[::-1]
    threshold = descending[int(np.ceil(sensitivity * len(descending) - 1e-9)) - 1]
    return threshold, np.mean(scores[~test_ill] < threshold)
""",
            "one image too many": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known[known_ill])[::-1]
    count = int(np.floor(sensitivity * len(descending))) + 1
    threshold = descending[min(count, len(descending)) - 1]
    return threshold, np.mean(scores[~test_ill] < threshold)
""",
            "one image too few": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known[known_ill])[::-1]
    count = int(np.floor(sensitivity * len(descending) - 0.01))
    threshold = descending[max(count, 1) - 1]
    return threshold, np.mean(scores[~test_ill] < threshold)
""",
            "specificity of the validation images": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known[known_ill])[::-1]
    threshold = descending[int(np.ceil(sensitivity * len(descending) - 1e-9)) - 1]
    return threshold, np.mean(known[~known_ill] < threshold)
""",
            "accuracy": """
def report(known, known_ill, scores, test_ill, sensitivity):
    descending = np.sort(known[known_ill])[::-1]
    threshold = descending[int(np.ceil(sensitivity * len(descending) - 1e-9)) - 1]
    return threshold, np.mean((scores >= threshold) == test_ill)
""",
        },
    },
    2: {
        "given": """
import numpy as np
""",
        "right": None,
        "wrong": {
            "the neighbour is second": """
def best_match(scores, apart):
    place = np.unravel_index(np.argmax(scores), scores.shape)
    first, second = np.sort(scores, axis=None)[: -3 : -1]
    return place, second / first
""",
            "row and column swapped": """
def best_match(scores, apart):
    row, column = np.unravel_index(np.argmax(scores), scores.shape)
    elsewhere = np.array(scores)
    rows = slice(max(0, row - apart), row + apart + 1)
    columns = slice(max(0, column - apart), column + apart + 1)
    elsewhere[rows, columns] = -1
    return (column, row), elsewhere.max() / scores[row, column]
""",
            "slices from below zero": """
def best_match(scores, apart):
    row, column = np.unravel_index(np.argmax(scores), scores.shape)
    elsewhere = np.array(scores)
    elsewhere[row - apart : row + apart + 1, column - apart : column + apart + 1] = -1
    return (row, column), elsewhere.max() / scores[row, column]
""",
            "one pixel too few": """
def best_match(scores, apart):
    row, column = np.unravel_index(np.argmax(scores), scores.shape)
    elsewhere = np.array(scores)
    rows = slice(max(0, row - apart), row + apart)
    columns = slice(max(0, column - apart), column + apart)
    elsewhere[rows, columns] = -1
    return (row, column), elsewhere.max() / scores[row, column]
""",
            "far in both directions": """
def best_match(scores, apart):
    row, column = np.unravel_index(np.argmax(scores), scores.shape)
    elsewhere = np.array(scores)
    elsewhere[max(0, row - apart) : row + apart + 1] = -1
    elsewhere[:, max(0, column - apart) : column + apart + 1] = -1
    return (row, column), elsewhere.max() / scores[row, column]
""",
            "the scores changed": """
def best_match(scores, apart):
    row, column = np.unravel_index(np.argmax(scores), scores.shape)
    best = scores[row, column]
    rows = slice(max(0, row - apart), row + apart + 1)
    columns = slice(max(0, column - apart), column + apart + 1)
    scores[rows, columns] = -1
    return (row, column), scores.max() / best
""",
        },
    },
    3: {
        "given": """
import numpy as np
""",
        "right": None,
        "wrong": {
            "weights exchanged": """
def running_mean(frames, weight):
    mean = None
    for frame in frames:
        mean = frame if mean is None else (1 - weight) * frame + weight * mean
        yield mean
""",
            "begins in black": """
def running_mean(frames, weight):
    mean = 0
    for frame in frames:
        mean = weight * frame + (1 - weight) * mean
        yield mean
""",
            "with the frame before alone": """
def running_mean(frames, weight):
    before = None
    for frame in frames:
        yield frame if before is None else weight * frame + (1 - weight) * before
        before = frame
""",
            "the mean of all": """
def running_mean(frames, weight):
    total = 0
    for count, frame in enumerate(frames, 1):
        total = total + frame
        yield total / count
""",
            "the frames changed": """
def running_mean(frames, weight):
    mean = None
    for frame in frames:
        if mean is None:
            mean = frame
        else:
            mean *= 1 - weight
            mean += weight * frame
        yield mean
""",
        },
    },
    4: {
        "given": """
import numpy as np

import tfgen

paintings = {"turner": tfgen.load_picture("painting_turner")}


def middle(image, side=256):
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def add_varnish(image):
    thickness = np.linspace(0.7, 1.3, image.shape[1])[:, None]
    light = image**2.2 * np.array([0.90, 0.75, 0.45]) ** thickness + 0.04 * thickness
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)) / 255


def clean_off(varnished, clean):
    before, after = (middle(x, 64).reshape(-1, 3) for x in (varnished, clean))
    ones = np.ones((len(before), 1))
    weights, *_ = np.linalg.lstsq(np.hstack([before, ones]), after, rcond=None)
    means = varnished.mean((0, 1))
    return {
        "varnished": varnished,
        "grey world": varnished * means.mean() / means,
        "gains": varnished * after.mean(0) / before.mean(0),
        "matrix": varnished @ weights[:3] + weights[3],
    }
""",
        "right": None,
        "wrong": {
            "no offset": """
def correct(before, after, image):
    def terms(x):
        products = x * np.roll(x, 1, axis=-1)
        return np.concatenate([x, x**2, products], axis=-1)

    weights, *_ = np.linalg.lstsq(terms(before), after, rcond=None)
    return np.clip(terms(image) @ weights, 0, 1)
""",
            "no products": """
def correct(before, after, image):
    def terms(x):
        products = x * np.roll(x, 1, axis=-1)
        return np.concatenate([x, x**2, np.ones_like(x[..., :1])], axis=-1)

    weights, *_ = np.linalg.lstsq(terms(before), after, rcond=None)
    return np.clip(terms(image) @ weights, 0, 1)
""",
            "no squares": """
def correct(before, after, image):
    def terms(x):
        products = x * np.roll(x, 1, axis=-1)
        return np.concatenate([x, products, np.ones_like(x[..., :1])], axis=-1)

    weights, *_ = np.linalg.lstsq(terms(before), after, rcond=None)
    return np.clip(terms(image) @ weights, 0, 1)
""",
            "not clipped": """
def correct(before, after, image):
    def terms(x):
        products = x * np.roll(x, 1, axis=-1)
        return np.concatenate([x, x**2, products, np.ones_like(x[..., :1])], axis=-1)

    weights, *_ = np.linalg.lstsq(terms(before), after, rcond=None)
    return terms(image) @ weights
""",
            "the wrong way round": """
def correct(before, after, image):
    def terms(x):
        products = x * np.roll(x, 1, axis=-1)
        return np.concatenate([x, x**2, products, np.ones_like(x[..., :1])], axis=-1)

    weights, *_ = np.linalg.lstsq(terms(after), before, rcond=None)
    return np.clip(terms(image) @ weights, 0, 1)
""",
        },
    },
}
