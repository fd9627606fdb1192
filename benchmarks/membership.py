"""Was this image in the training set? Attacks on three kinds of models.

    python benchmarks/membership.py --csv notebooks/tables/membership.csv     # 3 seeds

Letters shrunk to 16 x 16 pixels, drawn at random from one pool: 2,000 others, 200 for
one model and 5,000 for another, which trains for as many steps. Up to 2,000 of its
letters are the members. Higher scores say "member": an importance-weighted bound of the
log likelihood (VAE), the logit of the discriminator (GAN), minus the mean loss at fixed
noises and times (diffusion). Each is compared with

- "control": the score of the model that was trained on the other letters,
- "calibrated": the score less the control's, as some letters are hard for any model,
- "brightness" of the letter, which asks no model.

Given are the AUC, and the share of the members that is found at 1 % false positives
with its 95 % interval (Wilson) for these members, the threshold taken as known. Sizes
and steps of the VAE and the GAN were chosen with seed 0, the diffusion model and its
times with seed 9. Rows that the table already holds are not computed again.
"""

import argparse
import csv
import io
import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from scipy.integrate import trapezoid

import tfgen
from tfgen.writing import check_path, write_whole

SHAPE, FEW, MANY, OTHERS = (16, 16, 1), 200, 5000, 2000
STEPS = {"vae": 800, "gan": 800, "diffusion": 2000}
TIMES, DRAWS = (0.8, 0.9), 4  # of the path from noise at 0 to the image at 1
COLUMNS = "model images score seed members others auc found low high".split()


def load_letters(split="train"):
    batches = tfgen.load_dataset("glyphs", split, shuffle=False, batch_size=500)
    large = np.concatenate(list(batches.as_numpy_iterator()))
    return large.reshape(-1, 16, 2, 16, 2, 1).mean(axis=(2, 4))


def build_velocity(width=512):
    """Fully connected, as it learns by heart in seconds on a processor."""
    image, when = layers.Input(SHAPE, name="image"), layers.Input((1,), name="time")
    x = layers.Flatten()(image)
    for _ in range(2):
        x = layers.Dense(width, activation="silu")(layers.Concatenate()([x, when]))
    x = layers.Reshape(SHAPE)(layers.Dense(math.prod(SHAPE))(x))
    return keras.Model({"image": image, "time": when}, x)


def build(kind, seed):
    keras.utils.set_random_seed(seed)
    if kind == "vae":
        networks = tfgen.build_encoder(SHAPE), tfgen.build_decoder(SHAPE)
        model = tfgen.VAE(
            *networks, likelihood="gaussian", average_decay=0.99, seed=seed
        )
    elif kind == "gan":
        networks = tfgen.build_generator, tfgen.build_discriminator
        model = tfgen.GAN(*(make(SHAPE, width=16) for make in networks), seed=seed)
    else:
        model = tfgen.Diffusion(build_velocity(), average_decay=0.99, seed=seed)
    optimizer = [keras.optimizers.Adam(2e-3)] if kind == "diffusion" else []
    model.compile(*optimizer, steps_per_execution=50)
    return model


def train(kind, images, seed, steps):
    model = build(kind, seed)
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images), seed=seed)
    model.fit(data.repeat().batch(32).take(steps), verbose=0)
    return model


def score(model, images):
    """One number an image, (n,); the higher, the more likely a member."""
    if isinstance(model, tfgen.VAE):
        return model.log_likelihood(images, samples=10, verbose=0)
    if isinstance(model, tfgen.GAN):
        return model.discriminator.predict(images, batch_size=500, verbose=0)[:, 0]
    rng, clean = np.random.default_rng(0), 2 * images - 1
    losses = []
    for moment in np.repeat(TIMES, DRAWS):
        times = np.full((len(images), 1), moment, np.float32)
        noise = rng.standard_normal((1, *SHAPE), np.float32)  # the same for all images
        points = {"image": tfgen.mix_noise(clean, noise, times), "time": times}
        velocity = model.predict(points, batch_size=500, verbose=0)
        losses.append(
            tfgen.velocity_loss(velocity, tfgen.velocity_target(clean, noise))
        )
    return -np.mean(losses, axis=0)


def attack(members, others):
    """AUC, the share of members found at 1 % false positives, and its interval."""
    false, true = tfgen.roc_curve(members, others)
    found = tfgen.true_positive_rate(members, others, false_positives=0.01)
    interval = tfgen.wilson_interval(round(found * len(members)), len(members))
    return [trapezoid(true, false), found, *interval]


def compare(kind, pool, seed, steps):
    """The rows of both models: few and many letters."""
    order = np.random.default_rng(seed).permutation(len(pool))
    others, few, many, _ = np.split(pool[order], np.cumsum([OTHERS, FEW, MANY]), axis=0)
    models = {len(images): train(kind, images, seed, steps) for images in (few, many)}
    for images, other in ((few, MANY), (many, FEW)):
        sets = images[:OTHERS], others
        own, control = (
            [score(models[size], part) for part in sets]
            for size in (len(images), other)
        )
        scores = {
            "own": own,
            "control": control,
            "calibrated": [a - b for a, b in zip(own, control, strict=True)],
            "brightness": [part.mean(axis=(1, 2, 3)) for part in sets],
        }
        for name, pair in scores.items():
            yield (kind, len(images), name, seed), [*map(len, sets), *attack(*pair)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of each training, in place of ours")
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    rows = {}
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                for kind, images, name, seed, *figures in list(csv.reader(file))[1:]:
                    key = kind, int(images), name, int(seed)
                    rows[key] = [*map(int, figures[:2]), *map(float, figures[2:])]

    pool = load_letters()
    print(*COLUMNS, sep="\t")
    for kind in options.models:
        for seed in options.seeds:
            if (kind, FEW, "own", seed) in rows:
                continue
            start = time.perf_counter()
            steps = options.steps or STEPS[kind]
            for key, figures in compare(kind, pool, seed, steps):
                rows[key] = figures
                print(*key, *(f"{x:.4g}" for x in figures), sep="\t", flush=True)
            print(f"({time.perf_counter() - start:.0f} s)", flush=True)
            if options.csv is not None:
                write_table(options.csv, rows)


def write_table(path, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for key, figures in rows.items():
        writer.writerow(
            [*key, *figures[:2], *(f"{value:.4f}" for value in figures[2:])]
        )
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
