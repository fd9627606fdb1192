"""`python -m tfgen restore`: read a photo, restore it, write the result."""

import contextlib
import dataclasses
import functools
import os
import sys
import time
from typing import NamedTuple

import numpy as np
from PIL import Image
from skimage import measure

from tfgen.commands import films, finishing, folders, networks, photo_files
from tfgen.commands.before_after import draw_before_after
from tfgen.commands.screen import shown
from tfgen.data.decoding import Photo
from tfgen.filling import fill_patches
from tfgen.measures.classics import enlarge_bicubic
from tfgen.provenance import only_source
from tfgen.tiles import estimate_noise

LARGE = 1_000_000  # pixels from which on progress is shown
TASKS = {  # of the options that not all tasks have
    "sigma": ("denoise",),
    "mask": ("inpaint", "scratches"),
    "scale": ("upscale",),
    "sharp": ("upscale",),
    "detail": ("photo", "denoise"),
}


def restore(photo, output, task, *, mask, compare, force, **options):
    """Restore a photo, a film or a folder of photos; the parser's help describes the
    options."""
    start = time.perf_counter()
    job = Job(task, mask=mask, **options)
    files = Files(photo, output, mask, compare)
    if not os.path.exists(photo):
        raise ValueError(f"Cannot read {photo}: No such file or directory.")
    if os.path.isdir(photo):
        return folders.restore_folder(job, files, force)
    if films.is_film(files):
        return films.restore_file(job, files, force)
    check_files(job, files, force)
    source, holes = job.read(files)
    with contextlib.redirect_stdout(sys.stderr):  # progress is not the result
        after, holes, found = job.run(source, holes, alone=True)
    job.write(files, source, after, holes)
    height, width = after.pixels.shape[:2]
    seconds = time.perf_counter() - start
    print(f"{shown(output)}: {width} x {height} pixels, {seconds:.1f} s{found}")


class Files(NamedTuple):
    """The files of a photo, or the folders of many; None is not asked for."""

    photo: str
    output: str
    mask: str | None = None  # that is read, or written by the task scratches
    compare: str | None = None


def check_files(job, files, force):
    """Raise ValueError, before the work, for what cannot be written."""
    paths = job.outputs(files)
    for path in paths:
        photo_files.choose_format(path, None)
    if job.finds and files.mask and not files.mask.lower().endswith(".png"):
        raise ValueError(f"Cannot write {files.mask}: a mask must end in .png.")
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("OUT, --mask and --compare must be different files.")
    for path in paths:
        photo_files.check_output(path, force, files.photo)


class Job:
    """What is done with a photo, or with each of many: the options of the command.

    Many photos are read and written in threads of their own.
    """

    def __init__(
        self,
        task,
        *,
        sigma=None,
        mask=None,
        scale=None,
        sharp=False,
        strength=1.0,
        detail=None,
        colour=False,
        ensemble=False,
        weights=None,
    ):
        given = {"sigma": sigma, "mask": mask, "scale": scale, "sharp": sharp}
        networks.check_options(task, TASKS, **given, detail=detail)
        if task == "inpaint" and mask is None:
            raise ValueError("--task inpaint needs --mask.")
        if task == "upscale" and scale is None:
            raise ValueError("--task upscale needs --scale.")
        if sharp and (scale != 4 or weights is not None):
            raise ValueError("--sharp goes with --scale 4, and not with --weights.")
        for name, value in (("strength", strength), ("detail", detail or 0)):
            if not 0 <= value <= 1:  # also for NaN
                raise ValueError(f"--{name} is {value:g}, but must be from 0 to 1.")
        self.task, self.scale, self.sharp = task, scale or 1, sharp
        self.sigma = None if sigma in (None, "auto") else networks.check_sigma(sigma)
        self.strength, self.detail, self.colour = strength, detail or 0, colour
        self.ensemble = ensemble
        self.finds = task == "scratches"
        self.options = {  # which decide what becomes of a photo
            "task": task,
            "sigma": self.sigma,
            "mask": mask if task == "inpaint" else None,
            "scale": self.scale,
            "sharp": sharp,
            "strength": strength,
            "detail": self.detail,
            "colour": colour,
            "ensemble": ensemble,
            "weights": networks.name_weights(weights),
        }
        self.load_exact = functools.cache(
            functools.partial(networks.choose_network, task, 1, self.scale)
        )
        self.load_finder = functools.cache(networks.load_finder)
        self.load_network = functools.cache(
            lambda channels: networks.choose_network(
                task, channels, self.scale, sharp, weights
            )
        )

    def outputs(self, files):
        """The paths that are written for a photo."""
        paths = files.output, files.compare, files.mask if self.finds else None
        return [path for path in paths if path]

    def read(self, files, single=False):
        """The `Photo` and its holes, bool (height, width), or None."""
        photo = photo_files.read_photo(files.photo, single)
        photo_files.choose_format(files.output, photo, self.scale)
        holes = read_mask(files.mask, photo) if self.task == "inpaint" else None
        return photo, holes

    def run(self, photo, holes=None, alone=False):
        """The restored `Photo`, its holes or defects, and what was found, in words.

        A photo that is restored `alone` shows its progress, and its noise is looked at
        even if the network does not want to know.
        """
        image = photo_files.to_floats(photo.pixels)
        verbose = int(alone and image.shape[0] * image.shape[1] >= LARGE)
        known, found = {"mask": holes, "sigma": self.sigma}, ""
        if self.sigma is not None:
            found = f", sigma {self.sigma:.1f}"
        elif self.task == "denoise" or (self.task == "photo" and alone):
            full, half = estimate_noise(image[None], scales=2)[0]
            found = f", sigma {full:.1f} (estimated; at half size {half:.1f})"
            known["sigma"] = full
        if self.task == "denoise":
            known["sigma"] = networks.check_sigma(known["sigma"])
        if self.finds:
            holes = known["mask"] = self.load_finder().find(image, verbose=verbose)
            count = measure.label(holes).max()
            found = f", {count} defects on {holes.mean():.2%} of the photo"
        restored = image
        grey = any(((row > 0) & (row < 1)).any() for row in image)
        if self.task == "photo" and not grey:  # dots: a print, a fax, a drawing
            found = ", unchanged: it is black and white without grey"
        elif holes is None or holes.any():
            network = self.load_network(image.shape[-1])
            restored = networks.run_network(
                network, image, self.ensemble, verbose, **known
            )
            if self.sharp:
                exact = self.load_exact()
                exact = networks.run_network(exact, image, self.ensemble, verbose)
                finishing.spare_grid(exact, restored)
            sight = network.tiler.sight
            if holes is not None and sight:  # what it is too far away to see
                restored = fill_patches(restored, holes, deeper=sight, verbose=verbose)
        return self.finish(photo, image, restored), holes, found

    def finish(self, photo, image, restored):
        """The `Photo` of a restored image; see `adjust`."""
        restored = self.adjust(image, restored)
        pixels = photo_files.to_integers(restored, photo.pixels.dtype)
        alpha = photo.alpha
        if alpha is not None:
            size = pixels.shape[1::-1]
            alpha = Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC)
            alpha = np.asarray(alpha)
        return dataclasses.replace(photo, pixels=pixels, alpha=alpha)

    def adjust(self, image, restored):
        """The restored image, changed in place, more or less restored as the options
        say."""
        if self.task == "photo":
            finishing.spare_texture(image, restored)
        if self.detail:
            detail = finishing.find_detail(image, restored)
            restored += self.detail * detail[..., None]
            np.clip(restored, 0, 1, out=restored)
        if self.strength < 1:
            if self.scale > 1:
                image = enlarge_bicubic(image, self.scale)
            for before, after in zip(image, restored, strict=True):  # rows: less memory
                after[:] = finishing.blend(before, after, self.strength)
        if self.colour:
            levels = finishing.find_levels(restored)
            for row in restored:
                row[:] = finishing.stretch(row, levels)
        return restored

    def name_source(self, before, after, holes):
        """What the file says of how the photo was made, or None if it is unchanged.

        Holes that were filled and texture that was drawn show what no camera saw.
        """
        if np.array_equal(before.pixels, after.pixels):
            return None
        invented = self.sharp or (holes is not None and holes.any())
        return "mixed" if invented and self.strength > 0 else "enhanced"

    def write(self, files, before, after, holes):
        """Write the restored photo and what else is asked for, the mask last: a person
        may have corrected one that is there."""
        source = self.name_source(before, after, holes)
        photo_files.write_photo(files.output, after, source)
        if files.compare:
            picture = draw_before_after(before.pixels, after.pixels)
            xmp = only_source(after.xmp)
            picture = Photo(picture, icc_profile=after.icc_profile, xmp=xmp)
            photo_files.write_photo(files.compare, picture, source)
        if self.finds and files.mask:
            mask = np.where(holes, 255, 0).astype(np.uint8)
            photo_files.write_photo(files.mask, Photo(mask[..., None]))


def read_mask(path, photo):
    """The holes of a photo, bool (height, width): where a mask is bright.

    That is at least half as bright as its brightest pixel: 0 and 1 will do as well as 0
    and 255, and what a JPEG leaves around a hole is none. Transparent pixels are dark.
    """
    mask = photo_files.read_photo(path)
    (height, width), sides = mask.pixels.shape[:2], photo.pixels.shape[:2]
    if (height, width) != sides:
        raise ValueError(
            f"The mask {path} is {width} x {height} pixels, but the photo is "
            f"{sides[1]} x {sides[0]}."
        )
    levels = photo_files.to_floats(mask.pixels.max(axis=-1))
    if mask.alpha is not None:
        levels *= photo_files.to_floats(mask.alpha)
    darkest, brightest = levels.min(), levels.max()
    holes = (levels > 0) & (levels >= brightest / 2)
    if holes.all():
        raise ValueError(
            f"The mask {path} has only holes: those are the bright pixels, the others "
            "are kept."
        )
    if not holes.any():
        photo_files.note(path, "it has no holes, which are bright; nothing is filled")
    if ((darkest < levels) & (levels < brightest)).any():
        photo_files.note(
            path,
            "it has more than two values; a hole is what is at least half as bright as "
            "the brightest",
        )
    if holes.mean() > 0.5:
        text = f"{holes.mean():.0%} of the photo are holes; if not, invert the mask"
        photo_files.note(path, text)
    return holes
