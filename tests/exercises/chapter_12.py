"""Answers to the exercises of chapter 12: right ones are in its solutions."""

GIVEN = """
import numpy as np
import tensorflow as tf
import tfgen
from tfgen.srgan import adversarial_loss

rows, columns = np.mgrid[:256, :256]
grain = np.random.default_rng(0).uniform(size=(256, 256))
photo = 0.2 + 0.15 * np.sin(rows / 9) * np.cos(columns / 11) + 0.1 * grain
photos = photo[None, ..., None].astype("float32")
"""

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "what the discriminator pays": "answer = np.log(1 + np.exp(-2))",
            "of the restored patch alone": "answer = np.log(1 + np.exp(0.5))",
            "logits added": "answer = np.log(1 + np.exp(1))",
            "in bits": "answer = np.log2(1 + np.exp(2))",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "all that are wrong": """
def confidently_wrong(probabilities, labels, least=0.9):
    return np.mean(probabilities.argmax(axis=1) != labels)
""",
            "all that are confident": """
def confidently_wrong(probabilities, labels, least=0.9):
    return np.mean(probabilities.max(axis=1) > least)
""",
            "of the confident ones": """
def confidently_wrong(probabilities, labels, least=0.9):
    sure = probabilities.max(axis=1) > least
    return np.mean(probabilities.argmax(axis=1)[sure] != labels[sure])
""",
            "the label improbable": """
def confidently_wrong(probabilities, labels, least=0.9):
    return np.mean(probabilities[np.arange(len(labels)), labels] < 1 - least)
""",
            "least not used": """
def confidently_wrong(probabilities, labels, least=0.9):
    wrong = probabilities.argmax(axis=1) != labels
    return np.mean(wrong & (probabilities.max(axis=1) > 0.9))
""",
            "a count": """
def confidently_wrong(probabilities, labels, least=0.9):
    wrong = probabilities.argmax(axis=1) != labels
    return np.sum(wrong & (probabilities.max(axis=1) > least))
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
            "the square of the mean, of the restored": """
def least_squares_loss(real_output, fake_output):
    real_loss = tf.reduce_mean(tf.square(real_output - 1))
    return 0.5 * real_loss + 0.5 * tf.reduce_mean(fake_output) ** 2
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
            "always four times": """
def consistency(restored, small):
    return tfgen.psnr(small, tfgen.downsample(restored, scale=4)["image"].numpy())
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
