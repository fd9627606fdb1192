"""Paintings: cracks that are filled, and a new picture in the manner of one.

    python benchmarks/paintings.py cracks --csv notebooks/tables/cracks.csv
    python benchmarks/paintings.py draw --picture notebooks/pictures/drawn_painting.jpg

`cracks` cuts networks of cracks out of the middle of the five embedded paintings, 256 x
256 pixels, with three seeds, and fills them, the mask being told: by the median of the
known pixels around, by the biharmonic surface, by the inpainting network, and by the
mean of its answers to the eight turned and mirrored images. PSNR in the cracks; the
lead over the biharmonic surface is averaged over seeds, and its interval (Student's t,
95 %) is over paintings.

`draw` lets `tfgen.redraw` draw a picture of 480 x 800 pixels after Caillebotte's
chrysanthemums, and prints how alike patches are: `patch_distance`, and the distance of
patches of 16 pixels to the nearest of the painting, each beside its control.
"""

import argparse
import csv
import io
import time

import numpy as np
from scipy import stats

import tfgen
from tfgen.measures.classics import inpaint_biharmonic
from tfgen.measures.perception import patch_distance
from tfgen.writing import check_path, write_whole

NAMES = "bruegel", "la_tour", "manet", "turner", "caillebotte"
SIZE = 480, 800


def load(name):
    return tfgen.load_picture(f"painting_{name}")


def middle(image, side=256):
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


# --- Cracks -----------------------------------------------------------------


def fill_median(image, mask, reach=6):
    """Fill holes with the median of the known pixels around."""
    holes = mask[..., 0] > 0
    known = np.where(mask > 0, np.nan, image)
    known = np.pad(known, [(reach, reach)] * 2 + [(0, 0)], constant_values=np.nan)
    side = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(known, (side, side), (0, 1))
    filled = np.array(image)
    filled[holes] = np.nanmedian(windows[holes].reshape(holes.sum(), 3, -1), axis=-1)
    return filled


def measure_cracks(path, seeds):
    network = tfgen.load_pretrained("inpaint").restore
    methods = {
        "untouched": lambda image, mask: image,
        "median": fill_median,
        "biharmonic": inpaint_biharmonic,
        "network": lambda image, mask: network(image, mask=mask),
        "eight ways": lambda image, mask: network(image, mask=mask, ensemble=True),
    }
    rows = []
    for name in NAMES:
        clean = middle(load(name))
        for seed in range(seeds):
            known = tfgen.mask_cracks(clean[None], seed)
            image, mask = (known[key].numpy()[0] for key in ("image", "mask"))
            row = {"painting": name, "seed": seed}
            for method, fill in methods.items():
                error = (clean - fill(image, mask))[mask[..., 0] > 0]
                row[method] = round(float(-10 * np.log10(np.mean(error**2))), 3)
            print(*row.values(), flush=True)
            rows.append(row)
    if path is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(path, text.getvalue().encode())
    for method in methods:
        lead = np.array([row[method] - row["biharmonic"] for row in rows])
        lead = lead.reshape(len(NAMES), seeds).mean(axis=1)
        spread = stats.t.ppf(0.975, len(lead) - 1) * lead.std(ddof=1) / len(lead) ** 0.5
        score = np.mean([row[method] for row in rows])
        print(f"{method:10s} {score:6.2f} dB, lead {lead.mean():+.2f} +- {spread:.2f}")


# --- A new picture ----------------------------------------------------------


def cut_patches(image, step, side=16):
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
    return windows[::step, ::step].reshape(-1, 3 * side**2)


def to_nearest(image, model):
    """Levels of 255 between patches of 16 pixels and the nearest of the model."""
    keys = cut_patches(model, 1)
    _, distances = tfgen.nearest_neighbors(cut_patches(image, 16), keys)
    return 255 * distances / keys.shape[1] ** 0.5


def cut_strips(image, height=380, width=194):
    top = (len(image) - height) // 2
    starts = range(0, image.shape[1] - width + 1, width)
    return np.stack([image[top : top + height, x : x + width] for x in starts])


def draw(path, seed):
    from PIL import Image

    painting, started = load("caillebotte"), time.perf_counter()
    drawn = tfgen.redraw(painting, SIZE, seed=seed)
    print(f"drawn in {time.perf_counter() - started:.0f} s")
    if path is not None:
        file = io.BytesIO()
        Image.fromarray(np.uint8(np.rint(255 * drawn))).save(file, "JPEG", quality=84)
        write_whole(path, file.getvalue())

    left, right = painting[:, :194], painting[:, 194:]
    others = {name: load(name) for name in NAMES if name != "caillebotte"}
    for name, image in ({"its right half": right, "drawn": drawn} | others).items():
        strips = cut_strips(image)  # at one scale, on which detail depends
        halves = np.repeat(cut_strips(left), len(strips), axis=0)
        distance = patch_distance(halves, strips).mean()
        print(f"{name}: {distance:.2f} levels from the left half")
    print(f"drawn {np.median(to_nearest(drawn, painting)):.1f} levels to the nearest")
    print(f"right half {np.median(to_nearest(right, left)):.1f} to that of the left")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    cracks = commands.add_parser("cracks")
    cracks.add_argument("--csv", help="write the figures here")
    cracks.add_argument("--seeds", type=int, default=3)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--picture", help="write the picture here, as JPEG")
    drawing.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    if options.command == "cracks":
        if options.csv is not None:
            check_path(options.csv)
        measure_cracks(options.csv, options.seeds)
    else:
        if options.picture is not None:
            check_path(options.picture)
        draw(options.picture, options.seed)


if __name__ == "__main__":
    main()
