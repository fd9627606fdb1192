"""What a denoiser restores that was trained for noise alone: `restore_with_prior`.

    python benchmarks/prior_quality.py

The twelve test photos, grey, at 192 x 192 pixels, damaged in seven ways; the package's
denoiser as prior, the classical method, and the network that was trained for the
damage, where the package has one: mean PSNR in dB, and on how many photos the prior is
ahead of each. The balance of the Wiener filter is chosen on twelve training photos.
"""

import functools

import numpy as np
from scipy import ndimage
from skimage import restoration

import tfgen
from tfgen.measures.classics import enlarge_bicubic, inpaint_biharmonic

SIDE = 192
BALANCES = 10.0 ** np.arange(-5, 0, 0.5)


def load(split):
    data = tfgen.load_dataset(
        "photos", split, image_size=SIDE, channels=1, shuffle=False, batch_size=12
    )
    return next(iter(data.as_numpy_iterator()))


def gaussian(radius):
    """The kernel of a Gaussian blur."""
    reach = int(4 * radius + 0.5)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    return np.float32(np.outer(line, line) / line.sum() ** 2)


def smear(images, kernel):
    """Blurred images, rounded to bytes."""
    blurred = ndimage.correlate(images, kernel[None, ..., None], mode="reflect")
    return np.float32(np.round(255 * np.clip(blurred, 0, 1)) / 255)


def wiener(blurred, kernel, balance):
    """Wiener filtering, each photo mirrored at its edges."""
    margin = [(SIDE // 4, SIDE // 4)] * 2
    found = [
        restoration.wiener(np.pad(x[..., 0], margin, "symmetric"), kernel, balance)
        for x in blurred
    ]
    inner = slice(SIDE // 4, -(SIDE // 4))
    return np.clip(np.stack(found)[:, inner, inner, None], 0, 1)


def tuned_wiener(blurred, kernel, training):
    """The filter with the balance that is best on training photos."""

    def score(balance):
        restored = wiener(smear(training, kernel), kernel, balance)
        return tfgen.psnr(training, np.float32(restored)).mean()

    scores = [score(balance) for balance in BALANCES]
    best = int(np.argmax(scores))
    assert 0 < best < len(BALANCES) - 1, "the best balance is at an end of the grid"
    return wiener(blurred, kernel, BALANCES[best])


def damages(photos, training):
    """Name, rows without the prior, and what `restore_with_prior` is told."""
    for scale in (2, 4):
        small = tfgen.downsample(photos, scale=scale)["image"].numpy()
        rows = {"bicubic": np.stack([enlarge_bicubic(x, scale) for x in small])}
        network = tfgen.load_pretrained(f"upscale_x{scale}")
        rows["trained"] = network.restore(small)
        yield f"{scale} times smaller", rows, small, {"scale": scale}
    kernels = {"blur of radius 1.5": gaussian(1.5), "blur of radius 2.5": gaussian(2.5)}
    kernels["smeared over 9 pixels"] = np.full((1, 9), 1 / 9, np.float32)
    for name, kernel in kernels.items():
        blurred = smear(photos, kernel)
        rows = {"damaged": blurred, "Wiener": tuned_wiener(blurred, kernel, training)}
        yield name, rows, blurred, {"kernel": kernel}
    masks = {"scratches": tfgen.mask_scratches(photos, seed=0)["mask"].numpy()}
    masks["a hole of 64 x 64"] = np.zeros_like(photos)
    masks["a hole of 64 x 64"][:, 64:128, 64:128] = 1
    for name, mask in masks.items():
        cut = photos * (1 - mask)
        smooth = [inpaint_biharmonic(*pair) for pair in zip(cut, mask, strict=True)]
        rows = {"biharmonic": np.stack(smooth)}
        rows["trained"] = tfgen.load_pretrained("inpaint").restore(cut, mask=mask)
        yield name, rows, cut, {"mask": mask}


def main():
    photos, training = load("test"), load("train")
    restore = functools.partial(
        tfgen.restore_with_prior, tfgen.load_pretrained("denoise")
    )
    for name, rows, damaged, told in damages(photos, training):
        found = tfgen.psnr(photos, restore(damaged, **told))
        text = f"{name:22s} prior {found.mean():.2f}"
        if "mask" in told:
            drawn = restore(damaged, **told, seed=0, fresh=0.1)
            text += f", drawn {tfgen.psnr(photos, drawn).mean():.2f}"
        for rival, images in rows.items():
            score = tfgen.psnr(photos, np.float32(images))
            text += f", {rival} {score.mean():.2f} (behind on {np.sum(found > score)})"
        print(text, flush=True)


if __name__ == "__main__":
    main()
