"""Draw a new picture of any size in the manner of one, without a network.

Wanted is a picture in which every patch resembles one of the model's, and which leaves
few of these out (Simakov et al., "Summarizing visual data using bidirectional
similarity", 2008). It begins very small, with the model under noise, and grows; at each
size every patch looks for the one of the model that is most like it, and each pixel
becomes the mean of what the patches over it have there (Granot et al., "Drop the GAN",
2022, arXiv:2103.15545).
"""

import keras
import numpy as np

from .checks import check_counts, check_seed, require
from .tiles import as_batch, check_range

RATIO = 0.75  # of the sides of one size to those of the next
COARSEST = 24  # pixels of the shorter side of the model, to begin with
COMPLETE = 1e-3  # the smaller, the fewer parts of the model are left out (alpha)
DIRECTIONS = 32  # patches are compared along so many principal directions
PAIRS = 3e8  # of patches: with more, they are searched near to what was found before
SHARP = 7  # in the end the middle of a patch counts most: patch / SHARP pixels around
BLOCK = 256, 4096  # wanted patches and those of the model that are compared at a time


def redraw(image, size, patch=7, noise=0.75, seed=0, verbose=0):
    """Draw a new picture in the manner of one image.

    The large parts are arranged anew, the more so the more the shape of the new picture
    differs from the image's; small parts are those of the image, so that nothing is to
    be seen that is not in it, too.

    Parameters
    ----------
    image : array, (height, width) or (height, width, channels)
        Floats in [0, 1], 1 or 3 channels, at least one patch in each direction.
    size : (int, int)
        Height and width of the new picture, at least one patch each.
    patch : int
        Height and width of a patch in pixels, at least 2.
    noise : float
        Standard deviation of the noise that the smallest picture begins with, where
        white is 1. With 0 the image keeps its arrangement.
    seed : int
        Equal seeds give equal pictures.
    verbose : int
        1 shows progress.

    Returns
    -------
    numpy.ndarray
        float32 in [0, 1], (*size) or (*size, channels).

    Raises
    ------
    ValueError
        If the image is of another kind or range, or something is too small.
    """
    image = np.asarray(image)
    require(image.ndim < 4, f"One image is redrawn at a time; got {image.shape}.")
    (pixels,) = as_batch(image)
    check_range(pixels, margin=0)
    pair = np.ndim(size) == 1 and len(size) == 2
    require(pair, f"size is (height, width); got {size!r}.")
    check_counts(height=size[0], width=size[1], patch=patch)
    require(patch > 1, "A patch of one pixel has no texture; patch=7 is usual.")
    smallest = min(*size, *pixels.shape[:2])
    require(smallest >= patch, f"A side of {smallest} is less than a patch of {patch}.")
    require(noise >= 0, f"noise is a standard deviation, at least 0; got {noise}.")
    rng = np.random.default_rng(check_seed(seed))

    least = COARSEST / min(pixels.shape[:2])
    steps = max(0, int(np.log(least) / np.log(RATIO)))
    progress = keras.utils.Progbar(steps + 1, verbose=verbose, unit_name="size")
    drawn = found = before = None
    for step in range(steps, -1, -1):
        model = resize(pixels, scaled(pixels.shape, RATIO**step, patch))
        goal = scaled(size, RATIO**step, patch)
        if drawn is None:
            before, drawn = model, resize(model, goal)
            drawn = drawn + np.float32(noise) * rng.normal(0, 1, drawn.shape)
        else:
            found = grow(found, before.shape, model.shape, goal, patch)
        drawn, found = improve(resize(drawn, goal), model, before, found, patch)
        before = model
        progress.add(1)
    drawn = vote(found, model, patch, spread=patch / SHARP)
    return np.clip(drawn, 0, 1).reshape(*size, *image.shape[2:])


def scaled(sides, scale, patch):
    return [max(patch, round(side * scale)) for side in sides[:2]]


def resize(image, size):
    import tensorflow as tf

    return tf.image.resize(image, size, "bicubic", antialias=True).numpy()


def grow(found, before, after, goal, patch):
    """Where patches of the next size are looked for first: (rows, columns) of the patch
    in the model, for each of the larger picture."""
    places = []
    for axis, part in enumerate(found):
        old, new = part.shape[axis], goal[axis] - patch + 1
        ratio = after[axis] / before[axis]
        index = np.minimum(np.arange(new) / ratio, old - 1).astype(int)
        other = np.arange(goal[1 - axis] - patch + 1) * before[1 - axis]
        other = np.minimum(other / after[1 - axis], part.shape[1 - axis] - 1)
        grid = (index, other.astype(int))[:: 1 - 2 * axis]
        shift = np.arange(new) - index * ratio  # within the patch found
        shift = shift[:, None] if axis == 0 else shift
        place = np.rint(part[np.ix_(*grid)] * ratio + shift).astype(int)
        places.append(place.clip(0, after[axis] - patch))
    return places


def improve(drawn, model, before, found, patch):
    """Search and vote some times; `before` is the model of the size before, and `found`
    where to look if there are too many patches to compare all."""
    pairs = np.prod([np.subtract(x.shape[:2], patch - 1) for x in (drawn, model)])
    small = pairs < PAIRS
    for step in range(8 if pairs < PAIRS / 3 else 2):
        seen = resize(before, model.shape[:2]) if step == 0 else model
        keys, wanted = project(list_patches(seen, patch), list_patches(drawn, patch))
        rows, columns = np.subtract(drawn.shape[:2], patch - 1)
        width = model.shape[1] - patch + 1
        if small or found is None:
            place = search_all(wanted, keys, COMPLETE * patch**2 * model.shape[2])
            found = [x.reshape(rows, columns) for x in np.divmod(place, width)]
        else:
            found = search_near(wanted, keys, found, (-1, width))
        drawn = vote(found, model, patch)
    return drawn, found


def list_patches(image, patch):
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch, patch), (0, 1))
    return windows.reshape(-1, patch**2 * image.shape[2])


def project(keys, wanted):
    """Both along the principal directions of the keys."""
    mean, some = keys.mean(0), keys[:: max(1, len(keys) // 4000)]
    _, directions = np.linalg.eigh(np.cov(some, rowvar=False))
    directions = directions[:, -DIRECTIONS:].astype(np.float32)
    return (keys - mean) @ directions, (wanted - mean) @ directions


def search_all(wanted, keys, complete):
    """The number of the key most like each wanted patch: that of the least squared
    distance, over that of the key to what is wanted (and `complete`)."""
    some, many = BLOCK
    squares, wanted_squares = (np.sum(x**2, 1, keepdims=True) for x in (keys, wanted))
    left = np.hstack([keys, np.ones_like(squares)])
    right = np.hstack([wanted, -wanted_squares / 2])
    best = np.full(len(keys), -np.inf, np.float32)
    for i in range(0, len(keys), some):
        for j in range(0, len(wanted), many):
            scores = left[i : i + some] @ right[j : j + many].T
            best[i : i + some] = np.maximum(best[i : i + some], scores.max(1))
    weight = 1 / (complete + np.maximum(squares - 2 * best[:, None], 0))

    left = np.hstack([wanted, np.ones_like(wanted_squares), wanted_squares])
    right = np.hstack([2 * keys, -squares, -np.ones_like(squares)]) * weight
    best = np.full(len(wanted), -np.inf, np.float32)
    found = np.zeros(len(wanted), int)
    for j in range(0, len(keys), many):
        for i in range(0, len(wanted), some):
            scores = left[i : i + some] @ right[j : j + many].T
            index = scores.argmax(1)
            score = scores[np.arange(len(index)), index]
            better = score > best[i : i + some]
            best[i : i + some][better] = score[better]
            found[i : i + some][better] = j + index[better]
    return found


def search_near(wanted, keys, found, shape, reach=2):
    """The places of the most alike keys up to `reach` pixels from those found."""
    height, width = len(keys) // shape[1], shape[1]
    top, left = (x.ravel() for x in found)
    best, error = top * width + left, np.full(len(wanted), np.inf, np.float32)
    steps = sorted(np.ndindex(2 * reach + 1, 2 * reach + 1))
    for down, right in steps:
        y = np.clip(top + down - reach, 0, height - 1)
        place = y * width + np.clip(left + right - reach, 0, width - 1)
        difference = wanted - keys[place]
        distance = np.einsum("nk,nk->n", difference, difference)
        better = distance < error
        best[better], error[better] = place[better], distance[better]
    return [x.reshape(found[0].shape) for x in np.divmod(best, width)]


def vote(found, model, patch, spread=np.inf):
    """A picture of the means of what the patches found have at each pixel, weighted by
    a Gaussian around the middle of each patch."""
    top, left = found
    rows, columns = top.shape
    sides = rows + patch - 1, columns + patch - 1
    total = np.zeros((*sides, model.shape[2]), np.float32)
    weights = np.zeros((*sides, 1), np.float32)
    for y, x in np.ndindex(patch, patch):
        squared = (y - (patch - 1) / 2) ** 2 + (x - (patch - 1) / 2) ** 2
        weight = np.float32(np.exp(-squared / (2 * spread**2)))
        place = slice(y, y + rows), slice(x, x + columns)
        total[place] += weight * model[top + y, left + x]
        weights[place] += weight
    return total / weights
