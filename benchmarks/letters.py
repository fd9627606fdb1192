"""All 26 letters: a GAN trained on the glyphs for a given time, judged by a classifier.

    python benchmarks/letters.py                                # 3 seeds, 80 s each
    python benchmarks/letters.py --seeds 1 --seconds 65 --picture letters.png

The judge is trained on the real training letters and tested on the test split. For
each seed it counts the letters among 10,000 samples; row 0 is the untrained GAN.
"""

import argparse
import time

import keras
import numpy as np
from keras import layers

import tfgen


class StopAfter(keras.callbacks.Callback):
    """Stop training after so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True


def train_judge():
    keras.utils.set_random_seed(0)
    network = keras.Sequential([layers.Input((32, 32, 1))])
    for filters in (32, 64):
        network.add(layers.Conv2D(filters, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(128, activation="relu"))
    network.add(layers.Dense(26))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, metrics=["accuracy"])
    train, test = (
        tfgen.load_dataset("glyphs", split, labels=True, seed=0)
        for split in ("train", "test")
    )
    network.fit(train, epochs=4, verbose=0, shuffle=False)
    print(f"judge: {network.evaluate(test, verbose=0)[1]:.1%} of the test letters")
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=80)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--picture", help="write 100 samples of the last seed here")
    options = parser.parse_args()

    judge = train_judge()

    def report(name, gan):
        letters = judge.predict(gan.sample(10_000, seed=1), batch_size=500, verbose=0)
        shares = np.bincount(letters.argmax(axis=1), minlength=26) / 10_000
        rarest = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[shares.argmin()]
        print(
            f"{name:9s} {(shares >= 0.01).sum():2d} of 26 letters at 1 % or more, "
            f"rarest {rarest} {shares.min():.2%}, most frequent {shares.max():.2%}",
            flush=True,
        )

    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        gan = tfgen.GAN(tfgen.build_generator(), tfgen.build_discriminator())
        gan.compile()
        if seed == 0:
            report("untrained", gan)
        data = tfgen.load_dataset("glyphs", batch_size=options.batch_size, seed=seed)
        stop = StopAfter(options.seconds)
        gan.fit(data, epochs=10_000, verbose=0, callbacks=[stop])
        report(f"seed {seed}", gan)
    if options.picture:
        tfgen.show_images(gan.sample(100, seed=2), columns=20, path=options.picture)


if __name__ == "__main__":
    main()
