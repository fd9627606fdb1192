"""One VAE for each weight of its KL divergence: what the weight buys and costs.

    python benchmarks/vae_betas.py --csv notebooks/tables/vae_betas.csv     # 3 seeds

Networks, data and optimizer are those of chapter 7, for 3 epochs: binarised letters of
32 x 32 pixels, 16 latents. Each weight trains with the same seeds. Letters
are decoded from the prior and from a Gaussian that is fitted to the codes of the
training letters, rounded at 0.5, and judged against half of the held-out letters on the
features of the glyph classifier; as many letters of the other half are the floor. The
share that is named counts classes with a probability above 0.9. All figures in nats
are means over the held-out letters. Seeds that the table already holds are not run
again.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import keras
import numpy as np

import tfgen
from tfgen.writing import check_path, write_whole

SHAPE, LATENTS = (32, 32, 1), 16
FIGURES = ["elbo", "kl", "elbo_fitted", "psnr"]
FIGURES += [
    f"{name}_{codes}"
    for codes in ("prior", "fitted")
    for name in ("frechet", "rounded", "named")
]


def load_letters(split):
    data = tfgen.load_dataset("glyphs", split, batch_size=64, seed=0)
    return data.map(tfgen.binarize)


def train(beta, seed, epochs=3, steps=None):
    """A VAE whose rate weighs `beta`, trained with all of its seeds at `seed`."""
    keras.utils.set_random_seed(seed)
    data = load_letters("train")
    networks = tfgen.build_encoder(SHAPE, LATENTS), tfgen.build_decoder(SHAPE, LATENTS)
    vae = tfgen.VAE(*networks, beta=beta, seed=seed)
    vae.compile()
    vae.fit(data if steps is None else data.take(steps), epochs=epochs, verbose=0)
    return vae


def fit_gaussian(mean, log_variance):
    """Mean and covariance of all latents that an encoder draws for its images."""
    spread = np.diag(np.exp(log_variance).mean(axis=0))
    return mean.mean(axis=0), np.cov(mean, rowvar=False) + spread


def rates_under(mean, log_variance, center, covariance):
    """KL divergence of each encoded Gaussian from ``N(center, covariance)``; (n,)."""
    inverse = np.linalg.inv(covariance)
    away = mean - center
    squares = np.exp(log_variance) @ np.diag(inverse) + np.sum(
        away @ inverse * away, axis=1
    )
    volume = np.linalg.slogdet(covariance)[1] - log_variance.sum(axis=1)
    return 0.5 * (squares + volume - mean.shape[1])


class Judge:
    """Frechet distance to half of the held-out letters, and the share with a name."""

    def __init__(self, held_out):
        self.classifier = tfgen.load_pretrained("glyph_classifier")
        self.count = len(held_out) // 2
        self.real, _ = self.describe(held_out[: self.count])

    def describe(self, images):
        return tfgen.classifier_features(self.classifier, images)

    def __call__(self, images):
        features, probabilities = self.describe(images)
        rounded, _ = self.describe(np.round(images))
        return [
            tfgen.frechet_distance(self.real, features),
            tfgen.frechet_distance(self.real, rounded),
            np.mean(probabilities.max(axis=1) > 0.9),
        ]


def score(vae, letters, held_out, judge):
    """The row of a trained model."""
    scores = vae.evaluate(held_out, batch_size=64, verbose=0, return_dict=True)
    gaussian = fit_gaussian(*vae.encode(letters))
    codes = [code.astype("float64") for code in vae.encode(held_out)]
    fitted = -scores["reconstruction_loss"] - rates_under(*codes, *gaussian).mean()
    errors = np.mean((vae.decode(codes[0]) - held_out) ** 2, axis=(1, 2, 3))
    noise = np.random.default_rng(1).standard_normal((judge.count, LATENTS))
    drawn = gaussian[0] + noise @ np.linalg.cholesky(gaussian[1]).T
    return [
        *(scores["elbo"], scores["kl"], fitted, np.mean(-10 * np.log10(errors))),
        *judge(vae.decode(noise)),
        *judge(vae.decode(drawn)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--betas", type=float, nargs="+", default=[0, 1 / 16, 1, 64])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, help="batches of an epoch, by default all")
    parser.add_argument("--csv", type=Path, help="read and write the figures here")
    options = parser.parse_args()
    rows = {}
    if options.csv is not None:
        check_path(options.csv)
        if options.csv.exists():
            with options.csv.open(encoding="utf-8") as file:
                for beta, seed, *figures in list(csv.reader(file))[1:]:
                    rows[float(beta), int(seed)] = list(map(float, figures))

    letters, held_out = (
        np.concatenate(list(load_letters(split))) for split in ("train", "test")
    )
    judge = Judge(held_out)
    for name, images in {
        "training letters": letters[: judge.count],
        "held out, the other half": held_out[-judge.count :],
    }.items():
        print(f"{name}: Frechet distance {judge(images)[0]:.0f}", flush=True)
    print("  beta seed" + "".join(f"{name:>15}" for name in FIGURES))
    for seed in options.seeds:
        for beta in options.betas:
            if (beta, seed) not in rows:
                start = time.perf_counter()
                vae = train(beta, seed, options.epochs, options.steps)
                rows[beta, seed] = score(vae, letters, held_out, judge)
                seconds = f"  {time.perf_counter() - start:.0f} s"
                figures = "".join(f"{value:15.3f}" for value in rows[beta, seed])
                print(f"{beta:6.3g} {seed:4d}{figures}{seconds}", flush=True)
            if options.csv is not None:
                write_table(options.csv, rows)


def write_table(path, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["beta", "seed", *FIGURES])
    for (beta, seed), figures in sorted(rows.items()):
        writer.writerow([f"{beta:g}", seed, *(f"{value:.4f}" for value in figures)])
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
