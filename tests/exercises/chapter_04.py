"""Answers to the exercises of chapter 4: right ones are in its solutions."""

IMPORTS = """
import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen import gradient_penalty, r1_penalty, r1_r2_penalty
"""

DIAGNOSIS = """
answers = {
    "A": "no fault",
    "B": "swapped labels",
    "C": "wrong range",
    "D": "missing training=",
    "E": "saturated loss",
}
"""

PENALTY = """
def one_sided_penalty(judge, real_images, fake_images, alpha):
    between = POINTS
    with tf.GradientTape() as tape:
        tape.watch(between)
        output = judge(between)
    squares = tf.square(tape.gradient(output, between))
    slope = tf.sqrt(tf.reduce_sum(squares, axis=(1, 2, 3)) + 1e-12)
    return RESULT
"""
BETWEEN = "real_images + alpha * (fake_images - real_images)"
EXCESS = "tf.reduce_mean(tf.square(tf.nn.relu(slope - 1)))"


def penalty(points=BETWEEN, result=EXCESS):
    return PENALTY.replace("POINTS", points).replace("RESULT", result)


ALPHA = """
class NormalAlpha(tfgen.GAN):
    def penalty_of(self, real_images, fake_images, labels):
        count = tf.shape(real_images)[0]
        alpha = ALPHA

        def judge(images):
            return self.judge(images, labels, training=True)

        penalty = self.penalty(judge, real_images, fake_images, alpha)
        return RESULT
"""
NORMAL = "tf.random.stateless_normal((count, 1, 1, 1), self.next_seed())"


def alpha(drawn=NORMAL, result="self.penalty_weight * penalty"):
    return ALPHA.replace("ALPHA", drawn).replace("RESULT", result)


def paired(discriminator, generator):
    return f"""
def paired_discriminator_loss(real_output, fake_output):
    return {discriminator}


def paired_generator_loss(real_output, fake_output):
    return {generator}
"""


SQUARES = "tf.reduce_mean(tf.square(real_output - fake_output {}))"

EXERCISES = {
    1: {
        "given": IMPORTS
        + """
order = np.array(
    ["no fault", "swapped labels", "wrong range", "missing training=", "saturated loss"]
)
""",
        "right": DIAGNOSIS,
        "wrong": {
            "takes the lost duel for missing training=": DIAGNOSIS.replace(
                "missing training=", "x"
            )
            .replace("saturated loss", "missing training=")
            .replace('"x"', '"saturated loss"'),
            "finds a fault where there is none": DIAGNOSIS.replace(
                "no fault", "wrong range"
            ),
        },
    },
    2: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "the slope is the length": "penalty, r1, r1_and_r2 = 1.0, 0.5, 5.0",
            "forgets the halves": "penalty, r1, r1_and_r2 = 9.0, 4.0, 40.0",
            "the slope of one pixel": "penalty, r1, r1_and_r2 = 0.0, 0.125, 1.25",
            "the penalty at the real images": "penalty, r1, r1_and_r2 = 1.0, 2.0, 20.0",
        },
    },
    3: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "the same for both": paired(SQUARES.format("- 1"), SQUARES.format("- 1")),
            "the roles swapped": paired(SQUARES.format("+ 1"), SQUARES.format("- 1")),
            "averages before it squares": paired(
                "tf.square(tf.reduce_mean(real_output - fake_output) - 1)",
                "tf.square(tf.reduce_mean(real_output - fake_output) + 1)",
            ),
            "not by pairs": paired(
                "tf.reduce_mean(tf.square(real_output - 1) + tf.square(fake_output))",
                "tf.reduce_mean(tf.square(real_output) + tf.square(fake_output - 1))",
            ),
        },
    },
    4: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "at the real images": penalty(points="real_images + 0.0"),
            "at the generated images": penalty(points="fake_images + 0.0"),
            "from black to the generated images": penalty(points="alpha * fake_images"),
            "halfway, whatever alpha": penalty(
                points="(real_images + fake_images) / 2"
            ),
            "two-sided": penalty(result="tf.reduce_mean(tf.square(slope - 1))"),
            "not squared": penalty(result="tf.reduce_mean(tf.nn.relu(slope - 1))"),
            "of the mean slope": penalty(
                result="tf.square(tf.nn.relu(tf.reduce_mean(slope) - 1))"
            ),
        },
    },
    5: {
        "given": IMPORTS,
        "right": None,
        "wrong": {
            "uniform": alpha(NORMAL.replace("normal", "uniform")),
            "one for the batch": alpha(NORMAL.replace("count", "1")),
            "forgets the weight": alpha(result="penalty"),
            "changes nothing": "class NormalAlpha(tfgen.GAN): ...",
        },
    },
}
