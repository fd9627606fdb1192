"""Positioning: pieces of later aerial photographs, found in the one of 2016.

    python benchmarks/positioning.py --table notebooks/tables/positioning.csv
    python benchmarks/positioning.py --jobs holes --table notebooks/tables/positioning.csv

Pieces of 64 x 64 pixels are cut out of the photographs of 2018 and 2020 at 200 random
places, damaged by noise or shrunk, and restored or not. The place with the highest
normalised cross-correlation in the whole photograph of 2016 is where a piece is said to
be; it is found if that is within 5 pixels of the truth. Compared are brightness; fine
detail, the difference of two Gaussian filters, of both; and edges, the length of the
gradient, of both.

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
HOLE, HOLE_PIECES = 144, 20
YEARS = 2018, 2020
JOBS = [f"noise {sigma}" for sigma in (0, 25, 50, 100)]
JOBS += [f"shrunk {scale}" for scale in (2, 4, 8)] + ["holes"]
COLUMNS = "job year way compared setting pieces found low high".split()
COLUMNS += "lead lead_low lead_high score psnr".split()


def load_grey(year):
    return np.float32(tfgen.load_picture(f"map_{year}") @ [0.299, 0.587, 0.114])


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
    half = pieces.shape[1] // 2
    moments = (ndimage.uniform_filter(np.float64(x), 2 * half) for x in (area, area**2))
    mean, square = (
        moment[half : 1 - half or None, half : 1 - half or None] for moment in moments
    )
    spread = 2 * half * np.sqrt(np.maximum(square - mean**2, 1e-9))
    waves = fft.rfft2(np.float32(area - area.mean()))
    for piece in np.float32(pieces):
        piece = piece - piece.mean()
        product = waves * np.conj(fft.rfft2(piece, area.shape))
        match = fft.irfft2(product, area.shape)[: spread.shape[0], : spread.shape[1]]
        yield match / (spread * max(np.linalg.norm(piece), 1e-3))


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
    for radius in (1, 2):
        both = functools.partial(blur, radius=radius)
        ways["both blurred", "brightness", radius] = noisy, both
    fine = {wide: functools.partial(detail, wide=wide) for wide in (4, 8)}
    for wide, both in fine.items():
        ways["untouched", "detail", wide] = noisy, both
    ways["untouched", "edges", ""] = noisy, edges
    if sigma == 0:
        return ways
    for radius in (0.5, 1, 2):
        filtered = blur(noisy, radius)
        ways["Gaussian filter", "brightness", radius] = filtered, same
    for name in ("tv", "nlm", "wavelet", "dct"):
        method = CLASSICS["denoise"][name]
        filtered = np.stack([method(x[..., None], sigma)[..., 0] for x in noisy])
        ways["classical", "brightness", name] = filtered, same
        ways["classical", "edges", name] = filtered, edges
    network = tfgen.load_pretrained("denoise")
    restored = denoise_by_network(network, noisy, sigma)
    ways["network", "brightness", ""] = restored, same
    ways["network", "edges", ""] = restored, edges
    for wide, both in fine.items():
        ways["network", "detail", wide] = restored, both
    return ways


def ways_to_enlarge(scale, clean):
    """As `ways_against_noise`; what is compared with a shrunk map is shrunk too."""
    small = tfgen.downsample(clean[..., None], scale=scale)["image"].numpy()
    enlarged = enlarge_all(small, scale)

    def shrink(image, then=same):
        if image.ndim == 2:  # the map
            image = tfgen.downsample(image[None, ..., None], scale=scale)["image"]
            image = enlarge_all(image, scale)[0]
        return then(image)

    nearest = small.repeat(scale, axis=1).repeat(scale, axis=2)[..., 0]
    restored = {"network": upscale(small, scale, "upscale_x4")}
    if scale > 2:
        restored["sharp network"] = upscale(small, scale, "upscale_x4_sharp")
    ways = {
        ("untouched", "brightness", ""): (nearest, same),
        ("bicubic", "brightness", ""): (enlarged, same),
        ("both shrunk", "brightness", ""): (enlarged, shrink),
        ("both shrunk", "edges", ""): (enlarged, functools.partial(shrink, then=edges)),
    }
    for name, pieces in restored.items():
        ways[name, "brightness", ""] = pieces, same
        ways[name, "edges", ""] = pieces, edges
    for wide in (4, 8):
        fine = functools.partial(detail, wide=wide)
        both = functools.partial(shrink, then=fine)
        ways["both shrunk", "detail", wide] = enlarged, both
        for name, pieces in restored.items():
            ways[name, "detail", wide] = pieces, fine
    return ways


def upscale(small, scale, name):
    """By the network of that name, if 4 times and more, and the one for 2 times."""
    if scale >= 4:
        small = tfgen.load_pretrained(name).restore(small)
    if scale in (2, 8):
        small = tfgen.load_pretrained("upscale_x2").restore(small)
    return small[..., 0]


# --- Jobs -------------------------------------------------------------------


def run_pieces(job, seed):
    kind, level = job.split()
    area = load_grey(2016)
    rng = np.random.default_rng(seed)
    places = np.stack([rng.integers(0, n - SIDE + 1, PIECES) for n in area.shape], 1)
    squares = (places + SIDE // 2) // SQUARE @ [1000, 1]
    found, scores, decibels = {}, {}, {}
    for year in YEARS:
        photo = load_grey(year)
        clean = np.stack([photo[y : y + SIDE, x : x + SIDE] for y, x in places])
        if kind == "noise":
            ways = ways_against_noise(int(level), clean, seed + year)
        else:
            ways = ways_to_enlarge(int(level), clean)
        for way, (pieces, both) in ways.items():
            best, score = locate(both(area), both(pieces))
            distance = np.linalg.norm(best - places, axis=1)
            found[year, *way] = distance <= WITHIN
            scores[year, *way] = np.median(score)
            psnr = tfgen.psnr(clean[..., None], np.clip(pieces, 0, 1)[..., None])
            decibels[year, *way] = psnr.mean()
    for year, other in (YEARS, YEARS[::-1]):
        rows = {}
        for *way, setting in ways:
            known = rows.setdefault(tuple(way), setting)
            if found[other, *way, setting].mean() > found[other, *way, known].mean():
                rows[tuple(way)] = setting
        keys = [(year, *way, setting) for way, setting in rows.items()]
        yield from summarise(
            job, keys, [found[k] for k in keys], squares, scores, decibels
        )


def summarise(job, keys, found, clusters, scores, decibels):
    found = np.stack(found).astype(float)
    means = resample(clusters, found, np.random.default_rng(0))
    for values in zip(keys, found, means.T, strict=True):
        (year, *way), mine, shares = values
        leads = shares - means[:, 0]
        figures = [mine.mean(), *np.percentile(shares, (2.5, 97.5))]
        figures += [(mine - found[0]).mean(), *np.percentile(leads, (2.5, 97.5))]
        figures += [scores[year, *way]]
        yield [
            job,
            year,
            *way,
            len(mine),
            *(f"{x:.3f}" for x in figures),
            f"{decibels[year, *way]:.2f}",
        ]


def run_holes(job, seed):
    """Twelve holes, one in each of 3 x 4 equal fields."""
    area, year = load_grey(2016), YEARS[-1]
    photo, rng = tfgen.load_picture(f"map_{year}"), np.random.default_rng(seed)
    fields = np.array(photo.shape[:2]) // (3, 4)
    tops = np.argwhere(np.ones((3, 4))) * fields
    tops += rng.integers(0, fields - HOLE + 1, tops.shape)
    inner = rng.integers(0, HOLE - SIDE + 1, (len(tops), HOLE_PIECES, 2))
    network = tfgen.load_pretrained("inpaint").restore
    fills = {
        "true": lambda image, mask: image,
        "smooth": lambda image, mask: fill_depths(
            image * (1 - mask), mask, sight=0
        )[0],
        "network": lambda image, mask: network(image * (1 - mask), mask=mask),
        "network, then patches": lambda image, mask: tfgen.fill_patches(
            network(image * (1 - mask), mask=mask), mask, deeper=16
        ),
        "patches": lambda image, mask: tfgen.fill_patches(image * (1 - mask), mask),
    }
    comparisons = {
        ("brightness", ""): same,
        ("detail", 4): functools.partial(detail, wide=4),
        ("edges", ""): edges,
    }
    pieces = {}
    for (top, left), corners in zip(tops, inner, strict=True):
        near = slice(max(0, top - 96), top + HOLE + 96), slice(
            max(0, left - 96), left + HOLE + 96
        )
        mask = np.zeros((*photo.shape[:2], 1), np.float32)
        mask[top : top + HOLE, left : left + HOLE] = 1
        for name, fill in fills.items():
            filled = np.array(photo)
            filled[near] = fill(photo[near], mask[near])
            grey = np.float32(filled @ [0.299, 0.587, 0.114])
            pieces.setdefault(name, []).extend(
                grey[y : y + SIDE, x : x + SIDE] for y, x in corners + (top, left)
            )
    places = (inner + tops[:, None]).reshape(-1, 2)
    holes = np.arange(len(tops)).repeat(HOLE_PIECES)
    found, scores, decibels = {}, {}, {}
    for name, images in pieces.items():
        psnr = tfgen.psnr(np.stack(pieces["true"])[..., None], np.stack(images)[..., None])
        for way, both in comparisons.items():
            best, score = locate(both(area), both(np.stack(images)))
            key = year, name, *way
            found[key] = np.linalg.norm(best - places, axis=1) <= WITHIN
            scores[key] = np.median(score)
            decibels[key] = psnr.mean()
    keys = list(found)
    yield from summarise(job, keys, list(found.values()), holes, scores, decibels)


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
