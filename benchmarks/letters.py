"""All 26 letters: a GAN trained on the glyphs for a given time, judged by a classifier.

    python benchmarks/letters.py                                # 3 seeds, 80 s each
    python benchmarks/letters.py --seeds 1 --seconds 65 --picture letters.png

The judge is the glyph classifier of the package. For each seed it counts the letters
among 10,000 samples; row 0 is the untrained GAN.
"""

import argparse
import time

import keras

import tfgen
from tfgen.plot.display import check_figure_path


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=80)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--picture", help="write 100 samples of the last seed here")
    options = parser.parse_args()
    check_figure_path(options.picture)

    judge = tfgen.load_pretrained("glyph_classifier")

    def report(name, gan):
        letters = judge.predict(gan.sample(10_000, seed=1), batch_size=500, verbose=0)
        shares = tfgen.class_shares(letters.argmax(axis=1), 26)
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
