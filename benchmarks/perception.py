r"""Perception and distortion: what drawn texture gains, and what it costs.

    python benchmarks/perception.py                            # the table
    python benchmarks/perception.py --picture tradeoff.png     # and the figure
    python benchmarks/perception.py --folder BSD100            # other clean images
    python benchmarks/perception.py --csv notebooks/tables/sharp.csv \
        --weights l1_only.npz adversarial_only.npz full.npz    # rivals, each photo

The 256 x 256 pixels in the middle of the test photos, which no network was trained on,
are shrunk four times and enlarged: bicubically; by the network trained for the least
error (`upscale_x4`); by that and unsharp masking, the cheap way to a crisp look; by
`upscale_x4_features`, as `restore --sharp` does, which takes `upscale_x4` where a grid
shows; by `upscale_x4_sharp`, which has a discriminator's verdict too; and by mixes of
its results with those of `upscale_x4`. Results are not rounded.

Files of weights, as `train_sharp.py --out FOLDER` stores them, add a row each: those of
the second command are, renamed, the results of its options `--adversarial 0 --features
0`, `--features 0` and none of the two, each with `--steps 8400`.

PSNR: of the luma (BT.601, 16 to 235), without a border of 4 pixels, in dB. Input: PSNR
of the result shrunk again against the small image. Patches: `patch_distance` of the
fine structures to those of the clean photo. Slopes: `gradient_distance` to it.
Grid: `grid_share`, how many places show a pattern that repeats every 4 pixels, in
percent. Kurtosis: of what lies between two blurs, divided by the clean photo's. Power:
`ring_powers`, in six rings from 0 to half a cycle a pixel, divided likewise. Means over
the photos, of the last seven medians. The last row is the clean photo itself. In the
file of figures each photo has a row.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from restoration_quality import load_images
from scipy import ndimage

import tfgen
from tfgen.commands.finishing import spare_grid
from tfgen.measures.classics import enlarge_bicubic
from tfgen.measures.perception import (
    RINGS,
    gradient_distance,
    grid_share,
    kurtosis,
    patch_distance,
    ring_powers,
)
from tfgen.writing import check_path, write_whole

SCALE = 4
FIGURES = ["psnr", "consistency", "patches", "slopes", "grid", "kurtosis"]
FIGURES += [f"ring_{number}" for number in range(1, len(RINGS))]
MEANS = 5  # of the figures; of the others medians
MIXES = 1 / 3, 2 / 3  # of the sharp result
AMOUNTS = 0.5, 1.0, 1.5, 2.0, 3.0  # times what a Gaussian of 1.2 pixels takes away
NETWORKS = "upscale_x4", "upscale_x4_features", "upscale_x4_sharp"
MIX, MASK = "  mix {:.0%}".format, "  unsharp {:g}".format


def sharpen(image, amount):
    """Unsharp masking."""
    blurred = ndimage.gaussian_filter(image, (1.2, 1.2, 0))
    return np.clip(image + amount * (image - blurred), 0, 1)


def load_weights(path):
    """The network of a file of weights."""
    with np.load(path) as content:
        weights = [content[str(number)] for number in range(len(content.files))]
    network = tfgen.build_sharp_upscaler(SCALE)
    network.set_weights(weights)
    return tfgen.Restorer(network, tfgen.downsample)


def enlarge(small, networks):
    """All the enlargements of a small image, by name."""
    results = {name: network.restore(small) for name, network in networks.items()}
    exact, crisp, sharp = map(results.get, NETWORKS)
    spare_grid(exact, crisp)
    return {
        "bicubic": enlarge_bicubic(small, SCALE),
        **{MASK(x): sharpen(exact, x) for x in AMOUNTS},
        **{MIX(x): (1 - x) * exact + x * sharp for x in MIXES},
        **results,
    }


def shrink(image):
    return tfgen.downsample(image[None], scale=SCALE)["image"].numpy()[0]


def score(clean, small, result):
    """What `FIGURES` name."""
    clean, small, result = (x[None] for x in (clean, small, result))
    return np.hstack(
        [
            tfgen.psnr(clean, result, luma=True, border=SCALE),
            tfgen.psnr(small, shrink(result[0])[None]),
            patch_distance(result, clean),
            gradient_distance(result, clean),
            100 * grid_share(result, SCALE),
            kurtosis(result) / kurtosis(clean),
            (ring_powers(result) / ring_powers(clean))[0],
        ]
    )


def draw(table, path):
    """PSNR and distance of patches: mixes, unsharp masking and bicubic enlargement."""

    def pick(*names):
        return {name.split()[-1]: tuple(table[name][[0, 2]]) for name in names}

    (start,), (crisp,), (end,) = (pick(name).values() for name in NETWORKS)
    curves = {
        "mixed, sharp left": {"x4": start, **pick(*map(MIX, MIXES)), "": end},
        "features only": {"": crisp},
        "unsharp masking": {"": start, **pick(*map(MASK, AMOUNTS))},
        "bicubic": pick("bicubic"),
    }
    tfgen.show_tradeoff(
        curves,
        "PSNR (dB), more is better",
        "distance of patches, less is better",
        path=path,
    )


def as_csv(scores):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "photo", *FIGURES])
    for name, rows in scores.items():
        for photo, row in enumerate(rows):
            writer.writerow([name.strip(), photo, *(f"{x:.4f}" for x in row)])
    return text.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="clean images in place of the test photos")
    parser.add_argument("--picture", help="where to put the figure")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--csv", type=Path, help="write the figures of each photo here")
    options = parser.parse_args()
    if options.csv is not None:
        check_path(options.csv)
    networks = {name: tfgen.load_pretrained(name) for name in NETWORKS}
    networks |= {path.stem: load_weights(path) for path in options.weights}
    scores = {}
    for clean in load_images(options.folder, 3, 256, SCALE).values():
        small = shrink(clean)
        results = enlarge(small, networks) | {"clean": clean}
        for name, result in results.items():
            scores.setdefault(name, []).append(score(clean, small, result))
    print(f"{'':17}   PSNR   input patches  slopes    grid kurtosis power")
    table = {}
    for name, rows in scores.items():
        means, medians = np.mean(rows, axis=0), np.median(rows, axis=0)
        table[name] = np.append(means[:MEANS], medians[MEANS:])
        print(f"{name:17}", *(f"{value:7.2f}" for value in table[name]))
    if options.csv is not None:
        write_whole(options.csv, as_csv(scores).encode())
    if options.picture:
        draw(table, options.picture)


if __name__ == "__main__":
    main()
