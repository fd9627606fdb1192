"""What a latent space is worth: rate and distortion, bytes, disentanglement.

    python benchmarks/vae_latents.py                   # 3 seeds, 60 s each training

`tfgen.VAE` trains on the glyphs binarised at 0.5, once for each beta; everything is
measured on the test split. The bytes are those of `LatentCoder`, beside the
smallest PNG of the same image with at most the same mean squared error. The mutual
information gap (Chen et al., 2018) is that of the five true factors; row 0 is the
untrained encoder.
"""

import argparse
import time

import keras
import numpy as np

import tfgen
from tfgen.data import Glyphs

BETAS = 0.25, 1.0, 4.0, 16.0
FACTORS = "label", "typeface", "size", "rotation", "shear"


class StopAfter(keras.callbacks.Callback):
    """Stop training after so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--latent-dim", type=int, default=10)
    options = parser.parse_args()

    builder = Glyphs()
    builder.download_and_prepare()
    examples = builder.as_dataset("test", batch_size=-1)
    factors = {name: np.array(examples[name]) for name in FACTORS}
    test = tfgen.binarize(np.array(examples["image"], np.float32) / 255).numpy()
    table = {}

    def note(beta, name, value):
        table.setdefault((beta, name), []).append(value)

    def note_gaps(beta, vae):
        gaps = tfgen.mutual_information_gap(vae.encode(test)[0], factors)
        for name, gap in {**gaps, "mean": np.mean(list(gaps.values()))}.items():
            note(beta, f"gap, {name}", gap)

    for seed in range(options.seeds):
        data = tfgen.load_dataset("glyphs", batch_size=64, seed=seed)
        data = data.map(tfgen.binarize)
        train = next(iter(data.rebatch(5000)))
        for beta in BETAS:
            keras.utils.set_random_seed(seed)
            networks = [
                build((32, 32, 1), options.latent_dim)
                for build in (tfgen.build_encoder, tfgen.build_decoder)
            ]
            vae = tfgen.VAE(*networks, beta=beta)
            vae.compile()
            if beta == 1:
                note_gaps("untrained", vae)
            stop = StopAfter(options.seconds)
            vae.fit(data, epochs=10_000, verbose=0, callbacks=[stop])

            scores = vae.evaluate(test, batch_size=500, verbose=0, return_dict=True)
            note(beta, "rate in bits", scores["kl"] / np.log(2))
            note(beta, "distortion in nats", scores["reconstruction_loss"])
            note_gaps(beta, vae)
            coder = tfgen.LatentCoder(vae, tfgen.latent_steps(vae, train))
            codes = coder.compress(test)
            errors = np.mean((coder.decompress(codes) - test) ** 2, axis=(1, 2, 3))
            note(beta, "mean squared error", errors.mean())
            note(beta, "bytes", np.mean([len(code) for code in codes]))
            sizes = [
                len(tfgen.png_bytes(*pair))
                for pair in zip(test[:500], errors[:500], strict=True)
            ]
            note(beta, "bytes as PNG, first 500", np.mean(sizes))
            print(f"seed {seed}, beta {beta}: done", flush=True)

    print("\nmean and range over seeds")
    for (beta, name), values in table.items():
        print(
            f"beta {beta!s:9s} {name:24s} {np.mean(values):8.3f} "
            f"({min(values):.3f} to {max(values):.3f})"
        )


if __name__ == "__main__":
    main()
