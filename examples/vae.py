"""Train a variational autoencoder on pictures: a few numbers for each, and back.

    python vae.py photos/                      a folder of pictures
    python vae.py fashion_mnist --channels 1   a TensorFlow Datasets set

Writes reconstructions.png (pictures beside their copies), samples.png and vae.keras.
Likelihoods, resuming, many GPUs: the full version with all of that: tfgen/vae.py
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
parser.add_argument("--latent", type=int, default=16, help="numbers for a picture")
parser.add_argument("--beta", type=float, default=1, help="weight of the rate")
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


def build_networks(size, channels, latent):
    levels = max(1, (size - 1).bit_length() - 3)  # halvings, down to at most 8 pixels
    side, widths = size // 2**levels, [min(16 * 2**k, 128) for k in range(levels)]
    down = [layers.Input((size, size, channels)), layers.Rescaling(2, -1)]
    down += [layers.Conv2D(width, 4, 2, "same", activation="silu") for width in widths]
    down += [layers.Flatten(), layers.Dense(256, "silu"), layers.Dense(2 * latent)]
    up = [layers.Input((latent,)), layers.Dense(side * side * widths[-1], "silu")]
    up += [layers.Reshape((side, side, widths[-1]))]
    for width in widths[-2::-1]:
        up += [layers.Conv2DTranspose(width, 4, 2, "same", activation="silu")]
    up += [layers.Conv2DTranspose(channels, 4, 2, "same", activation="sigmoid")]
    return keras.Sequential(down), keras.Sequential(up)


def distortion(images, means, log_scale):  # minus their log density, nats an image
    nats = tf.square((images - means) * tf.exp(-log_scale)) / 2 + log_scale
    return tf.reduce_mean(tf.reduce_sum(nats + np.log(2 * np.pi) / 2, axis=(1, 2, 3)))


def run(images, encoder, decoder, log_scale):
    mean, log_variance = tf.split(encoder(images), 2, axis=-1)
    copies = decoder(mean + tf.exp(log_variance / 2) * tf.random.normal(tf.shape(mean)))
    rate = tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, axis=1) / 2
    return distortion(images, copies, log_scale), tf.reduce_mean(rate), copies


@tf.function
def train_step(images, encoder, decoder, log_scale, optimizer, beta):
    with tf.GradientTape() as tape:
        nats, rate, _ = run(images, encoder, decoder, log_scale)
        loss = nats + beta * rate
    variables = [*encoder.trainable_variables, *decoder.trainable_variables, log_scale]
    optimizer.apply(tape.gradient(loss, variables), variables)


def main():
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    networks = build_networks(args.size, args.channels, args.latent)
    optimizer, log_scale = keras.optimizers.Adam(), tf.Variable(0.0)
    train, held_out = load(args.data, args.size, args.channels, args.batch)
    shown = np.resize(held_out, (32, *held_out.shape[1:]))
    latents, seen, seconds = tf.random.normal((64, args.latent)), [], 0
    start, report = time.time(), 0
    with contextlib.suppress(KeyboardInterrupt):
        for images in train:
            optimizer.learning_rate = 3e-3 * max(0.01, 1 - seconds / 60 / args.minutes)
            train_step(images, *networks, log_scale, optimizer, args.beta)
            seen, seconds = [images, *seen[:63]], time.time() - start
            if seconds > min(report, 60 * args.minutes):
                report = seconds + min(20, 6 * args.minutes)
                x = np.concatenate(seen)  # the baseline: no network, one Gaussian
                mean = distortion(held_out, x.mean(0), np.log(x.var(0).mean()) / 2)
                nats, rate, _ = run(held_out, *networks, log_scale)
                elbo = f"ELBO {-nats - rate:.0f} = -({nats:.0f} + {rate:.0f})"
                print(f"{seconds:4.0f} s: {elbo}, mean picture {-mean:.0f}", flush=True)
                pairs = np.stack([shown, run(shown, *networks, log_scale)[2]], axis=1)
                samples = networks[1].predict(latents, verbose=0)
                for name, grid in ("samples", samples), ("reconstructions", pairs):
                    grid = np.hstack(np.hstack(grid.reshape(8, 8, *shown.shape[1:])))
                    keras.utils.save_img("new.png", 255 * grid, scale=False)
                    Path("new.png").replace(f"{name}.png")  # never half a picture
            if seconds > 60 * args.minutes:
                break
    networks[1].save("vae.keras")
    print("Wrote vae.keras, two pictures. ELBO of held-out ones: more is better.")


if __name__ == "__main__":
    main()
