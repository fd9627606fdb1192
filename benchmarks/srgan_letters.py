"""Letters of 32 x 32 pixels from 4 x 4: which loss draws them crisp, and what it costs.

    python benchmarks/srgan_letters.py --csv notebooks/tables/srgan_letters.csv

Networks, data and recipe are those of chapter 12. For each seed one network learns from
the absolute error. From its weights, and for equally many steps, others go on: with the
absolute error alone; with the discriminator and its maps ("GAN"); with its maps only,
the discriminator learning all the same; without the maps; and with both where the
network has no layers at full size. Cheap rivals change the first network's letters.

Distance: Frechet distance of the features of the glyph classifier to as many training
letters. Right: held-out letters it reads as what they are. Wrong: as another one, with a
probability above 0.9. Grey: pixels between 0.2 and 0.8. Input: PSNR of the result shrunk
again against the small letter. Peak: power of the frequencies of 1/4 and 1/2 cycles a
pixel over that of their neighbours, divided by the clean letters'; the higher of both.
Accuracy: in how many held-out pairs the discriminator finds the clean letter the more
real one. Seeds that the table already holds are not run again.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

import tfgen
from tfgen.writing import check_path, write_whole

SCALE = 8
FIGURES = "psnr distance right wrong grey input peak accuracy".split()
WEIGHTS = {  # adversarial, features
    "GAN": (1.0, 1.0),
    "features only": (0.0, 1.0),
    "adversarial only": (1.0, 0.0),
    "no full size": (1.0, 1.0),
}


def load_letters(split):
    """All images and their labels, as arrays."""
    data = tfgen.load_dataset("glyphs", split, labels=True, shuffle=False)
    images, labels = zip(*data.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def damage(images, seed):
    """Shrink letters to 4 x 4 pixels, with a little noise."""
    small = tfgen.downsample(images, scale=SCALE)["image"]
    return tfgen.add_gaussian_noise(small, seed, sigma=10, clip=True)


def feed(images, seed, batch_size=64):
    data = tf.data.Dataset.from_tensor_slices(images)
    return data.shuffle(len(images), seed=seed).repeat().batch(batch_size)


def train_l1(images, seed, steps, network=None):
    """A network that learns from the absolute error; or one that goes on."""
    keras.utils.set_random_seed(seed)
    rate = 4e-4 if network else 2e-3
    network = network or tfgen.build_sharp_upscaler(SCALE, width=64, blocks=4)
    restorer = tfgen.Restorer(network, damage, average_decay=0.99, seed=seed)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    restorer.compile(keras.optimizers.Adam(schedule))
    restorer.fit(feed(images, seed), steps_per_epoch=steps, epochs=1, verbose=0)
    return restorer


def train_gan(images, start, weights, seed, steps, warmup):
    """Go on from a network's weights with a discriminator."""
    keras.utils.set_random_seed(seed)
    adversarial_weight, feature_weight = weights
    discriminator = tfgen.build_patch_discriminator(1, width=24)
    maps = keras.Model(discriminator.inputs, discriminator.layers[-2].output)
    network = keras.models.clone_model(start.network)
    network.set_weights(start.averaged_network.get_weights())
    restorer = tfgen.AdversarialRestorer(
        network,
        discriminator,
        damage,
        features=maps,
        feature_weight=feature_weight,
        adversarial_weight=adversarial_weight,
        pixel_weight=0.3,
        consistency_weight=3,
        penalty_weight=100,
        warmup=warmup,
        average_decay=0.99,
        seed=seed,
    )
    schedules = [
        keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.1)
        for rate in (4e-4, 1e-3)
    ]
    restorer.compile(*(keras.optimizers.Adam(x, beta_1=0.5) for x in schedules))
    restorer.fit(feed(images, seed), steps_per_epoch=steps, epochs=1, verbose=0)
    return restorer
