"""Image generation and restoration with Keras, small enough to read."""

import os
import sys

if sys.argv[:1] != ["-m"]:  # `python -m tfgen check` must run where TensorFlow cannot
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise ImportError(
            f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, but tfgen needs "
            "TensorFlow. Unset KERAS_BACKEND, or set it to tensorflow."
        )
    from tfgen.data import load_dataset
    from tfgen.gan import (
        GAN,
        build_discriminator,
        build_generator,
        discriminator_loss,
        minimax_generator_loss,
        non_saturating_generator_loss,
    )
    from tfgen.metrics import frechet_distance
    from tfgen.plot import SampleGrid, show_comparison, show_history, show_images

    __all__ = [
        "GAN",
        "SampleGrid",
        "build_discriminator",
        "build_generator",
        "discriminator_loss",
        "frechet_distance",
        "load_dataset",
        "minimax_generator_loss",
        "non_saturating_generator_loss",
        "show_comparison",
        "show_history",
        "show_images",
    ]
