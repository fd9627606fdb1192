"""Train a network that enlarges photos, and use it.

    python super_resolution.py photos/                         a folder, or a TFDS set
    python super_resolution.py --restore small.png large.png   any size, grey or colour

Writes before_after.png (rows: photo, bicubic enlargement, network) and upscale.keras.
Resuming, losses: the full version with all of that: tfgen/restoration.py, srgan.py
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
parser.add_argument("data", nargs="?", default="photos", help="folder, or TFDS set")
parser.add_argument("--size", type=int, default=96, help="of squares cut from photos")
parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--minutes", type=float, default=10)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--scale", type=int, default=4, help="of both sides")
parser.add_argument("--restore", nargs=2, metavar=("SMALL", "LARGE"), help="two files")
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


def build_network(channels, scale, width=48, blocks=5):  # EDSR: what bicubic leaves out
    small, zeros = layers.Input((None, None, channels)), {"kernel_initializer": "zeros"}
    x = layers.Conv2D(width, 5, padding="same")(small)
    for _ in range(blocks):
        y = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x += layers.Conv2D(width, 3, padding="same", **zeros)(y)
    last = layers.Conv2DTranspose(channels, 3 * scale, scale, "same", **zeros)
    smooth = layers.UpSampling2D(scale, interpolation="bicubic")(small)
    return keras.Model(small, layers.Add()([smooth, last(x)]))


def resize(images, side):
    images = tf.image.resize(images, (side, side), "bicubic", antialias=True)
    return tf.clip_by_value(images, 0, 1).numpy()


def restore(network, source, target, tile=256):  # in tiles, with 32 pixels around each
    photo = ImageOps.exif_transpose(Image.open(source))
    image, depth = np.float32(photo.convert("RGB")) / 255, network.input_shape[-1]
    height, width = image.shape[:2]
    image = np.moveaxis(image.reshape(height, width, -1, depth), 2, 0)
    padded = np.pad(image, [(0, 0), (32, 32), (32, 32), (0, 0)], "symmetric")  # mirror
    scale = network(padded[:, :8, :8]).shape[1] // 8
    result = np.repeat(np.repeat(image, scale, axis=1), scale, axis=2)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            part = network(padded[:, y : y + tile + 64, x : x + tile + 64])
            part = part[:, 32 * scale : -32 * scale, 32 * scale : -32 * scale]
            corner = result[:, y * scale :, x * scale :]
            corner[:, : part.shape[1], : part.shape[2]] = part
    result = np.moveaxis(result, 0, 2).reshape(height * scale, width * scale, 3)
    result = Image.fromarray(np.uint8(255 * np.clip(result, 0, 1) + 0.5))
    result.convert("L" if photo.mode in ("L", "1") else "RGB").save(target, quality=95)


def main():
    args = parser.parse_args()
    if args.restore:
        return restore(keras.models.load_model("upscale.keras"), *args.restore)
    keras.utils.set_random_seed(args.seed)
    network = build_network(args.channels, args.scale)
    network.compile("adam", "mean_absolute_error")
    size = args.size // args.scale * args.scale
    train, held_out = load(args.data, size, args.channels, args.batch, cuts=64)
    large = held_out[:: len(held_out) // 64 + 1]  # up to 64
    small = resize(large, size // args.scale)
    smooth = resize(small, size)
    scale = f"bicubic {np.mean(tf.image.psnr(large, smooth, 1)):.2f}, network"
    start, report, seconds, limit = time.time(), 0, 0, 60 * args.minutes
    with contextlib.suppress(KeyboardInterrupt):
        for images in train:
            network.optimizer.learning_rate = 1e-3 * max(0.01, 1 - seconds / limit)
            network.train_on_batch(resize(images, size // args.scale), images)
            seconds = time.time() - start
            if seconds > min(report, limit):
                report = seconds + min(20, 6 * args.minutes)
                sharp = np.clip(network.predict(small, verbose=0), 0, 1)
                psnr = np.mean(tf.image.psnr(large, sharp, 1))
                print(f"{seconds:4.0f} s: PSNR {scale} {psnr:.2f} dB", flush=True)
                rows = [np.hstack(x[::8]) for x in (large, smooth, sharp)]
                keras.utils.save_img("new.png", 255 * np.vstack(rows), scale=False)
                Path("new.png").replace("before_after.png")  # never half a picture
            if seconds > limit:
                break
    network.save("upscale.keras")
    print("Wrote upscale.keras, before_after.png. Held-out PSNR: higher is better.")


if __name__ == "__main__":
    main()
