"""Tune the classical denoisers of `tfgen.measures.classics` on nine training photos.

    python benchmarks/tune_classics.py

Each denoiser has one constant. For each value of a grid, its mean PSNR is printed
over sigma 15, 25 and 50, over the 128 x 128 pixels in the middle of each of the first
nine training photos, in grey and in colour; the best value is marked.
"""

import numpy as np

import tfgen
from tfgen.measures import classics

SIZE = 128
SIGMAS = 15, 25, 50
GRIDS = {
    "gaussian": (0.14, 0.16, 0.18, 0.20, 0.22),
    "tv": (0.60, 0.65, 0.70, 0.75, 0.80, 0.85),
    "nlm": (0.50, 0.55, 0.60, 0.65, 0.70, 0.75),
    "wavelet": (0.90, 0.95, 1.00, 1.05, 1.10),
}


def load_crops(channels):
    """The middle of each training photo."""
    photos = tfgen.load_dataset(
        "photos", "train[:9]", batch_size=None, channels=channels, shuffle=False
    )
    for photo in photos.as_numpy_iterator():
        top, left = ((side - SIZE) // 2 for side in photo.shape[:2])
        yield photo[top : top + SIZE, left : left + SIZE]


def main():
    crops = [crop for channels in (1, 3) for crop in load_crops(channels)]
    cases = [
        (
            crop,
            tfgen.add_gaussian_noise(crop[None], seed, sigma)["image"][0].numpy(),
            sigma,
        )
        for seed, crop in enumerate(crops)
        for sigma in SIGMAS
    ]
    for name, denoise in classics.CLASSICS["denoise"].items():
        scores = []
        for value in GRIDS[name]:
            restored = [denoise(noisy, sigma, value) for _, noisy, sigma in cases]
            values = [
                tfgen.psnr(clean[None], image[None])
                for (clean, *_), image in zip(cases, restored, strict=True)
            ]
            scores.append(np.mean(values))
        for value, score in zip(GRIDS[name], scores, strict=True):
            mark = "  best" if score == max(scores) else ""
            print(f"{name:<9}{value:5.2f}{score:7.2f} dB{mark}", flush=True)


if __name__ == "__main__":
    main()
