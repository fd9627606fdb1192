"""All 26 letters: a GAN trained on the glyphs for a given time, judged by a classifier.

    python benchmarks/letters.py                                # 3 seeds, 80 s each
    python benchmarks/letters.py --seeds 1 --seconds 65 --picture letters.png
    python benchmarks/letters.py --labels --seeds 1 --steps 6400 --seconds 3600

The judge is the glyph classifier of the package. For each seed it counts the letters
among 10,000 samples; row 0 is the untrained GAN. With --labels the GAN is told letter
and typeface, as in chapter 5, and the judge counts how many of 5,460 drawings, ten of
each pair, it reads as asked. The picture then shows two latent vectors, two rows each,
that are asked for A to M and N to Z.
"""

import argparse
import time

import keras
import numpy as np

import tfgen
from tfgen.plot.display import check_figure_path

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class StopAfter(keras.callbacks.Callback):
    """Stop training after so many seconds or steps; report every 1,000 steps."""

    def __init__(self, seconds, steps):
        super().__init__()
        self.seconds, self.steps, self.done = seconds, steps, 0

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        self.spent = time.perf_counter() - self.start
        if self.done % 1000 == 0:
            print(f"  step {self.done:,}, {self.spent:.0f} s", flush=True)
        if self.spent > self.seconds or self.done == self.steps:
            self.model.stop_training = True


def report_shares(name, gan, judge):
    """Print how often each letter is among samples of a GAN without labels."""
    letters = judge.predict(gan.sample(10_000, seed=1), batch_size=500, verbose=0)
    shares = tfgen.class_shares(letters.argmax(axis=1), 26)
    rarest = LETTERS[shares.argmin()]
    print(
        f"{name:9s} {(shares >= 0.01).sum():2d} of 26 letters at 1 % or more, "
        f"rarest {rarest} {shares.min():.2%}, most frequent {shares.max():.2%}",
        flush=True,
    )


def report_asked(name, gan, judge):
    """Print how often a GAN with labels draws the letter that it is asked for."""
    pairs = np.stack(np.meshgrid(range(26), range(21), indexing="ij"), -1)
    asked = pairs.reshape(-1, 2).repeat(10, axis=0)
    drawn = gan.sample(labels=asked, seed=2)
    letters = judge.predict(drawn, batch_size=500, verbose=0).argmax(axis=1)
    right = (letters == asked[:, 0]).reshape(26, -1).mean(axis=1)
    print(
        f"{name:9s} {right.mean():.1%} read as asked, worst {LETTERS[right.argmin()]} "
        f"{right.min():.1%}",
        flush=True,
    )


def show_alphabets(gan, path):
    """Two latent vectors, two rows each: the alphabet in DejaVu Sans."""
    latents = keras.random.normal((2, gan.latent_dim), seed=1).numpy().repeat(26, 0)
    asked = np.array([(letter, 0) for letter in range(26)] * 2)
    images = gan(np.concatenate([latents, *gan.one_hot(asked)], axis=-1)).numpy()
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    tfgen.show_images(images, columns=13, path=path, source="generated")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=80)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, help="stop here if it is earlier")
    parser.add_argument("--labels", action="store_true", help="by letter and typeface")
    parser.add_argument("--picture", help="write samples of the last seed here")
    options = parser.parse_args()
    check_figure_path(options.picture)

    judge = tfgen.load_pretrained("glyph_classifier")
    labels, classes, report = False, (), report_shares
    if options.labels:
        labels, classes, report = ("label", "typeface"), (26, 21), report_asked
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        gan = tfgen.GAN(
            tfgen.build_generator(classes=classes),
            tfgen.build_discriminator(classes=classes),
            classes=classes,
        )
        gan.compile()
        if seed == 0:
            report("untrained", gan, judge)
        data = tfgen.load_dataset(
            "glyphs", batch_size=options.batch_size, labels=labels, seed=seed
        )
        stop = StopAfter(options.seconds, options.steps)
        gan.fit(data, epochs=10_000, verbose=0, callbacks=[stop])
        print(f"  {stop.done:,} steps in {stop.spent:.0f} s")
        report(f"seed {seed}", gan, judge)
    if options.picture and options.labels:
        show_alphabets(gan, options.picture)
    elif options.picture:
        letters = gan.sample(100, seed=2)
        tfgen.show_images(letters, columns=20, path=options.picture, source="generated")


if __name__ == "__main__":
    main()
