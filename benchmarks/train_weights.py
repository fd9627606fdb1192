"""Train a network that comes with the package, and record how.

    python benchmarks/train_weights.py denoise            # or another name of TRAININGS
    python benchmarks/train_weights.py glyph_classifier

The networks learn from the train split of the embedded photos, or from a folder of
photos: at full size, at 0.7 and at 0.5 of it; networks of one channel from luma, red,
green and blue of each. The classifier learns from the train split of the glyphs. The
weights are averaged over the training and stored as float16 in tfgen/weights, with
what they score on the test photos in records.json and README.md there. An interrupted
training goes on where it was, from build/weights, if it is given the same options.

The defaults are made for two cores. On a GPU the same recipe trains longer, on more:

    python benchmarks/train_weights.py photo --begin nothing --steps 40000 --batch 64 \\
        --patch 128 --photos FOLDER --out FOLDER2

(`--patch 192` for `upscale_x4`). `--begin` takes the name of any network with as many
layers: its own, to train it further. Test photos must not be in the folder.
"""

import argparse
import hashlib
import io
import json
import math
import os
import platform
import shlex
import shutil
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import defects  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tfgen  # noqa: E402
from tfgen.weights import (  # noqa: E402
    CLASSIFIER,
    FOLDER,
    GROCERIES,
    RECIPES,
    build_restorer,
    set_weights,
)
from tfgen.writing import write_whole  # noqa: E402

WORK = Path("build/weights")
EPOCH = 250  # steps
NOTHING = "nothing"  # to begin with


# --- Photos -------------------------------------------------------------------


def load_photos(split, channels, source="photos"):
    return list(
        tfgen.load_dataset(
            source, split, channels=channels, batch_size=None, shuffle=False
        ).as_numpy_iterator()
    )


def collect_photos(channels, source="photos"):
    """The training photos in three sizes. For one channel there are four versions of
    each; of three channels every fifth photo is there without its colour too."""
    photos = load_photos("train", channels, source)
    if channels == 1:
        for photo in load_photos("train", 3, source):
            if np.ptp(photo, axis=-1).any():
                photos += np.split(photo, 3, axis=-1)
    else:
        grey = load_photos("train", 1, source)[::5]
        photos += [np.repeat(photo, 3, axis=-1) for photo in grey]
    return photos + [shrink(p, factor) for p in photos for factor in (0.7, 0.5)]


def shrink(photo, factor):
    size = [round(factor * side) for side in photo.shape[:2]]
    return np.clip(tf.image.resize(photo, size, "bicubic", antialias=True), 0, 1)


# --- Scores -------------------------------------------------------------------

NOISE = partial(tfgen.add_gaussian_noise, sigma=25.0)
SCORED = {"denoise": NOISE, "denoise_color": NOISE, "photo": tfgen.compress_jpeg}


def score(name, restorer):
    """Mean PSNR on the test photos of the untouched input and of the result."""
    scores = []
    for seed, photo in enumerate(load_photos("test", restorer.image_shape[-1])):
        side = 12 * (min(*photo.shape[:2], 512) // 12)
        photo = photo[None, :side, :side]
        damaged = SCORED.get(name, RECIPES[name][1])(photo, seed)
        known = {key: value.numpy() for key, value in damaged.items()}
        image = known.pop("image")
        untouched = tf.image.resize(image, photo.shape[1:3], "bicubic")
        pair = np.clip(untouched, 0, 1), restorer.restore(image, **known)
        border = restorer.scale if restorer.scale > 1 else 0
        scores.append([tfgen.psnr(photo, x, border=border)[0] for x in pair])
    return np.mean(scores, axis=0)


def measure_restorer(name, restorer):
    untouched, restored = score(name, restorer)
    return {"untouched_psnr": untouched, "restored_psnr": restored}


def measure_finder(name, finder):
    """As `defects.py` does, at a threshold of 1/2."""
    _, damaged, mask = defects.damage("test", seed=1)
    return {"f1": defects.measure(finder.find(damaged), mask)[2]}


# --- What each network learns -------------------------------------------------


def any_noise(images, seed):
    """Noise of sigma 0 to 55; every second image is clipped and rounded to 8 bits."""
    damaged = tfgen.add_gaussian_noise(images, seed, sigma=(0, 55))
    noisy = damaged["image"]
    stored = tf.round(255 * tf.clip_by_value(noisy, 0, 1)) / 255
    even = tf.range(tf.shape(noisy)[0])[:, None, None, None] % 2 == 0
    damaged["image"] = tf.where(even, stored, noisy)
    return damaged


def any_holes(images, seed):
    """Scratches, letters, small boxes or large ones, a quarter of the images each."""
    damages = [
        partial(tfgen.mask_scratches, count=4, width=10),
        partial(tfgen.mask_text, count=2),
        partial(tfgen.mask_boxes, count=6, size=8),
        partial(tfgen.mask_boxes, count=2, size=20),
    ]
    if (images.shape[0] or 0) % len(damages):
        raise ValueError(f"A batch here is a multiple of 4; got {images.shape[0]}.")
    quarters = tf.split(images, len(damages))
    parts = [damage(x, seed) for damage, x in zip(damages, quarters, strict=True)]
    return {key: tf.concat([p[key] for p in parts], axis=0) for key in parts[0]}


def minus_psnr(images, restored, best=80):
    """Of each image, in dB: a loss in which easy images count as much as hard ones
    (Chen et al., "Simple baselines for image restoration", 2022, arXiv:2204.04676).
    Hardly more is gained beyond the `best`: else images with next to no noise decide.
    """
    error = tf.reduce_mean(tf.square(images - restored), axis=(1, 2, 3))
    return 10 / math.log(10) * tf.math.log(error + 10 ** (-best / 10))


L1 = "mean_absolute_error"


class Training(NamedTuple):
    """What a network is trained with."""

    corruption: Callable  # (images, seed) to the damaged images
    patch: int  # pixels of each side, of the clean images
    steps: int
    compiled: dict  # what the model's `compile` takes beside the optimizer
    begin: str = NOTHING  # or the network whose weights it begins with
    model: type = tfgen.Restorer  # called with network, corruption and seed
    measure: Callable = measure_restorer  # (name, model) to what is recorded


TRAININGS = {
    "photo": Training(
        tfgen.corrupt_like_a_photo, 64, 20000, {"loss": partial(minus_psnr, best=45)}
    ),
    "denoise": Training(any_noise, 64, 20000, {"loss": partial(minus_psnr, best=40)}),
    "denoise_color": Training(
        any_noise, 64, 8000, {"loss": partial(minus_psnr, best=40)}, "photo"
    ),
    "inpaint": Training(any_holes, 64, 6000, {"loss": minus_psnr}),
    "scratches": Training(
        tfgen.draw_defects,
        128,
        4000,
        {},
        "scratches",
        tfgen.DefectFinder,
        measure_finder,
    ),
    **{
        name: Training(
            partial(tfgen.downsample, scale=scale), patch, steps, {"loss": L1}, begin
        )
        for name, scale, patch, steps, begin in [
            ("upscale_x4", 4, 128, 14000, NOTHING),
            ("upscale_x4_small", 4, 128, 14000, NOTHING),
            ("upscale_x3", 3, 96, 1250, "upscale_x4_small"),
            ("upscale_x2", 2, 64, 4000, "upscale_x4_small"),
        ]
    },
}


# --- Records ------------------------------------------------------------------


def write_records(records, folder):
    content = json.dumps(records, indent=2, sort_keys=True) + "\n"
    write_whole(folder / "records.json", content.encode())
    lines = [
        "# The trained networks",
        "",
        "Written by `benchmarks/train_weights.py`, which says what they were trained "
        "on. The score is the mean PSNR in dB on the test photos: of the untouched "
        "input (enlarged bicubically if it is small) and of the restored image. "
        "Denoising at sigma 25, `photo` after JPEG of quality 30, inpainting of "
        "scratches, enlarging of luma; photos cropped to at most 504 x 504.",
        "",
        "| network | parameters | begun with | steps | a step | learned from | minutes "
        "| seed | untouched | restored | hardware |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    classifier = records.pop(CLASSIFIER, None)
    finder = records.pop("scratches", None)
    flow = records.pop(GROCERIES, None)
    for name, record in sorted(records.items()):
        lines.append(
            f"| `{name}` | {record['parameters']:,} | {record['begun_with'] or '-'} | "
            f"{record['steps']:,} | {record['batch']} | {record['data']} | "
            f"{record['seconds'] / 60:.0f} | {record['seed']} | "
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
    if flow:
        lines += [
            "",
            f"`{GROCERIES}` ({flow['parameters']:,} parameters, {flow['steps']:,} "
            f"steps of {flow['batch']}, {flow['seconds'] / 60:.0f} minutes, seed "
            f"{flow['seed']}, {flow['hardware']}) draws what it learned from "
            f"{flow['data']}. {flow['recipe']}",
        ]
    if any("program" in record for record in [*records.values(), finder or {}]):
        lines += [
            "",
            "The networks with a GPU in the last column were trained by a program for "
            "Keras on JAX, with the recipe that the commands in records.json repeat; "
            "these commands have not been run to their end. The photos and whom to "
            "credit for them: [training_photos.csv](training_photos.csv). None of the "
            "test photos is among them.",
        ]
    text = "\n".join(lines) + "\n"
    write_whole(folder / "README.md", text.encode())


def as_npz(weights):
    """The bytes of a file with these weights as float16."""
    arrays = {str(i): w.numpy().astype(np.float16) for i, w in enumerate(weights)}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def describe_hardware():
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{os.cpu_count()} {platform.machine()} cores"
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"{len(gpus)} {details.get('device_name', 'GPU')}"


def store(name, content, folder, measured, **record):
    """Store weights and what is known of them; print what was measured."""
    measured = {key: round(float(value), 4) for key, value in measured.items()}
    print(", ".join(f"{key} {value}" for key, value in measured.items()))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.json"
    records = json.loads(path.read_text("utf-8")) if path.exists() else {}
    records[name] = {
        "command": shlex.join(["python", "benchmarks/train_weights.py", *sys.argv[1:]]),
        "hardware": describe_hardware()
        + (", float32" if name == CLASSIFIER else ", bfloat16"),
        "sha256": hashlib.sha256(content).hexdigest(),
        **record,
        **measured,
    }
    write_whole(folder / f"{name}.npz", content)
    write_records(records, folder)


# --- Training -----------------------------------------------------------------


def work_folder(name):
    """Where a training is kept until it ends: one of the same options goes on there."""
    options = shlex.join(sys.argv[1:]).encode()
    return WORK / f"{name}-{zlib.crc32(options):08x}"


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


def train_glyph_classifier(seed, folder, epochs=8):
    train, test = (
        tfgen.load_dataset("glyphs", split, labels=True, seed=seed)
        for split in ("train", "test")
    )
    start = time.perf_counter()
    network = tfgen.train_classifier(train, epochs, seed=seed, verbose=2)
    seconds = time.perf_counter() - start
    content = as_npz(network.weights)
    accuracy = set_weights(network, content).evaluate(test, verbose=0)[1]
    store(
        CLASSIFIER,
        content,
        folder,
        {"accuracy": accuracy},
        epochs=epochs,
        seconds=round(seconds),
        seed=seed,
        parameters=network.count_params(),
    )


def begin_with(network, given):
    """Give a network the weights of another that has as many.

    Where it takes one channel more, the level of the noise, this begins without effect.
    Weights of any other shape stay as they are.
    """
    if len(network.weights) != len(given.weights):
        raise ValueError(
            f"{given.name} has {len(given.weights)} weights, but {network.name} has "
            f"{len(network.weights)}: begin with a network of as many layers."
        )
    for weight, start in zip(network.weights, given.weights, strict=True):
        start = start.numpy()
        more = np.subtract(weight.shape, start.shape)
        if more.tolist() == [0, 0, 1, 0]:
            start = np.pad(start, [(0, channels) for channels in more])
        if weight.shape == start.shape:
            weight.assign(start)


def fit(model, patches, epochs, epoch, rate, compiled, work):
    """Train for some epochs of `epoch` steps, or for what is left of them after an
    interrupt, and return the seconds of all of them."""
    warmup = min(500, math.ceil(epochs * epoch / 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * epoch - warmup, 0.01, warmup_target=rate, warmup_steps=warmup
    )
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), **compiled)
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


def train(name, options):
    training = TRAININGS[name]
    patch, steps = options.patch or training.patch, options.steps or training.steps
    begin = options.begin or training.begin
    epochs = max(1, steps // EPOCH)
    epoch = steps // epochs
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = RECIPES[name][0]()
    if begin != NOTHING:
        begin_with(network, tfgen.load_pretrained(begin).network)
    model = training.model(network, training.corruption, seed=options.seed)
    source = options.photos or "photos"
    count = len(load_photos("train", 1, source))
    photos = collect_photos(network.input["image"].shape[-1], source)
    photos = [photo for photo in photos if min(photo.shape[:2]) >= patch]
    if not photos:
        raise ValueError(f"No photo is as large as a patch, {patch} pixels.")
    batch = options.batch
    patches = tfgen.random_patches(
        photos, patch, epoch * batch, batch_size=batch, seed=options.seed
    )
    rate = 1e-3 if begin == NOTHING else 5e-4
    work = work_folder(name)
    seconds = fit(model, patches, epochs, epoch, rate, training.compiled, work)

    content = as_npz(model.averaged_network.weights)
    keras.mixed_precision.set_global_policy("float32")
    measured = training.measure(name, build_restorer(name, content))
    store(
        name,
        content,
        options.out,
        measured,
        batch=f"{batch} patches of {patch}",
        begun_with=None if begin == NOTHING else begin,
        data=f"{count} photos of {options.photos or 'the package'}",
        steps=epochs * epoch,
        seconds=round(seconds),
        seed=options.seed,
        parameters=network.count_params(),
    )
    shutil.rmtree(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*TRAININGS, CLASSIFIER])
    parser.add_argument("--begin", choices=[NOTHING, *RECIPES])
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, help="its sides in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=FOLDER)
    options = parser.parse_args()
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"{options.out} is no folder.")
    try:
        if options.name == CLASSIFIER:
            train_glyph_classifier(options.seed, options.out)
        else:
            train(options.name, options)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
