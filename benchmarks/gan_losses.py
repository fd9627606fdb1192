"""Every loss of `tfgen.GAN` at the best of three pairs of rates, on three seeds.

    python benchmarks/gan_losses.py --csv notebooks/tables/gan_losses.csv

The networks are those of chapter 4: letters of 16 x 16 pixels, 32 filters, layer
normalisation in the discriminator, since a penalty forbids batch normalisation. Each
GAN takes 900 steps of batch 32 with Adam and beta_1 = 0.5; the Wasserstein loss also
with five steps of the critic for one of the generator, as its authors advise.

First each loss is tuned: one run, of a seed of its own, with each of the three pairs in
`RATES`, judged by training letters that no run trains on. With the pair that comes out
ahead it is then trained on every seed, and judged by test letters. (The papers' own
rates, mostly 1e-4 or 2e-4, are meant for runs at least a hundred times as long.) The
last game is the default of the package, with batch normalisation, eight times as long.

Each comparison is one of 1,000 samples of the averaged generator, enlarged, with 1,000
real letters, on the features of the glyph classifier. The first rows are the floor,
which is 1,000 other test letters, and the untrained generator. The table is written
after each run, so that an interruption loses one run only.
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
COUNT = 1000  # as in the chapter
GAMES = [*((loss, 1) for loss in LOSSES), ("wasserstein", 5)]  # with n_critic
RATES = [(2e-3, 5e-4), (1e-3, 1e-3), (5e-4, 2e-3)]  # generator, discriminator
TUNING_SEED = 100
COLUMNS = ["loss", "stage", "generator_rate", "discriminator_rate", "seed"]
FIGURES = ["frechet", "kernel", "precision", "coverage", "recall", "letters"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--csv", help="write the figures here, after each run")
    options = parser.parse_args()
    if options.csv is not None:
        check_path(options.csv)
    start = time.monotonic()
    classifier = tfgen.load_pretrained("glyph_classifier")

    def letters(split):
        data = tfgen.load_dataset("glyphs", split, image_size=16, seed=0)
        return np.concatenate(list(data.as_numpy_iterator()))

    def judge(images):
        large = tf.image.resize(images, (32, 32), "bicubic")
        return tfgen.classifier_features(classifier, tf.clip_by_value(large, 0, 1))

    train, test = letters("train"), letters("test")
    apart, train = train[:COUNT], train[COUNT:]
    real = {"tuning": judge(apart)[0], "test": judge(test[:COUNT])[0]}
    rows = []

    def add(name, stage, rates, seed, images):
        features, probabilities = judge(images)
        figures = [
            tfgen.frechet_distance(features, real[stage]),
            tfgen.kernel_distance(features, real[stage]),
            *figures_of_balls(real[stage], features),
            tfgen.class_coverage(probabilities.argmax(axis=1), 26),
        ]
        rows.append([name, stage, *rates, seed, *figures])
        seconds = time.monotonic() - start
        cells = f"{name:20s} {stage:7s} {rates[0]:.0e} {rates[1]:.0e} {seed:5d}"
        print(cells + "".join(f"{x:10.3f}" for x in figures), f"{seconds:7.0f} s")
        if options.csv is not None:
            text = io.StringIO()
            table = [[*COLUMNS, *FIGURES], *rows]
            csv.writer(text, lineterminator="\n").writerows(table)
            write_whole(options.csv, text.getvalue().encode())
        return figures[0]

    def run(name, stage, rates, seed, steps=options.steps, **game):
        gan = build(seed, **game)
        gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates))
        data = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train), seed=seed)
        try:
            gan.fit(data.repeat().batch(32), steps_per_epoch=steps, verbose=0)
        except FloatingPointError as error:
            print(f"{name} {rates} {seed}: {error}")
            return np.inf
        return add(name, stage, rates, seed, gan.sample(COUNT, seed=1))

    add("real", "test", (0, 0), 0, test[COUNT : 2 * COUNT])
    add("untrained", "test", (0, 0), 0, build(0).sample(COUNT, seed=1))
    for loss, n_critic in GAMES:
        name = loss if n_critic == 1 else f"{loss}, {n_critic}"
        game = {"loss": loss, "n_critic": n_critic}
        tried = {r: run(name, "tuning", r, TUNING_SEED, **game) for r in RATES}
        for seed in range(options.seeds):
            run(name, "test", min(tried, key=tried.get), seed, **game)
    longer = {"steps": 8 * options.steps, "normalization": "batch"}
    run("default, 8 x longer", "test", RATES[0], 0, **longer)


def build(seed, loss="non_saturating", n_critic=1, normalization="layer"):
    keras.utils.set_random_seed(seed)
    return tfgen.GAN(
        tfgen.build_generator(SHAPE, latent_dim=32, width=32),
        tfgen.build_discriminator(SHAPE, normalization=normalization),
        loss=loss,
        n_critic=n_critic,
        seed=seed,
    )


def figures_of_balls(real, fake):
    """Precision, coverage and recall."""
    precision, recall = tfgen.precision_recall(real, fake)
    return precision, tfgen.coverage(real, fake), recall


if __name__ == "__main__":
    main()
