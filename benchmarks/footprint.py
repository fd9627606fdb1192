"""What tfgen costs: import time over TensorFlow, and the memory of a 64-pixel run.

    python benchmarks/footprint.py

Python compiles a package once and keeps the bytecode; PYTHONDONTWRITEBYTECODE, which
some containers set, makes it compile the package again for every import. Both are
timed; the latter only where no bytecode lies in the __pycache__ folders of tfgen yet.
"""

import os
import statistics
import subprocess
import sys
import time

import psutil

IMPORT = """
import time, tensorflow
start = time.perf_counter()
import tfgen
print(time.perf_counter() - start)
"""
RUN = """
import tfgen
shape = (64, 64, 3)
gan = tfgen.GAN(tfgen.build_generator(shape, latent_dim=100),
                tfgen.build_discriminator(shape))
gan.compile()
gan.fit(tfgen.load_dataset("glyphs/color_64", seed=0).take(100))
gan.sample(100)
"""


def import_seconds(keep):
    result = subprocess.run(
        [sys.executable, "-c", IMPORT],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "" if keep else "1"},
    )
    return float(result.stdout.split()[-1])


def peak_memory():
    """The largest resident memory of the run in bytes, read ten times a second."""
    process = subprocess.Popen([sys.executable, "-c", RUN])
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit("The run failed.")
    return peak


def main():
    # Without bytecode first: what the others leave would be read.
    for keep, title in ((False, "compiled each time"), (True, "compiled once")):
        _, *times = [import_seconds(keep) for _ in range(8)]
        print(
            f"import tfgen after tensorflow, {title}: {statistics.median(times):.2f} s "
            f"({min(times):.2f} to {max(times):.2f})"
        )
    print(f"memory of a run at 64x64x3, batch 64: {peak_memory() / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
