"""Every loss of `tfgen.GAN` under the same networks, budget and seeds.

    python benchmarks/gan_losses.py --csv notebooks/tables/gan_losses.csv

Each GAN trains on the letters of 32 x 32 pixels for two epochs with the optimizers of
`GAN.compile`. The discriminator has layer normalisation, since a penalty forbids batch
normalisation. 3,822 samples of the averaged generator are compared with the test
letters on the features of the glyph classifier; row 0 is the untrained generator, and
the floor is as many training letters. Convolutions run in bfloat16, which processors
with AMX are faster in; --policy float32 is for others.
"""

import argparse
import csv
import io
import time

import keras
import numpy as np

import tfgen
from tfgen.figures import write_whole
from tfgen.gan import LOSSES

COLUMNS = ["loss", "seed", "frechet", "kernel", "precision", "recall", "letters", "ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--policy", default="mixed_bfloat16")
    parser.add_argument("--csv", help="write the figures here")
    options = parser.parse_args()

    classifier = tfgen.load_pretrained("glyph_classifier")

    def letters(split):
        data = tfgen.load_dataset("glyphs", split, seed=0)
        return np.concatenate(list(data.as_numpy_iterator()))

    test = letters("test")
    real, _ = tfgen.classifier_features(classifier, test)
    rows = []

    def add(loss, seed, images, ms=0.0):
        features, probabilities = tfgen.classifier_features(classifier, images)
        rows.append(
            [
                loss,
                seed,
                tfgen.frechet_distance(features, real),
                tfgen.kernel_distance(features, real),
                *tfgen.precision_recall(real, features),
                tfgen.class_coverage(probabilities.argmax(axis=1), 26),
                ms,
            ]
        )
        figures = "".join(f"{value:10.3f}" for value in rows[-1][2:])
        print(f"{loss:14s} {seed:4d}{figures}", flush=True)

    print(f"{'loss':14s} seed" + "".join(f"{name:>10}" for name in COLUMNS[2:]))
    add("real", 0, letters("train")[: len(test)])
    keras.mixed_precision.set_global_policy(options.policy)
    for seed in range(options.seeds):
        for loss in options.losses:
            keras.utils.set_random_seed(seed)
            gan = tfgen.GAN(
                tfgen.build_generator(),
                tfgen.build_discriminator(normalization="layer"),
                loss=loss,
                seed=seed,
            )
            gan.compile()
            if not rows[1:]:
                add("untrained", 0, gan.sample(len(test), seed=1))
            data = tfgen.load_dataset("glyphs", batch_size=32, seed=seed)
            gan.fit(data.take(20), verbose=0)  # make the graph, and the cache
            start = time.perf_counter()
            gan.fit(data, epochs=options.epochs, verbose=0)
            seconds = time.perf_counter() - start
            steps = int(gan.generator_optimizer.iterations) - 20
            samples = gan.sample(len(test), seed=1)
            add(loss, seed, samples, 1000 * seconds / steps)
    if options.csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_whole(options.csv, text.getvalue().encode())


if __name__ == "__main__":
    main()
