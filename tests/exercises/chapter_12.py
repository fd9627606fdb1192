"""Answers to the exercises of chapter 12: right ones are in its solutions."""

GIVEN = """
import numpy as np
import tensorflow as tf
import tfgen
from tfgen.srgan import discriminator_loss

rows, columns = np.mgrid[:120, :120]
grain = np.random.default_rng(0).uniform(size=(120, 120))
photo = 0.2 + 0.15 * np.sin(rows / 9) * np.cos(columns / 11) + 0.1 * grain
train = 2 * [photo[..., None].astype("float32")]
"""
SQUARES = (
    "tf.reduce_mean(tf.square(real_output - 1)), tf.reduce_mean(tf.square(fake_output))"
)

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "of the restored ones": "answer = -np.log(0.8) - np.log(0.3)",
            "the mean of both": "answer = (-np.log(0.8) - np.log(0.7)) / 2",
            "in bits": "answer = -np.log2(0.8) - np.log2(0.7)",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "without the absolute value": """
def sharpness(images, clean):
    return np.diff(images, axis=2).mean() / np.diff(clean, axis=2).mean()
""",
            "vertical neighbours": """
def sharpness(images, clean):
    ours, theirs = (np.abs(np.diff(x, axis=1)).mean() for x in (images, clean))
    return ours / theirs
""",
            "not divided": """
def sharpness(images, clean):
    return np.abs(np.diff(images, axis=2)).mean()
""",
            "squared": """
def sharpness(images, clean):
    return (np.diff(images, axis=2) ** 2).mean() / (np.diff(clean, axis=2) ** 2).mean()
""",
        },
    },
    3: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "not halved": """
def least_squares_loss(real_output, fake_output):
    real_loss = tf.reduce_mean(tf.square(real_output - 1))
    return real_loss + tf.reduce_mean(tf.square(fake_output))
""",
            "labels exchanged": """
def least_squares_loss(real_output, fake_output):
    real_loss = tf.reduce_mean(tf.square(real_output))
    return 0.5 * real_loss + 0.5 * tf.reduce_mean(tf.square(fake_output - 1))
""",
            "the square of the mean": """
def least_squares_loss(real_output, fake_output):
    real, fake = tf.reduce_mean(real_output), tf.reduce_mean(fake_output)
    return 0.5 * (real - 1) ** 2 + 0.5 * fake**2
""",
            "absolute errors": """
def least_squares_loss(real_output, fake_output):
    real_loss = tf.reduce_mean(tf.abs(real_output - 1))
    return 0.5 * real_loss + 0.5 * tf.reduce_mean(tf.abs(fake_output))
""",
        },
    },
    4: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "without antialiasing": """
def consistency(restored, small):
    again = np.clip(tf.image.resize(restored, small.shape[1:3], "bicubic"), 0, 1)
    return tfgen.psnr(small, again)
""",
            "every n-th pixel": """
def consistency(restored, small):
    scale = restored.shape[1] // small.shape[1]
    return tfgen.psnr(small, restored[:, ::scale, ::scale])
""",
            "one number for all": """
def consistency(restored, small):
    again = tfgen.downsample(restored, scale=restored.shape[1] // small.shape[1])
    return tfgen.psnr(small, again["image"].numpy()).mean()
""",
            "enlarges the small image": """
def consistency(restored, small):
    large = np.clip(tf.image.resize(small, restored.shape[1:3], "bicubic"), 0, 1)
    return tfgen.psnr(restored, large)
""",
        },
    },
}
