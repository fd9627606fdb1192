"""Tune the classical denoisers of `tfgen.measures.classics` on the training photos.

    python benchmarks/tune_classics.py

Each denoiser has one constant and some have more. Each is varied alone, the others at
their defaults: printed is the mean PSNR over sigma 15, 25 and 50, over the 128 x 128
pixels in the middle of each of the 27 training photos, in grey and in colour. The best
value is marked. The program fails if a best value is at the end of its grid, or is not
the default by more than 0.02 dB.
"""

import inspect

import numpy as np

import tfgen
from tfgen.measures import classics

SIZE = 128
SIGMAS = 15, 25, 50
CLOSE = 0.02  # dB: not worth another default
GRIDS = {
    "gaussian": {"blur": (0.12, 0.15, 0.18, 0.21, 0.25)},
    "tv": {"weight": (0.5, 0.6, 0.75, 0.9, 1.05)},
    "nlm": {
        "cutoff": (0.4, 0.5, 0.6, 0.7, 0.8),
        "patch": (3, 5, 7, 9),
        "distance": (4, 6, 8, 10),
    },
    "wavelet": {"level": (0.7, 0.85, 1.0, 1.2, 1.4)},
    "dct": {
        "threshold": (2.2, 2.5, 2.8, 3.1, 3.4),
        "first": (8, 10, 12, 14, 16),
        "second": (4, 6, 8, 10),
    },
}


def load_crops(channels):
    """The middle of each training photo."""
    photos = tfgen.load_dataset(
        "photos", "train", batch_size=None, channels=channels, shuffle=False
    )
    for photo in photos.as_numpy_iterator():
        top, left = ((side - SIZE) // 2 for side in photo.shape[:2])
        yield photo[top : top + SIZE, left : left + SIZE]


def mean_psnr(denoise, cases, **values):
    scores = [
        tfgen.psnr(clean[None], denoise(noisy, sigma, **values)[None])
        for clean, noisy, sigma in cases
    ]
    return np.mean(scores)


def main():
    crops = [crop for channels in (1, 3) for crop in load_crops(channels)]
    cases = []
    for seed, crop in enumerate(crops):
        for sigma in SIGMAS:
            damaged = tfgen.add_gaussian_noise(crop[None], seed, sigma)
            cases.append((crop, damaged["image"][0].numpy(), sigma))
    faults = []
    for method, parameters in GRIDS.items():
        denoise = classics.CLASSICS["denoise"][method]
        for name, grid in parameters.items():
            scores = [mean_psnr(denoise, cases, **{name: value}) for value in grid]
            best = int(np.argmax(scores))
            for place, (value, score) in enumerate(zip(grid, scores, strict=True)):
                mark = "  best" if place == best else ""
                print(
                    f"{method:<9}{name:<10}{value:6.4g}{score:7.2f} dB{mark}",
                    flush=True,
                )
            default = inspect.signature(denoise).parameters[name].default
            if best in (0, len(grid) - 1):
                faults.append(f"{method}: the best {name} is at an end of its grid.")
            if scores[best] > scores[grid.index(default)] + CLOSE:
                faults.append(f"{method}: {name}={grid[best]} beats {default}.")
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
