"""The picture at the top of the README: what the package's networks make.

    python benchmarks/front_page.py benchmarks/front_page.png

Above, the first two rows of letters that `large_letters.py` stored. Below, the middle
of two test photos, `chelsea` and `coffee`, once for each of three tasks: damaged with
seed 0, restored by the small trained network, and measured (PSNR in dB against the
clean photo; the small image is enlarged bicubically for that).
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
import tensorflow as tf
from PIL import Image

import tfgen
from tfgen.plot.display import check_figure_path

LETTERS = Path(__file__).parents[1] / "notebooks" / "pictures" / "letters_64.png"
SIDE = 128  # pixels of a photo, height and width


def load_middles():
    """The middle of each photo, (2, SIDE, SIDE, 3)."""
    middles = []
    for photo in (skimage.data.chelsea(), skimage.data.coffee()):
        top, left = ((size - SIDE) // 2 for size in photo.shape[:2])
        middles.append(photo[top : top + SIDE, left : left + SIDE])
    return np.float32(middles) / 255


def restore_all(clean):
    """Columns of `show_comparison` and the PSNR above each image."""
    noisy = tfgen.add_gaussian_noise(clean, seed=0, sigma=25.0)["image"]
    cut = tfgen.mask_scratches(clean, seed=0)
    small = tfgen.downsample(clean, scale=4)["image"]
    bicubic = tf.clip_by_value(tf.image.resize(small, (SIDE, SIDE), "bicubic"), 0, 1)
    columns = {
        "noise of sigma 25": np.clip(noisy, 0, 1),
        "denoised": tfgen.load_pretrained("denoise_color").restore(noisy),
        "scratches": cut["image"],
        "filled in": tfgen.load_pretrained("inpaint").restore(
            cut["image"], mask=cut["mask"]
        ),
        "small": small,
        "enlarged 4 times": tfgen.load_pretrained("upscale_x4").restore(small),
    }
    titles = {
        name: [f"{score:.1f} dB" for score in tfgen.psnr(clean, images)]
        for name, images in (columns | {"small": bicubic}).items()
    }
    return columns, titles


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="write the picture here, as PNG")
    path = parser.parse_args().path
    check_figure_path(path)
    tfgen.show_comparison(*restore_all(load_middles()), path=path)
    with Image.open(path) as image:
        photos = image.convert("RGB")
    letters = Image.open(LETTERS).convert("RGB")
    letters = letters.crop((0, 0, letters.width, letters.height // 2))
    height = letters.height * photos.width // letters.width
    letters = letters.resize((photos.width, height), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (photos.width, letters.height + photos.height), "white")
    page.paste(letters, (0, 0))
    page.paste(photos, (0, letters.height))
    page.save(path, optimize=True)


if __name__ == "__main__":
    main()
