"""Every loss of `tfgen.GAN` under the same networks, budget and seeds.

    python benchmarks/gan_losses.py --csv notebooks/tables/gan_losses.csv

The networks are those of chapter 4: letters of 16 x 16 pixels, 32 filters, layer
normalisation in the discriminator, since a penalty forbids batch normalisation. Each
GAN takes 900 steps of batch 32 with the optimizers of `GAN.compile`; the Wasserstein
loss also with five steps of the critic for one of the generator, as its authors advise.
3,822 samples of the averaged generator, enlarged, are compared with the test letters on
the features of the glyph classifier; the first row is the floor, as many training
letters, the second the untrained generator.
"""

import argparse
import csv
import io
import time

import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen.gan import LOSSES
from tfgen.writing import check_path, write_whole

SHAPE = (16, 16, 1)
GAMES = [*((loss, 1) for loss in LOSSES), ("wasserstein", 5)]  # with n_critic
FIGURES = ["frechet", "kernel", "precision", "recall", "letters", "ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--csv", help="write the figures here")
    options = parser.parse_args()
    if options.csv is not None:
        check_path(options.csv)

    classifier = tfgen.load_pretrained("glyph_classifier")

    def letters(split):
        data = tfgen.load_dataset("glyphs", split, image_size=16, seed=0)
        return np.concatenate(list(data.as_numpy_iterator()))

    def judge(images):
        large = tf.image.resize(images, (32, 32), "bicubic")
        return tfgen.classifier_features(classifier, tf.clip_by_value(large, 0, 1))

    test = letters("test")
    real, _ = judge(test)
    rows = []

    def add(name, seed, images, ms=0.0):
        features, probabilities = judge(images)
        rows.append(
            [
                name,
                seed,
                tfgen.frechet_distance(features, real),
                tfgen.kernel_distance(features, real),
                *tfgen.precision_recall(real, features),
                tfgen.class_coverage(probabilities.argmax(axis=1), 26),
                ms,
            ]
        )
        figures = "".join(f"{value:10.3f}" for value in rows[-1][2:])
        print(f"{name:14s} {seed:4d}{figures}", flush=True)

    print(f"{'loss':14s} seed" + "".join(f"{name:>10}" for name in FIGURES))
    add("real", 0, letters("train")[: len(test)])
    for seed in range(options.seeds):
        for loss, n_critic in GAMES:
            keras.utils.set_random_seed(seed)
            gan = tfgen.GAN(
                tfgen.build_generator(SHAPE, latent_dim=32, width=32),
                tfgen.build_discriminator(SHAPE, normalization="layer"),
                loss=loss,
                n_critic=n_critic,
                seed=seed,
            )
            gan.compile()
            if not rows[1:]:
                add("untrained", 0, gan.sample(len(test), seed=1))
            data = tfgen.load_dataset(
                "glyphs", image_size=16, batch_size=32, seed=seed
            ).repeat()
            warm_up = 20  # makes the graph and the cache
            gan.fit(data, steps_per_epoch=warm_up, verbose=0)
            start = time.perf_counter()
            gan.fit(data, steps_per_epoch=options.steps - warm_up, verbose=0)
            ms = 1000 * (time.perf_counter() - start) / (options.steps - warm_up)
            name = loss if n_critic == 1 else f"{loss}, {n_critic}"
            samples = gan.sample(len(test), seed=1)
            add(name, seed, samples, ms)
    if options.csv is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [["loss", "seed", *FIGURES], *rows]
        )
        write_whole(options.csv, text.getvalue().encode())


if __name__ == "__main__":
    main()
