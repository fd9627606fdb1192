"""How near restored images are to the originals."""

import numpy as np
import tensorflow as tf

from tfgen.images import LUMA, check_images


def psnr(images, restored, *, luma=False, border=0):
    """Peak signal-to-noise ratio of each image, in dB.

    ``10 log10(1 / MSE)`` with the mean over all pixels and channels. Published
    means are over images, of these values.

    Parameters
    ----------
    images, restored : array, (n, height, width, channels)
        Floats in [0, 1], equally shaped; clip what a network overshoots.
    luma : bool
        Compare only the luma of colour images, as tables of super-resolution do:
        BT.601 with the range of television, ``(16 + 65.481 R + 128.553 G + 24.966
        B) / 255``. Grey images are taken as they are.
    border : int
        Pixels to leave out on all four sides; tables of super-resolution leave out
        as many as the scale.

    Returns
    -------
    numpy.ndarray, (n,)
        Infinite for equal images.

    Raises
    ------
    ValueError
        For integers, values outside [0, 1], different shapes or a border that
        leaves nothing.
    """
    images, restored = _comparable(images, restored, luma, border)
    return tf.image.psnr(images, restored, 1.0).numpy()


def ssim(images, restored, *, luma=False, border=0):
    """Structural similarity of each image: 1 for equal images, near 0 for unlike ones.

    The mean over all windows of 11 x 11 pixels with Gaussian weights of standard
    deviation 1.5, and over channels (Wang, Bovik, Sheikh and Simoncelli, "Image
    quality assessment", 2004). Takes, returns and raises what `psnr` does; images
    need at least 11 pixels in each direction.
    """
    images, restored = _comparable(images, restored, luma, border)
    if min(images.shape[1:3]) < 11:
        raise ValueError(
            "SSIM looks at 11 x 11 pixels at a time, but these images are only "
            f"{images.shape[1]} x {images.shape[2]} within the border."
        )
    return tf.image.ssim(images, restored, 1.0).numpy()


def flicker(frames, clean, still=2.0):
    """How much a film changes where nothing moves: 0 if it does not flicker.

    The mean absolute difference of consecutive frames, over the pixels in which the
    clean film changes by at most `still` from the one frame to the next.

    Parameters
    ----------
    frames, clean : array, (n, height, width, channels)
        At least two frames in [0, 1], equally shaped. Of a film without a clean
        version, give a restored one as `clean`, the same for all that are compared:
        it only tells what stands still.
    still : float
        The largest change of any channel, at least 0, where white is 255.

    Returns
    -------
    float
        Where white is 255.

    Raises
    ------
    ValueError
        As for `psnr`; for fewer than two frames, or if everything moves.
    """
    frames, clean = _comparable(frames, clean, False, 0)
    if len(frames) < 2:
        raise ValueError("Flicker is a change: at least two frames are needed.")
    calm = 255 * np.abs(np.diff(clean, axis=0)).max(axis=-1) <= still
    if not calm.any():
        raise ValueError(f"No pixel of the clean film changes by at most {still}.")
    return 255 * float(np.abs(np.diff(frames, axis=0)).mean(axis=-1)[calm].mean())


def _comparable(images, restored, luma, border):
    """Two checked sets of images, reduced to what is to be compared."""
    images, restored = (
        check_images(values, name)
        for name, values in (("images", images), ("restored", restored))
    )
    if images.shape != restored.shape:
        raise ValueError(
            f"The images are {images.shape}, but the restored ones {restored.shape}."
        )
    if border < 0 or 2 * border >= min(images.shape[1:3]):
        raise ValueError(
            f"A border of {border} does not fit into images of {images.shape[1]} x "
            f"{images.shape[2]}."
        )
    inside = slice(border, -border or None)
    images, restored = images[:, inside, inside], restored[:, inside, inside]
    if luma and images.shape[-1] == 3:
        weights = 219 / 255 * LUMA[:, None].astype(np.float32)
        images, restored = (x @ weights + 16 / 255 for x in (images, restored))
    return images, restored


# --- Several methods --------------------------------------------------------


def compare(clean, damaged, methods, *, round_to_bytes=False, **options):
    """PSNR and SSIM of an image that each of several methods restored.

    Parameters
    ----------
    clean : array, (height, width, channels)
        Floats in [0, 1].
    damaged : dict of str to array, (1, ...)
        ``"image"``, and ``"sigma"`` or ``"mask"`` where they are known: what a
        corruption returns for ``clean[None]``.
    methods : dict of str to callable
        Called as ``method(image, sigma=25.0)``, ``method(image, mask=mask)`` or
        ``method(image)``, as `Restorer.restore` is. Results are clipped to [0, 1].
    round_to_bytes : bool
        Whether results are also rounded to 256 levels, as in an image file.
    **options
        ``luma`` and ``border``, as for `psnr`, which says what is refused.

    Returns
    -------
    numpy.ndarray, (methods, 2)
    """
    known = {name: np.asarray(values)[0] for name, values in damaged.items()}
    image = known.pop("image")
    if "sigma" in known:
        known["sigma"] = float(known["sigma"][0])
    scores = []
    for method in methods.values():
        restored = np.clip(method(image, **known), 0, 1)
        if round_to_bytes:
            restored = np.rint(restored * 255) / 255
        pair = clean[None], restored[None]
        scores.append([psnr(*pair, **options)[0], ssim(*pair, **options)[0]])
    return np.array(scores, np.float64)


def untouched(image, **known):
    """The method that all others are compared with: the damaged image as it is."""
    return image


def print_scores(names, methods, scores):
    """Print a table of `compare`'s scores, each row as it comes, and their means.

    Parameters
    ----------
    names, methods : collection of str
        The images, a row each, and the columns.
    scores : iterator of array, (methods, 2), or str
        For each image; or the reason why it has none, which is printed in their place.

    Returns
    -------
    numpy.ndarray, (images + 1, methods, 2)
        The rows, NaN where there are no scores; the last is the mean of the others.

    Raises
    ------
    ValueError
        If no image has scores.
    """
    width = max(map(len, [*names, "image"]))

    def print_row(name, cells):
        print(f"{name:<{width}}", *(f"{cell:>15}" for cell in cells), flush=True)

    def print_numbers(name, row):
        print_row(name, [f"{decibels:.2f} {index:.4f}" for decibels, index in row])

    print_row("", methods)
    print_row("image", ["PSNR   SSIM"] * len(methods))
    rows = []
    for name, row in zip(names, scores, strict=True):
        if isinstance(row, str):
            print(f"{name:<{width}} {row}", flush=True)
            row = np.full((len(methods), 2), np.nan)
        else:
            print_numbers(name, row)
        rows.append(row)
    scored = [row for row in rows if not np.isnan(row).any()]
    if not scored:
        raise ValueError("There is no image with scores.")
    every = len(scored) == len(rows)
    rows.append(np.mean(scored, axis=0))
    print_numbers("mean" if every else f"mean of {len(scored)}", rows[-1])
    return np.array(rows)
