"""Answers to the exercises of chapter 17: right ones are in its solutions."""

GIVEN = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import tfgen
"""

DENOISER = """
class Denoiser(keras.Model):
    def __init__(self):
        super().__init__()
        parts = layers.Input((8, 8, 1)), layers.Conv2D(1, 3, padding="same")
        self.network = keras.Sequential(parts)
        self.error = keras.metrics.Mean("loss")

    @property
    def metrics(self):
        return [self.error]

    def call(self, images):
        return self.network(images)

    def error_of(self, images, noise):
        return tf.reduce_mean((self.network(images + 0.1 * noise) - images) ** 2)

    def train_step(self, images):
        with tf.GradientTape() as tape:
            loss = self.error_of(images, tf.random.normal(tf.shape(images)))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.error.update_state(loss)
        return {"loss": self.error.result()}


class Validated(Denoiser):
    def test_step(self, images):
"""

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "zero": "answer = 0.0",
            "chance": "answer = 0.693",
            "of the discriminator": "answer = 1.006",
            "a sure zero": "answer = 1.313",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "the inverse": """
def implied_beta(pixels, latent_dim, scale):
    return 2 * scale**2 * latent_dim / pixels
""",
            "without the scale": """
def implied_beta(pixels, latent_dim, scale):
    return pixels / latent_dim
""",
            "pixels forgotten": """
def implied_beta(pixels, latent_dim, scale):
    return 1 / (2 * scale**2 * latent_dim)
""",
            "dimensions forgotten": """
def implied_beta(pixels, latent_dim, scale):
    return pixels / (2 * scale**2)
""",
        },
    },
    3: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "by patch": """
def split_by_source(sources, share, seed):
    return np.random.default_rng(seed).random(len(sources)) < share
""",
            "always the first": """
def split_by_source(sources, share, seed):
    names = np.unique(sources)
    return np.isin(sources, names[: max(1, round(share * len(names)))])
""",
            "drawn among patches": """
def split_by_source(sources, share, seed):
    drawn = np.random.default_rng(seed).permutation(sources)
    return np.isin(sources, drawn[: max(1, round(share * len(sources)))])
""",
            "none of few": """
def split_by_source(sources, share, seed):
    names = np.unique(sources)
    drawn = np.random.default_rng(seed).permutation(names)
    return np.isin(sources, drawn[: round(share * len(names))])
""",
        },
    },
    4: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "fresh noise": DENOISER
            + """
        noise = tf.random.normal(tf.shape(images))
        self.error.update_state(self.error_of(images, noise))
        return {"loss": self.error.result()}
""",
            "trains": DENOISER
            + """
        return self.train_step(images)
""",
            "no noise": DENOISER
            + """
        self.error.update_state(self.error_of(images, 0.0 * images))
        return {"loss": self.error.result()}
""",
            "the metric forgotten": DENOISER
            + """
        noise = tf.random.stateless_normal(tf.shape(images), seed=(1, 2))
        return {"loss": self.error_of(images, noise)}
""",
        },
    },
}
