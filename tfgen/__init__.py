"""Image generation and restoration with Keras, small enough to read."""

import os
import sys

if sys.argv[:1] != ["-m"]:  # `python -m tfgen check` must run where TensorFlow cannot
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise ImportError(
            f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, but tfgen needs "
            "TensorFlow. Unset KERAS_BACKEND, or set it to tensorflow."
        )
    from tfgen.data.corruptions import (
        add_gaussian_noise as add_gaussian_noise,
        add_poisson_noise as add_poisson_noise,
        add_salt_and_pepper as add_salt_and_pepper,
        blur as blur,
        compress_jpeg as compress_jpeg,
        downsample as downsample,
        mask_boxes as mask_boxes,
        mask_scratches as mask_scratches,
        mask_text as mask_text,
    )
    from tfgen.data.loading import (
        binarize as binarize,
        load_dataset as load_dataset,
    )
    from tfgen.data.patches import random_patches as random_patches
    from tfgen.gan import (
        GAN as GAN,
        build_discriminator as build_discriminator,
        build_generator as build_generator,
        discriminator_loss as discriminator_loss,
        gradient_penalty as gradient_penalty,
        hinge_discriminator_loss as hinge_discriminator_loss,
        least_squares_discriminator_loss as least_squares_discriminator_loss,
        least_squares_generator_loss as least_squares_generator_loss,
        minimax_generator_loss as minimax_generator_loss,
        non_saturating_generator_loss as non_saturating_generator_loss,
        r1_penalty as r1_penalty,
        wasserstein_discriminator_loss as wasserstein_discriminator_loss,
        wasserstein_generator_loss as wasserstein_generator_loss,
    )
    from tfgen.measures.coding import (
        LatentCoder as LatentCoder,
        latent_steps as latent_steps,
        png_bytes as png_bytes,
    )
    from tfgen.measures.features import (
        build_classifier as build_classifier,
        classifier_features as classifier_features,
        inception_features as inception_features,
        train_classifier as train_classifier,
    )
    from tfgen.measures.latents import (
        bits_per_dimension as bits_per_dimension,
        mutual_information_gap as mutual_information_gap,
    )
    from tfgen.measures.restoring import (
        psnr as psnr,
        ssim as ssim,
    )
    from tfgen.measures.samples import (
        class_coverage as class_coverage,
        class_divergence as class_divergence,
        class_shares as class_shares,
        frechet_distance as frechet_distance,
        kernel_distance as kernel_distance,
        memorization_test as memorization_test,
        nearest_neighbors as nearest_neighbors,
        precision_recall as precision_recall,
    )
    from tfgen.plot.figures import (
        show_comparison as show_comparison,
        show_history as show_history,
        show_images as show_images,
        show_tradeoff as show_tradeoff,
    )
    from tfgen.plot.progress import SampleGrid as SampleGrid
    from tfgen.restoration import (
        AdversarialRestorer as AdversarialRestorer,
        Restorer as Restorer,
        build_denoiser as build_denoiser,
        build_inpainter as build_inpainter,
        build_patch_discriminator as build_patch_discriminator,
        build_upscaler as build_upscaler,
        estimate_noise as estimate_noise,
    )
    from tfgen.vae import (
        VAE as VAE,
        bernoulli_log_likelihood as bernoulli_log_likelihood,
        build_decoder as build_decoder,
        build_encoder as build_encoder,
        gaussian_log_likelihood as gaussian_log_likelihood,
        interpolate_latents as interpolate_latents,
        kl_divergence as kl_divergence,
    )
    from tfgen.weights import load_pretrained as load_pretrained
