"""Train a network that comes with the package, and record how.

    python benchmarks/train_weights.py denoise            # or another name of RECIPES
    python benchmarks/train_weights.py glyph_classifier
    python benchmarks/train_weights.py scratches

Restorers learn from the train split of the embedded photos: at full size, at
0.7 and at 0.5 of it; for networks of one channel luma, red, green and blue of each.
The classifier learns from the train split of the glyphs. An interrupted training
of a restorer goes on where it was, from build/weights. At the end the
averaged weights are stored as float16 in tfgen/weights, and what they score on the
test split in records.json and README.md there.
"""

import argparse
import hashlib
import io
import json
import math
import os
import platform
import shutil
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import defects  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tfgen  # noqa: E402
from tfgen.weights import CLASSIFIER, FOLDER, RECIPES, build_restorer, set_weights  # noqa: E402
from tfgen.writing import write_whole  # noqa: E402

WORK = Path("build/weights")
EPOCH = 250  # steps
BATCH = 16


def any_noise(images, seed):
    """Noise of sigma 0 to 55, clipped as in a file in every second image."""
    damaged = tfgen.add_gaussian_noise(images, seed, sigma=(0, 55))
    noisy = damaged["image"]
    even = tf.range(tf.shape(noisy)[0])[:, None, None, None] % 2 == 0
    damaged["image"] = tf.where(even, tf.clip_by_value(noisy, 0, 1), noisy)
    return damaged


def any_holes(images, seed):
    """Scratches, letters, small boxes or large ones, a quarter of the images each."""
    damages = [
        partial(tfgen.mask_scratches, count=4, width=10),
        partial(tfgen.mask_text, count=2),
        partial(tfgen.mask_boxes, count=6, size=8),
        partial(tfgen.mask_boxes, count=2, size=20),
    ]
    quarters = tf.split(images, len(damages))
    parts = [damage(x, seed) for damage, x in zip(damages, quarters, strict=True)]
    return {key: tf.concat([p[key] for p in parts], axis=0) for key in parts[0]}


def minus_psnr(images, restored, floor=1e-8):
    """Of each image, in dB: a loss in which easy images count as much as hard ones
    (Chen et al., "Simple baselines for image restoration", 2022, arXiv:2204.04676),
    until their squared error nears the floor."""
    error = tf.reduce_mean(tf.square(images - restored), axis=(1, 2, 3))
    return 10 / math.log(10) * tf.math.log(error + floor)


def minus_psnr_to_40(images, restored):
    """Hardly more is gained beyond 40 dB: else images with next to no noise decide."""
    return minus_psnr(images, restored, floor=1e-4)


L1 = "mean_absolute_error"

# name: corruption in training, size of a patch, (steps, loss) of the stages, network
# to begin with
TRAININGS = {
    "denoise": (any_noise, 64, [(10000, L1), (10000, minus_psnr_to_40)], None),
    "denoise_color": (any_noise, 64, [(8000, minus_psnr_to_40)], "denoise"),
    "inpaint": (any_holes, 64, [(6000, minus_psnr)], None),
    "upscale_x4": (partial(tfgen.downsample, scale=4), 128, [(14000, L1)], None),
    "upscale_x3": (partial(tfgen.downsample, scale=3), 96, [(1250, L1)], "upscale_x4"),
    "upscale_x2": (partial(tfgen.downsample, scale=2), 64, [(4000, L1)], "upscale_x4"),
}


def load_photos(split, channels):
    return list(
        tfgen.load_dataset(
            "photos", split, channels=channels, batch_size=None, shuffle=False
        ).as_numpy_iterator()
    )


def collect_photos(channels):
    """The training photos in three sizes and, for one channel, four versions."""
    photos = load_photos("train", channels)
    if channels == 1:
        for photo in load_photos("train", 3):
            if np.ptp(photo, axis=-1).any():
                photos += np.split(photo, 3, axis=-1)
    return photos + [shrink(p, factor) for p in photos for factor in (0.7, 0.5)]


def shrink(photo, factor):
    size = [round(factor * side) for side in photo.shape[:2]]
    return np.clip(tf.image.resize(photo, size, "bicubic", antialias=True), 0, 1)


def score(name, restorer):
    """Mean PSNR on the test photos of the untouched input and of the result."""
    scores = []
    for seed, photo in enumerate(load_photos("test", restorer.image_shape[-1])):
        side = 12 * (min(*photo.shape[:2], 512) // 12)
        photo = photo[None, :side, :side]
        options = {}
        if "denoise" in name:
            damaged = tfgen.add_gaussian_noise(photo, seed, sigma=25.0)
        else:
            damaged = RECIPES[name][1](photo, seed)
            options = {"border": restorer.scale if restorer.scale > 1 else 0}
        known = {key: value.numpy() for key, value in damaged.items()}
        image = known.pop("image")
        untouched = tf.image.resize(image, photo.shape[1:3], "bicubic")
        pair = np.clip(untouched, 0, 1), restorer.restore(image, **known)
        scores.append([tfgen.psnr(photo, x, **options)[0] for x in pair])
    return np.mean(scores, axis=0)


class Clock(keras.callbacks.Callback):
    """Add up the seconds of all sessions of one training, in a file."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        done = json.loads(self.path.read_text()) if self.path.exists() else 0
        self.path.write_text(str(done + time.perf_counter() - self.start))


def write_records(records):
    content = json.dumps(records, indent=2, sort_keys=True) + "\n"
    write_whole(FOLDER / "records.json", content.encode())
    lines = [
        "# The trained networks",
        "",
        "Written by `benchmarks/train_weights.py`, which says what they were trained "
        "on. The score is the mean PSNR in dB on the five test photos: of the "
        "untouched input (enlarged bicubically if it is small) and of the restored "
        "image. Denoising at sigma 25, inpainting of scratches, enlarging of luma; "
        "photos cropped to at most 504 x 504.",
        "",
        "| network | parameters | begun with | steps | minutes | seed | untouched | "
        "restored | hardware |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    classifier = records.pop(CLASSIFIER, None)
    finder = records.pop("scratches", None)
    for name, record in sorted(records.items()):
        lines.append(
            f"| `{name}` | {record['parameters']:,} | {record['begun_with'] or '-'} | "
            f"{record['steps']:,} | {record['seconds'] / 60:.0f} | {record['seed']} | "
            f"{record['untouched_psnr']:.2f} | {record['restored_psnr']:.2f} | "
            f"{record['hardware']} |"
        )
    if classifier:
        lines += [
            "",
            f"`{CLASSIFIER}` ({classifier['parameters']:,} parameters, "
            f"{classifier['epochs']} epochs, {classifier['seconds']:.0f} seconds, seed "
            f"{classifier['seed']}) names {classifier['accuracy']:.2%} of the test "
            "glyphs rightly.",
        ]
    if finder:
        lines += [
            "",
            f"`scratches` ({finder['parameters']:,} parameters, {finder['steps']:,} "
            f"steps of {finder['batch']}, seed {finder['seed']}, {finder['hardware']}; "
            f"{finder.get('averaged', 'average of training')}) finds drawn defects on "
            f"the test photos with F1 {finder['f1']:.2f}: `benchmarks/defects.py`.",
        ]
    text = "\n".join(lines) + "\n"
    write_whole(FOLDER / "README.md", text.encode())


def as_npz(weights):
    """The bytes of a file with these weights as float16."""
    arrays = {str(i): w.numpy().astype(np.float16) for i, w in enumerate(weights)}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def store(name, content, **record):
    """Store weights and what is known of them."""
    path = FOLDER / "records.json"
    records = json.loads(path.read_text("utf-8")) if path.exists() else {}
    records[name] = {
        "command": f"python benchmarks/train_weights.py {name}",
        "hardware": f"{os.cpu_count()} {platform.machine()} cores, "
        f"{'float32' if name == CLASSIFIER else 'bfloat16'}",
        "sha256": hashlib.sha256(content).hexdigest(),
        **record,
    }
    write_whole(FOLDER / f"{name}.npz", content)
    write_records(records)


def train_glyph_classifier(seed, epochs=8):
    train, test = (
        tfgen.load_dataset("glyphs", split, labels=True, seed=seed)
        for split in ("train", "test")
    )
    start = time.perf_counter()
    network = tfgen.train_classifier(train, epochs, seed=seed, verbose=2)
    seconds = time.perf_counter() - start
    content = as_npz(network.weights)
    accuracy = set_weights(network, content).evaluate(test, verbose=0)[1]
    print(f"{accuracy:.2%} of the test glyphs")
    store(
        CLASSIFIER,
        content,
        epochs=epochs,
        seconds=round(seconds),
        seed=seed,
        parameters=network.count_params(),
        accuracy=round(accuracy, 4),
    )


def train_scratches(seed, epochs=16, size=128):
    """Train the finder of scratches further; delete its weights to begin anew."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = tfgen.build_defect_finder()
    begun_with = "scratches" if (FOLDER / "scratches.npz").exists() else None
    if begun_with:
        set_weights(network, (FOLDER / "scratches.npz").read_bytes())
    finder = tfgen.DefectFinder(network, tfgen.draw_defects, seed=seed)
    rate = 3e-4 if begun_with else 1e-3
    rate = keras.optimizers.schedules.CosineDecay(rate, epochs * EPOCH, alpha=0.01)
    finder.compile(keras.optimizers.Adam(rate))
    patches = tfgen.random_patches(
        collect_photos(3), size, EPOCH * BATCH, batch_size=BATCH, seed=seed
    )
    seconds = fit(finder, patches, epochs, WORK / "scratches")
    content = as_npz(finder.averaged_network.weights)
    keras.mixed_precision.set_global_policy("float32")
    _, damaged, mask = defects.damage("test", seed=1)
    found = build_restorer("scratches", content).find(damaged)
    store(
        "scratches",
        content,
        batch=f"{BATCH} patches of {size}",
        begun_with=begun_with,
        steps=epochs * EPOCH,
        seconds=round(seconds),
        seed=seed,
        parameters=network.count_params(),
        f1=round(float(defects.measure(found, mask)[2]), 3),
    )
    shutil.rmtree(WORK / "scratches")


def train_stage(restorer, patches, epochs, rate, loss, work):
    """Train for some epochs and return the seconds of all of them; see `fit`."""
    rate = keras.optimizers.schedules.CosineDecay(rate, epochs * EPOCH, alpha=0.01)
    restorer.compile(keras.optimizers.Adam(rate), loss)
    return fit(restorer, patches, epochs, work)


def fit(model, patches, epochs, work):
    """Train for some epochs, or for what is left of them after an interrupt, and
    return the seconds of all of them."""
    work.mkdir(parents=True, exist_ok=True)
    model.fit(
        patches,
        epochs=epochs,
        verbose=2,
        callbacks=[
            Clock(work / "seconds.json"),
            keras.callbacks.BackupAndRestore(work / "backup", delete_checkpoint=False),
        ],
    )
    return json.loads((work / "seconds.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*TRAININGS, CLASSIFIER, "scratches"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.name == CLASSIFIER:
        return train_glyph_classifier(options.seed)
    if options.name == "scratches":
        return train_scratches(options.seed)
    corruption, size, stages, begun_with = TRAININGS[options.name]
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")

    network = RECIPES[options.name][0]()
    if begun_with:  # all weights that have the same shape
        given = tfgen.load_pretrained(begun_with).network.weights
        for weight, start in zip(network.weights, given, strict=True):
            if weight.shape == start.shape:
                weight.assign(start)
    photos = collect_photos(network.output_shape[-1])
    seconds = 0
    for index, (steps, loss) in enumerate(stages):
        seed = options.seed + index
        restorer = tfgen.Restorer(network, corruption, seed=seed)
        patches = tfgen.random_patches(
            photos, size, EPOCH * BATCH, batch_size=BATCH, seed=seed
        )
        rate = 5e-4 if begun_with or index else 1e-3
        work = WORK / options.name / str(index)
        seconds += train_stage(restorer, patches, steps // EPOCH, rate, loss, work)
        network.set_weights(restorer.averaged_network.get_weights())

    content = as_npz(network.weights)
    keras.mixed_precision.set_global_policy("float32")
    scores = score(options.name, build_restorer(options.name, content))
    print("PSNR untouched and restored: {:.2f} and {:.2f} dB".format(*scores))

    store(
        options.name,
        content,
        begun_with=begun_with,
        steps=sum(steps for steps, _ in stages),
        seconds=round(seconds),
        seed=options.seed,
        parameters=network.count_params(),
        untouched_psnr=round(float(scores[0]), 2),
        restored_psnr=round(float(scores[1]), 2),
    )
    shutil.rmtree(WORK / options.name)


if __name__ == "__main__":
    main()
