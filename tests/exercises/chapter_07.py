"""Answers to the exercises of chapter 7: right ones are in its solutions."""

SETUP = """
import math

import keras
import numpy as np
import tensorflow as tf

from tfgen.vae import kl_divergence
"""

DRAW = """
def variations(vae, image, count, seed):
    mean, log_variance = vae.encode(image[None])
    noise = keras.random.normal((count, vae.latent_dim), seed=seed)
    return vae.decode({latents})
"""

KL = """
def gaussian_kl(mean, log_variance, prior_mean, prior_log_variance):
    ratio = log_variance - prior_log_variance
    distance = tf.square(mean - prior_mean) * tf.exp(-prior_log_variance)
    terms = tf.exp(ratio) - ratio + distance - 1
    return {result}
"""

EXERCISES = {
    1: {
        "given": SETUP,
        "right": None,
        "wrong": {
            "forgets the variance, 0.01": "answer = math.log(10) - 0.5",
            "takes 0.1 for the variance": "answer = 0.5 * (0.1 + math.log(10) - 1)",
            "counts bits": "answer = 0.5 * (2 * math.log(10) - 0.99) / math.log(2)",
            "forgets the half": "answer = 0.01 + 2 * math.log(10) - 1",
        },
    },
    2: {
        "given": SETUP,
        "right": None,
        "wrong": {
            "the other way round": "def beta_of_squares(scale): return 2 * scale**2",
            "forgets the half": "def beta_of_squares(scale): return 1 / scale**2",
            "forgets the square": "def beta_of_squares(scale): return 0.5 / scale",
        },
    },
    3: {
        "given": SETUP,
        "right": None,
        "wrong": {
            "sums over the images too": KL.format(result="0.5 * tf.reduce_sum(terms)"),
            "a mean over dimensions": KL.format(
                result="0.5 * tf.reduce_mean(terms, axis=-1)"
            ),
            "forgets the half": KL.format(result="tf.reduce_sum(terms, axis=-1)"),
            "the other divergence": """
def gaussian_kl(prior_mean, prior_log_variance, mean, log_variance):
    ratio = log_variance - prior_log_variance
    distance = tf.square(mean - prior_mean) * tf.exp(-prior_log_variance)
    return 0.5 * tf.reduce_sum(tf.exp(ratio) - ratio + distance - 1, axis=-1)
""",
            "forgets the prior's mean": KL.replace("mean - prior_mean", "mean").format(
                result="0.5 * tf.reduce_sum(terms, axis=-1)"
            ),
            "forgets the prior's variance": KL.replace(
                " * tf.exp(-prior_log_variance)", ""
            ).format(result="0.5 * tf.reduce_sum(terms, axis=-1)"),
        },
    },
    4: {
        "given": SETUP + "held_out = np.zeros((2, 32, 32, 1), np.float32)\n",
        "right": None,
        "wrong": {
            "no model at all": """
def variations(vae, image, count, seed):
    noise = np.random.default_rng(seed).normal(size=(count, *image.shape))
    return image + 0.05 * noise
""",
            "the variance for the spread": DRAW.format(
                latents="mean + np.exp(log_variance) * noise"
            ),
            "the logarithm for the spread": DRAW.format(
                latents="mean + log_variance * noise"
            ),
            "draws from the prior": DRAW.format(latents="noise"),
            "one noise for all dimensions": DRAW.format(
                latents="mean + np.exp(0.5 * log_variance) * noise[:, :1]"
            ),
            "forgets the seed": DRAW.replace("seed=seed", "seed=None").format(
                latents="mean + np.exp(0.5 * log_variance) * noise"
            ),
            "one image alone": DRAW.format(
                latents="mean + np.exp(0.5 * log_variance) * noise[:1]"
            ),
        },
    },
}
