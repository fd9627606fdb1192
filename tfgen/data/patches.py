"""Square patches of photos, to train networks that restore."""

import numpy as np
import tensorflow as tf

from tfgen.checks import check_seed


def random_patches(images, size, count, *, batch_size=16, seed=0):
    """Cut square patches from photos, new ones in every epoch.

    A photo is chosen as often as its area says; each patch is turned by a multiple
    of 90 degrees and mirrored at random.

    Parameters
    ----------
    images : iterable of array, (height, width, channels)
        float32 in [0, 1], such as ``load_dataset("photos", batch_size=None)``.
    size : int
        Height and width of the patches, in pixels; no photo may be smaller.
    count : int
        Number of patches in an epoch, a multiple of `batch_size`.
    batch_size : int
    seed : int
        Equal seeds give equal patches, epoch by epoch.

    Returns
    -------
    tf.data.Dataset
        ``count / batch_size`` batches of shape (batch_size, size, size, channels).

    Raises
    ------
    ValueError
        If there is no photo, one is too small, or the photos differ in channels.
    """
    images = [np.asarray(image, np.float32) for image in images]
    if not images or any(image.ndim != 3 for image in images):
        raise ValueError("One or more photos (height, width, channels) are needed.")
    if len({image.shape[-1] for image in images}) > 1:
        raise ValueError("The photos differ in channels: load them with channels=...")
    smallest = min(min(image.shape[:2]) for image in images)
    if not 1 <= size <= smallest:
        raise ValueError(
            f"Patches of {size} pixels do not fit: a photo has {smallest}."
        )
    if batch_size < 1 or count < 1 or count % batch_size:
        raise ValueError(
            f"count must be a multiple of batch_size; got {count} and {batch_size}."
        )
    areas = np.array([image.shape[0] * image.shape[1] for image in images], float)

    def cut(seed):
        rng = np.random.default_rng(seed)
        patches = []
        for choice in rng.choice(len(images), batch_size, p=areas / areas.sum()):
            image = images[choice]
            top, left = rng.integers(0, np.array(image.shape[:2]) - size + 1)
            patch = np.rot90(
                image[top : top + size, left : left + size], rng.integers(4)
            )
            patches.append(patch[:, :: rng.choice([-1, 1])])
        return np.stack(patches)

    def cut_batch(seed):
        batch = tf.numpy_function(cut, [seed], tf.float32, stateful=False)
        return tf.ensure_shape(batch, (batch_size, size, size, images[0].shape[-1]))

    seeds = tf.data.Dataset.random(check_seed(seed), rerandomize_each_iteration=True)
    patches = seeds.take(count // batch_size).map(cut_batch)
    return patches.prefetch(tf.data.AUTOTUNE)
