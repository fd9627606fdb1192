"""Fruit and vegetables on request, from a few hundred photos, with augmentation and
without.

    python benchmarks/fruit.py --table notebooks/tables/fruit.csv
        --picture notebooks/pictures/fruit_64.png

The GAN is that of chapter 6, wider: 64 x 64 pixels, a generator that enlarges and then
convolves, eight classes drawn equally often, random crops and mirror images. The
second run changes what the discriminator sees, real and drawn images alike, as
Zhao et al. do (2020, arXiv:2006.10738). A row of the table is one moment of one run:

- read, colour: shares of 800 samples that a small classifier and the nearest mean
  colour take for the class asked for;
- training, held_out: shares of real photos that the discriminator takes for real, of
  those that it has seen and of the test photos;
- distance, reference: the mean root-mean-square difference of a sample, and of a test
  photo, to the nearest crop of a training photo of its class.

The picture has a row for each class: drawn, and to its right the nearest crop.
"""

import argparse
import csv
import io

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import tfgen
from tfgen.plot.display import check_figure_path
from tfgen.writing import check_path, write_whole

CLASSES = ["Aubergine", "Banana", "Carrots", "Kiwi"]
CLASSES += ["Lime", "Orange", "Pomegranate", "Tomato"]
SIDE, LATENT_DIM = 64, 100
FIGURES = "read colour training held_out distance reference".split()


# --- Photos -----------------------------------------------------------------


def load_photos(split):
    """Photos of 80 pixels, (n, 80, 80, 3), with the numbers of their classes."""
    data = tfgen.load_dataset(
        "groceries", split, image_size=80, batch_size=10_000, labels=True, seed=0
    )
    photos, labels = (array.numpy() for array in next(iter(data)))
    wanted = [data.class_names.index(name) for name in CLASSES]
    chosen = np.isin(labels, wanted)
    numbers = [wanted.index(label) for label in labels[chosen]]
    return photos[chosen], np.array(numbers)


def balance(labels):
    """Indices in which every class is as frequent as the most frequent one."""
    most = np.bincount(labels).max()
    return np.concatenate(
        [np.resize(np.flatnonzero(labels == k), most) for k in range(len(CLASSES))]
    )


def random_crop(photo, label):
    crop = tf.image.random_crop(photo, (SIDE, SIDE, 3))
    return tf.image.random_flip_left_right(crop), label


def make_dataset(photos, labels, batch_size):
    """An epoch of random crops, each class equally often."""
    even = balance(labels)
    data = tf.data.Dataset.from_tensor_slices((photos[even], labels[even]))
    return data.shuffle(len(even)).map(random_crop).batch(batch_size)


def all_crops(photos, step=4):
    """Crops at every `step` pixels, and their mirror images."""
    starts = range(0, photos.shape[1] - SIDE + 1, step)
    crops = [photos[:, y : y + SIDE, x : x + SIDE] for y in starts for x in starts]
    return np.concatenate([*crops, *(crop[:, :, ::-1] for crop in crops)])


def shrink(images):
    """64 pixels to 32, by averages of 2 x 2."""
    n, side = len(images), images.shape[1] // 2
    return images.reshape(n, side, 2, side, 2, 3).mean(axis=(2, 4))


def find_nearest(images, labels, photos, photo_labels):
    """The nearest crop of a photo of the same class, and its RMS difference."""
    nearest = np.empty_like(images)
    distances = np.empty(len(images))
    for k in np.unique(labels):
        mine = labels == k
        crops = all_crops(photos[photo_labels == k])
        indices, distance = tfgen.nearest_neighbors(shrink(images[mine]), shrink(crops))
        nearest[mine] = crops[indices]
        distances[mine] = distance / np.sqrt(32 * 32 * 3)
    return nearest, distances


# --- Networks ---------------------------------------------------------------


def build_resizing_generator(width):
    """A generator without transposed convolutions: enlarge, then convolve."""
    network = keras.Sequential([layers.Input((LATENT_DIM + len(CLASSES),))])
    network.add(layers.Dense(8 * 8 * 4 * width, use_bias=False))
    network.add(layers.Reshape((8, 8, 4 * width)))
    for filters in (2 * width, width, 3):
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.UpSampling2D(interpolation="bilinear"))
        network.add(layers.Conv2D(filters, 3, padding="same"))
    network.add(layers.Activation("sigmoid", dtype="float32"))
    return network


def augment(images):
    """Shift, brighten and cut a square out of each image, differently."""
    n, side = tf.shape(images)[0], images.shape[1]
    pixels = tf.range(side)

    def draw(low, high, dtype=tf.int32):
        return tf.random.uniform((n, 1), low, high, dtype)

    for axis in (1, 2):
        places = tf.clip_by_value(pixels + draw(-8, 9), 0, side - 1)
        images = tf.gather(images, places, axis=axis, batch_dims=1)
    images += draw(-0.2, 0.2, tf.float32)[:, :, None, None]
    rows, columns = (abs(pixels - draw(0, side)) < side // 4 for _ in range(2))
    hole = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(hole, 0.5, images)


class AugmentedGAN(tfgen.GAN):
    """A GAN whose discriminator learns from changed images only."""

    def judge(self, images, labels, training=False):
        images = augment(images) if training else images
        return super().judge(images, labels, training)


# --- Runs -------------------------------------------------------------------


def write_table(path, rows):
    """Write all rows so far, so that a run that is stopped leaves them."""
    text = io.StringIO()
    heads = ["run", "steps", *FIGURES]
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    write_whole(path, text.getvalue().encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=2000, help="of each run")
    parser.add_argument("--marks", type=int, default=10, help="rows of each run")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", help="write the figures here, as CSV")
    parser.add_argument("--picture", help="write the samples of the last run here")
    options = parser.parse_args()
    check_figure_path(options.picture)
    if options.table is not None:
        check_path(options.table)

    keras.utils.set_random_seed(options.seed)
    photos, labels = load_photos("train")
    test, test_labels = load_photos("test")
    test = test[:, 8:-8, 8:-8]
    print(f"{len(photos)} photos for training, {len(test)} for the test")

    def small(crops, numbers):
        return tf.image.resize(crops, (32, 32), "area"), numbers

    data = make_dataset(photos, labels, 32)
    classifier = tfgen.train_classifier(data.map(small), epochs=8, verbose=0)
    means = photos.mean(axis=(1, 2))
    means = np.stack([means[labels == k].mean(axis=0) for k in range(len(CLASSES))])

    def read(images):
        """The classes that the classifier and the mean colour name."""
        _, probabilities = tfgen.classifier_features(classifier, shrink(images))
        nearest, _ = tfgen.nearest_neighbors(images.mean(axis=(1, 2)), means)
        return probabilities.argmax(axis=1), nearest

    for name, said in zip(("classifier", "mean colour"), read(test), strict=True):
        print(f"{name}: {np.mean(said == test_labels):.1%} of the test photos")
    _, reference = find_nearest(test, test_labels, photos, labels)

    asked = np.repeat(np.arange(len(CLASSES)), 100)
    rows = []
    print(f"{'run':>10} steps" + "".join(f"{name:>10}" for name in FIGURES))
    for name, model in (("plain", tfgen.GAN), ("augmented", AugmentedGAN)):
        keras.utils.set_random_seed(options.seed)
        gan = model(
            build_resizing_generator(options.width),
            tfgen.build_discriminator(
                (SIDE, SIDE, 3), options.width * 2 // 3, classes=len(CLASSES)
            ),
            classes=len(CLASSES),
            average_decay=0.999,
            seed=options.seed,
        )
        gan.compile()
        data = make_dataset(photos, labels, options.batch_size).repeat()
        batches = iter(data)
        for mark in range(options.marks + 1):
            if mark:
                gan.fit(
                    batches, steps_per_epoch=options.steps // options.marks, verbose=0
                )
            samples = gan.sample(labels=asked, seed=1)
            shares = [np.mean(said == asked) for said in read(samples)]
            for images, numbers in (
                (photos[:, 8:-8, 8:-8], labels),
                (test, test_labels),
            ):
                logits = [
                    gan.judge(images[i : i + 100], numbers[i : i + 100, None])
                    for i in range(0, len(images), 100)
                ]
                shares.append(np.mean(np.concatenate(logits) > 0))
            few = np.arange(0, len(asked), 10)
            _, distances = find_nearest(samples[few], asked[few], photos, labels)
            steps = int(gan.generator_optimizer.iterations)
            figures = [*shares, distances.mean(), reference.mean()]
            rows.append([name, steps, *(round(x, 4) for x in figures)])
            text = "".join(f"{value:10.3f}" for value in figures)
            print(f"{name:>10} {steps:5d}{text}", flush=True)
            if options.table is not None:
                write_table(options.table, rows)

    if options.picture is not None:
        asked = np.repeat(np.arange(len(CLASSES)), 4)
        samples = gan.sample(labels=asked, seed=2)
        nearest, _ = find_nearest(samples, asked, photos, labels)
        pairs = np.stack([samples, nearest], axis=1).reshape(-1, SIDE, SIDE, 3)
        large = pairs.repeat(2, axis=1).repeat(2, axis=2)
        tfgen.show_images(
            large, rows=CLASSES, columns=8, path=options.picture, source="mixed"
        )


if __name__ == "__main__":
    main()
