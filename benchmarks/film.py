"""A film with noise: frame by frame, and with the help of neighbouring frames.

    python benchmarks/film.py flower.mp4 --table notebooks/tables/film.csv
    python benchmarks/film.py flower.mp4 --table notebooks/tables/film.csv --stretches 2

Six stretches of six frames each, spread over a film whose frames are taken for clean,
with fresh Gaussian noise of sigma 25 in each frame. Five ways with `denoise_color`:

- frame by frame, each restored alone;
- still mean: the noisy frames from two before to two after are averaged as if nothing
  moved, and the network restores the mean, told the lower noise;
- moved mean: what `restore_film` averages, before the network sees it again;
- with neighbours: `restore_film`.

For each the mean PSNR, `flicker` where the clean film changes by at most 2 of 255, and
the time as a multiple of that of frame by frame, on one core. The rows of other
stretches that the table holds are kept. Mean and range of the leads are printed.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import numpy as np

import tfgen
from tfgen.data.films import read_film
from tfgen.film import average, with_neighbors
from tfgen.measures.restoring import flicker
from tfgen.writing import check_path, write_whole

SIGMA, FRAMES, STRETCHES, NEIGHBORS = 25, 6, 6, 2
FIRST, APART = 10, 25  # the settings were chosen on other frames, 68 to 76
HEAD = "stretch", "method", "psnr", "flicker", "times"


def load(path, stretch):
    frames = read_film(path, first=FIRST + APART * stretch, count=FRAMES)
    clean = np.stack(list(frames))
    noise = np.random.default_rng(stretch).standard_normal(clean.shape, np.float32)
    return clean, clean + SIGMA / 255 * noise


class Clock:
    """A network that notes what it made of the noisy frames, and how long it took."""

    def __init__(self, network):
        self.network, self.results, self.seconds = network, [], 0.0

    def __call__(self, frame, sigma):
        start = time.perf_counter()
        result = self.network.restore(frame, sigma=sigma)
        if sigma == SIGMA:
            self.seconds += time.perf_counter() - start
            self.results.append(result)
        return result


def timed(function):
    start = time.perf_counter()
    return np.stack(list(function)), time.perf_counter() - start


def restore_still_means(noisy, network):
    for frame, around in with_neighbors(noisy, NEIGHBORS):
        mean = np.mean([frame, *around], axis=0)
        yield network.restore(mean, sigma=SIGMA / np.sqrt(1 + len(around)))


def move_means(noisy, once):
    pairs = zip(noisy, once, strict=True)
    for (frame, restored), around in with_neighbors(pairs, NEIGHBORS):
        yield average(frame, restored, around, SIGMA)[0]


def measure(path, stretch, network):
    """A row for each way."""
    clean, noisy = load(path, stretch)
    clock = Clock(network)
    film = tfgen.restore_film(noisy, clock, sigma=SIGMA, neighbors=NEIGHBORS)
    ways = {"with neighbours": timed(film)}
    once = np.stack(clock.results), clock.seconds
    means, seconds = timed(move_means(noisy, once[0]))
    ways["moved mean"] = means, seconds + clock.seconds
    ways["still mean"] = timed(restore_still_means(noisy, network))
    ways |= {"frame by frame": once, "untouched": (noisy, 0.0)}
    for name, (frames, seconds) in reversed(ways.items()):
        frames = np.clip(frames, 0, 1)
        score = tfgen.psnr(clean, frames).mean(), flicker(frames, clean)
        yield stretch, name, *(f"{x:.3f}" for x in (*score, seconds / once[1]))


def read_rows(path, without):
    if not path or not Path(path).exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [tuple(row) for row in rows if int(row[0]) not in without]


def print_summary(rows):
    scores = {(int(row[0]), row[1]): np.array(row[2:], float) for row in rows}
    stretches = sorted({stretch for stretch, _ in scores})
    for name in dict.fromkeys(name for _, name in scores):
        own = np.stack([scores[i, name] for i in stretches])
        lead = own[:, 0] - [scores[i, "frame by frame"][0] for i in stretches]
        decibels, change, times = own.mean(axis=0)
        print(
            f"{name:16s}{decibels:7.2f} dB, lead {lead.mean():+.2f} ({lead.min():+.2f} "
            f"to {lead.max():+.2f}), flicker {change:.2f}, time {times:.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film")
    parser.add_argument("--table", help="where to put the table")
    parser.add_argument("--stretches", type=int, nargs="*", default=range(STRETCHES))
    options = parser.parse_args()
    if options.table:
        check_path(options.table)
    network = tfgen.load_pretrained("denoise_color")
    network.restore(np.zeros((64, 64, 3), np.float32), sigma=SIGMA)  # is made ready
    rows = read_rows(options.table, without=options.stretches)
    for stretch in options.stretches:
        for row in measure(options.film, stretch, network):
            rows.append(row)
            print(*row, flush=True)
        rows.sort(key=lambda row: int(row[0]))
        if options.table:
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows([HEAD, *rows])
            write_whole(options.table, table.getvalue().encode())
    print_summary(rows)


if __name__ == "__main__":
    main()
