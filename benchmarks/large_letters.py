"""Letters of 64 x 64 pixels in colour: what a generator gains by what it is built of.

    python benchmarks/large_letters.py --table notebooks/tables/large_letters.csv
    python benchmarks/large_letters.py --kinds "layered, stamps" --seeds 1 --width 48
        --batch-size 32 --steps 2400 --decay 0.999
        --picture notebooks/pictures/letters_64.png

The generators of chapter 6: a plain one paints three channels, a layered one a mask
between two colours; either enlarges by transposed convolutions ("stamps"), or enlarges
and then convolves ("resized"). All have the same discriminator, data and steps, and one
judge, the glyph classifier, reads 2,600 samples as in the chapter. Columns:

- read: the share that is read as the letter asked for; worst: that of the worst letter;
- border: the standard deviation of the colour along an image's border, 0 in the data;
- chequers: the spread of the means of the four places in a block of 2 x 2 pixels.
"""

import argparse
import csv
import io

import keras
import numpy as np
from keras import layers

import tfgen
from tfgen.plot.display import check_figure_path
from tfgen.writing import check_path, write_whole

SHAPE, LATENT_DIM, LETTERS = (64, 64, 3), 100, 26
KINDS = ["plain, stamps", "plain, resized", "layered, stamps", "layered, resized"]
FIGURES = ["read", "worst", "border", "chequers"]


# --- Generators -------------------------------------------------------------


def build_generator(kind, width):
    """One of the four kinds of generator, for letters by label."""
    form, enlarging = kind.split(", ")

    def double(x, filters):
        if enlarging == "stamps":
            return layers.Conv2DTranspose(filters, 4, strides=2, padding="same")(x)
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        return layers.Conv2D(filters, 3, padding="same")(x)

    inputs = keras.Input((LATENT_DIM + LETTERS,))
    x = layers.Dense(8 * 8 * 4 * width, use_bias=False)(inputs)
    x = layers.Reshape((8, 8, 4 * width))(x)
    for filters in (2 * width, width, 3 if form == "plain" else 1):
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = double(x, filters)
    painted = layers.Activation("sigmoid", dtype="float32")(x)
    if form == "plain":
        return keras.Model(inputs, painted)
    colours = layers.Dense(64, activation="relu")(inputs)
    colours = layers.Dense(6, activation="sigmoid", dtype="float32")(colours)
    ground, ink = (
        layers.Reshape((1, 1, 3))(part) for part in (colours[:, :3], colours[:, 3:])
    )
    return keras.Model(inputs, ground + (ink - ground) * painted)


# --- Judging ----------------------------------------------------------------


def sides(images):
    along = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return np.concatenate(along, axis=1)


def to_glyphs(images):
    """Grey letters of 32 x 32 pixels: the distance in luma from the border's median."""
    luma = images @ np.array([0.299, 0.587, 0.114], dtype="float32")
    small = luma.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4))
    ground = np.median(sides(small), axis=1)
    distance = np.abs(small - ground[:, None, None])
    return (distance / distance.max(axis=(1, 2), keepdims=True))[..., None]


def score(images, labels, judge):
    """The four `FIGURES`."""
    _, probabilities = tfgen.classifier_features(judge, to_glyphs(images))
    right = probabilities.argmax(axis=1) == labels
    worst = min(right[labels == letter].mean() for letter in range(LETTERS))
    blocks = images.reshape(len(images), 32, 2, 32, 2, 3).mean(axis=(1, 3))
    border = sides(images).std(axis=1).mean()
    return right.mean(), worst, border, blocks.std(axis=(1, 2)).mean()


# --- Runs -------------------------------------------------------------------


def write_table(path, rows):
    """Write all rows so far, so that a run that is stopped leaves them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "seed", "steps", *FIGURES])
    for row in rows:
        writer.writerow([*row[:3], *(f"{value:.4f}" for value in row[3:])])
    write_whole(path, text.getvalue().encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--marks", type=int, default=4, help="rows of each run")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--decay", type=float, default=0.99, help="of the average")
    parser.add_argument("--table", help="write the figures here, as CSV")
    parser.add_argument("--picture", help="write four alphabets of the last run here")
    options = parser.parse_args()
    check_figure_path(options.picture)
    if options.table is not None:
        check_path(options.table)

    judge = tfgen.load_pretrained("glyph_classifier")
    test = tfgen.load_dataset("glyphs/color_64", "test", batch_size=10_000, labels=True)
    real = score(*(array.numpy() for array in next(iter(test))), judge)
    print(f"{'kind':>16} seed steps" + "".join(f"{x:>10}" for x in FIGURES))
    print(f"{'test letters':>16}{'':11}" + "".join(f"{x:10.4f}" for x in real))
    rows = [["test letters", 0, 0, *real]]
    asked = np.repeat(np.arange(LETTERS), 100)
    for seed in range(options.seeds):
        for kind in options.kinds:
            keras.utils.set_random_seed(seed)
            gan = tfgen.GAN(
                build_generator(kind, options.width),
                tfgen.build_discriminator(
                    SHAPE, options.width * 2 // 3, classes=LETTERS
                ),
                classes=LETTERS,
                average_decay=options.decay,
                seed=seed,
            )
            gan.compile()
            data = tfgen.load_dataset(
                "glyphs/color_64",
                batch_size=options.batch_size,
                labels=True,
                seed=seed,
            )
            batches = iter(data.repeat())
            for _ in range(options.marks):
                part = options.steps // options.marks
                gan.fit(batches, steps_per_epoch=part, verbose=0)
                figures = score(gan.sample(labels=asked, seed=1), asked, judge)
                steps = int(gan.generator_optimizer.iterations)
                rows.append([kind, seed, steps, *figures])
                text = "".join(f"{value:10.4f}" for value in figures)
                print(f"{kind:>16} {seed:4} {steps:5}{text}", flush=True)
                if options.table is not None:
                    write_table(options.table, rows)

    if options.picture is not None:
        letters = gan.sample(labels=np.arange(104) % LETTERS, seed=2)
        tfgen.show_images(letters, columns=26, path=options.picture, source="generated")


if __name__ == "__main__":
    main()
