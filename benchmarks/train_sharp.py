"""Train the networks that draw texture, `upscale_x4_sharp` and `upscale_x4_features`.

    python benchmarks/train_sharp.py                            # from `upscale_x4`
    python benchmarks/train_sharp.py --begin upscale_x4_sharp   # from its own weights
    python benchmarks/train_sharp.py --adversarial 0            # `upscale_x4_features`
    python benchmarks/train_sharp.py --features 0 --out FOLDER  # a control

A tenth of the steps learns with the absolute error alone. Then a discriminator joins
in. It sees what an image adds to the bicubic enlargement of the small one, and that
enlargement, as it depends on the place what texture is real. It says how much more
real the clean image is than the enlarged one of the same input (Jolicoeur-Martineau,
2018, arXiv:1807.00734), and must not change much where noise is added to an image
(Lin et al., 2025, arXiv:2501.08316). The network also keeps the discriminator's inner
maps near those of the clean image (Wang et al., "pix2pixHD", 2017, arXiv:1711.11585),
and its image, shrunk again, near the small one. With a weight of 0 the one or the other
part is left out; without both the network learns from the absolute error alone.

Photos, options, an interrupted training and where the result is stored are
as `train_weights.py` says. The default is made for a GPU: on two cores, 6,500 steps
take more than a day. Loss of PSNR and gain in looks: `perception.py`.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from train_weights import (  # noqa: E402
    EPOCH,
    Clock,
    as_npz,
    collect_photos,
    load_photos,
    measure_restorer,
    store,
    work_folder,
)

import tfgen  # noqa: E402
from tfgen.weights import FOLDER, build_restorer  # noqa: E402

NAME, FEATURES_ONLY = "upscale_x4_sharp", "upscale_x4_features"
SCALE = 4
SIDE = 128  # of the patches


# --- What is trained, and with what -------------------------------------------


def shrink_to_files(images, seed):
    """Small images as files hold them: three in ten have a little noise."""
    small = tfgen.downsample(images, scale=SCALE)["image"]
    noisy = tfgen.add_gaussian_noise(small, seed, sigma=(0, 3))["image"]
    few = tf.range(tf.shape(small)[0])[:, None, None, None] % 10 < 3
    small = tf.clip_by_value(tf.where(few, noisy, small), 0, 1)
    return {"image": tf.round(small * 255) / 255}


def begin_with(network, upscaler):
    """Give a sharp upscaler the weights of one that `build_upscaler` made; what it has
    beside, the layers that draw texture, begins with none."""
    *trunk, detail = find_convolutions(upscaler)
    own = find_convolutions(network)[: len(trunk)] + [network.get_layer("detail")]
    for layer, given in zip(own, [*trunk, detail], strict=True):
        layer.set_weights(given.get_weights())


def find_convolutions(network):
    return [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]


def build_judge(width=16):
    """Maps (n, height, width, 2), what an image adds and the enlargement, to a list: a
    map of logits, each for 68 x 68 pixels, and the maps that lead to it."""
    x = pair = layers.Input((None, None, 2))
    maps = []
    for factor, stride in [(3, 1), (4, 2), (6, 1), (8, 2), (10, 1), (12, 2), (12, 1)]:
        x = layers.Conv2D(
            factor * width,
            stride + 2,
            strides=stride,
            padding="same",
            activation="leaky_relu",
        )(x)
        maps.append(x)
    logits = layers.Conv2D(1, 3, padding="same", dtype="float32")(x)
    return keras.Model(pair, [logits, *maps], name="judge")


# --- Training -----------------------------------------------------------------


def train(restorer, patches, epochs, steps, work):
    """Train for some epochs of so many steps, or for what an interrupt left of them,
    and return the seconds of all."""
    start = min(500, epochs * steps // 10)
    rates = [
        keras.optimizers.schedules.CosineDecay(
            peak / 20,
            epochs * steps - start,
            0.02,
            warmup_target=peak,
            warmup_steps=start,
        )
        for peak in (4e-4, 2e-4)
    ]
    restorer.compile(
        keras.optimizers.Adam(rates[0], beta_2=0.99, global_clipnorm=1.0),
        keras.optimizers.Adam(rates[1], beta_1=0.5, beta_2=0.99),
    )
    work.mkdir(parents=True, exist_ok=True)
    backup = keras.callbacks.BackupAndRestore(work / "backup", delete_checkpoint=False)
    callbacks = [Clock(work / "seconds.json"), backup]
    restorer.fit(patches, epochs=epochs, verbose=2, callbacks=callbacks)
    return json.loads((work / "seconds.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--begin", choices=("upscale_x4", NAME), default="upscale_x4")
    parser.add_argument("--photos", metavar="FOLDER", default="photos")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--batch", type=int, default=48, help=f"of {SIDE} x {SIDE}")
    parser.add_argument("--adversarial", type=float, default=0.05, metavar="WEIGHT")
    parser.add_argument("--features", type=float, default=0.05, metavar="WEIGHT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=FOLDER)
    options = parser.parse_args()
    name = NAME if options.adversarial else FEATURES_ONLY
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")

    network = tfgen.build_sharp_upscaler(SCALE)
    given = tfgen.load_pretrained(options.begin).network
    warmup = options.steps // 10
    if options.begin == NAME:
        network.set_weights(given.get_weights())
        warmup = 0
    else:
        begin_with(network, given)
    epochs = max(1, options.steps // EPOCH)
    steps = options.steps // epochs  # of an epoch
    restorer = tfgen.AdversarialRestorer(
        network,
        build_judge(),
        shrink_to_files,
        feature_weight=options.features,
        adversarial_weight=options.adversarial,
        pixel_weight=0.1 if options.features + options.adversarial else 1,
        consistency_weight=10 if options.features + options.adversarial else 0,
        warmup=warmup,
        seed=options.seed,
    )
    photos = collect_photos(1, options.photos)
    patches = tfgen.random_patches(
        [photo for photo in photos if min(photo.shape[:2]) >= SIDE],
        SIDE,
        steps * options.batch,
        batch_size=options.batch,
        seed=options.seed,
    )
    work = work_folder(name)
    seconds = train(restorer, patches, epochs, steps, work)

    content = as_npz(restorer.averaged_network.weights)
    keras.mixed_precision.set_global_policy("float32")
    measured = measure_restorer(name, build_restorer(name, content))
    store(
        name,
        content,
        options.out,
        measured,
        command=shlex.join(["python", "benchmarks/train_sharp.py", *sys.argv[1:]]),
        batch=f"{options.batch} patches of {SIDE}",
        begun_with=options.begin,
        data=f"{len(load_photos('train', 1, options.photos))} photos",
        steps=epochs * steps,
        seconds=round(seconds),
        seed=options.seed,
        parameters=network.count_params(),
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
