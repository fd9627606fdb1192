"""Can one tell? Detectors of drawn letters, each of one generator, asked about others.

    python benchmarks/detection.py --csv notebooks/tables/detection.csv     # 3 seeds

Letters of 16 x 16 pixels, halved from `glyphs`. For each seed a VAE, a GAN and a
diffusion model are trained on the same 8,000 letters, and each a second time with
another seed. Detectors learn 2,000 of these letters against as many samples of one
generator, all rounded to bytes. An image is called drawn if its score is above that of
95 % of 1,000 further real letters. Each row has the share of 1,000 images that is
called drawn, by four scores: `whole`, the network of chapter 16; `cut`, the same for
images whose darkest and brightest tenth were made black and white; `faint`, the share
of pixels that are nearly black, but not quite; `grey`, the share of grey pixels of the
cut images. Real letters are new poses (false alarms); JPEG files have the quality 75.
Seeds that the table already holds are not run again.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

import tfgen
from tfgen.writing import check_path, write_whole

SHAPE, LETTERS, LEARNED, TESTED = (16, 16, 1), 8000, 2000, 1000
STEPS = {"VAE": 300, "GAN": 400, "diffusion": 250}  # of 64, 32 and 64 letters
OTHER, QUALITY = 100, 75  # added for the second seed of a generator; of JPEG files


def to_bytes(images):
    return np.float32(np.rint(255 * np.clip(images, 0, 1)) / 255)


def load_letters(split, count):
    data = tfgen.load_dataset("glyphs", split, batch_size=500, shuffle=True, seed=0)
    images = np.concatenate([*data.take(-(-count // 500)).as_numpy_iterator()])
    return to_bytes(tfgen.downsample(images[:count], scale=2)["image"])


def compress(images, quality=QUALITY):
    return to_bytes(tfgen.compress_jpeg(images, quality=quality)["image"])


# --- Generators -------------------------------------------------------------


def train(kind, letters, seed):
    """A generator, trained with all of its seeds at `seed`."""
    keras.utils.set_random_seed(seed)
    batch = 32 if kind == "GAN" else 64
    if kind == "VAE":
        networks = tfgen.build_encoder(SHAPE), tfgen.build_decoder(SHAPE)
        model = tfgen.VAE(*networks, average_decay=0.98, seed=seed)
        letters = np.round(letters)  # its pixels are coins
    elif kind == "GAN":
        networks = tfgen.build_generator(SHAPE), tfgen.build_discriminator(SHAPE)
        model = tfgen.GAN(*networks, seed=seed)
    else:
        model = tfgen.Diffusion(tfgen.build_denoising_unet(SHAPE, width=32), seed=seed)
    model.compile()
    order = np.random.default_rng(seed).integers(len(letters), size=STEPS[kind] * batch)
    model.fit(letters[order], batch_size=batch, shuffle=False, verbose=0)
    return model


def draw(model, count, seed):
    options = {}
    if isinstance(model, tfgen.Diffusion):
        options = {"steps": 10, "verbose": 0}
    return to_bytes(model.sample(count, seed=seed, **options))


# --- Detectors --------------------------------------------------------------


def build_detector():
    network = keras.Sequential([layers.Input(SHAPE)])
    for filters in (16, 32):
        network.add(layers.Conv2D(filters, 3, strides=2, padding="same"))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
    network.add(layers.Flatten())
    network.add(layers.Dense(1))
    return network


def train_detector(real, drawn, seed, epochs=4):
    """A function that scores how drawn each image looks."""
    keras.utils.set_random_seed(seed)
    network = build_detector()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(2e-3), loss)
    images, labels = np.concatenate([real, drawn]), np.arange(2).repeat(len(real))
    network.fit(images, labels, batch_size=64, epochs=epochs, verbose=0)
    return lambda x: network.predict(x, batch_size=500, verbose=0)[:, 0]


def faint_share(images):
    return ((images > 0) & (images < 0.1)).mean(axis=(1, 2, 3))


def grey_share(images):
    return ((images > 0.1) & (images < 0.9)).mean(axis=(1, 2, 3))


def cut_ends(images):
    """The darkest and the brightest tenth become black and white."""
    return to_bytes((images - 0.1) / 0.8)


def build_scores(real, drawn, seed):
    """Four functions that score how drawn each image looks."""
    whole = train_detector(real, drawn, seed)
    cut = train_detector(cut_ends(real), cut_ends(drawn), seed)
    return {
        "whole": whole,
        "cut": lambda images: cut(cut_ends(images)),
        "faint": faint_share,
        "grey": lambda images: grey_share(cut_ends(images)),
    }


# --- The table --------------------------------------------------------------


def measure(seed, letters, real):
    """The rows of a seed: what each detector calls drawn."""
    models = {
        (kind, other): train(kind, letters, seed + other)
        for kind in STEPS
        for other in (0, OTHER)
    }
    drawn = {
        (kind, "another seed" if other else "new samples"): draw(model, TESTED, 2)
        for (kind, other), model in models.items()
    }
    for kind in STEPS:
        learned = letters[:LEARNED], draw(models[kind, 0], LEARNED, 1)
        cases = {
            "real letters": real,
            "real, JPEG": compress(real),
            "new samples": drawn[kind, "new samples"],
            "new samples, JPEG": compress(drawn[kind, "new samples"]),
            "another seed": drawn[kind, "another seed"],
        }
        others = (other for other in STEPS if other != kind)
        cases |= {other: drawn[other, "new samples"] for other in others}
        scores = build_scores(*learned, seed)
        further = letters[LEARNED : LEARNED + TESTED]
        limits = {
            way: np.quantile(score(further), 0.95) for way, score in scores.items()
        }
        for case, images in cases.items():
            shares = [
                np.mean(score(images) > limits[way]) for way, score in scores.items()
            ]
            yield [kind, seed, case, len(images), *(f"{share:.3f}" for share in shares)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    rows = []
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
    letters, real = load_letters("train", LETTERS), load_letters("test", TESTED)
    for seed in options.seeds:
        if any(row[1] == str(seed) for row in rows):
            continue
        start = time.perf_counter()
        for row in measure(seed, letters, real):
            print(*row, sep="\t", flush=True)
            rows.append([str(value) for value in row])
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
        if options.csv is not None:
            write_table(options.csv, rows)


def write_table(path, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow("learned seed case images whole cut faint grey".split())
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
