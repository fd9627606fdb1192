"""Figures that judge: restored images, samples, latents, codes.

`restoring` compares images with the originals, `samples` sets of generated and real
ones, by the features of a classifier (`features`). `membership` judges attacks that
tell on which images a model was trained. `latents` judges likelihoods and latent
spaces, `coding` counts the bytes of images. `classics` are the methods of restoration
that a network has to beat.
"""
