"""Differential privacy: what it costs, what it promises, and what an attack finds.

    python benchmarks/privacy.py --csv notebooks/tables/privacy.csv     # 3 seeds

A small VAE learns binarised letters of 16 x 16 pixels, without privacy and by DP-SGD
(Abadi et al., 2016, arXiv:1607.00133). Members and others are drawn at random from one
half of the training letters, anew for each seed; all settings were chosen on the other
half. The attack scores an image by minus the squared error of its reconstruction. PSNR
and ELBO are means over the others. Rows that the table already holds are not run again.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import dp_accounting
import keras
import numpy as np
import tensorflow as tf
from dp_accounting.pld import PLDAccountant
from keras import layers

import tfgen
from tfgen.writing import check_path, write_whole

DELTA = 1e-5
FREE = 1e6  # a clip that no gradient reaches
BATCH, STEPS = 100, 400
SETTINGS = [  # name, members, clip, sigma, steps
    ("mean letter", 200),
    ("plain", 200, FREE, 0.0, STEPS),
    ("plain, stopped early", 200, FREE, 0.0, STEPS // 5),
    ("noise only", 200, FREE, 5 / FREE, STEPS),
    ("clipped", 200, 1.0, 0.0, STEPS),
    ("weakly private", 200, 1.0, 5.0, STEPS),
    ("private", 200, 1.0, 40.0, STEPS),
    ("plain", 8000, FREE, 0.0, STEPS),
    ("weakly private", 8000, 1.0, 0.5, STEPS),
    ("private", 8000, 1.0, 1.2, STEPS),
]
FIGURES = "epsilon", "promised", "least_promised", "found", "psnr", "elbo"


class PrivateVAE(tfgen.VAE):
    def __init__(self, encoder, decoder, share=1.0, clip=1.0, sigma=1.0, **kwargs):
        super().__init__(encoder, decoder, **kwargs)
        self.share, self.clip, self.sigma = share, clip, sigma

    def image_gradient(self, image, noise):
        with tf.GradientTape() as tape:
            mean, log_variance = self.posterior(image[None], training=True)
            logits = self.decoder(mean + tf.exp(0.5 * log_variance) * noise)
            distortion = -self.log_likelihood_of(image[None], logits)
            rate = tfgen.kl_divergence(mean, log_variance)
            loss = distortion + rate
        return tape.gradient(loss, self.trainable_variables), distortion[0], rate[0]

    def noisy_mean(self, gradients, expected):
        squares = [tf.reduce_sum(g**2, axis=range(1, g.ndim)) for g in gradients]
        factors = tf.minimum(1.0, self.clip / tf.sqrt(tf.add_n(squares)))
        for gradient in gradients:
            noise = tf.random.stateless_normal(gradient.shape[1:], self.next_seed())
            total = tf.tensordot(factors, gradient, axes=1)
            yield (total + self.sigma * self.clip * noise) / expected

    def train_step(self, data):
        images = self.check_images(data)  # all of them, in every step
        count = tf.shape(images)[0]
        draws = tf.random.stateless_uniform([count], self.next_seed())
        batch = images[draws < self.share]  # Poisson sampling
        shape = tf.shape(batch)[0], self.latent_dim
        noise = tf.random.stateless_normal(shape, self.next_seed())
        gradients, distortion, rate = tf.vectorized_map(
            lambda pair: self.image_gradient(*pair), (batch, noise)
        )
        expected = self.share * tf.cast(count, tf.float32)  # the count is public
        means = list(self.noisy_mean(gradients, expected))
        self.optimizer.apply(means, self.trainable_variables)
        self.average_weights()
        return self.track(distortion + rate, distortion, rate)


def build_networks(hidden=64, latent_dim=16, shape=(16, 16, 1)):
    encoder = keras.Sequential([keras.Input(shape), layers.Flatten()])
    encoder.add(layers.Dense(hidden, activation="silu"))
    encoder.add(layers.Dense(2 * latent_dim))
    decoder = keras.Sequential([keras.Input([latent_dim])])
    decoder.add(layers.Dense(hidden, activation="silu"))
    decoder.add(layers.Dense(int(np.prod(shape))))
    decoder.add(layers.Reshape(shape))
    return encoder, decoder


def account(share, sigma, steps):
    """An accountant of so many steps, each image added or removed."""
    step = dp_accounting.PoissonSampledDpEvent(
        share, dp_accounting.GaussianDpEvent(sigma)
    )
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    return accountant.compose(step, steps)


def largest_shares(accountant, false_positives=0.01):
    """What no attack exceeds: by the one pair of epsilon and delta, and by all."""
    epsilons = np.linspace(0, 20, 401)
    pairs = np.exp(epsilons) * false_positives + accountant.get_delta(epsilons)
    epsilon = accountant.get_epsilon(DELTA)
    one = np.exp(epsilon) * false_positives + DELTA
    return epsilon, min(1, one), min(1, pairs.min())


def load_pool(half):
    """One half of the training letters, each in a random order."""
    data = tfgen.load_dataset("glyphs", image_size=16, shuffle=False)
    letters = np.concatenate(list(data.map(tfgen.binarize)))
    return letters[np.random.default_rng(0).permutation(len(letters))][half::2]


def draw(pool, count, seed, others=1500):
    """Members and others, at random."""
    order = np.random.default_rng(seed).permutation(len(pool))
    return pool[order[:count]], pool[order[-others:]]


def train(members, seed, clip, sigma, steps):
    """A VAE that takes about `BATCH` of its members in each step."""
    keras.utils.set_random_seed(seed)
    options = {"share": BATCH / len(members), "clip": clip, "sigma": sigma}
    options |= {"average_decay": 0.99, "seed": seed}
    vae = PrivateVAE(*build_networks(), **options)
    vae.compile(keras.optimizers.Adam(0.01))
    vae.fit(tf.data.Dataset.from_tensors(members).repeat(steps), verbose=0)
    return vae


def attack(made, members, others):
    """Share of the members whom small errors of what is made of them betray, at 1 % of
    the others, and the mean PSNR of the others."""
    errors = [
        np.mean((images - wanted) ** 2, axis=(1, 2, 3))
        for images, wanted in zip(made, (members, others), strict=True)
    ]
    found = tfgen.true_positive_rate(-errors[0], -errors[1], false_positives=0.01)
    return found, np.mean(-10 * np.log10(errors[1]))


def score(members, others, seed, clip, sigma, steps):
    """The row of a training."""
    promises = np.inf, 1.0, 1.0
    if clip < FREE and sigma:
        promises = largest_shares(account(BATCH / len(members), sigma, steps))
    vae = train(members, seed, clip, sigma, steps)
    made = vae.reconstruct(members), vae.reconstruct(others)
    elbo = vae.log_likelihood(others, samples=10, verbose=0).mean()
    return [*promises, *attack(made, members, others), elbo]


def score_mean(members, others):
    """The row of the mean member, which shows no single one. Its ELBO is the log
    likelihood of pixels that are independent coins."""
    mean = np.clip(members.mean(axis=0), 1e-3, 1 - 1e-3)
    logs = others * np.log(mean) + (1 - others) * np.log(1 - mean)
    scores = attack((mean, mean), members, others)
    return [np.inf, 1.0, 1.0, *scores, logs.sum((1, 2, 3)).mean()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--half", type=int, default=1, help="0: that of the choices")
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    rows = {}
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                for name, count, seed, *figures in list(csv.reader(file))[1:]:
                    rows[name, int(count), int(seed)] = list(map(float, figures))
    pool = load_pool(options.half)
    print(f"{'training':20s}members seed" + "".join(f"{x:>15}" for x in FIGURES))
    for seed in options.seeds:
        for name, count, *setting in SETTINGS:
            if (name, count, seed) not in rows:
                start = time.perf_counter()
                letters = draw(pool, count, seed)
                row = (
                    score(*letters, seed, *setting) if setting else score_mean(*letters)
                )
                rows[name, count, seed] = row
                figures = "".join(f"{value:15.4f}" for value in row)
                seconds = f"  {time.perf_counter() - start:.0f} s"
                print(f"{name:20s}{count:7d}{seed:5d}{figures}{seconds}", flush=True)
            if options.csv is not None:
                write_table(options.csv, rows)


def write_table(path, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["training", "members", "seed", *FIGURES])
    for key, figures in rows.items():
        writer.writerow([*key, *(f"{value:.4f}" for value in figures)])
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
