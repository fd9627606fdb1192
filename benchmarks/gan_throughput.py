"""Images a second: `tfgen.GAN.fit` against the two-pass step of keras.io's recipe.

    python benchmarks/gan_throughput.py

Both train the same networks, those of keras.io, on batches of 64 images that lie
in memory. Blocks of steps alternate, so that a machine that slows down slows all;
the medians of the blocks' ratios are printed. The last column is the share of the
machine's own float32 matrix-product rate that the step's convolutions and matrix
products reach, with the backward pass counted as two forward passes.

What `GAN.fit` saves is one of the generator's two forward passes. The last lines say
how much that can be: as keras.io's step would be without the time of that pass, and
by multiplications alone.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from peers import KerasIoDCGAN, keras_io_networks

import tfgen

BATCH = 64


def matmul_rate(size=2048, repeats=5):
    """Floating-point operations a second of a square float32 matrix product."""
    a = tf.random.normal((size, size))
    product = tf.function(tf.linalg.matmul)
    product(a, a)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(a, a).numpy()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def multiplications(network):
    """Multiply-adds of one image's forward pass."""
    total = 0
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            shape = layer.input.shape if transposed else layer.output.shape
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(shape[1:-1]))
    return total


def build(kind, policy):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    if kind == "keras.io":
        model = KerasIoDCGAN()
    else:
        model = tfgen.GAN(*keras_io_networks())
        model.compile()
    keras.config.set_dtype_policy("float32")
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=25)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()

    images = np.random.default_rng(0).random((BATCH, 28, 28, 1), np.float32)
    data = tf.data.Dataset.from_tensors(images).repeat(options.steps)
    cases = [
        ("keras.io", "float32"),
        ("tfgen", "float32"),
        ("keras.io", "mixed_bfloat16"),
        ("tfgen", "mixed_bfloat16"),
    ]
    models = {case: build(*case) for case in cases}
    generator = tf.function(models[cases[0]].generator)
    latents = tf.random.normal((BATCH, *generator.python_function.input_shape[1:]))
    seconds = {case: [] for case in cases}
    passes = []
    for block in range(options.blocks + 1):
        for case, model in models.items():
            start = time.perf_counter()
            model.fit(data, verbose=0, shuffle=False)
            if block:  # block 0 compiles
                seconds[case].append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(options.steps):
            generator(latents)
        if block:
            passes.append(time.perf_counter() - start)

    g, d = map(multiplications, keras_io_networks())
    # Forward and backward of the generator once and of the discriminator for
    # real and generated images; backward to the generator's images once more.
    step = 2 * BATCH * (3 * g + 7 * d)
    peak = matmul_rate()
    print(f"float32 matrix product: {peak / 1e9:.0f} GFLOP/s")
    base = np.array(seconds[cases[0]])
    for case, times in seconds.items():
        rate = BATCH * options.steps / np.median(times)
        ratio = np.median(base / np.array(times))
        line = f"{case[0]:9s} {case[1]:15s} {rate:6.0f} images/s  {ratio:.2f} times"
        if case[0] == "tfgen":
            share = step * options.steps / np.median(times) / peak
            line += f"  {share:.0%} of the matrix-product rate"
        print(line)
    ratio = np.median(base / (base - passes))
    print(f"keras.io's step without one pass of its generator: {ratio:.2f} times")
    print(f"multiplications of the two steps: {(4 * g + 8 * d) / (3 * g + 7 * d):.2f}")


if __name__ == "__main__":
    main()
