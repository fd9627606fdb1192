"""Train a GAN on pictures and draw new ones.

    python gan.py photos/                      a folder of pictures
    python gan.py fashion_mnist --channels 1   a TensorFlow Datasets set

Writes samples.png, again and again, and gan.keras: 64 normal numbers make a picture.
Labels, resuming, many GPUs: the full version with all of that: tfgen/gan.py
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image, ImageOps

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", help="folder of pictures, or name of a TFDS set")
parser.add_argument("--size", type=int, default=32, choices=(16, 28, 32, 64, 128))
parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--minutes", type=float, default=10)
parser.add_argument("--seed", type=int, default=0)
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def load(data, size, channels, batch, cuts=1):
    """Endless training batches and up to 1000 held-out images, of every tenth file: (n,
    size, size, channels) in [0, 1], a picture's shrunk middle or random cuts of it."""
    if is_folder := Path(data).is_dir():
        names = sorted(map(str, Path(data).rglob("*")))
        names = [name for name in names if name.lower().endswith(ENDINGS)]
        train = [name for number, name in enumerate(names) if number % 10]
        train = tf.data.Dataset.from_tensor_slices(train).shuffle(10**6)
        held_out = tf.data.Dataset.from_tensor_slices(names[::10])
    else:
        try:
            import tensorflow_datasets as tfds

            sets = tfds.load(data, split=["train[:90%]", "train[90%:]"])
            train, held_out = (examples.map(lambda x: x["image"]) for examples in sets)
        except Exception as error:
            sys.exit(f"{data} is no folder and no TFDS set: {error}".splitlines()[0])
    count, room = len(train), 10**9 // (size * size * channels)  # that memory may hold
    damaged, rng = set(), np.random.default_rng(0)

    def read(item):
        try:
            image = Image.open(item) if is_folder else Image.fromarray(item.squeeze())
            if image.mode.startswith("I"):  # 16 bits
                image = image.convert("I").point(lambda value: value / 257).convert("L")
            image = ImageOps.exif_transpose(image).convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if cuts == 1 or min(image.size) < size:  # a small photo is enlarged
                image = ImageOps.fit(image, (size, size))
            pixels = np.atleast_3d(image.convert("L" if channels == 1 else "RGB"))
        except Exception as error:  # Pillow raises many kinds
            damaged.add(str(item)[:200])
            print(f"{len(damaged)} left out: {str(item)[:200]}: {error}", flush=True)
            return np.zeros((0, size, size, channels), np.uint8)
        corners = rng.integers(np.subtract(pixels.shape[:2], size - 1), size=(cuts, 2))
        return np.stack([pixels[y : y + size, x : x + size] for y, x in corners])

    train = train.map(lambda x: tf.numpy_function(read, [x], tf.uint8), 4).unbatch()
    held_out = held_out.map(lambda x: tf.numpy_function(read, [x], tf.uint8)).unbatch()
    held_out = [*held_out.take(min(1000, room // 20)).as_numpy_iterator()]
    if not held_out or not [*train.take(1)]:
        sys.exit(f"{data}: too few pictures {ENDINGS} that can be read.")
    train = train.cache() if cuts == 1 and count < room else train
    train = train.shuffle(min(2000, room)).repeat().batch(batch).prefetch(2)
    return train.map(lambda x: tf.cast(x, tf.float32) / 255), np.float32(held_out) / 255


def build_networks(size, channels):
    levels = max(1, (size - 1).bit_length() - 3)  # halvings, down to at most 8 pixels
    side = size // 2**levels
    widths = [min(48 * 2**level, 384) for level in range(levels)]
    up = [layers.Input((64,)), layers.Dense(side * side * widths[-1])]
    up += [layers.Reshape((side, side, widths[-1]))]
    for filters in (*widths[-2::-1], channels):
        up += [layers.BatchNormalization(momentum=0.9), layers.ReLU()]
        up += [layers.Conv2DTranspose(filters, 4, 2, "same")]
    down = [layers.Input((size, size, channels)), layers.Rescaling(2, -1)]
    for level, filters in enumerate(widths):
        down += [layers.Conv2D(filters, 4, 2, "same")]
        down += [layers.BatchNormalization(momentum=0.9)] if level else []
        down += [layers.LeakyReLU(0.2)]
    up, down = [*up, layers.Activation("sigmoid")], [*down, layers.Flatten()]
    return keras.Sequential(up), keras.Sequential([*down, layers.Dense(1)])


@tf.function
def train_step(images, generator, discriminator, optimizers, average, decay):
    with tf.GradientTape(persistent=True) as tape:
        latents = tf.random.normal((tf.shape(images)[0], 64))
        fake = discriminator(generator(latents, training=True), training=True)
        real = discriminator(images, training=True)
        loss = tf.reduce_mean(tf.nn.softplus(-fake))  # non-saturating
        d_loss = tf.reduce_mean(tf.nn.softplus(-real) + tf.nn.softplus(fake))
    variables, others = generator.trainable_variables, discriminator.trainable_variables
    optimizers[0].apply(tape.gradient(loss, variables), variables)
    optimizers[1].apply(tape.gradient(d_loss, others), others)
    for mean, weight in zip(average.weights, generator.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * weight)


def main():
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    generator, discriminator = build_networks(args.size, args.channels)
    average = keras.models.clone_model(generator)  # of late weights: draws best
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in (2e-3, 5e-4)]
    train, held_out = load(args.data, args.size, args.channels, args.batch)
    real, others = held_out[::2], held_out[len(held_out) > 1 :: 2]
    look = [layers.Conv2D(64, 5, 2, "same", activation="relu") for _ in range(3)]
    look = keras.Sequential([*look, layers.GlobalAveragePooling2D()])  # never trained

    def distance(images):  # of the means and spreads of random features, squared
        x, y = (look.predict(z, verbose=0) for z in (images, real))
        x = (x - y.mean(0)) / (y.std(0) + 1e-6)
        return np.mean(x.mean(0) ** 2 + (x.std(0) - 1) ** 2)

    blends = distance((others + np.roll(others, 1, axis=0)) / 2)
    scale = f"distance (real {distance(others):.3f}, two in one {blends:.3f})"
    latents, start, report = tf.random.normal((500, 64)), time.time(), 0
    with contextlib.suppress(KeyboardInterrupt):
        for step, images in enumerate(train):
            decay = tf.constant(min(0.99, step / (10 + step)))
            train_step(images, generator, discriminator, optimizers, average, decay)
            seconds = time.time() - start
            if seconds > min(report, 60 * args.minutes):
                samples = average.predict(latents, verbose=0)
                rows = [np.hstack(samples[i : i + 8]) for i in range(0, 64, 8)]
                keras.utils.save_img("new.png", 255 * np.vstack(rows), scale=False)
                Path("new.png").replace("samples.png")  # never half a picture
                print(f"{seconds:4.0f} s: {distance(samples):.3f} {scale}", flush=True)
                report = time.time() - start + min(20, 6 * args.minutes)
            if seconds > 60 * args.minutes:
                break
    average.save("gan.keras")
    print("Wrote gan.keras, samples.png. Distance from held-out ones: less is better.")


if __name__ == "__main__":
    main()
