"""Letters of 32 x 32 pixels from 4 x 4: which loss draws them crisp, and what it costs.

    python benchmarks/srgan_letters.py --csv notebooks/tables/srgan_letters.csv
    python benchmarks/srgan_letters.py --apart --seeds 0    # to choose settings

Networks, data and recipe are those of chapter 12. For each seed one network learns from
the absolute error. From its weights, for equally many steps, others go on: in the same
way; with a discriminator and the features of its inner maps ("SRGAN"); with its
features only, the discriminator learning all the same; without features; and, with both
again, without layers at full size, from an L1 network of its own. Cheap rivals change
the letters of the first network. With --apart every eleventh training letter is judged,
and none of them learned from.

Distance: Frechet distance of the features of the glyph classifier to as many training
letters; rounded: of images rounded to black and white. Right: held-out letters it reads
as what they are. Wrong: as another one, with a probability above 0.9. Grey: pixels
between 0.2 and 0.8. Peak: power of the frequencies of 1/4 and 1/2 cycles a pixel over
that of their neighbours, divided by the clean letters'; the higher of both. Accuracy:
in how many held-out pairs the discriminator finds the clean letter the more real one.
Seeds that the table already holds are not run again. A seed takes about eight minutes
on one processor core.
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
L1_STEPS, WARMUP, STEPS = 600, 40, 240
AMOUNTS = 1, 4, 32, 64  # of unsharp masking
FIGURES = "psnr distance rounded right wrong grey peak accuracy".split()
WEIGHTS = {  # adversarial, features
    "SRGAN": (1.0, 1.0),
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
    noisy = tfgen.add_gaussian_noise(small, seed, sigma=10, clip=True)
    return {"image": noisy["image"]}


def feed(images, seed, batch_size=64):
    data = tf.data.Dataset.from_tensor_slices(images)
    return data.shuffle(len(images), seed=seed).repeat().batch(batch_size)


def cosine(rate, steps):
    return keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.1)


def build(full_size=True):
    if full_size:
        return tfgen.build_sharp_upscaler(SCALE, width=64, blocks=4)
    return tfgen.build_upscaler(SCALE, width=88, blocks=4)


def train_l1(images, network, seed, steps=L1_STEPS, rate=1e-3):
    """Learn from the absolute error alone."""
    restorer = tfgen.Restorer(network, damage, average_decay=0.99, seed=seed)
    restorer.compile(keras.optimizers.Adam(cosine(rate, steps)))
    restorer.fit(feed(images, seed), steps_per_epoch=steps, verbose=0)
    return restorer


def train_gan(images, network, weights, seed, warmup=WARMUP, steps=STEPS):
    """Go on with a discriminator."""
    adversarial_weight, feature_weight, penalty_weight = weights
    plain = tfgen.build_patch_discriminator(1, width=24)
    both = [plain.outputs[0], plain.layers[-2].output]  # logits and the last map
    discriminator = keras.Model(plain.inputs[0], both)
    restorer = tfgen.AdversarialRestorer(
        network,
        discriminator,
        damage,
        feature_weight=feature_weight,
        adversarial_weight=adversarial_weight,
        pixel_weight=0.5,
        penalty_weight=penalty_weight,
        warmup=warmup,
        average_decay=0.99,
        seed=seed,
    )
    rate = cosine(6e-4, warmup + steps)
    restorer.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for _ in range(2)))
    restorer.fit(feed(images, seed), steps_per_epoch=warmup + steps, verbose=0)
    return restorer


def draw(model, small):
    """All restored letters at once: `restore` takes one image after the other."""
    return model.averaged_network.predict({"image": small}, batch_size=256, verbose=0)


class Judge:
    """The figures of restored held-out letters."""

    def __init__(self, letters, clean, labels):
        self.clean, self.labels = clean, labels
        self.classifier = tfgen.load_pretrained("glyph_classifier")
        order = np.random.default_rng(0).permutation(len(letters))[: len(clean)]
        self.reference, _ = self.read(letters[order])
        self.rounded, _ = self.read(np.round(letters[order]))
        self.peak = find_peak(clean)

    def read(self, images):
        return tfgen.classifier_features(self.classifier, images)

    def __call__(self, images, model=None):
        images = np.clip(images, 0, 1).astype("float32")
        features, probabilities = self.read(images)
        rounded, _ = self.read(np.round(images))
        wrong = probabilities.argmax(axis=1) != self.labels
        return [
            tfgen.psnr(self.clean, images).mean(),
            tfgen.frechet_distance(features, self.reference),
            tfgen.frechet_distance(rounded, self.rounded),
            np.mean(~wrong),
            np.mean(wrong & (probabilities.max(axis=1) > 0.9)),
            np.mean((images > 0.2) & (images < 0.8)),
            find_peak(images) / self.peak,
            np.nan if model is None else self.accuracy(images, model),
        ]

    def accuracy(self, images, model):
        """In how many pairs a discriminator finds the clean letter more real."""
        real, fake = (
            model.discriminator.predict(x, batch_size=256, verbose=0)[0].mean((1, 2, 3))
            for x in (self.clean, images)
        )
        return np.mean(real > fake)


def find_peak(images):
    """How far the power at 1/4 and 1/2 cycles a pixel stands out, in all images."""
    power = np.mean(np.abs(np.fft.fft2(images[..., 0])) ** 2, axis=0)
    lines = power.sum(axis=0), power.sum(axis=1)
    near = {8: (6, 7, 9, 10), 16: (13, 14, 18, 19)}
    return max(
        line[place] / np.mean(line[list(places)])
        for line in lines
        for place, places in near.items()
    )


def run(seed, letters, judge, small, options):
    """The rows of a seed."""
    keras.utils.set_random_seed(seed)
    l1 = train_l1(letters, build(), seed, options.l1_steps)
    soft = draw(l1, small)
    rows = {"L1": judge(soft)}
    for amount in AMOUNTS:
        blurred = ndimage.gaussian_filter(soft, (0, 1, 1, 0))
        rows[f"unsharp {amount}"] = judge(soft + amount * (soft - blurred))
    noise = np.random.default_rng(seed).normal(0, 15 / 255, soft.shape)
    rows["noise"] = judge(soft + noise)
    network = build()
    network.set_weights(l1.averaged_network.get_weights())
    longer = options.warmup + options.steps
    further = train_l1(letters, network, seed, longer, rate=6e-4)
    rows["L1, as long"] = judge(draw(further, small))
    for name in options.variants:
        keras.utils.set_random_seed(seed)
        network = build(name != "no full size")
        if name == "no full size":
            start = train_l1(letters, network, seed, options.l1_steps)
            rows["L1, no full size"] = judge(draw(start, small))
        else:
            start = l1
        network.set_weights(start.averaged_network.get_weights())
        adversarial_weight, feature_weight = WEIGHTS[name]
        adversarial_weight *= options.adversarial
        weights = adversarial_weight, feature_weight, options.penalty
        model = train_gan(
            letters, network, weights, seed, options.warmup, options.steps
        )
        rows[name] = judge(draw(model, small), model)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    parser.add_argument("--l1-steps", type=int, default=L1_STEPS)
    parser.add_argument("--warmup", type=int, default=WARMUP)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--adversarial", type=float, default=1.0, metavar="WEIGHT")
    parser.add_argument("--penalty", type=float, default=60.0, metavar="WEIGHT")
    parser.add_argument("--apart", action="store_true", help="judge training letters")
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    if options.apart and options.csv is not None:
        parser.error("--apart judges other letters than the table's; leave --csv out")
    table = {}
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                for name, seed, *figures in list(csv.reader(file))[1:]:
                    table[name, int(seed)] = list(map(float, figures))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    letters, labels = load_letters("train")
    if options.apart:
        clean, labels = letters[::11], labels[::11]
        letters = np.delete(letters, np.s_[::11], axis=0)
    else:
        clean, labels = (part[::2] for part in load_letters("test"))
    small = damage(clean, 0)["image"].numpy()
    judge = Judge(letters, clean, labels)
    table["clean", 0] = judge(clean)
    for seed in options.seeds:
        if ("L1", seed) in table:
            continue
        start = time.time()
        for name, row in run(seed, letters, judge, small, options).items():
            table[name, seed] = row
            print(f"{name:14s}", *(f"{x:9.4f}" for x in row), flush=True)
        print(f"seed {seed}: {time.time() - start:.0f} s", flush=True)
        if options.csv is not None:
            write_whole(options.csv, as_csv(table).encode())


def as_csv(table):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "seed", *FIGURES])
    for (name, seed), row in table.items():
        writer.writerow([name, seed, *(f"{x:.4f}" for x in row)])
    return text.getvalue()


if __name__ == "__main__":
    main()
