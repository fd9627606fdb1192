"""Restore films: what neighbouring frames show again, with other noise, is averaged.

Each frame is restored once by itself. The motion between these restored frames says
where a neighbour shows the same thing; there the noisy neighbours are averaged with the
noisy frame, whose noise falls with the square root of their number; a second pass of
the network removes what is left. Where the frames disagree, behind a thing that moved,
after a cut or in a flash, nothing is averaged.
"""

import collections
import itertools

import numpy as np

from .checks import require
from .restoration import Restorer
from .tiles import as_batch, check_sigma, estimate_noise

LOOKED_AT = 8  # frames, from which the noise of a film is estimated
CUT = 0.3  # of a neighbour: if less of it fits, it is from another scene
SMALLEST = 16  # pixels of a side, at half size, to look for motion
WINDOW = 7  # pixels, whose differences are averaged
TOLERANCE = 0.9  # of sigma: from which difference of restored frames on none is used
STILL = 0.12  # of sigma: what motion must explain
RADIUS = 11  # pixels at half size, that move together


def restore_film(frames, network, *, sigma=None, neighbors=2):
    """Restore the frames of a film, one by one, with the help of their neighbours.

    Parameters
    ----------
    frames : iterable of array, (height, width, channels)
        Floats in [0, 1] (but for the noise), all of one shape, 1 or 3 channels. As
        many are held as are needed, not the film.
    network : Restorer or callable
        Removes noise from one frame: ``load_pretrained("denoise_color")``, or a
        function of the frame and sigma whose result has the size of the frame.
    sigma : float, optional
        Standard deviation of the noise where white is 255. Without it the first eight
        frames are looked at (`estimate_noise`), once for all: give it for a film that
        begins in black. It also says how much frames may differ: give 5 to 10 for a
        blind network and a compressed film, whose errors are no white noise.
    neighbors : int
        How many frames before and after a frame help; with 0 each is restored alone.

    Yields
    ------
    numpy.ndarray, (height, width, channels)
        float32, as many as there are frames, in their order; in [0, 1] if the
        network keeps to it, as a Restorer does.

    Raises
    ------
    ValueError
        If the frames have different shapes, or neighbors is no whole number from 0.
    """
    require(
        neighbors >= 0 and int(neighbors) == neighbors,
        f"neighbors is a whole number from 0; got {neighbors}.",
    )
    if sigma is not None:
        sigma = float(check_sigma(sigma, 1)[0, 0])
    return run(iter(frames), as_function(network), sigma, int(neighbors))


def as_function(network):
    """A function of a frame and its sigma."""
    if not isinstance(network, Restorer):
        return lambda frame, sigma: np.asarray(network(frame, sigma), np.float32)
    require(network.scale == 1, "A network that enlarges restores no film.")
    told = "sigma" in network.network.input

    def restore(frame, sigma):
        if told:
            return network.restore(frame, sigma=sigma)
        # Noise and moved neighbours overshoot [0, 1]; 8-bit numbers stay an error.
        if np.abs(frame - 0.5).max() < 1.5:
            frame = np.clip(frame, 0, 1)
        return network.restore(frame)

    return restore


def run(frames, restore, sigma, neighbors):
    """Yield the restored frames of a film."""
    frames = checked(frames)
    if sigma is None:
        first = list(itertools.islice(frames, LOOKED_AT))
        if not first:
            return
        sigma = float(np.median([estimate_noise(frame)[0] for frame in first]))
        frames = itertools.chain(first, frames)
        del first  # which would be held as long as the film
    pairs = ((frame, restore(frame, sigma)) for frame in frames)
    for (frame, once), around in with_neighbors(pairs, neighbors):
        mean, rest = average(frame, once, around, sigma)
        if rest.min() == 1:  # no neighbour helps
            yield once.copy()  # since it helps the next frames
            continue
        level = np.sqrt(rest.mean())
        # Where more noise is left than on average, the first result takes its place.
        even = once + np.minimum(level / np.sqrt(rest), 1) * (mean - once)
        yield restore(even, sigma * float(level))


def checked(frames):
    """The frames as float32, or ValueError at the first that does not fit."""
    shape = None
    for index, frame in enumerate(frames):
        frame = np.asarray(frame)
        shape = shape or frame.shape
        require(
            frame.ndim == 3 and frame.shape == shape,
            "Frames are (height, width, channels), all of one shape; number "
            f"{index} has {frame.shape}, the first one {shape}.",
        )
        yield as_batch(frame)[0]


def with_neighbors(items, reach):
    """For each item: the item, and those up to `reach` places before and after it."""
    items = iter(items)
    before = collections.deque(maxlen=reach)
    ahead = collections.deque(itertools.islice(items, reach + 1))
    while ahead:
        item = ahead.popleft()
        yield item, [*before, *ahead]
        before.append(item)
        ahead.extend(itertools.islice(items, 1))


def average(frame, once, around, sigma):
    """The mean of a frame and of what neighbours show of the same, and the share of the
    variance of the noise that is left, (height, width, 1)."""
    total, weights, squares = frame.copy(), 1.0, 1.0
    for other, other_once in around:
        motion, error = find_motion(once, other_once, sigma)
        limit = (TOLERANCE * max(sigma, 1) / 255) ** 2
        weight = np.clip(1 - error / limit, 0, 1)[..., None]
        if weight.mean() < CUT:
            continue
        total += weight * move(other, motion)
        weights = weights + weight
        squares = squares + weight**2
    rest = np.broadcast_to(squares / weights**2, (*frame.shape[:2], 1))
    return total / weights, rest


def find_motion(image, other, sigma):
    """Where the things of a restored frame are in another, (2, height, width), rows and
    columns to go; and the squared error of the frame that is so predicted.

    A thing that may stand still does so: otherwise the errors of the motion make still
    things tremble.
    """
    still = compare(image, other)
    motion = optical_flow(image, other)
    moved = compare(image, move(other, motion, order=1))
    moves = still > moved + (STILL * sigma / 255) ** 2
    return moves * motion, np.where(moves, moved, still)


def compare(image, other):
    """The mean squared difference around each pixel, (height, width)."""
    from scipy import ndimage

    squares = np.mean((image - other) ** 2, axis=-1)
    return ndimage.uniform_filter(squares, WINDOW, mode="nearest")


def optical_flow(image, other):
    """The motion at half the size (Le Besnerais and Champagnat, "Dense optical flow by
    iterative local window registration", 2005)."""
    from skimage import registration

    small, other = (halve(x.mean(axis=-1)) for x in (image, other))
    if min(small.shape) < SMALLEST:
        return np.zeros((2, *image.shape[:2]), np.float32)
    flow = registration.optical_flow_ilk(
        small, other, radius=RADIUS, num_warp=3, dtype=np.float32
    )
    flow = 2 * flow.repeat(2, axis=1).repeat(2, axis=2)
    return flow[:, : image.shape[0], : image.shape[1]]


def halve(image):
    """Means of 2 x 2 pixels; the last row or column is repeated if it is alone."""
    image = np.pad(image, [(0, side % 2) for side in image.shape], "edge")
    height, width = (side // 2 for side in image.shape)
    return image.reshape(height, 2, width, 2).mean(axis=(1, 3))


def move(image, motion, order=3):
    """What an image shows at each pixel moved by the motion."""
    from scipy import ndimage

    places = np.indices(image.shape[:2], np.float32) + motion
    channels = [
        ndimage.map_coordinates(channel, places, order=order, mode="nearest")
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, axis=-1)
