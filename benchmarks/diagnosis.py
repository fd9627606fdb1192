"""Does restoration help a diagnosis? Chest X-rays with few photons, restored in
several ways, and judged by a small classifier.

    python benchmarks/diagnosis.py --choose
    python benchmarks/diagnosis.py --csv notebooks/tables/diagnosis.csv

2,428 X-rays for training, 270 for validation, 468 for testing, half of each with
pneumonia; chapter 14's networks, trained with three seeds, which also seed the noise.
Rows of other seeds that the table holds are kept. Photons, filter and thresholds are
chosen on validation images; `--choose` prints how the first two were. `auc` is the
probability that an ill image scores higher than a healthy one. Sensitivity, the share
of ill images called ill, and specificity, the share of healthy ones called healthy, are
given at a probability of 1/2 and, as `..._90`, at the threshold that 90 % of the
healthy validation images stay below, each way with its own. `lost` counts ill test
images that are called ill with noise and healthy after this way, both with their own
threshold, `found` the reverse. `missed_90_test` is the share of ill test images called
healthy where 90 % of the healthy test images are called so; `lost_twin` and
`found_twin` compare there the restorer that has seen healthy images only with its twin
that has seen as many of both.
"""

import argparse
import csv
import io
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from scipy import stats

import tfgen
from tfgen.measures.classics import CLASSICS
from tfgen.writing import check_path, write_whole

PEAK, FILTER = 8, ("dct", 1.0)  # as `choose` finds
PEAKS, FALL = (64, 32, 16, 8, 4, 2), 0.1
STRENGTHS = 0.6, 1.0, 1.5  # of a filter, where 1 fits the noise
SEEDS = 0, 1, 2
SPLIT_SEEDS = {"train": 0, "validation": 1, "test": 2}

# --- Data -------------------------------------------------------------------


def load(split):
    data = tfgen.load_dataset(
        "chest_xrays", split, labels=True, shuffle=False, batch_size=None
    )
    images, labels = zip(*data.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


# --- Networks, as in chapter 14 ---------------------------------------------


def train_judge(images, labels, seed, corruption=None, epochs=5):
    """A classifier, with one logit: above 0 it says ill. Noise is drawn afresh."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential([layers.Input((28, 28, 1))])
    for filters in (16, 32, 64):
        network.add(layers.Conv2D(filters, 3, strides=2, padding="same"))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.5))
    network.add(layers.Dense(1))
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images), seed=seed).batch(64)
    if corruption:
        seeds = tf.data.Dataset.random(seed=seed).batch(2)
        data = tf.data.Dataset.zip(data, seeds).map(
            lambda pair, seed: (corruption(pair[0], seed)["image"], pair[1])
        )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(2e-3), loss)
    network.fit(data, epochs=epochs, shuffle=False, verbose=0)
    return lambda x: network.predict(x, batch_size=256, verbose=0)[:, 0]


def build_generator(numbers=16):
    """Reads an image into a few numbers, and draws one from them."""
    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 4, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(32, 4, strides=2, padding="same", activation="relu")(x)
    x = layers.Dense(numbers)(layers.Flatten()(x))
    x = layers.Dense(7 * 7 * 32, activation="relu")(x)
    x = layers.Reshape((7, 7, 32))(x)
    x = layers.Conv2DTranspose(16, 4, 2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(1, 4, 2, padding="same", activation="sigmoid")(x)
    return keras.Model({"image": image}, x)


def train_restorer(build, images, seed, corruption, epochs=5):
    keras.utils.set_random_seed(seed)
    restorer = tfgen.Restorer(build(), corruption, average_decay=0.95, seed=seed)
    restorer.compile(keras.optimizers.Adam(3e-3), loss="mean_squared_error")
    restorer.fit(images, batch_size=32, epochs=epochs, verbose=0)
    return restorer.restore


DENOISER = partial(tfgen.build_denoiser, width=16, blocks=1, blind=True)

# --- Filters ----------------------------------------------------------------


def filter_photons(images, peak, name, strength):
    """A filter for Gaussian noise on the square roots of counts, whose noise has a
    standard deviation of about 1 (Anscombe, 1948), and back without bias (Makitalo
    and Foi, 2011)."""
    white = 2 * np.sqrt(peak + 3 / 8)
    roots = 2 * np.sqrt(peak * images + 3 / 8) / white
    sigma = strength * 255 / white
    roots = white * np.stack([CLASSICS["denoise"][name](x, sigma) for x in roots])
    roots = np.maximum(roots, 2 * np.sqrt(3 / 8))
    counts = roots**2 / 4 - 1 / 8 + np.sqrt(3 / 2) / 4 / roots - 11 / 8 / roots**2
    counts += 5 / 8 * np.sqrt(3 / 2) / roots**3
    return np.clip(counts / peak, 0, 1).astype("float32")


# --- Judgements -------------------------------------------------------------


def area(scores, labels):
    """Probability that an ill image scores higher than a healthy one."""
    ill, healthy = scores[labels == 1], scores[labels == 0]
    return stats.mannwhitneyu(ill, healthy).statistic / len(ill) / len(healthy)


def choose(images, labels):
    """Print the most photons with which the area falls by FALL, and the filter with
    the best mean PSNR, on validation images."""
    judge = train_judge(images["train"], labels["train"], seed=0)
    images, labels = images["validation"], labels["validation"]
    clean = area(judge(images), labels)
    for peak in PEAKS:
        noisy = tfgen.add_poisson_noise(images, 1, peak)["image"].numpy()
        fallen = area(judge(noisy), labels)
        print(f"{peak} photons: area {fallen:.3f} instead of {clean:.3f}", flush=True)
        if fallen <= clean - FALL:
            break
    for name in CLASSICS["denoise"]:
        for strength in STRENGTHS:
            restored = filter_photons(noisy, peak, name, strength)
            decibels = tfgen.psnr(images, restored).mean()
            print(f"{name} {strength}: {decibels:.2f} dB", flush=True)


def measure(validation, test, labels):
    """Figures of one way from the scores of its images, and which test images it calls
    ill with its own threshold, and where 90 % of the healthy ones are called so."""
    ill = labels["test"] == 1
    called = test > np.quantile(validation[labels["validation"] == 0], 0.9)
    equally = test > np.quantile(test[~ill], 0.9)
    figures = {
        "auc": area(test, labels["test"]),
        "accuracy": np.mean((test > 0) == ill),
        "sensitivity": np.mean(test[ill] > 0),
        "specificity": np.mean(test[~ill] <= 0),
        "sensitivity_90": np.mean(called[ill]),
        "specificity_90": np.mean(~called[~ill]),
        "missed_90_test": np.mean(~equally[ill]),
    }
    return figures, called[ill], equally[ill]


def run(seed, images, labels):
    """The rows of one seed."""
    corrupt = partial(tfgen.add_poisson_noise, peak=PEAK)
    noisy = {
        split: corrupt(images[split], 10 * seed + number)["image"].numpy()
        for split, number in SPLIT_SEEDS.items()
    }
    classes = [images["train"][labels["train"] == label] for label in (0, 1)]
    halves = np.concatenate([part[::2] for part in classes])
    train = partial(train_restorer, seed=seed, corruption=corrupt)
    judge = train_judge(images["train"], labels["train"], seed)
    judge_noisy = train_judge(images["train"], labels["train"], seed, corrupt)
    restore = train(DENOISER, halves)
    judge_restored = train_judge(restore(noisy["train"]), labels["train"], seed)
    name, strength = FILTER
    ways = {
        "noisy": (judge, lambda x: x),
        "clean": (judge, None),
        "filter": (
            judge,
            partial(filter_photons, peak=PEAK, name=name, strength=strength),
        ),
        "denoiser, both": (judge, restore),
        "denoiser, healthy only": (judge, train(DENOISER, classes[0])),
        "generator, both": (judge, train(build_generator, halves)),
        "generator, healthy only": (judge, train(build_generator, classes[0])),
        "classifier for noisy": (judge_noisy, lambda x: x),
        "classifier for restored": (judge_restored, restore),
    }
    called, equally = {}, {}
    for way, (scorer, change) in ways.items():
        given = {
            split: change(noisy[split]) if change else images[split]
            for split in ("validation", "test")
        }
        scores = (scorer(given[split]) for split in ("validation", "test"))
        figures, called[way], equally[way] = measure(*scores, labels)
        decibels = tfgen.psnr(images["test"], given["test"]).mean()
        row = {"seed": seed, "peak": PEAK, "way": way, "psnr": f"{decibels:.2f}"}
        row |= {key: f"{value:.3f}" for key, value in figures.items()}
        row["lost"], row["found"] = changes(called["noisy"], called[way])
        twin = way.replace("healthy only", "both")
        pair = changes(equally[twin], equally[way]) if twin != way else ("", "")
        row["lost_twin"], row["found_twin"] = pair
        print(*row.values(), flush=True)
        yield row


def changes(before, after):
    return np.sum(before & ~after), np.sum(~before & after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="where to put the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--choose", action="store_true", help="print the choices")
    options = parser.parse_args()
    rows = []
    if options.csv:
        check_path(options.csv)
        if Path(options.csv).exists():
            with open(options.csv, encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
    rows = [row for row in rows if int(row["seed"]) not in options.seeds]
    images, labels = {}, {}
    for split in SPLIT_SEEDS:
        images[split], labels[split] = load(split)
    if options.choose:
        choose(images, labels)
        return
    for seed in options.seeds:
        start = time.perf_counter()
        rows += run(seed, images, labels)
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        if options.csv:
            table = io.StringIO()
            writer = csv.DictWriter(table, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(rows, key=lambda row: int(row["seed"])))
            write_whole(options.csv, table.getvalue().encode())


if __name__ == "__main__":
    main()
