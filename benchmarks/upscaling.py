"""The network of chapter 11 on three seeds: two losses, and one test photo leaked.

    python benchmarks/upscaling.py --csv notebooks/tables/upscaling.csv

Each run trains the chapter's network (4 times, width 32, 4 blocks) with Adam and the
rate 2e-3, which falls to 0 along a cosine, on batches of 16 patches of 96 x 96 pixels:

- "L1": nine training photos, the mean absolute error, as in the chapter;
- "L2": the same with the mean squared error;
- "leaked": as the first, but the photo of coins, a test photo, is the tenth.

A row is the PSNR on each of the twelve test photos by the chapter's protocol: luma of
colour photos, rounded to 8 bits, without a border of 4 pixels, of photos larger than
600 pixels only the middle. The first row, without a seed, is bicubic interpolation.
The table is written after each run.
"""

import argparse
import csv
import io
from functools import partial

import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen.writing import check_path, write_whole

SCALE, MOST = 4, 600
NAMES = (
    "coins chelsea camera retina coffee beetle lake nebula pier salad sunflower "
    "white_roses"
).split()
HEADER = ["run", "seed", *NAMES]
RUNS = {
    "L1": ("mean_absolute_error", False),
    "L2": ("mean_squared_error", False),
    "leaked": ("mean_absolute_error", True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--csv", help="write the figures here, after each run")
    options = parser.parse_args()
    if options.csv is not None:
        check_path(options.csv)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    train, test = load("train[:9]", 1), load("test", 3)
    smalls = [shrink(photo) for photo in test]
    rows = []

    def add(run, seed, images):
        scores = [measure(clean, x) for clean, x in zip(test, images, strict=True)]
        rows.append([run, seed, *(f"{score:.4f}" for score in scores)])
        print(*rows[-1], f"mean {np.mean(scores):.2f} dB", flush=True)
        if options.csv is not None:
            file = io.StringIO()
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
            write_whole(options.csv, file.getvalue().encode())

    add("bicubic", "-", [enlarge(small) for small in smalls])
    for seed in range(options.seeds):
        for run, (loss, leak) in RUNS.items():
            photos = train + [np.clip(test[0], 0, 1)] * leak
            restorer = learn(photos, loss, seed, options.steps)
            add(run, seed, [restorer.restore(small) for small in smalls])


def learn(photos, loss, seed, steps, patch_size=96, batch_size=16):
    keras.utils.set_random_seed(seed)
    network = tfgen.build_upscaler(SCALE, width=32, blocks=4)
    restorer = tfgen.Restorer(
        network, partial(tfgen.downsample, scale=SCALE), seed=seed
    )
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    restorer.compile(keras.optimizers.Adam(schedule), loss=loss)
    patches = tfgen.random_patches(
        photos, patch_size, steps * batch_size, batch_size=batch_size, seed=seed
    )
    restorer.fit(patches, verbose=0)
    return restorer


def load(split, channels):
    photos = tfgen.load_dataset(
        "photos", split, batch_size=None, channels=channels, shuffle=False
    )
    most = None if split.startswith("train") else MOST
    return [cut(photo.numpy(), most) for photo in photos]


def cut(photo, most):
    """The middle, with sides that the scale divides; grey photos in one channel."""
    sides = [min(side, most or side) // SCALE * SCALE for side in photo.shape[:2]]
    photo = tf.image.resize_with_crop_or_pad(photo, *sides).numpy()
    return photo[..., :1] if np.ptp(photo, axis=-1).max() == 0 else photo


def shrink(photo):
    return tfgen.downsample(photo[None], scale=SCALE)["image"][0].numpy()


def enlarge(small):
    size = [SCALE * side for side in small.shape[:2]]
    return np.clip(tf.image.resize(small, size, "bicubic"), 0, 1)


def measure(clean, restored):
    rounded = np.rint(255 * restored) / 255
    return tfgen.psnr(clean[None], rounded[None], luma=True, border=SCALE)[0]


if __name__ == "__main__":
    main()
