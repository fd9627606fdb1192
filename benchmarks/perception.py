"""Perception and distortion: what `upscale_x4_sharp` gains, and what it costs.

    python benchmarks/perception.py                            # the table
    python benchmarks/perception.py --picture tradeoff.png     # and the figure
    python benchmarks/perception.py --folder BSD100            # other clean images

The 256 x 256 pixels in the middle of the test photos, which no network was trained on,
are shrunk four times and enlarged: bicubically; by the network trained for the least
error (`upscale_x4`); by that and unsharp masking, the cheap way to a crisp look; by
`upscale_x4_sharp`, whole and, as `restore --sharp` does, mixed with `upscale_x4` where
it shows a grid; and by mixes of the two networks' results. Results are not rounded.

PSNR: of the luma (BT.601, 16 to 235), without a border of 4 pixels, in dB. Input: PSNR
of the result shrunk again against the small image. Patches: `patch_distance` of the
fine structures to those of the clean photo. Grid: `grid_share`, how many places show a
pattern that repeats every 4 pixels, in percent. Power: `ring_powers`, in six rings from
0 to half a cycle a pixel, divided by the clean photo's. Means over the photos, of the
powers medians. The last row is the clean photo itself.
"""

import argparse

import numpy as np
from restoration_quality import load_images
from scipy import ndimage

import tfgen
from tfgen.commands.finishing import spare_grid
from tfgen.measures.classics import enlarge_bicubic
from tfgen.measures.perception import grid_share, patch_distance, ring_powers

SCALE = 4
MIXES = 1 / 3, 2 / 3  # of the sharp result
AMOUNTS = 0.5, 1.0, 1.5  # times what a Gaussian of 1.2 pixels takes away
SPARED = "  without grids"
MIX, MASK = "  mix {:.0%}".format, "  unsharp {:g}".format


def sharpen(image, amount):
    """Unsharp masking."""
    blurred = ndimage.gaussian_filter(image, (1.2, 1.2, 0))
    return np.clip(image + amount * (image - blurred), 0, 1)


def enlarge(small, exact, sharp):
    """All the enlargements of a small image, by name."""
    exact, sharp = exact.restore(small), sharp.restore(small)
    return {
        "bicubic": enlarge_bicubic(small, SCALE),
        "upscale_x4": exact,
        **{MASK(x): sharpen(exact, x) for x in AMOUNTS},
        **{MIX(x): (1 - x) * exact + x * sharp for x in MIXES},
        "upscale_x4_sharp": sharp,
        SPARED: spare(exact, sharp),
    }


def spare(exact, sharp):
    """What `restore --sharp` makes of both."""
    sharp = sharp.copy()
    spare_grid(exact, sharp)
    return sharp


def shrink(image):
    return tfgen.downsample(image[None], scale=SCALE)["image"].numpy()[0]


def score(clean, small, result):
    """PSNR, PSNR shrunk again, distance of patches, grid, powers of rings."""
    clean, small, result = (x[None] for x in (clean, small, result))
    return np.hstack(
        [
            tfgen.psnr(clean, result, luma=True, border=SCALE),
            tfgen.psnr(small, shrink(result[0])[None]),
            patch_distance(result, clean),
            100 * grid_share(result, SCALE),
            (ring_powers(result) / ring_powers(clean))[0],
        ]
    )


def draw(table, path):
    """PSNR and distance of patches: mixes, unsharp masking and bicubic enlargement."""

    def pick(*names):
        return {name.strip(): tuple(table[name][[0, 2]]) for name in names}

    (start,), (end,) = (pick(x).values() for x in ("upscale_x4", "upscale_x4_sharp"))
    curves = {
        "mixed with sharp": {"x4": start, **pick(*map(MIX, MIXES)), "sharp": end},
        "unsharp masking": {"": start, **pick(*map(MASK, AMOUNTS))},
        "bicubic": pick("bicubic"),
    }
    tfgen.show_tradeoff(
        curves,
        "PSNR (dB), more is better",
        "distance of patches, less is better",
        path=path,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="clean images in place of the test photos")
    parser.add_argument("--picture", help="where to put the figure")
    options = parser.parse_args()
    networks = [tfgen.load_pretrained(n) for n in ("upscale_x4", "upscale_x4_sharp")]
    scores = {}
    for clean in load_images(options.folder, 3, 256, SCALE).values():
        small = shrink(clean)
        results = enlarge(small, *networks) | {"clean": clean}
        for name, result in results.items():
            scores.setdefault(name, []).append(score(clean, small, result))
    print(f"{'':17}   PSNR   input  patches    grid   power")
    table = {}
    for name, rows in scores.items():
        table[name] = np.append(np.mean(rows, axis=0)[:4], np.median(rows, axis=0)[4:])
        print(f"{name:17}", *(f"{value:7.2f}" for value in table[name]))
    if options.picture:
        draw(table, options.picture)


if __name__ == "__main__":
    main()
