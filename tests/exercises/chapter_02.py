"""Answers to the exercises of chapter 2: right ones are in its solutions."""

LOSS = """
import keras
import numpy as np
import tensorflow as tf
import tfgen
from tfgen.gan import discriminator_loss
"""

TRAIN = """
def train_small(data, seed, loss="non_saturating", beta_1=0.5, rates=(2e-3, 5e-4)):
    {first}
    networks = tfgen.build_generator(width=16), tfgen.build_discriminator(width=16)
    gan = tfgen.GAN(*networks, {loss}, seed=seed)
    gan.compile(*(keras.optimizers.Adam(rate, beta_1) for rate in {rates}))
    gan.fit(data, verbose=0)
    return gan
"""


def train_small(first="keras.utils.set_random_seed(seed)", loss="loss", rates="rates"):
    return TRAIN.format(first=first, loss=loss, rates=rates)


SMOOTHED = """
def smoothed_discriminator_loss(real_output, fake_output, target=0.9):
    real_loss = target * tf.nn.softplus(-real_output)
    real_loss += (1 - target) * tf.nn.softplus(real_output)
    return tf.reduce_mean(real_loss) + tf.reduce_mean(tf.nn.softplus(fake_output))
"""

WALK = """
def walk(gan, start, end, steps=8):
    weights = {weights}
    return gan((1 - weights) * start + weights * end)
"""

EXERCISES = {
    1: {
        "given": LOSS,
        "right": None,
        "wrong": {
            "works in bits": "answer = 0.152 + 0.322",
            "takes 0.2 for the probability that is wanted": "answer = 0.105 + 1.609",
            "takes the mean of both": "answer = (0.105 + 0.223) / 2",
        },
    },
    2: {
        "given": LOSS + "images = np.random.default_rng(0).random((8, 32, 32, 1), 'f')",
        "right": None,
        "wrong": {
            "forgets the loss": train_small(loss="'non_saturating'"),
            "sets no seed before it builds": train_small(first=""),
            "builds with one seed for all": train_small(
                "keras.utils.set_random_seed(0)"
            ),
            "exchanges the rates": train_small(rates="rates[::-1]"),
            "ignores the width": train_small().replace("width=16", "width=8"),
        },
    },
    3: {
        "given": LOSS,
        "right": None,
        "wrong": {
            "forgets the other part of the cross-entropy": """
def smoothed_discriminator_loss(real_output, fake_output, target=0.9):
    real_loss = target * tf.nn.softplus(-real_output)
    return tf.reduce_mean(real_loss) + tf.reduce_mean(tf.nn.softplus(fake_output))


def best_smoothed(p, q, target=0.9):
    return target * p / (p + q)
""",
            "smooths both sides": """
def smoothed_discriminator_loss(real_output, fake_output, target=0.9):
    def smoothed(output):
        near, far = tf.nn.softplus(-output), tf.nn.softplus(output)
        return tf.reduce_mean(target * near + (1 - target) * far)

    return smoothed(real_output) + smoothed(-fake_output)


def best_smoothed(p, q, target=0.9):
    return target * p / (p + q)
""",
            "knows the best of the plain loss only": SMOOTHED
            + """
def best_smoothed(p, q, target=0.9):
    return p / (p + q)
""",
            "forgets that smoothed real images count as generated ones": SMOOTHED
            + """
def best_smoothed(p, q, target=0.9):
    return target * p / (target * p + q)
""",
        },
    },
    4: {
        "given": LOSS
        + """
image_shape, latent_dim = (32, 32, 1), 64
networks = tfgen.build_generator(width=2), tfgen.build_discriminator(width=2)
gan = tfgen.GAN(*networks, seed=0)
""",
        "right": None,
        "wrong": {
            "leaves out the end": WALK.format(
                weights="tf.linspace(0.0, 1.0, steps + 1)[:-1, None]"
            ),
            "jumps in the middle": WALK.format(
                weights="tf.round(tf.linspace(0.0, 1.0, steps))[:, None]"
            ),
            "is not evenly spaced": WALK.format(
                weights="tf.linspace(0.0, 1.0, steps)[:, None] ** 2"
            ),
            "walks on an arc": """
def walk(gan, start, end, steps=8):
    return gan(tfgen.interpolate_latents(start, end, steps))
""",
            "mixes the images": """
def walk(gan, start, end, steps=8):
    weights = tf.linspace(0.0, 1.0, steps)[:, None, None, None]
    return (1 - weights) * gan(start[None]) + weights * gan(end[None])
""",
        },
    },
}
