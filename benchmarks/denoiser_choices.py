"""Which choices matter for the small denoiser of chapter 9?

    python benchmarks/denoiser_choices.py --csv notebooks/tables/denoiser_choices.csv

Each variant trains as the chapter does, from three seeds: with minus the PSNR for its
loss ("psnr"), with the mean absolute error ("l1"), and without being told the level of
the noise ("blind"). A row is the PSNR of one test photo, the 256 x 256 pixels in its
middle, at one level of noise. Nothing is chosen by it. Runs that the table already
holds are left out. Nine runs take a quarter of an hour on two processor cores.
"""

import argparse
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen.writing import write_whole

VARIANTS = "psnr", "l1", "blind"
SEEDS = 0, 1, 2
SIGMAS = 15, 25, 40
SIDE = 256
HELD_OUT = slice(-4, None)  # of the training photos, as in the chapter: not trained on


def load(split):
    photos = tfgen.load_dataset(
        "photos", split, batch_size=None, channels=1, shuffle=False
    )
    return list(photos.as_numpy_iterator())


def centre(photo):
    top, left = ((length - SIDE) // 2 for length in photo.shape[:2])
    return photo[top : top + SIDE, left : left + SIDE]


def minus_psnr(images, restored):
    error = tf.reduce_mean(tf.square(images - restored), axis=(1, 2, 3))
    return 10 / np.log(10) * tf.math.log(error)


add_noise = partial(tfgen.add_gaussian_noise, sigma=(10, 40))


def untold(images, seed):
    return {"image": add_noise(images, seed)["image"]}


def train(variant, seed, photos, steps):
    keras.utils.set_random_seed(seed)
    network = tfgen.build_denoiser(width=64, blocks=4, blind=variant == "blind")
    corruption = untold if variant == "blind" else add_noise
    restorer = tfgen.Restorer(network, corruption, average_decay=0.99, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = "mean_absolute_error" if variant == "l1" else minus_psnr
    restorer.compile(keras.optimizers.Adam(rate), loss=loss)
    patches = tfgen.random_patches(photos, 48, steps * 8, batch_size=8, seed=seed)
    restorer.fit(patches, verbose=0)
    return restorer


def score(restorer, test, blind):
    """PSNR of each photo at each level of noise; nothing is clipped before the end."""
    for sigma in SIGMAS:
        damaged = tfgen.add_gaussian_noise(test, seed=1, sigma=sigma)
        if blind:
            del damaged["sigma"]
        yield sigma, tfgen.psnr(test, np.clip(restorer(damaged), 0, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, default=1600, help="of another number: to another --csv"
    )
    options = parser.parse_args()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    photos = load("train")[: HELD_OUT.start]
    test = np.stack([centre(photo) for photo in load("test")])
    lines = ["variant,seed,sigma,photo,psnr"]
    if options.csv.exists():
        lines = options.csv.read_text("utf-8").splitlines()
    for seed in SEEDS:
        for variant in VARIANTS:
            if any(line.startswith(f"{variant},{seed},") for line in lines):
                continue
            restorer = train(variant, seed, photos, options.steps)
            for sigma, values in score(restorer, test, variant == "blind"):
                mean = f"{values.mean():.2f} dB"
                print(f"{variant:5} seed {seed} sigma {sigma}: {mean}", flush=True)
                start = f"{variant},{seed},{sigma}"
                lines += [f"{start},{i},{x:.3f}" for i, x in enumerate(values)]
            write_whole(options.csv, "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()
