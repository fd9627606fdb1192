"""The picture at the top of the README: what the package's networks make.

    python benchmarks/front_page.py benchmarks/front_page.png

Above, the first two rows of letters that `large_letters.py` stored. Then every third
kind of fruit and vegetables that `load_pretrained("groceries")` draws, from seed 0.
Below, the middle of two test photos, `chelsea` and `coffee`, once for each of three
tasks: damaged with seed 0, restored by the small trained network, and measured (PSNR in
dB against the clean photo; the small image is enlarged bicubically for that).
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
import tensorflow as tf
from PIL import Image

import tfgen
from tfgen.plot.display import check_figure_path
from tfgen.provenance import save_options

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


def draw_fruit():
    """Every third kind, and what it is called."""
    fruit = tfgen.load_pretrained("groceries")
    names = fruit.label_names[::3]
    return fruit.sample(labels=names, steps=12, guidance=2, seed=0), names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="write the picture here, as PNG")
    path = parser.parse_args().path
    check_figure_path(path)
    tfgen.show_comparison(*restore_all(load_middles()), path=path)
    photos = open_image(path)
    tfgen.show_images(*draw_fruit(), columns=6, path=path)
    letters = open_image(LETTERS)
    letters = letters.crop((0, 0, letters.width, letters.height // 2))
    parts = [letters, open_image(path), photos]
    parts = [widen(part, photos.width) for part in parts]
    page = Image.new("RGB", (photos.width, sum(part.height for part in parts)))
    for index, part in enumerate(parts):
        page.paste(part, (0, sum(above.height for above in parts[:index])))
    page.save(path, optimize=True, **save_options("PNG", "mixed"))


def open_image(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def widen(image, width):
    """The image in another width."""
    size = width, image.height * width // image.width
    return image.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
