"""Image generation and restoration with Keras, small enough to read."""

import os
import sys

if sys.argv[:1] != ["-m"]:  # `python -m tfgen check` must run where TensorFlow cannot
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise ImportError(
            f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, but tfgen needs "
            "TensorFlow. Unset KERAS_BACKEND, or set it to tensorflow."
        )
    from tfgen.compression import LatentCoder, latent_steps, png_bytes
    from tfgen.data import binarize, load_dataset
    from tfgen.gan import (
        GAN,
        build_discriminator,
        build_generator,
        discriminator_loss,
        minimax_generator_loss,
        non_saturating_generator_loss,
    )
    from tfgen.metrics import (
        bits_per_dimension,
        frechet_distance,
        mutual_information_gap,
    )
    from tfgen.plot import (
        SampleGrid,
        show_comparison,
        show_history,
        show_images,
        show_tradeoff,
    )
    from tfgen.vae import (
        VAE,
        bernoulli_log_likelihood,
        build_decoder,
        build_encoder,
        gaussian_log_likelihood,
        interpolate_latents,
        kl_divergence,
    )

    __all__ = [
        "GAN",
        "LatentCoder",
        "SampleGrid",
        "VAE",
        "bernoulli_log_likelihood",
        "binarize",
        "bits_per_dimension",
        "build_decoder",
        "build_discriminator",
        "build_encoder",
        "build_generator",
        "discriminator_loss",
        "frechet_distance",
        "gaussian_log_likelihood",
        "interpolate_latents",
        "kl_divergence",
        "latent_steps",
        "load_dataset",
        "minimax_generator_loss",
        "mutual_information_gap",
        "non_saturating_generator_loss",
        "png_bytes",
        "show_comparison",
        "show_history",
        "show_images",
        "show_tradeoff",
    ]
