"""Image generation and restoration with Keras, small enough to read."""

import os
import sys

if sys.argv[:1] != ["-m"]:  # `python -m tfgen check` must run where TensorFlow cannot
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise ImportError(
            f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, but tfgen needs "
            "TensorFlow. Unset KERAS_BACKEND, or set it to tensorflow."
        )
    from tfgen.card import write_card
    from tfgen.data.corruptions import (
        add_gaussian_noise,
        add_poisson_noise,
        add_salt_and_pepper,
        blur,
        compress_jpeg,
        downsample,
        mask_boxes,
        mask_cracks,
        mask_scratches,
        mask_text,
    )
    from tfgen.data.defects import draw_defects
    from tfgen.data.films import read_film
    from tfgen.data.loading import (
        binarize,
        load_dataset,
    )
    from tfgen.data.patches import random_patches
    from tfgen.data.photo_damage import add_sensor_noise, corrupt_like_a_photo
    from tfgen.data.single import load_picture
    from tfgen.defects import (
        DefectFinder,
        build_defect_finder,
        defect_loss,
    )
    from tfgen.diagnosis import diagnose
    from tfgen.diffusion import (
        Diffusion,
        adams_bashforth_step,
        estimate_clean,
        euler_step,
        even_times,
        guided_velocity,
        heun_step,
        logit_normal_times,
        mix_noise,
        solve_flow,
        velocity_loss,
        velocity_target,
    )
    from tfgen.filling import fill_patches
    from tfgen.film import restore_film
    from tfgen.gan import (
        GAN,
        build_discriminator,
        build_generator,
        discriminator_loss,
        gradient_penalty,
        hinge_discriminator_loss,
        least_squares_discriminator_loss,
        least_squares_generator_loss,
        minimax_generator_loss,
        non_saturating_generator_loss,
        r1_penalty,
        r1_r2_penalty,
        relativistic_discriminator_loss,
        relativistic_generator_loss,
        wasserstein_discriminator_loss,
        wasserstein_generator_loss,
    )
    from tfgen.marks import (
        add_mark,
        find_mark,
    )
    from tfgen.measures.coding import (
        LatentCoder,
        latent_steps,
        png_bytes,
    )
    from tfgen.measures.cost import count_multiplications
    from tfgen.measures.features import (
        build_classifier,
        classifier_features,
        inception_features,
        train_classifier,
    )
    from tfgen.measures.latents import (
        bits_per_dimension,
        mutual_information_gap,
    )
    from tfgen.measures.membership import (
        roc_curve,
        true_positive_rate,
    )
    from tfgen.measures.restoring import (
        psnr,
        ssim,
    )
    from tfgen.measures.samples import (
        class_coverage,
        class_divergence,
        class_shares,
        coverage,
        frechet_distance,
        kernel_distance,
        memorization_test,
        nearest_neighbors,
        precision_recall,
        wilson_interval,
        window_distances,
    )
    from tfgen.muon import Muon
    from tfgen.plot.figures import (
        show_comparison,
        show_curves,
        show_history,
        show_images,
        show_points,
        show_tradeoff,
    )
    from tfgen.plot.progress import SampleGrid
    from tfgen.precision import faster_policy
    from tfgen.prior import restore_with_prior
    from tfgen.provenance import save_image
    from tfgen.redrawing import redraw
    from tfgen.restoration import (
        Restorer,
        build_denoiser,
        build_inpainter,
        build_upscaler,
    )
    from tfgen.signing import sign_image
    from tfgen.srgan import (
        AdversarialRestorer,
        build_patch_discriminator,
        build_sharp_upscaler,
    )
    from tfgen.tiles import estimate_noise
    from tfgen.unet import (
        build_denoising_unet,
        build_large_denoising_unet,
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
    from tfgen.weights import (
        find_scratches,
        load_pretrained,
    )
