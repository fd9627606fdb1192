"""What was tried for the defaults of `tfgen.GAN`, each for the same processor time.

    export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    python benchmarks/gan_tuning.py                             # 255 s, seeds 0 and 1
    python benchmarks/gan_tuning.py --seconds 600 --seeds 0
        --variants default cosine+average

The seconds are those of the processor, so that other programs do not disturb the
comparison. With one thread, as above, 255 of them are about as many steps as 200 s of
two quiet cores. Each variant changes one thing, or the things that its name adds up,
and trains on the first 50,000 training images of Fashion-MNIST. The score is the
Frechet distance of 10,000 samples to the 10,000 training images that are left, on the
features of the classifier of `gan_quality.py`. The test images have no part in the
choice.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from gan_quality import train_classifier
from keras import layers

import tfgen

SHAPE = (28, 28, 1)


class MinibatchDeviation(layers.Layer):
    """Adds a channel: how much the images of the batch differ (Karras et al., 2018)."""

    def call(self, inputs):
        deviation = tf.sqrt(tf.math.reduce_variance(inputs, axis=0) + 1e-8)
        spread = tf.reduce_mean(deviation)
        channel = tf.ones_like(inputs[..., :1]) * spread
        return tf.concat([inputs, channel], axis=-1)


class Cosine(keras.callbacks.Callback):
    """Lets the rates fall along a quarter of a cosine within `seconds`."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.start = time.process_time()
        self.first = float(self.model.optimizer.learning_rate)

    def on_train_batch_begin(self, batch, logs=None):
        part = min(1.0, (time.process_time() - self.start) / self.seconds)
        self.model.optimizer.learning_rate = self.first * np.cos(np.pi / 2 * part) ** 2


class Stop(keras.callbacks.Callback):
    """Stops the training after `seconds`."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.start, self.steps = time.process_time(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if time.process_time() - self.start > self.seconds:
            self.model.stop_training = True


def build(parts):
    """The GAN that has the `parts` of a variant's name."""
    loss = next((part for part in parts if part in tfgen.gan.LOSSES), "non_saturating")
    penalised = loss in tfgen.gan.PENALTIES
    discriminator = tfgen.build_discriminator(
        SHAPE, normalization="layer" if penalised else "batch"
    )
    if "deviation" in parts:
        *body, flatten, dense = discriminator.layers
        sequence = [layers.Input(SHAPE), *body, MinibatchDeviation(), flatten]
        discriminator = keras.Sequential(
            [*sequence, layers.Dense(1, dtype="float32")], name="discriminator"
        )
    decay = 0.999 if "average" in parts else 0.99
    gan = tfgen.GAN(
        tfgen.build_generator(SHAPE), discriminator, loss=loss, average_decay=decay
    )
    rates = (4e-3, 1e-3) if "faster" in parts else (2e-3, 5e-4)
    beta_2 = 0.99 if "beta_2" in parts else 0.999
    gan.compile(*(keras.optimizers.Adam(rate, 0.5, beta_2) for rate in rates))
    return gan


VARIANTS = [
    "default",
    "cosine",
    "average",
    "cosine+average",
    "deviation",
    "beta_2",
    "faster",
    "batch 16",
    "r3gan",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seconds", type=float, default=255)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    options = parser.parse_args()

    classifier, _ = train_classifier()
    images = tfgen.load_dataset("fashion_mnist", shuffle=False)
    images = np.concatenate(list(images.as_numpy_iterator()))
    train, apart = images[:50_000], images[50_000:]
    real, _ = tfgen.classifier_features(classifier, apart)
    floor, _ = tfgen.classifier_features(classifier, train[:10_000])
    print(f"real training images {tfgen.frechet_distance(floor, real):.3f}")
    table = {}
    for seed in options.seeds:
        for variant in options.variants:
            parts = variant.split("+")
            keras.utils.set_random_seed(seed)
            gan = build(parts)
            data = tf.data.Dataset.from_tensor_slices(train)
            size = next((int(p[6:]) for p in parts if p.startswith("batch")), 32)
            data = data.shuffle(len(train), seed=seed).batch(size, drop_remainder=True)
            stop = Stop(options.seconds)
            callbacks = [stop]
            if "cosine" in parts:
                callbacks.append(Cosine(options.seconds))
            gan.fit(data, epochs=10_000, verbose=0, callbacks=callbacks)
            features, _ = tfgen.classifier_features(
                classifier, gan.sample(10_000, seed=1)
            )
            distance = tfgen.frechet_distance(features, real)
            table.setdefault(variant, []).append(distance)
            print(
                f"seed {seed}  {variant:26s} {stop.steps:6d} steps {distance:8.3f}",
                flush=True,
            )
    print(f"\nafter {options.seconds:.0f} s: mean and range over seeds")
    for variant, found in table.items():
        spread = f"({min(found):.3f} to {max(found):.3f})"
        print(f"{variant:26s} {np.mean(found):8.3f} {spread}")


if __name__ == "__main__":
    main()
