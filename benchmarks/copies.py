"""Which generators copy their training images, and whom do they miss?

    python benchmarks/copies.py --csv notebooks/tables/copies.csv

Four experiments; `--parts` names some of them. Seeds that the table already holds are
not run again.

- sizes: the small diffusion network of chapter 16, letters A to E of 16 x 16 pixels,
  trained for the same steps on few images and on many. A near copy is nearer to a
  training image than 95 % of the held-out images are; new letters, which chose no
  limit, say how often that happens by chance. The p-value is that of
  `memorization_test` for 500 samples and as many held-out as training images.
- power: how often that test gives p < 0.05 if a share of 400 images are copies of
  training images under noise and the rest are new letters.
- groceries: how far are 140 samples of the network of the package, four of each class,
  from all windows of the photos of their class, and of their mirror images; as many
  photos from the others of their class; and windows of photos, mirrored or not, under
  noise. RMS differences at half of the size. The network saw 920 photos more.
- rare: one of the five letters has 1 % of the training images. Its share among samples
  that are told no letter; how often it is read as asked for, if it is asked for; how
  many of these are near copies. Another letter for each seed; the control has all
  letters alike, and the third run draws its batches evenly from the uneven images.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from scipy.stats import hypergeom

import tfgen
from tfgen.unet import embed
from tfgen.writing import check_path, write_whole

LETTERS, SIDE = 5, 16
SIZES = (20, 63, 200, 2000)
STEPS, BATCH, WIDTH, RATE = 1000, 64, 256, 2e-3
SHARES = (0, 0.05, 0.2, 0.5)
LEVEL = 0.05  # of the images that are no copies, how many are said to be


# --- Letters ----------------------------------------------------------------


def load_letters():
    """All letters A to E, (n, 16, 16, 1), and their numbers, of both splits: their
    poses were drawn alike."""
    images, labels = [], []
    for split in ("train", "test"):
        data = tfgen.load_dataset(
            "glyphs", split, labels=True, batch_size=30_000, shuffle=False
        )
        x, y = next(iter(data.as_numpy_iterator()))
        images.append(halve(x[y < LETTERS]))
        labels.append(y[y < LETTERS])
    return np.concatenate(images), np.concatenate(labels)


def halve(images):
    """Means of 2 x 2 pixels."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, channels)
    return blocks.mean(axis=(2, 4))


def build_network(width=WIDTH):
    """A network that guesses the clean letter, and gives the velocity towards it."""
    inputs, told = embed((SIDE, SIDE, 1), classes=LETTERS, fastest=100, size=64)
    x = noisy = layers.Flatten()(inputs["image"])
    for _ in range(3):
        x = layers.Concatenate()([x, told])
        x = layers.Dense(width, activation="relu")(x)
    way = layers.Dense(SIDE * SIDE)(x) - noisy
    velocity = way / ops.maximum(1 - inputs["time"], 0.05)
    return keras.Model(inputs, layers.Reshape((SIDE, SIDE, 1))(velocity))


def train(images, labels, seed, steps=STEPS, even=False):
    """A diffusion model after so many batches; `even` draws each letter as often."""
    keras.utils.set_random_seed(seed)
    model = tfgen.Diffusion(
        build_network(),
        classes=LETTERS,
        label_dropout=0.5,
        average_decay=0.99,
        seed=seed,
    )
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=25)
    weights = 1 / np.bincount(labels)[labels] if even else np.ones(len(labels))
    drawn = np.random.default_rng(seed).choice(
        len(images), (steps, BATCH), p=weights / weights.sum()
    )
    data = tf.data.Dataset.from_tensor_slices(drawn)
    data = data.map(lambda i: (tf.gather(images, i), tf.gather(labels, i)))
    model.fit(data, verbose=0)
    return model


def read(classifier, images):
    """Features, and the letter that a classifier of larger images reads, A to Z."""
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    features, probabilities = tfgen.classifier_features(classifier, large)
    return features, probabilities.argmax(axis=1)


def share_of_copies(samples, known, limit_images):
    """How many samples are nearer to a known image than most other images are."""
    _, usual = tfgen.nearest_neighbors(limit_images, known)
    _, distances = tfgen.nearest_neighbors(samples, known)
    return np.mean(distances < np.quantile(usual, LEVEL))


def measure_sizes(seed, steps=STEPS, count=500):
    classifier = tfgen.load_pretrained("glyph_classifier")
    images, labels = load_letters()
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order], labels[order]
    held_out, fresh = images[2000:4000], images[4000:]
    real, names = read(classifier, held_out[:1500])
    yield "real", "named as they are", np.mean(names == labels[2000:3500])
    for size in SIZES:
        start = time.perf_counter()
        known = images[:size]
        model = train(known, labels[:size], seed, steps)
        samples = model.sample(count, guidance=0, seed=seed, verbose=0)
        yield size, "copies", share_of_copies(samples, known, held_out)
        yield size, "copies, new letters", share_of_copies(fresh, known, held_out)
        test = tfgen.memorization_test(samples, known, held_out[:size])
        yield size, "share of training images", test["share"]
        yield size, "p-value", test["p_value"]
        features, _ = read(classifier, samples)
        yield size, "Frechet distance", tfgen.frechet_distance(real, features)
        distance = tfgen.frechet_distance(real, read(classifier, fresh[:count])[0])
        yield size, "Frechet distance, new letters", distance
        yield size, "seconds", time.perf_counter() - start


# --- The power of the test --------------------------------------------------


def measure_power(seed, count=400, trials=2000):
    images, _ = load_letters()
    rng = np.random.default_rng(seed)
    images = images[rng.permutation(len(images))]
    heap, fresh = images[:4000], images[4000:]
    half = len(heap) // 2
    noisy = tfgen.add_gaussian_noise(heap, seed, sigma=10, clip=True)["image"]
    copied, _ = tfgen.nearest_neighbors(noisy, heap)
    near, _ = tfgen.nearest_neighbors(fresh, heap)
    yield "copies", "found again", np.mean(copied == np.arange(len(heap)))
    for share in SHARES:
        bad = round(share * count)
        counts = []
        for _ in range(trials):
            known = rng.permutation(len(heap)) < half  # whom it was trained on
            stolen = copied[rng.choice(np.flatnonzero(known), bad)]
            honest = rng.permutation(near)[: count - bad]
            distinct = np.unique(np.concatenate([stolen, honest]))
            counts.append((known[distinct].sum(), len(distinct)))
        hits, found = np.transpose(counts)
        p_values = hypergeom.sf(hits - 1, len(heap), half, found)
        yield f"{share:.0%}", "p below 0.05", np.mean(p_values < 0.05)


# --- Groceries --------------------------------------------------------------


def load_photos():
    """All photos of the package, (n, 80, 80, 3), and the names of their classes."""
    photos, names = [], []
    for split in ("train", "validation", "test"):
        data = tfgen.load_dataset(
            "groceries", split, labels=True, batch_size=10_000, shuffle=False
        )
        x, y = next(iter(data.as_numpy_iterator()))
        photos.append(x)
        names.append(np.array(data.class_names)[y])
    return np.concatenate(photos), np.concatenate(names)


def cut_windows(photos, rng, side=64):
    """One random window of each photo."""
    room = photos.shape[1] - side + 1
    places = rng.integers(0, room, (len(photos), 2))
    pairs = zip(photos, places, strict=True)
    return np.stack(
        [x[top : top + side, left : left + side] for x, (top, left) in pairs]
    )


def measure_groceries(seed, each=4):
    model = tfgen.load_pretrained("groceries")
    photos, names = load_photos()
    rng = np.random.default_rng(seed)
    distances = {"samples": [], "photos": [], "copies": []}
    for number, name in enumerate(model.label_names):
        mine = photos[names == name]
        known = halve(mine)
        drawn = model.sample(each, labels=name, seed=100 * seed + number, verbose=0)
        distances["samples"] += [*window_distances(drawn, known).min(axis=1)]
        chosen = rng.permutation(len(mine))[:each]
        windows = cut_windows(mine[chosen], rng)
        far = window_distances(windows, known)
        far[np.arange(len(chosen)), chosen] = np.inf
        distances["photos"] += [*far.min(axis=1)]
        windows[::2] = windows[::2, :, ::-1]
        noisy = tfgen.add_gaussian_noise(windows, number, sigma=10, clip=True)["image"]
        distances["copies"] += [*window_distances(noisy, known).min(axis=1)]
    for kind, values in distances.items():
        for name, level in {"least": 0, "5 %": 0.05, "median": 0.5, "most": 1}.items():
            yield kind, name, np.quantile(values, level)


def window_distances(images, known):
    return tfgen.window_distances(halve(np.asarray(images)), known, mirror=True)


# --- A rare letter ----------------------------------------------------------


def choose(labels, counts, rng):
    """Indices of so many images of each letter, and of all the others."""
    order = rng.permutation(len(labels))
    parts = [order[labels[order] == k][:count] for k, count in enumerate(counts)]
    chosen = rng.permutation(np.concatenate(parts))
    return chosen, rng.permutation(np.setdiff1d(order, chosen))


def measure_rare(seed, steps=STEPS, count=2000, asked=200):
    classifier = tfgen.load_pretrained("glyph_classifier")
    images, labels = load_letters()
    rare = seed % LETTERS
    some = np.random.default_rng(seed).permutation(len(images))[:1500]
    _, names = read(classifier, images[some])
    yield "real", "named as they are", np.mean(names == labels[some])
    mine = labels[some] == rare
    yield "real", "the rare letter named so", np.mean(names[mine] == rare)
    yield "real", "others named so", np.mean(names[~mine] == rare)
    even = [400] * LETTERS
    uneven = [20 if k == rare else 495 for k in range(LETTERS)]
    for run, counts in {
        "even": even,
        "uneven": uneven,
        "uneven, even batches": uneven,
    }.items():
        chosen, rest = choose(labels, counts, np.random.default_rng(seed))
        model = train(
            images[chosen], labels[chosen], seed, steps, run.endswith("batches")
        )
        yield run, "share in the data", np.mean(labels[chosen] == rare)
        samples = model.sample(count, guidance=0, seed=seed, verbose=0)
        _, names = read(classifier, samples)
        yield run, "share, told no letter", np.mean(names == rare)
        yield run, "no letter of the five", np.mean(names >= LETTERS)
        for guise, letter in {"rare": rare, "next": (rare + 1) % LETTERS}.items():
            drawn = model.sample(asked, labels=letter, seed=seed, verbose=0)
            features, names = read(classifier, drawn)
            known = images[chosen][labels[chosen] == letter]
            others = images[rest][labels[rest] == letter]
            half = len(others) // 2
            yield run, f"{guise}: read as asked", np.mean(names == letter)
            yield run, f"{guise}: copies", share_of_copies(drawn, known, others[:half])
            chance = share_of_copies(others[half:], known, others[:half])
            yield run, f"{guise}: copies, new letters", chance
            test = tfgen.memorization_test(drawn, known, others[: len(known)])
            yield run, f"{guise}: p-value", test["p_value"]
            real, _ = read(classifier, others[:asked])
            _, recall = tfgen.precision_recall(real, features[: len(real)])
            yield run, f"{guise}: recall", recall
            distance = tfgen.kernel_distance(real, features[: len(real)])
            yield run, f"{guise}: kernel distance", distance


# --- The table --------------------------------------------------------------


PARTS = {
    "sizes": measure_sizes,
    "power": measure_power,
    "groceries": measure_groceries,
    "rare": measure_rare,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    rows = []
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
    for part in options.parts:
        for seed in options.seeds:
            if any(row[:2] == [part, str(seed)] for row in rows):
                continue
            start = time.perf_counter()
            for case, measure, value in PARTS[part](seed):
                rows.append([part, str(seed), str(case), measure, f"{value:.4g}"])
                print(*rows[-1], sep="\t", flush=True)
            print(
                f"{part}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True
            )
            if options.csv is not None:
                write_table(options.csv, rows)


def write_table(path, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "seed", "case", "measure", "value"])
    order = [*PARTS]
    writer.writerows(sorted(rows, key=lambda row: (order.index(row[0]), int(row[1]))))
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
