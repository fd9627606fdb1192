"""What the trainings of the book cost: multiplications, seconds, memory.

    python benchmarks/cost.py --table notebooks/tables/cost.csv

Each chapter's networks, with its batches of made-up images. Multiplications are counted
(`tfgen.count_multiplications`): of one image drawn, restored or reconstructed, and of
one image in training. The seconds are those of the median step times the steps of the
chapter, without what compiling, validation and reading images take; the memory is the
highest of the process, less what it held before the networks were built. Both are
measured in a process of its own for each row, with all processors that it may use, or
with `--threads` of them. The last two rows are networks of the package: their
seconds on a GPU are those of tfgen/weights/records.json, their steps are not run.
"""

import argparse
import csv
import functools
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

COLUMNS = ["chapter", "network", "parameters", "drawn", "trained", "images"]
COLUMNS += ["seconds", "megabytes", "hardware"]
ROWS = ["2", "7", "9", "10", "11", "13", "groceries", "photo"]
GPUS = {  # evaluations for an image drawn; the sides and the number of images of a step
    "groceries": (24, (64, 64), 128),  # 12 steps with guidance
    "photo": (1, (128, 128), 64),
}


def peak_memory():
    """The most bytes that this process has held; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def build(row):
    """A chapter's model, what a step sees, and how many steps the chapter trains.

    Also the networks with the passes of each, for an image drawn and one in training.
    """
    import tfgen

    letters, patches = (32, 32, 1), (48, 48)
    count, step = (
        tfgen.count_multiplications,
        functools.partial(tfgen.count_multiplications, training=True),
    )
    if row == "2":
        g, d = tfgen.build_generator(width=32), tfgen.build_discriminator(width=24)
        # The discriminator sees two images, and hands the generator its gradient.
        trained = step(g) + 2 * step(d) + count(d)
        return tfgen.GAN(g, d), (32, *letters), 1000, count(g), trained
    if row == "7":
        pair = tfgen.build_encoder(), tfgen.build_decoder()
        drawn, trained = count(pair[1]), sum(map(step, pair))
        return tfgen.VAE(*pair), (64, *letters), 632, drawn, trained
    if row == "13":
        network = tfgen.build_denoising_unet(letters, 32, classes=26)
        diffusion = tfgen.Diffusion(network, classes=26)
        # 20 evaluations, each with the label and without it.
        return diffusion, (64, *letters), 600, 40 * count(network), step(network)
    damage, network, shape, sides, steps = {
        "9": lambda: (
            functools.partial(tfgen.add_gaussian_noise, sigma=(10, 40)),
            tfgen.build_denoiser(width=64, blocks=4),
            (8, *patches, 1),
            patches,
            1600,
        ),
        "10": lambda: (
            functools.partial(tfgen.mask_boxes, count=2),
            tfgen.build_inpainter(width=48, blocks=4),
            (8, *patches, 3),
            patches,
            1440,
        ),
        "11": lambda: (
            functools.partial(tfgen.downsample, scale=4),
            tfgen.build_upscaler(4, width=32, blocks=4),
            (16, 96, 96, 1),
            (24, 24),
            2000,
        ),
    }[row]()
    model = tfgen.Restorer(network, damage)
    return model, shape, steps, count(network, sides), step(network, sides)


def measure(row, threads, timed=15):
    """One row of the table."""
    import numpy as np
    import tensorflow as tf

    import tfgen
    from tfgen.card import find_networks
    from tfgen.weights import read_records

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    if row in GPUS:
        evaluations, sides, batch = GPUS[row]
        network, record = tfgen.load_pretrained(row).network, read_records()[row]
        drawn = evaluations * tfgen.count_multiplications(network, sides)
        trained = tfgen.count_multiplications(network, sides, training=True)
        found = [network.count_params(), drawn, trained, record["steps"] * batch]
        return ["", row, *found, record["seconds"], "", record["hardware"]]
    rng = np.random.default_rng(0)
    before = peak_memory()
    model, shape, steps, drawn, trained = build(row)
    networks = [*find_networks(model).values()]
    parameters = sum(network.count_params() for network in networks)
    model.compile(tfgen.Muon(0.01)) if row == "13" else model.compile()
    images = rng.random((2, *shape), np.float32).round()  # as a `VAE` wants pixels
    labels = rng.integers(26, size=(2, shape[0])) if row == "13" else None
    data = images if labels is None else (images, labels)
    data = tf.data.Dataset.from_tensor_slices(data).repeat()
    model.fit(data, steps_per_epoch=3, verbose=0)  # compiles
    seconds = []
    for _ in range(timed):
        start = time.perf_counter()
        model.fit(data, steps_per_epoch=4, verbose=0)
        seconds.append((time.perf_counter() - start) / 4)
    memory = round((peak_memory() - before) / 1e6)
    names = " and ".join(network.name for network in networks)
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))
    cores = threads or len(allowed(0))
    hardware = f"{cores} core{'s' * (cores > 1)}, float32"
    found = [parameters, drawn, trained, shape[0] * steps]
    seconds = round(float(np.median(seconds)) * steps)
    return [row, names, *found, seconds, memory, hardware]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS)
    parser.add_argument("--threads", type=int, default=0, help="by default all")
    parser.add_argument("--table", type=Path, help="read and write the figures here")
    parser.add_argument("--one", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.threads)))
        return
    rows = {}
    if options.table is not None and options.table.exists():
        with options.table.open(encoding="utf-8") as file:
            rows = {row[0] or row[1]: row for row in list(csv.reader(file))[1:]}
    print(*COLUMNS, sep=", ")
    for row in options.rows:
        line = [sys.executable, __file__, "--one", row, "--threads", options.threads]
        result = subprocess.run([*map(str, line)], stdout=subprocess.PIPE, check=True)
        rows[row] = json.loads(result.stdout.splitlines()[-1])
        print(*rows[row], sep=", ", flush=True)
        if options.table is not None:
            write_table(options.table, rows)


def write_table(path, rows):
    from tfgen.writing import write_whole

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows[row] for row in ROWS if row in rows)
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
