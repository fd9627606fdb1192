"""What a latent space is worth: rate and distortion, bytes, disentanglement.

    python benchmarks/vae_latents.py --csv notebooks/tables/vae_latents.csv

`tfgen.VAE` trains on the letters binarised at 0.5, from the start for each beta and
seed, with more latent dimensions than it needs. All figures are of the test split, new
poses of the typefaces that it has seen: rate and distortion in nats; active units and
the KL term of each dimension; the share of reconstructions that the glyph classifier
reads as their letter; bytes and squared error of `LatentCoder` for 200 letters; and the
mutual information gap (Chen et al., 2018) of the five true factors, on the axes and,
as a control, on the same codes turned at random twelve times (mean and greatest).

A row is written as soon as its training ends. A file that exists is continued: rows
that it holds for the same seed, beta, dimensions and steps are not trained again.
"""

import argparse
import csv
import io
from pathlib import Path

import keras
import numpy as np
from scipy.stats import special_ortho_group

import tfgen
from tfgen.data import Glyphs
from tfgen.writing import check_path, write_whole

BETAS = 0.25, 1.0, 4.0, 16.0
FACTORS = "label", "typeface", "size", "rotation", "shear"
KINDS = "gap", "turned", "turned at most"
COLUMNS = [
    *("seed", "beta", "latent_dim", "steps", "rate", "distortion"),
    *("active", "terms", "read", "bytes", "error"),
    *(f"{kind}, {name}" for kind in KINDS for name in FACTORS),
]
KEY = COLUMNS[:4]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--latent-dim", type=int, default=32)
    parser.add_argument("--csv", help="write the figures here, or continue the file")
    options = parser.parse_args()
    rows = []
    if options.csv is not None:
        check_path(options.csv)
        if Path(options.csv).exists():
            with open(options.csv, encoding="utf-8") as file:
                rows = list(csv.DictReader(file))

    examples = Glyphs().as_dataset("test", batch_size=-1)
    factors = {name: np.array(examples[name]) for name in FACTORS}
    test = tfgen.binarize(np.array(examples["image"], np.float32) / 255).numpy()
    for seed in options.seeds:
        for beta in BETAS:
            key = [str(x) for x in (seed, beta, options.latent_dim, options.steps)]
            if key in [[row[name] for name in KEY] for row in rows]:
                continue
            figures = train_and_measure(beta, seed, options, test, factors)
            rows.append(dict(zip(KEY, key, strict=True)) | figures)
            print(", ".join(f"{name} {x}" for name, x in rows[-1].items()), flush=True)
            if options.csv is not None:
                write_rows(rows, options.csv)


def train_and_measure(beta, seed, options, test, factors):
    """Train one VAE; its figures by the names of `COLUMNS`, as strings."""
    keras.utils.set_random_seed(seed)
    vae = tfgen.VAE(
        tfgen.build_encoder((32, 32, 1), options.latent_dim),
        tfgen.build_decoder((32, 32, 1), options.latent_dim),
        beta=beta,
        seed=seed,
    )
    vae.compile()
    data = tfgen.load_dataset("glyphs", batch_size=64, seed=seed).map(tfgen.binarize)
    known = np.concatenate(list(data.take(16)))
    vae.fit(data.repeat(), steps_per_epoch=options.steps, verbose=0)

    scores = vae.evaluate(test, batch_size=500, verbose=0, return_dict=True)
    means, log_variance = vae.encode(test)
    terms = 0.5 * (means**2 + np.exp(log_variance) - log_variance - 1).mean(axis=0)
    classifier = tfgen.load_pretrained("glyph_classifier")
    _, chances = tfgen.classifier_features(classifier, vae.decode(means))
    coder = tfgen.LatentCoder(vae, tfgen.latent_steps(vae, known))
    stream = coder.compress(test[:200])
    turns = special_ortho_group(options.latent_dim, seed=0).rvs(12)
    turned = [tfgen.mutual_information_gap(means @ turn, factors) for turn in turns]
    gaps = {
        "gap": tfgen.mutual_information_gap(means, factors),
        "turned": {name: np.mean([gap[name] for gap in turned]) for name in FACTORS},
        "turned at most": {name: max(gap[name] for gap in turned) for name in FACTORS},
    }
    figures = {
        "rate": f"{scores['kl']:.2f}",
        "distortion": f"{scores['reconstruction_loss']:.2f}",
        "active": str((means.var(axis=0) > 0.01).sum()),
        "terms": " ".join(f"{term:.3f}" for term in sorted(terms, reverse=True)),
        "read": f"{np.mean(chances.argmax(axis=1) == factors['label']):.4f}",
        "bytes": f"{len(stream) / 200:.2f}",
        "error": f"{np.mean((coder.decompress(stream) - test[:200]) ** 2):.4f}",
    }
    return figures | {
        f"{kind}, {name}": f"{gaps[kind][name]:.4f}"
        for kind in KINDS
        for name in FACTORS
    }


def write_rows(rows, path):
    """Write the table; no half of it is ever on the disk."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
