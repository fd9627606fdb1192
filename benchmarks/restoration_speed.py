"""Speed and memory of restoring photos with the shipped denoisers.

    python benchmarks/restoration_speed.py
    python benchmarks/restoration_speed.py --picture cost.png
    python benchmarks/restoration_speed.py --parts networks      # or nlm, cost, memory

The photo is a mosaic of crops of the embedded test photos, with noise of sigma 25
that every method is told. First every network for 0.5 megapixels of result, and how
many times as long it takes as one of the default size. Then a megapixel, grey:
`load_pretrained("denoise")` against the non-local means of scikit-image in their fast
mode, with the strength h that is best for this very photo. Then the seconds at 1, 4 and
16 megapixels. At last the largest memory of a process of its own that restores 24
megapixels in colour, the level of noise estimated. Seconds are the median of three
after a first call.
"""

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil
from skimage.restoration import denoise_nl_means

import tfgen
from tfgen.plot.display import check_figure_path
from tfgen.weights import RECIPES

SIGMA = 25
MEMORY = """
import numpy as np, tfgen
photo = np.random.default_rng(0).random((4000, 6000, 3), np.float32)
tfgen.load_pretrained("denoise_color").restore(photo)
"""


def make_mosaic(side, tile=250):
    """A grey photo of side x side pixels, a multiple of `tile`, and a noisy copy."""
    photos = tfgen.load_dataset(
        "photos", "test", channels=1, batch_size=None, shuffle=False
    )
    crops = [
        photo[top : top + tile, left : left + tile]
        for photo in photos.as_numpy_iterator()
        for top in range(0, photo.shape[0] - tile + 1, tile)
        for left in range(0, photo.shape[1] - tile + 1, tile)
    ]
    numbers = iter(range(side**2))
    rows = [
        np.concatenate(
            [crops[next(numbers) % len(crops)] for _ in range(side // tile)], 1
        )
        for _ in range(side // tile)
    ]
    photo = np.concatenate(rows)
    noise = np.random.default_rng(0).standard_normal(photo.shape, np.float32)
    return photo, photo + SIGMA / 255 * noise


def measure(repeats, function, *arguments, **options):
    """The median seconds of some calls, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def time_networks(repeats):
    """Print the seconds of each network beside those of the default sizes."""
    upscaler = tfgen.build_upscaler
    smaller = {
        "denoise": tfgen.build_denoiser(1),
        "denoise_color": tfgen.build_denoiser(3),
        "photo": tfgen.build_denoiser(3, blind=True),
        "upscale_x4": upscaler(4),
        "upscale_x4_sharp": upscaler(4),
    }
    print("network            s a megapixel of result, times the default size")
    for name in RECIPES:
        network = tfgen.load_pretrained(name)
        networks = [network]
        if name in smaller:
            networks.append(tfgen.Restorer(smaller[name], network.corruption))
        side = 720 // getattr(network, "scale", 1)
        image = np.random.default_rng(0).random((side, side, 3), np.float32)
        if name == "denoise":
            image = image[..., :1]
        known = {"sigma": SIGMA} if name.startswith("denoise") else {}
        if name == "inpaint":
            known["mask"] = image[..., :1] > 0.9
        seconds = []
        for _ in range(repeats + 1):  # in turn; the first calls compile
            runs = [getattr(x, "find", None) or x.restore for x in networks]
            seconds.append([measure(1, run, image, **known)[0] for run in runs])
        seconds = np.array(seconds[1:])
        ratio = np.median(seconds[:, 0] / seconds[:, -1])
        text = f" {ratio:5.2f}" if name in smaller else ""
        print(f"{name:18} {np.median(seconds[:, 0]) / 0.72**2:6.2f}{text}", flush=True)


def compare_with_nlm(restorer, repeats):
    photo, noisy = make_mosaic(1000)

    def score(result):
        return tfgen.psnr(photo[None], np.clip(result, 0, 1).reshape(1, 1000, 1000, 1))[
            0
        ]

    def nlm(image, patch_size, patch_distance, h):
        return denoise_nl_means(
            image[..., 0],
            patch_size,
            patch_distance,
            h * SIGMA / 255,
            fast_mode=True,
            sigma=SIGMA / 255,
        )

    print(f"1 megapixel, grey, sigma {SIGMA}: noisy {score(noisy):.2f} dB")
    first, _ = measure(1, restorer.restore, noisy, sigma=SIGMA)
    ours, result = measure(repeats, restorer.restore, noisy, sigma=SIGMA)
    best = score(result)
    print(
        f"tfgen                     {ours:7.2f} s {best:6.2f} dB (first {first:.2f} s)"
    )
    for size, distance in ((7, 11), (5, 6)):
        scores = {}
        for h in (0.4, 0.5, 0.6, 0.7, 0.8):
            result = nlm(noisy[:500, :500], size, distance, h)
            scores[h] = tfgen.psnr(
                photo[None, :500, :500], np.clip(result, 0, 1)[None, ..., None]
            )[0]
        h = max(scores, key=scores.get)
        seconds, result = measure(repeats, nlm, noisy, size, distance, h)
        print(
            f"nlm {size}x{size}, distance {distance:2d}, h {h:.1f} {seconds:5.2f} s "
            f"{score(result):6.2f} dB: {seconds / ours:.1f} times as long, "
            f"{score(result) - best:+.2f} dB",
            flush=True,
        )


def print_cost(restorer, repeats, picture):
    points = {}
    print("\nmegapixels  seconds  seconds a megapixel")
    for side in (1000, 2000, 4000):
        noisy = make_mosaic(side)[1]
        restorer.restore(noisy[:1000], sigma=SIGMA)  # the first call compiles
        seconds, _ = measure(repeats, restorer.restore, noisy, sigma=SIGMA)
        size = side**2 / 1e6
        points[f"{size:.0f} MP"] = (size, seconds)
        print(f"{size:10.0f} {seconds:8.1f} {seconds / size:20.2f}", flush=True)
    sizes, times = np.log(list(points.values())).T
    power = np.polyfit(sizes, times, 1)[0]
    print(f"seconds grow like megapixels to the power {power:.2f}")
    if picture:
        tfgen.show_tradeoff({"denoise": points}, "megapixels", "seconds", path=picture)


def print_memory():
    process = subprocess.Popen([sys.executable, "-c", MEMORY])
    watched, peak, start = psutil.Process(process.pid), 0, time.perf_counter()
    while process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit("The run failed.")
    print(
        f"\n24 megapixels in colour: process of at most {peak / 1e9:.2f} GB, "
        f"{time.perf_counter() - start:.0f} s with its start"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["networks", "nlm", "cost", "memory"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", help="also write a figure of the cost here")
    options = parser.parse_args()
    check_figure_path(options.picture)
    restorer = tfgen.load_pretrained("denoise")
    if "networks" in options.parts:
        time_networks(options.repeats)
    if "nlm" in options.parts:
        compare_with_nlm(restorer, options.repeats)
    if "cost" in options.parts:
        print_cost(restorer, options.repeats, options.picture)
    if "memory" in options.parts:
        print_memory()


if __name__ == "__main__":
    main()
