"""Large holes: copied patches against smooth fillings.

    python benchmarks/large_holes.py
    python benchmarks/large_holes.py --seed 1 --picture holes.png

A square hole of 24, 48 or 96 pixels is cut out of each of the twelve test photos, at a
random place. It is filled by the inpainting network, beyond whose reach `restore` fills
harmonically; by the biharmonic surface; by `fill_patches`; as `python -m tfgen restore`
does, by patches where the network does not see; and by `restore_with_prior`, as one
careful estimate and as one of many, from what lies no farther around than the hole is
wide. PSNR in the hole, which a blur wins; and `patch_distance` of its fine structures
to those of the clean photo there. Means over the photos. The picture shows the holes of
48 pixels, with as much around.
"""

import argparse
import functools

import numpy as np
from restoration_quality import load_images

import tfgen
from tfgen.measures.classics import inpaint_biharmonic
from tfgen.measures.perception import patch_distance
from tfgen.plot.display import check_figure_path

SIDES = 24, 48, 96


def cut_hole(photo, side, rng):
    """The place of a hole, and the mask."""
    top, left = rng.integers(side // 2, np.subtract(photo.shape[:2], side * 3 // 2))
    mask = np.zeros(photo.shape[:2], bool)
    mask[top : top + side, left : left + side] = True
    return (top, left), mask


def fill_as_command(network, image, mask):
    filled = network(image, mask=mask)
    return tfgen.fill_patches(filled, mask, deeper=16)


def fill_by_prior(denoiser, image, mask, **options):
    filled, side = np.array(image), int(mask.any(axis=0).sum())
    (top, *_), (left, *_) = np.nonzero(mask)
    near = tuple(slice(max(0, start - side), start + 2 * side) for start in (top, left))
    filled[near] = tfgen.restore_with_prior(
        denoiser, image[near], mask=mask[near], **options
    )
    return filled


def crop(image, place, side, margin=0):
    top, left = np.subtract(place, margin)
    return image[None, top : top + side + 2 * margin, left : left + side + 2 * margin]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="where to put a figure")
    options = parser.parse_args()
    check_figure_path(options.picture)
    network = tfgen.load_pretrained("inpaint").restore
    prior = functools.partial(fill_by_prior, tfgen.load_pretrained("denoise_color"))
    methods = {
        "untouched": lambda image, mask: image,
        "harmonic depths": network,
        "biharmonic": inpaint_biharmonic,
        "patches": tfgen.fill_patches,
        "command": functools.partial(fill_as_command, network),
        "prior": prior,
        "prior, drawn": functools.partial(prior, seed=0, fresh=0.1),
    }
    photos = load_images(None, 3, 600)
    for side in SIDES:
        rng, scores, shown = np.random.default_rng(options.seed), {}, {}
        for photo in photos.values():
            place, mask = cut_hole(photo, side, rng)
            clean = crop(photo, place, side)
            around = crop(photo, place, side, side // 2)[0]
            shown.setdefault("clean", []).append(around)
            for name, method in methods.items():
                filled = method(photo * ~mask[..., None], mask=mask)
                hole = crop(filled, place, side)
                score = tfgen.psnr(clean, hole)[0], patch_distance(clean, hole)[0]
                scores.setdefault(name, []).append(score)
                around = crop(filled, place, side, side // 2)[0]
                shown.setdefault(name, []).append(around)
        print(f"{side} pixels          PSNR  patches")
        for name, rows in scores.items():
            print(f"{name:15}", *(f"{mean:8.2f}" for mean in np.mean(rows, axis=0)))
        if side == 48 and options.picture:
            tfgen.show_comparison(shown, path=options.picture, source="mixed")


if __name__ == "__main__":
    main()
