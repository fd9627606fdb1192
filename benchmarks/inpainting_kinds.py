"""Fillings of thin and wide holes, without training and by networks.

    python benchmarks/inpainting_kinds.py --csv notebooks/tables/inpainting_kinds.csv

Four kinds of holes in the twelve test photos, as chapter 10 shrinks and cuts them to
192 x 192 pixels, ten masks, the same for all; and scratches at full size, one mask
each. The chapter's network is trained as there, with three seeds; the package's network
is that of `load_pretrained("inpaint")`. PSNR in the holes, which is the mean over the
masks of each photo; its lead over biharmonic filling; on how many photos a method is
ahead.
"""

import argparse
import csv
import io
import time
from functools import partial

import keras
import numpy as np
import tensorflow as tf

import tfgen
from tfgen.measures.classics import inpaint_biharmonic
from tfgen.tiles import fill_depths
from tfgen.writing import check_path, write_whole

SIDE, STEPS, RATE, SEEDS, MASKS = 192, 1440, 1e-3, 3, 10


def load(split):
    photos = tfgen.load_dataset("photos", split, batch_size=None, shuffle=False)
    return list(photos.as_numpy_iterator())


def shrink(photo, side):
    size = [round(length * side / min(photo.shape[:2])) for length in photo.shape[:2]]
    return np.clip(tf.image.resize(photo, size, "bicubic", antialias=True), 0, 1)


def centre(photo, side):
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    return photo[top : top + side, left : left + side]


def mask_wide(images, seed):
    thin = tfgen.mask_scratches(images, seed, count=3)["mask"]
    mask = tf.nn.max_pool2d(thin, 9, 1, "SAME")
    return {"image": images * (1 - mask), "mask": mask}


def mask_half_and_half(images, seed):
    some, others = tf.split(images, 2)
    parts = mask_wide(some, seed), tfgen.mask_boxes(others, seed, count=2)
    return {key: tf.concat([part[key] for part in parts], axis=0) for key in parts[0]}


DAMAGES = {
    "thin scratches": tfgen.mask_scratches,
    "letters": partial(tfgen.mask_text, size=24),
    "wide scratches": mask_wide,
    "boxes": partial(tfgen.mask_boxes, size=16),
}


def train(photos, seed, steps=STEPS):
    keras.utils.set_random_seed(seed)
    network = tfgen.build_inpainter(width=48, blocks=4)
    restorer = tfgen.Restorer(
        network, mask_half_and_half, average_decay=0.99, seed=seed
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=RATE, warmup_steps=steps // 10
    )
    adam = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    restorer.compile(adam, loss="mean_squared_error")
    patches = tfgen.random_patches(photos, 48, steps * 8, batch_size=8, seed=seed)
    restorer.fit(patches, verbose=0)
    return lambda image, mask: restorer.restore(image, mask=mask)


def score(photos, damage, fill, masks):
    """The PSNR in the holes of each photo."""
    result = []
    for photo in photos:
        decibels = []
        for seed in range(masks):
            known = damage(photo[None], seed=seed)
            image, mask = (np.array(known[key])[0] for key in ("image", "mask"))
            error = mask * (photo - np.clip(fill(image, mask), 0, 1)) ** 2
            decibels.append(-10 * np.log10(error.sum() / mask.sum() / photo.shape[-1]))
        result.append(np.mean(decibels))
    return np.array(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="where to put the table")
    options = parser.parse_args()
    if options.csv:
        check_path(options.csv)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    photos = load("train")
    photos += [shrink(photo, 256) for photo in photos]
    trained = {}
    for seed in range(SEEDS):
        start = time.perf_counter()
        trained["network", seed] = train(photos, seed)
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    pretrained = tfgen.load_pretrained("inpaint")
    methods = {
        ("biharmonic", ""): inpaint_biharmonic,
        ("harmonic", ""): lambda image, mask: fill_depths(image, mask, sight=0)[0],
        ("smooth filling", ""): untrained,
        **trained,
        ("pretrained", ""): lambda image, mask: pretrained.restore(image, mask=mask),
    }
    photos = load("test")
    small = [centre(shrink(photo, SIDE), SIDE) for photo in photos]
    jobs = [(str(SIDE), kind, small, MASKS) for kind in DAMAGES]
    jobs += [("full", kind, photos, 1) for kind in ("thin scratches", "wide scratches")]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow("size kind method seed psnr lead lowest highest ahead".split())
    for size, kind, images, masks in jobs:
        scores = {
            name: score(images, DAMAGES[kind], fill, masks)
            for name, fill in methods.items()
        }
        for name, values in scores.items():
            lead = values - scores["biharmonic", ""]
            figures = values.mean(), lead.mean(), lead.min(), lead.max()
            row = [size, kind, *name, *(f"{x:.2f}" for x in figures), (lead > 0).sum()]
            writer.writerow(row)
            print(*row, flush=True)
        if options.csv:
            write_whole(options.csv, table.getvalue().encode())


def untrained(image, mask):
    """What the network begins with."""
    known = tf.constant(image)[None], tf.constant(mask)[None]
    return tfgen.restoration.SmoothFilling(dtype="float32")(known)[0].numpy()


if __name__ == "__main__":
    main()
