"""Answers to the exercises of chapter 8: right ones are in its solutions."""

TURN = """
def turn(latents, seed):
    noise = np.random.default_rng(seed).normal(size=(latents.shape[1],) * 2)
    return latents @ np.linalg.qr(noise)[0]


def gap(latents, values):
    return tfgen.mutual_information_gap(latents, {"it": values})["it"]
"""

EXERCISES = {
    1: {
        "given": "import numpy as np\nimport tfgen\nimage_shape = (32, 32, 1)",
        "right": None,
        "wrong": {
            "bits": "exact, lossy = 100 / 0.6931, 32.8 / 0.6931",
            "nats": "exact, lossy = 100 / 8, 32.8 / 8",
            "the rate alone": "exact, lossy = 100 / 0.6931 / 8, 30 / 0.6931 / 8",
            "a step of sigma": "exact, lossy = 100 / 0.6931 / 8, 52.7 / 0.6931 / 8",
            "the code on top": "exact, lossy = 132.8 / 0.6931 / 8, 32.8 / 0.6931 / 8",
        },
    },
    2: {
        "given": "import numpy as np\nimport tfgen\n" + TURN,
        "right": None,
        "wrong": {
            "no control": "axis_gain = gap",
            "one turn": """
def axis_gain(latents, values):
    return gap(latents, values) - gap(turn(latents, 0), values)
""",
            "the greatest turn": """
def axis_gain(latents, values):
    turned = [gap(turn(latents, seed), values) for seed in range(12)]
    return gap(latents, values) - max(turned)
""",
            "turned again and again": """
def axis_gain(latents, values):
    first, turned = gap(latents, values), []
    for seed in range(12):
        latents = turn(latents, seed)
        turned.append(gap(latents, values))
    return first - np.mean(turned)
""",
            "the wrong sign": """
def axis_gain(latents, values):
    turned = [gap(turn(latents, seed), values) for seed in range(12)]
    return np.mean(turned) - gap(latents, values)
""",
        },
    },
    3: {
        "given": "import numpy as np\nfrom tfgen.measures.coding import encode",
        "right": None,
        "wrong": {
            "nats": """
def information(symbols, tables):
    pairs = zip(symbols, tables)
    return sum(-np.log((t[s + 1] - t[s]) / t[-1]) for s, t in pairs)
""",
            "cumulative counts": """
def information(symbols, tables):
    return sum(-np.log2(t[s + 1] / t[-1]) for s, t in zip(symbols, tables))
""",
            "whole bits for each symbol": """
def information(symbols, tables):
    pairs = zip(symbols, tables)
    return sum(np.ceil(-np.log2((t[s + 1] - t[s]) / t[-1])) for s, t in pairs)
""",
            "all symbols alike": """
def information(symbols, tables):
    return sum(np.log2(len(t) - 1) for t in tables)
""",
        },
    },
    4: {
        "given": """
import numpy as np
from tfgen.data import Glyphs

rng = np.random.default_rng(0)
factors = {"typeface": rng.integers(0, 21, 3000)}
names = Glyphs().info.features["typeface"].names
heavy = np.array(["Bold" in names[number] for number in factors["typeface"]])
mean = rng.normal(size=(3000, 16))
mean[:, :4] += 2.0 * heavy[:, None]


class Toy:
    def decode(self, latents):
        level = 1 / (1 + np.exp(1 - 0.3 * latents[:, :4].sum(axis=1)))
        return np.tile(level[:, None, None, None], (1, 8, 8, 1))


vae = Toy()
""",
        "right": None,
        "wrong": {
            "thinner": """
def direction(latents, has):
    return latents[~has].mean(axis=0) - latents[has].mean(axis=0)
""",
            "against all": """
def direction(latents, has):
    return latents[has].mean(axis=0) - latents.mean(axis=0)
""",
            "one number for all dimensions": """
def direction(latents, has):
    return latents[has].mean() - latents[~has].mean()
""",
            "sums": """
def direction(latents, has):
    return latents[has].sum(axis=0) - latents[~has].sum(axis=0)
""",
            "medians": """
def direction(latents, has):
    return np.median(latents[has], axis=0) - np.median(latents[~has], axis=0)
""",
            "any direction": """
def direction(latents, has):
    return np.random.default_rng(1).normal(size=latents.shape[1])
""",
        },
    },
}
