"""What `python -m tfgen restore` and `python -m tfgen evaluate` do.

What a person can get wrong is a ValueError that says what to do.
"""

import contextlib
import csv
import functools
import io
import sys
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from tfgen import corruption, metrics, pretrained
from tfgen.classics import CLASSICS
from tfgen.commands import photo_files
from tfgen.restoration import Restorer, estimate_noise

TOLD = {"denoise": "sigma", "inpaint": "mask", "upscale": "scale"}  # beside the image
UNTOUCHED = {"denoise": ["noisy"], "inpaint": ["masked"], "upscale": []}
MEASURES = {"PSNR": metrics.psnr, "SSIM": metrics.ssim}
TRAINED, LARGEST = 55, 75  # sigma: up to where networks were trained, what is taken
LARGE = 1_000_000  # pixels from which on progress is shown


# --- restore ----------------------------------------------------------------


def restore(
    photo,
    output,
    task,
    sigma=None,
    mask=None,
    scale=None,
    ensemble=False,
    weights=None,
    force=False,
):
    """Restore an image file and write the result to another.

    Parameters
    ----------
    photo, output : str or Path
    task : {"denoise", "inpaint", "upscale"}
    sigma : float or "auto", optional
        For denoising: the level of the noise; "auto", the default, estimates it.
    mask : str or Path
        For inpainting: an image of the same size, 0 where there is no hole.
    scale : {2, 3, 4}
        For upscaling.
    ensemble : bool
        Whether to average eight results, as in `Restorer.restore`.
    weights : str or Path, optional
        A `.keras` file of a `Restorer`, in place of a network that tfgen ships.
    force : bool
        Whether `output` may be overwritten.
    """
    start = time.perf_counter()
    options = check_options(task, sigma=sigma, mask=mask, scale=scale)
    if task != "denoise" and not options:
        raise ValueError(f"--task {task} needs --{TOLD[task]}.")
    photo_files.choose_format(output, None)
    photo_files.check_output(output, force, photo)
    source = read_photo(photo)
    form = photo_files.choose_format(output, source, scale or 1)
    if task == "inpaint":
        mask = read_mask(mask, source)
    restorer = choose_network(task, source.pixels.shape[-1], scale, weights)

    image = photo_files.to_floats(source.pixels)
    summary = ""
    if task == "denoise":
        estimated = sigma in (None, "auto")
        sigma = check_sigma(estimate_noise(image[None])[0] if estimated else sigma)
        summary = f", sigma {sigma:.1f}{' (estimated)' if estimated else ''}"
    with contextlib.redirect_stdout(sys.stderr):  # progress is not the result
        known = {"sigma": sigma, "mask": mask}
        large = image.shape[0] * image.shape[1] >= LARGE
        settings = {"ensemble": ensemble, "verbose": int(large)}
        restored = run_network(restorer, image, known, **settings)

    depth = source.pixels.dtype if form.deep else np.uint8
    source.pixels = photo_files.to_integers(restored, depth)
    height, width = source.pixels.shape[:2]
    if source.alpha is not None:
        alpha = Image.fromarray(source.alpha)
        alpha = alpha.resize((width, height), Image.Resampling.BICUBIC)
        source.alpha = np.asarray(alpha)
    photo_files.write_photo(output, source)
    seconds = time.perf_counter() - start
    print(f"{output}: {width} x {height} pixels, {seconds:.1f} s{summary}")


def read_mask(path, photo):
    """The holes of a photo, bool (height, width): where a mask is not 0."""
    mask = read_photo(path)
    (height, width), sides = mask.pixels.shape[:2], photo.pixels.shape[:2]
    if (height, width) != sides:
        raise ValueError(
            f"The mask {path} is {width} x {height} pixels, but the photo is "
            f"{sides[1]} x {sides[0]}."
        )
    holes = mask.pixels.any(axis=-1)
    if mask.alpha is not None:
        holes &= mask.alpha > 0
    if holes.all() or not holes.any():
        raise ValueError(
            f"The mask {path} has {'only' if holes.all() else 'no'} holes: each pixel "
            "that is not 0 is one."
        )
    return holes


# --- evaluate ---------------------------------------------------------------


def evaluate(
    folder,
    task,
    sigma=None,
    scale=None,
    luma=False,
    border=None,
    seed=0,
    table=None,
    ensemble=False,
    weights=None,
    force=False,
):
    """Print PSNR and SSIM for each image of a folder, and their means.

    Parameters
    ----------
    folder : str or Path
        Of clean images; for upscaling also of two folders, HR with the large images
        and LR with the small ones, named alike or with an ending such as x4.
    task : {"denoise", "inpaint", "upscale"}
    sigma : float, optional
        For denoising, 25 by default. The noise is neither clipped nor rounded.
    scale : {2, 3, 4}, optional
        For upscaling, 4 by default. Images are cropped to multiples of it.
    luma : bool
        Whether only the luma (BT.601) of colour images is compared.
    border : int, optional
        Pixels to leave out at each side; by default `scale` for upscaling, else 0.
    seed : int
        Of noise and holes; with it, each image has its own.
    table : str or Path, optional
        A CSV file to write as well.
    ensemble, weights, force
        As in `restore`.
    """
    check_options(task, sigma=sigma, scale=scale)
    sigma = check_sigma(25 if sigma is None else sigma)
    scale = (scale or 4) if task == "upscale" else 1
    if border is None:
        border = scale if task == "upscale" else 0
    if table:
        photo_files.check_output(table, force)
    pairs = list_images(folder, task, scale)
    network = functools.cache(
        lambda channels: choose_network(task, channels, scale, weights)
    )

    methods = [*UNTOUCHED[task], *CLASSICS[task], "network"]
    names = [large.name for large, _ in pairs]
    rows = []
    print(describe(task, sigma, scale, luma, border, seed, ensemble))
    print_row("", [f"{method:>15}" for method in methods], names)
    print_row("image", ["    PSNR   SSIM"] * len(methods), names)
    for index, (large, small) in enumerate(pairs):
        clean, known = damage(large, small, task, sigma, scale, (seed, index))
        restorer = network(clean.shape[-1])
        try:
            results = restore_all(task, known, restorer, ensemble)
            rows.append(score(clean, results, luma=luma, border=border))
        except ValueError as error:
            raise ValueError(f"{large}: {error}") from None
        print_row(large.name, rows[-1], names)
    rows.append(np.mean(rows, axis=0))
    print_row("mean", rows[-1], names)
    if table:
        write_table(table, methods, [*names, "mean"], rows)


def list_images(folder, task, scale):
    """The image files of a folder, each with that of its small version or None."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    parts = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    paired = task == "upscale" and {"hr", "lr"} <= parts.keys()
    large = find_images(parts["hr"] if paired else folder)
    if not paired:
        return [(path, None) for path in large]
    small = {path.stem: path for path in find_images(parts["lr"])}
    pairs = [
        (path, small.get(f"{path.stem}x{scale}", small.get(path.stem)))
        for path in large
    ]
    for path, found in pairs:
        if found is None:
            raise ValueError(f"{parts['lr']} has no image for {path}.")
    return pairs


def find_images(folder):
    found = [path for path in sorted(folder.iterdir()) if is_image(path)]
    if not found:
        raise ValueError(
            f"There is no image in {folder}; files that end in "
            f"{' '.join(photo_files.EXTENSIONS)} are looked for."
        )
    return found


def is_image(path):
    return path.suffix.lower() in photo_files.EXTENSIONS and not path.name.startswith(
        "."
    )


def damage(large, small, task, sigma, scale, seed):
    """A clean image, and what the restorers are told of it after it is damaged."""
    clean = read_clean(large)
    if small:
        image = read_clean(small)
        height, width = scale * np.array(image.shape[:2])
        extra = np.subtract(clean.shape[:2], (height, width))
        if (
            image.shape[-1] != clean.shape[-1]
            or extra.min() < 0
            or extra.max() >= scale
        ):
            raise ValueError(f"{small} is not {large} shrunk {scale} times.")
        return clean[:height, :width], {"image": image, "scale": scale}
    height, width = (side // scale * scale for side in clean.shape[:2])
    if min(height, width) == 0:
        raise ValueError(f"{large} is too small to be shrunk {scale} times.")
    clean = clean[:height, :width]
    corrupt = {
        "denoise": functools.partial(corruption.add_gaussian_noise, sigma=sigma),
        "inpaint": corruption.mask_scratches,
        "upscale": functools.partial(corruption.downsample, scale=scale),
    }[task]
    damaged = corrupt(clean[None], np.array(seed))
    known = {name: values[0].numpy() for name, values in damaged.items()}
    return clean, {**known, "sigma": sigma, "scale": scale}


def read_clean(path):
    """An image file as floats; transparent pixels over white."""
    photo = read_photo(path)
    image = photo_files.to_floats(photo.pixels)
    if photo.alpha is not None:
        image = 1 - photo_files.to_floats(photo.alpha)[..., None] * (1 - image)
    return image


def restore_all(task, known, restorer, ensemble):
    """The damaged image as it is, where it has the size, and restored in every way."""
    image, told = known["image"], known[TOLD[task]]
    return [
        *([image] * len(UNTOUCHED[task])),
        *(classic(image, told) for classic in CLASSICS[task].values()),
        run_network(restorer, image, known, ensemble=ensemble),
    ]


def score(clean, results, **options):
    """PSNR and SSIM of each result, clipped and rounded as a file would hold it."""
    scores = []
    for result in results:
        rounded = photo_files.to_floats(photo_files.to_integers(np.clip(result, 0, 1)))
        for measure in MEASURES.values():
            scores.append(float(measure(clean[None], rounded[None], **options)[0]))
    return scores


def describe(task, sigma, scale, luma, border, seed, ensemble):
    """The protocol in a line."""
    what = {
        "denoise": f"noise of sigma {sigma:g}, not clipped or rounded, seed {seed}",
        "inpaint": f"scratches, seed {seed}",
        "upscale": f"{scale} times, from small images of 8 bits",
    }[task]
    where = f"{'luma' if luma else 'all channels'}, border {border}"
    ways = "; network: mean of eight ways" if ensemble else ""
    return f"{task}: {what}; scored in 8 bits: {where}{ways}"


def print_row(name, scores, names):
    """A line of the table; scores are texts, or PSNR and SSIM in turn."""
    if not isinstance(scores[0], str):
        pairs = zip(scores[::2], scores[1::2], strict=True)
        scores = [f"{psnr:8.2f} {ssim:6.4f}" for psnr, ssim in pairs]
    width = max(map(len, [*names, "image"]))
    print(f"{name:<{width}}", *scores, flush=True)


def write_table(path, methods, names, rows):
    """Write the scores as CSV, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    heads = [f"{method} {measure}" for method in methods for measure in MEASURES]
    writer.writerow(["image", *heads])
    writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))
    with photo_files.replacing(path) as file:
        file.write(text.getvalue().encode())


# --- Both -------------------------------------------------------------------


def check_options(task, **options):
    """The options that are given, or ValueError for one of another task."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name != TOLD[task]:
            raise ValueError(f"--{name} does not go with --task {task}.")
    return given


def check_sigma(sigma):
    """Sigma as a float, or ValueError where no network was trained for it."""
    if not 0 <= sigma <= LARGEST:  # also for NaN
        raise ValueError(
            f"sigma is {sigma:.4g}, but must be from 0 to {LARGEST}; the networks were "
            f"trained for 0 to {TRAINED}."
        )
    if sigma > TRAINED:
        print(
            f"note: sigma is {sigma:.4g}; the networks were trained for 0 to {TRAINED}",
            file=sys.stderr,
        )
    return float(sigma)


def read_photo(path):
    """Read a photo and say what is lost."""
    photo = photo_files.read_photo(path)
    for note in photo.notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return photo


def choose_network(task, channels, scale, weights):
    """The network that tfgen ships for a task, or that of a file."""
    if weights is None:
        name = {
            "denoise": "denoise" if channels == 1 else "denoise_color",
            "inpaint": "inpaint",
            "upscale": f"upscale_x{scale}",
        }[task]
        return pretrained.load_pretrained(name)
    restorer = load_restorer(Path(weights))
    told = set(restorer.network.input) - {"image"}
    fits = {"denoise": told <= {"sigma"}, "inpaint": told == {"mask"}}
    enlarges = scale if task == "upscale" else 1
    if not fits.get(task, not told) or restorer.scale != enlarges:
        raise ValueError(
            f"The network in {weights} is of no use here: beside the image it is told "
            f"{' and '.join(sorted(told)) or 'nothing'}, and it enlarges "
            f"{restorer.scale} times."
        )
    return restorer


def load_restorer(path):
    """The `Restorer` in a `.keras` file. Code in it is not run: Keras refuses."""
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(f"Cannot load {path}: no .keras file.")
    try:
        restorer = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file can raise anything
        code = "safe_mode" in str(error)
        reason = "it carries code, which could do anything." if code else error
        raise ValueError(f"Cannot load {path}: {reason}") from None
    if not isinstance(restorer, Restorer):
        raise ValueError(f"{path} holds no tfgen.Restorer.")
    return restorer


def run_network(restorer, image, known, **settings):
    """Restore an image, telling the network what it asks for."""
    told = {name: known[name] for name in restorer.network.input if name != "image"}
    return restorer.restore(image, **told, **settings)
