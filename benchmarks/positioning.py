"""Positioning: pieces of later aerial photographs, found in the one of 2016.

    python benchmarks/positioning.py --table notebooks/tables/positioning.csv
    python benchmarks/positioning.py --jobs holes "noise 50"

Pieces of 64 x 64 pixels are cut out of the photographs of 2018 and 2020 at 200 random
places, damaged by noise or shrunk, and restored or not. The place with the highest
normalised cross-correlation in the whole photograph of 2016 is where a piece is said to
be; it is found if that is within 5 pixels of the truth. Compared are brightness; fine
detail, the difference of two Gaussian filters, of both; and edges, the length of the
gradient, of both. That these help was first seen on other pieces of these photographs.

A way with settings takes for each year the one that is best on the pieces of the other
year. Intervals hold 95 % of 2,000 resamples of the squares of 96 pixels in which the
middles of the pieces lie, since neighbours share their ground; the lead is over the
first row, the piece as it is, in the same resamples. PSNR is that of the pieces.

`holes` cuts twelve squares of 144 pixels out of the photograph of 2020, fills them, and
looks for 20 pieces that lie wholly in each. There the resamples are of holes.

Rows of jobs that are not run again stay in the table.
"""

import argparse
import csv
import functools
import io
import time
from pathlib import Path

import numpy as np
from scipy import fft, ndimage

import tfgen
from tfgen.measures.classics import CLASSICS, enlarge_bicubic
from tfgen.tiles import fill_depths
from tfgen.writing import check_path, write_whole

SIDE, PIECES, WITHIN, SQUARE, RESAMPLES = 64, 200, 5, 96, 2000
HOLE, HOLE_PIECES, MARGIN = 144, 20, 96
GREY = 0.299, 0.587, 0.114
YEARS = 2018, 2020
JOBS = [f"noise {sigma}" for sigma in (0, 25, 50, 100)]
JOBS += [f"shrunk {scale}" for scale in (2, 4, 8)] + ["holes"]
COLUMNS = "job year way compared setting pieces found low high".split()
COLUMNS += "lead lead_low lead_high score psnr".split()


def load_grey(year):
    return np.float32(tfgen.load_picture(f"map_{year}") @ GREY)


def same(image):
    return image


def blur(image, radius):
    return ndimage.gaussian_filter(image, radius, axes=(-2, -1))


def detail(image, wide):
    return blur(image, 1) - blur(image, wide)


def edges(image):
    return ndimage.gaussian_gradient_magnitude(image, 1, axes=(-2, -1))


def correlate(area, pieces):
    """The scores of each piece at each place, as of skimage's `match_template`."""
    side = pieces.shape[1]
    inside = slice(side // 2, 1 - side // 2 or None)
    moments = (ndimage.uniform_filter(np.float64(x), side) for x in (area, area**2))
    mean, square = (moment[inside, inside] for moment in moments)
    spread = np.float32(side * np.sqrt(np.maximum(square - mean**2, 1e-9)))
    (height, width), (rows, columns) = area.shape, spread.shape
    waves = fft.rfft2(np.float32(area - area.mean()))
    for piece in np.float32(pieces):
        piece = piece - piece.mean()
        # `rfft2`, without the rows of zeros and those where the piece does not fit.
        product = waves * np.conj(fft.fft(fft.rfft(piece, width), height, axis=0))
        match = fft.irfft(fft.ifft(product, axis=0)[:rows], width)[:, :columns]
        yield match / spread / np.float32(max(np.linalg.norm(piece), 1e-3))


def locate(area, pieces):
    """The best place, (n, 2), of each piece, and its score."""
    places, scores = [], []
    for score in correlate(area, pieces):
        places.append(np.unravel_index(score.argmax(), score.shape))
        scores.append(score.max())
    return np.array(places), np.array(scores)


def resample(clusters, values, rng):
    """Means of values, (ways, pieces), in resamples of clusters, (RESAMPLES, ways)."""
    kinds, index = np.unique(clusters, return_inverse=True)
    draws = rng.multinomial(len(kinds), [1 / len(kinds)] * len(kinds), RESAMPLES)
    weights = draws[:, index]
    return weights @ values.T / weights.sum(axis=1, keepdims=True)


# --- Damage and ways --------------------------------------------------------


def denoise_by_network(network, noisy, sigma):
    """Noise beyond what the network learned is first shrunk away."""
    scale = 1 if sigma <= 55 else 2
    sides = SIDE // scale, scale
    small = noisy.reshape(-1, *sides, *sides).mean(axis=(2, 4))[..., None]
    restored = network.restore(small, sigma=sigma / scale)
    return enlarge_all(restored, scale)


def enlarge_all(pieces, scale):
    return np.stack([enlarge_bicubic(piece, scale)[..., 0] for piece in pieces])


def ways_against_noise(sigma, clean, seed):
    """(way, compared, setting): pieces, and what is done to both sides."""
    noise = np.random.default_rng(seed).normal(size=clean.shape)
    noisy = clean + np.float32(sigma / 255 * noise)
    ways = {("untouched", "brightness", ""): (noisy, same)}
    if sigma:
        for radius in (0.5, 1, 2):
            filtered = blur(noisy, radius)
            ways["Gaussian filter", "brightness", radius] = filtered, same
        for name in ("tv", "wavelet", "dct"):
            method = CLASSICS["denoise"][name]
            filtered = np.stack([method(x[..., None], sigma)[..., 0] for x in noisy])
            ways["classical filter", "brightness", name] = filtered, same
    restored = {"untouched": noisy}
    if sigma:
        network = tfgen.load_pretrained("denoise")
        restored["network"] = denoise_by_network(network, noisy, sigma)
        ways["network", "brightness", ""] = restored["network"], same
    for radius in (1, 2):
        both = functools.partial(blur, radius=radius)
        ways["both blurred", "brightness", radius] = noisy, both
    for name, pieces in restored.items():
        ways[name, "edges", ""] = pieces, edges
        for wide in (2, 4, 8):
            ways[name, "detail", wide] = pieces, functools.partial(detail, wide=wide)
    return ways


def ways_to_enlarge(scale, clean, seed=None):
    """As `ways_against_noise`; "both shrunk" shrinks and enlarges the map too."""
    small = tfgen.downsample(clean[..., None], scale=scale)["image"].numpy()
    nearest = small.repeat(scale, axis=1).repeat(scale, axis=2)[..., 0]
    enlarged = enlarge_all(small, scale)
    restored = {"network": upscale(small, scale, "upscale_x4")}
    if scale > 2:
        restored["sharp network"] = upscale(small, scale, "upscale_x4_sharp")
    ways = {
        ("untouched", "brightness", ""): (nearest, same),
        ("bicubic", "brightness", ""): (enlarged, same),
        **{(name, "brightness", ""): (x, same) for name, x in restored.items()},
    }
    shrink = functools.partial(shrink_map, scale=scale)
    ways["both shrunk", "brightness", ""] = enlarged, shrink
    for wide in (4, 8, 16):
        both = functools.partial(detail, wide=wide)
        for name, pieces in restored.items():
            ways[name, "detail", wide] = pieces, both
        both = functools.partial(shrink_map, scale=scale, then=both)
        ways["both shrunk", "detail", wide] = enlarged, both
    return ways


def shrink_map(image, scale, then=same):
    """Shrink and enlarge the map; pieces, (n, height, width), are so already."""
    if image.ndim == 2:
        image = tfgen.downsample(image[None, ..., None], scale=scale)["image"]
        (image,) = enlarge_all(image.numpy(), scale)
    return then(image)


def upscale(small, scale, name):
    """By the network of that name, if 4 times and more, and the one for 2 times."""
    if scale >= 4:
        small = tfgen.load_pretrained(name).restore(small)
    if scale in (2, 8):
        small = tfgen.load_pretrained("upscale_x2").restore(small)
    return small[..., 0]


# --- Jobs -------------------------------------------------------------------


def run_pieces(job, seed):
    """The rows of the table."""
    kind, level = job.split()
    damages = {"noise": ways_against_noise, "shrunk": ways_to_enlarge}
    area, rng = load_grey(2016), np.random.default_rng(seed)
    places = np.stack([rng.integers(0, n - SIDE + 1, PIECES) for n in area.shape], 1)
    squares = (places + SIDE // 2) // SQUARE @ [1000, 1]
    results = {}
    for year in YEARS:
        photo = load_grey(year)
        clean = np.stack([photo[y : y + SIDE, x : x + SIDE] for y, x in places])
        ways = damages[kind](int(level), clean, seed + year)
        results[year] = judge(ways, clean, area, places)
    for year, other in (YEARS, YEARS[::-1]):
        best = choose(results[other])
        chosen = {key: results[year][key] for key in best}
        yield from summarise(job, year, chosen, squares)


def judge(ways, clean, area, places):
    """For each way: which pieces are found, the median score and the mean PSNR."""
    results = {}
    for key, (pieces, both) in ways.items():
        best, scores = locate(both(area), both(pieces))
        found = np.linalg.norm(best - places, axis=1) <= WITHIN
        pairs = clean[..., None], np.clip(pieces, 0, 1)[..., None]
        results[key] = found, np.median(scores), tfgen.psnr(*pairs).mean()
    return results


def choose(results):
    """Of each way the setting with most pieces found."""
    best = {}
    for *way, setting in results:
        known = best.setdefault(tuple(way), setting)
        if results[*way, setting][0].sum() > results[*way, known][0].sum():
            best[tuple(way)] = setting
    return [(*way, setting) for way, setting in best.items()]


def summarise(job, year, results, clusters):
    """A row for each way, with intervals; the leads are over the first one."""
    found = np.array([result[0] for result in results.values()], float)
    shares = resample(clusters, found, np.random.default_rng(0))
    leads = shares - shares[:, :1]
    for index, (key, (_, score, psnr)) in enumerate(results.items()):
        figures = [found[index].mean(), *np.percentile(shares[:, index], (2.5, 97.5))]
        figures += [found[index].mean() - found[0].mean()]
        figures += [*np.percentile(leads[:, index], (2.5, 97.5)), score]
        rounded = *(f"{x:.3f}" for x in figures), f"{psnr:.2f}"
        yield [job, year, *key, found.shape[1], *rounded]


def run_holes(job, seed):
    """The same for twelve holes, one in each of 3 x 4 equal fields."""
    area, year = load_grey(2016), YEARS[-1]
    photo, rng = tfgen.load_picture(f"map_{year}"), np.random.default_rng(seed)
    fields = np.array(photo.shape[:2]) // (3, 4)
    corners = np.argwhere(np.ones((3, 4))) * fields
    corners += rng.integers(0, fields - HOLE + 1, corners.shape)
    inner = rng.integers(0, HOLE - SIDE + 1, (len(corners), HOLE_PIECES, 2))
    pieces = {}
    for corner, places in zip(corners, inner, strict=True):
        for name, filled in fill_hole(photo, corner).items():
            grey = np.float32(filled @ GREY)
            cut = [grey[y : y + SIDE, x : x + SIDE] for y, x in places]
            pieces.setdefault(name, []).extend(cut)
    comparisons = {
        ("brightness", ""): same,
        ("detail", 4): functools.partial(detail, wide=4),
        ("edges", ""): edges,
    }
    pieces = {name: np.stack(images) for name, images in pieces.items()}
    ways = {
        (name, *way): (images, both)
        for way, both in comparisons.items()
        for name, images in pieces.items()
    }
    places = (corners[:, None] + inner).reshape(-1, 2)
    results = judge(ways, pieces["true"], area, places)
    holes = np.arange(len(corners)).repeat(HOLE_PIECES)
    yield from summarise(job, year, results, holes)


def fill_hole(photo, corner):
    """What lies in the hole, (HOLE, HOLE, 3), and what is put there."""
    top, left = np.minimum(corner, MARGIN)  # what is known around it
    near = tuple(slice(max(0, x - MARGIN), x + HOLE + MARGIN) for x in corner)
    image = photo[near]
    mask = np.zeros((*image.shape[:2], 1), np.float32)
    mask[top : top + HOLE, left : left + HOLE] = 1
    damaged = image * (1 - mask)
    filled = {
        "true": image,
        "smooth": fill_depths(damaged, mask, sight=0)[0],
        "network": tfgen.load_pretrained("inpaint").restore(damaged, mask=mask),
        "patches": tfgen.fill_patches(damaged, mask),
    }
    hole = slice(top, top + HOLE), slice(left, left + HOLE)
    return {name: image[hole] for name, image in filled.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--table", type=Path, help="where to put the table")
    options = parser.parse_args()
    if options.table:
        check_path(options.table)
    rows = {}
    if options.table and options.table.exists():
        with options.table.open(encoding="utf-8", newline="") as file:
            for row in list(csv.reader(file))[1:]:
                rows.setdefault(row[0], []).append(row)
    for job in options.jobs:
        start = time.perf_counter()
        run = run_holes if job == "holes" else run_pieces
        rows[job] = list(run(job, options.seed))
        for row in rows[job]:
            print(*row, flush=True)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
        if options.table:
            table = io.StringIO()
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(row for job in JOBS for row in rows.get(job, []))
            write_whole(options.table, table.getvalue().encode())


if __name__ == "__main__":
    main()
