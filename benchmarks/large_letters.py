"""Letters of 64 x 64 pixels in colour: a conditional GAN, trained for 20 minutes.

    python benchmarks/large_letters.py --picture notebooks/pictures/letters_64.png

The judge is a classifier that is trained first, on the real training letters shrunk to
32 x 32, and tested on the test split. It counts how many of 2,600 samples, 100 of each
letter, it recognises as the letter that was asked for; row 0 is the untrained GAN. The
picture shows the letters from A to Z four times, unselected. Convolutions run in
bfloat16, which processors with AMX are faster in; --policy float32 is for others.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen.plot.display import check_figure_path

SHAPE = (64, 64, 3)


class Progress(keras.callbacks.Callback):
    """Stop training after so many seconds; report every epoch."""

    def __init__(self, seconds, report):
        super().__init__()
        self.seconds, self.report = seconds, report

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        start = time.perf_counter()
        steps = int(self.model.generator_optimizer.iterations)
        self.report(f"{start - self.start:5.0f} s, {steps:6d} steps")
        self.start += time.perf_counter() - start  # judging is not training


def train_judge():
    train, test = (
        tfgen.load_dataset("glyphs/color_64", split, image_size=32, labels=True, seed=0)
        for split in ("train", "test")
    )
    judge = tfgen.train_classifier(train, epochs=3, verbose=0)
    print(f"judge: {judge.evaluate(test, verbose=0)[1]:.2%} of the test letters")
    return judge


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--policy", default="mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="write the letters here")
    options = parser.parse_args()
    check_figure_path(options.picture)

    judge = train_judge()
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy(options.policy)
    gan = tfgen.GAN(
        tfgen.build_generator(SHAPE, latent_dim=100, classes=26),
        tfgen.build_discriminator(SHAPE, classes=26),
        classes=26,
        average_decay=0.999,
    )
    gan.compile()
    wanted = np.repeat(np.arange(26), 100)

    def report(name):
        samples = gan.sample(labels=wanted, seed=1)
        small = tf.image.resize(samples, (32, 32), antialias=True)
        small = np.clip(small, 0, 1)
        _, probabilities = tfgen.classifier_features(judge, small)
        letters = probabilities.argmax(axis=1)
        right = (letters == wanted).reshape(26, 100).mean(axis=1)
        coverage = tfgen.class_coverage(letters, 26)
        print(
            f"{name}: {right.mean():.1%} as asked, "
            f"worst {'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[right.argmin()]} {right.min():.0%}, "
            f"{coverage} of 26 letters at 1 % or more",
            flush=True,
        )

    report("untrained")
    data = tfgen.load_dataset(
        "glyphs/color_64", batch_size=options.batch_size, labels=True, seed=options.seed
    )
    progress = Progress(options.seconds, report)
    gan.fit(data, epochs=10_000, verbose=0, callbacks=[progress])
    if options.picture:
        letters = gan.sample(labels=np.arange(104) % 26, seed=2)
        tfgen.show_images(letters, columns=26, path=options.picture)


if __name__ == "__main__":
    main()
