"""Train a diffusion model on pictures and draw new ones, from noise, in 20 steps.

    python diffusion.py photos/                      a folder of pictures
    python diffusion.py fashion_mnist --channels 1   a TensorFlow Datasets set

Writes samples.png, again and again, and diffusion.keras: picture and time to velocity.
Labels, resuming, many GPUs: the full version with all of that: tfgen/diffusion.py
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
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


def build_network(size, channels):  # a U-Net that is told the time
    noisy, when = layers.Input((size, size, channels)), layers.Input((1, 1, 1))
    told = layers.Dense(128, "silu")(ops.sin(when * np.geomspace(1, 99, 32, dtype="f")))

    def block(x, width):
        y = layers.Conv2D(width, 3, 1, "same")(layers.RMSNormalization()(x))
        y = ops.relu(y * (1 + layers.Dense(width)(told)) + layers.Dense(width)(told))
        return x + layers.Conv2D(width, 3, 1, "same", kernel_initializer="zeros")(y)

    x, skips = noisy, []
    widths = [min(48 * 2**k, 192) for k in range((size - 1).bit_length() - 3)]
    for width in widths:  # down to at most 8 pixels
        skips += [x := block(layers.Conv2D(width, 4, 2, "same")(x), width)]
    for width, skip in zip(widths[::-1], skips[::-1], strict=True):
        x = x if x is skip else layers.Conv2DTranspose(width, 4, 2, "same")(x) + skip
        x = block(block(x, width), width)
    return keras.Model([noisy, when], layers.Conv2DTranspose(channels, 4, 2, "same")(x))


def mix(images):  # points between noise, time 0, and pictures, 1; the velocity there
    x, noise = 2 * images - 1, tf.random.normal(tf.shape(images))
    when = tf.sigmoid(tf.random.normal((tf.shape(images)[0], 1, 1, 1)))
    return [when * x + (1 - when) * noise, when], x - noise


@tf.function
def train_step(inputs, target, network, optimizer, average, decay):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((network(inputs, training=True) - target) ** 2)
    variables = network.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    for mean, weight in zip(average.weights, network.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * weight)


def draw(network, x, last=None, steps=20):  # noise follows its velocity
    for when in np.arange(steps) / steps:
        now = network.predict([x, np.full((len(x), 1, 1, 1), when)], verbose=0)
        x, last = x + (now if last is None else 1.5 * now - 0.5 * last) / steps, now
    return np.clip(np.hstack(np.hstack(x.reshape(8, 8, *x.shape[1:]))) / 2 + 0.5, 0, 1)


def main():
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    network = build_network(args.size, args.channels)
    average = keras.models.clone_model(network)  # of late weights: draws best
    train, held_out = load(args.data, args.size, args.channels, args.batch)
    inputs, target = mix(held_out)
    blind = f"mean picture {np.mean((2 * held_out.mean(0) - 1 - target) ** 2):.3f}"
    noise = np.random.default_rng(args.seed).normal(size=(64, *held_out.shape[1:]))
    optimizer, start, seconds, report = keras.optimizers.Adam(), time.time(), 0, 0
    with contextlib.suppress(KeyboardInterrupt):
        for step, images in enumerate(train):
            optimizer.learning_rate = 2e-3 * max(0.01, 1 - seconds / 60 / args.minutes)
            decay = tf.constant(min(0.998, step / (10 + step)))
            train_step(*mix(images), network, optimizer, average, decay)
            seconds = time.time() - start
            if seconds > min(report, 60 * args.minutes):
                error = np.mean((average.predict(inputs, verbose=0) - target) ** 2)
                print(f"{seconds:4.0f} s: error {error:.3f}, {blind}", flush=True)
                keras.utils.save_img("new.png", 255 * draw(average, noise), scale=False)
                Path("new.png").replace("samples.png")  # never half a picture
                report = time.time() - start + min(20, 6 * args.minutes)
            if seconds > 60 * args.minutes:
                break
    average.save("diffusion.keras")
    print("Wrote diffusion.keras, samples.png. Error on held-out ones: less is better.")


if __name__ == "__main__":
    main()
