"""Fill large holes of a photo with patches of the rest of it.

Wanted is a filling in which every patch resembles one of the known photo (Wexler,
Shechtman and Irani, "Space-time completion of video", 2007). Two steps take turns: each
patch over a hole looks for the known one that is most like it, by chance and among
those that its neighbours have found (Barnes et al., "PatchMatch", 2009); then each
pixel of a hole becomes the mean of what the patches over it have there. This begins on
a photo so small that a patch spans the hole, and ends at full size.
"""

import math

import keras
import numpy as np

from .checks import check_counts, check_seed, require
from .tiles import as_batch, check_mask, check_range, fill_depths

ROUNDS = 4  # of both steps at full size; twice as many at half of it, and so on
FAR = 8  # pixels that the search by chance goes; on the smallest photo, everywhere
TRUST = 3.0  # how many times less a filled pixel counts with each pixel of depth
TEXTURE = 6.0  # weight of how rough a place is, beside its colours
CELL = 64  # pixels; what lies more than two cells from a hole is not searched
BLOCK = 2**11  # patches that are compared at a time


def fill_patches(image, mask, patch=7, deeper=0, seed=0, verbose=0):
    """Fill the holes of a photo with patches of its surroundings.

    Made for holes too large for a smooth filling or a network. What it fills in is
    plausible, *not* what was there: texture and straight edges go on, but no object is
    completed that is not to be seen a second time.

    Parameters
    ----------
    image : array, (height, width) or (height, width, channels)
        Floats in [0, 1], 1 or 3 channels; what stands in the holes is ignored.
    mask : array, (height, width) or (height, width, 1)
        1 in the holes and 0 elsewhere.
    patch : int
        Height and width of a patch in pixels, at least 2.
    deeper : int
        Fill only the parts of holes with pixels more than this far from all known ones,
        and take the image as known elsewhere, such as what a network has filled: 16 for
        that of `build_inpainter`.
    seed : int
        Equal seeds give equal fillings; another seed gives another proposal.
    verbose : int
        1 shows progress.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of the image, equal to it outside of the holes. Where no
        patch of the surroundings is wholly known, the filling is smooth.

    Raises
    ------
    ValueError
        If the image or the mask is of another kind, shape or range, nothing is known,
        or a parameter is out of range.
    """
    image = np.asarray(image)
    require(image.ndim < 4, f"One image is filled at a time; got {image.shape}.")
    (pixels,) = batch = as_batch(image)
    holes = check_mask(mask, batch)[0, ..., 0] > 0
    require(not holes.all(), "The mask covers the whole image: nothing is known of it.")
    check_counts(patch=patch, deeper=deeper + 1)
    require(patch > 1, "A patch of one pixel has no texture; patch=7 is usual.")
    rng = np.random.default_rng(check_seed(seed))

    holes = find_deep(holes, deeper)
    pixels = np.where(holes[..., None], np.float32(0), pixels)
    check_range(pixels, margin=0)
    total = np.count_nonzero(holes)
    progress = keras.utils.Progbar(total, verbose=verbose, unit_name="pixel")
    for window in find_surroundings(holes):
        part = holes[window]
        if part.any():  # else they lay in another window too
            progress.update(total - np.count_nonzero(holes))
            pixels[window] = fill_window(pixels[window], part, patch, rng, progress)
            holes[window] = False
    progress.update(total, finalize=True)
    return pixels.reshape(image.shape)


def find_deep(holes, deeper):
    """The parts of the holes, bool (height, width), around what is so deep in them."""
    from scipy import ndimage

    deep = ndimage.minimum_filter(holes, 2 * deeper + 1, mode="nearest")
    return holes & ndimage.maximum_filter(deep, 4 * deeper + 1)


def find_surroundings(holes):
    """Rectangles, as pairs of slices, that hold all holes and what is near to them."""
    from scipy import ndimage

    height, width = (math.ceil(side / CELL) for side in holes.shape)
    cells = np.zeros((height, width), bool)
    cells[tuple(np.argwhere(holes).T // CELL)] = True
    near = ndimage.maximum_filter(cells, 5)
    groups, _ = ndimage.label(near, np.ones((3, 3)))
    return [
        tuple(slice(CELL * part.start, CELL * part.stop) for part in box)
        for box in ndimage.find_objects(groups)
    ]


def fill_window(pixels, holes, patch, rng, progress):
    """Fill the holes, bool (height, width), of a small photo."""
    known = ~holes[..., None]
    rough = TEXTURE * measure_roughness(pixels, known)
    levels = [Level(np.dstack([pixels, rough]), known, patch)]
    while levels[-1].wide:
        levels.append(Level(*halve(levels[-1].image, levels[-1].known), patch))
    while levels and not levels[-1].sources.any():
        levels.pop()
    if not levels:
        return fill_depths(pixels, np.float32(holes[..., None]), sight=0)[0]

    rounds = [ROUNDS * 2**k for k in range(len(levels))]
    pairs = list(zip(levels, rounds, strict=True))[::-1]
    work = sum(len(level.targets) * rounds for level, rounds in pairs)
    coarser = None
    for level, rounds in pairs:
        level.begin(coarser, rng)
        for _ in range(rounds):
            level.search(rng, FAR if coarser else max(holes.shape))
            level.vote()
            progress.add(np.count_nonzero(holes) * len(level.targets) / work)
        coarser = level
    level.copy()
    return level.image[..., : pixels.shape[-1]]


def measure_roughness(pixels, known):
    """The mean difference of each pixel from its known neighbours, (height, width, 1):
    where a photo is small, rough and smooth places look alike without it (Newson et
    al., "Video inpainting of complex scenes", 2014)."""
    total, count = np.zeros((2, *known.shape[:2]), np.float32)
    axes = [(x, x.swapaxes(0, 1)) for x in (pixels, known[..., 0], total, count)]
    for values, valid, sums, counts in zip(*axes, strict=True):
        both = valid[1:] & valid[:-1]
        change = np.abs(values[1:] - values[:-1]).mean(-1) * both
        for neighbour in (slice(1, None), slice(-1)):
            sums[neighbour] += change
            counts[neighbour] += both
    return (total / np.maximum(count, 1))[..., None]


def halve(pixels, known):
    """A photo of half the size, of the means of known pixels, and where there are."""
    even = [(0, side % 2) for side in pixels.shape[:2]] + [(0, 0)]

    def add_four(x):
        x = np.pad(x, even)
        return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

    weight = add_four(np.float32(known))
    return add_four(pixels * known) / np.maximum(weight, 1), weight > 0


class Level:
    """A photo of one size, and for each patch over a hole the known one most like it.

    A patch is named by the number of its upper left pixel, counted along the rows: that
    of the next patch is one more, that of the patch below is a width more.
    """

    def __init__(self, image, known, patch):
        from scipy import ndimage

        height, width = known.shape[:2]
        self.image, self.known, self.patch = image, known, patch
        self.pixels = image.reshape(height * width, -1)  # a view
        self.holes = np.flatnonzero(~known)
        self.window = np.add.outer(np.arange(patch) * width, np.arange(patch)).ravel()

        depth = ndimage.distance_transform_cdt(~known[..., 0], "chessboard")
        self.trust = np.maximum(TRUST**-depth, 1e-20).ravel().astype(np.float32)

        missing = np.full((height, width), -1)  # pixels of a patch; -1: it does not fit
        trust = np.zeros((height, width), np.float32)
        if min(height, width) >= patch:
            inside = slice(1 - patch), slice(1 - patch)
            missing[inside] = add_windows(~known[..., 0], patch)
            trust[inside] = add_windows(self.trust.reshape(height, width), patch)
        self.sources = missing.ravel() == 0
        self.targets = np.flatnonzero(missing > 0)
        self.wide = (missing == patch**2).any()
        self.patch_trust = trust.ravel()  # sums
        self.nearest = np.arange(height * width)
        self.error = np.full(height * width, np.inf, np.float32)

    def begin(self, coarser, rng):
        """Take over what was found at half of the size, or anything."""
        (height, width), patch = self.known.shape[:2], self.patch
        found = rng.choice(np.flatnonzero(self.sources), len(self.targets))
        if coarser is None:
            filled, _ = fill_depths(self.image, np.float32(~self.known), sight=0)
            self.pixels[:] = filled.reshape(self.pixels.shape)
            self.nearest[self.targets] = found
            return
        y, x = np.divmod(self.targets, width)
        half_height, half_width = coarser.known.shape[:2]
        half_y = np.minimum(y // 2, half_height - patch)
        half_x = np.minimum(x // 2, half_width - patch)
        from_y, from_x = np.divmod(
            coarser.nearest[half_y * half_width + half_x], half_width
        )
        start = (2 * (from_y - half_y) + y) * width + 2 * (from_x - half_x) + x
        start = start.clip(0, height * width - 1)
        self.nearest[self.targets] = np.where(self.sources[start], start, found)
        self.vote()

    def search(self, rng, far):
        """Improve what is nearest, by what the neighbours have and by chance."""
        width = self.known.shape[1]
        for block in np.array_split(self.targets, math.ceil(len(self.targets) / BLOCK)):
            wanted = self.pixels[block[:, None] + self.window]
            self.error[block] = self.compare(block, wanted, self.nearest[block])
            for step in (1, width, -1, -width):
                beside = (block - step) % len(self.nearest)
                self.propose(block, wanted, self.nearest[beside] + step)
            reach = far
            while reach:
                down, right = rng.integers(-reach, reach + 1, (2, len(block)))
                self.propose(block, wanted, self.nearest[block] + down * width + right)
                reach //= 2

    def propose(self, block, wanted, candidates):
        """Take the candidates that are more like what is wanted."""
        candidates = candidates.clip(0, len(self.nearest) - 1)
        new = self.sources[candidates] & (candidates != self.nearest[block])
        block, candidates = block[new], candidates[new]
        error = self.compare(block, wanted[new], candidates)
        better = error < self.error[block]
        self.nearest[block[better]] = candidates[better]
        self.error[block[better]] = error[better]

    def compare(self, block, wanted, candidates):
        """Squared distances of patches, in which known pixels count most."""
        difference = wanted - self.pixels[candidates[:, None] + self.window]
        weight = self.trust[block[:, None] + self.window]
        error = np.einsum("nkc,nkc,nk->n", difference, difference, weight)
        return error / self.patch_trust[block]

    def vote(self):
        """Give each pixel of a hole the mean of what the patches over it have there;
        those near to its edge count more."""
        total, weights = 0.0, 0.0
        for step in self.window:
            over = self.holes - step  # below 0, and where patches do not fit: no trust
            weight = self.patch_trust[over, None]
            source = (self.nearest[over] + step) % len(self.pixels)
            total = total + weight * self.pixels[source]
            weights = weights + weight
        self.pixels[self.holes] = total / weights

    def copy(self):
        """Give each pixel of a hole what the best patch over it has there, unmixed."""
        best, source = np.full(len(self.holes), np.inf), self.holes.copy()
        for step in self.window:
            over = self.holes - step
            better = self.error[over] < best
            best[better] = self.error[over[better]]
            source[better] = self.nearest[over[better]] + step
        self.pixels[self.holes] = self.pixels[source]


def add_windows(x, size):
    """The sums of all windows of size x size values."""
    rows = np.lib.stride_tricks.sliding_window_view(x, size, 0).sum(-1)
    return np.lib.stride_tricks.sliding_window_view(rows, size, 1).sum(-1)
