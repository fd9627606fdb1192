"""Images drawn side by side, pixel by pixel."""

import math

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tfgen.images import check_images

DPI = 100
GAP = 4  # pixels between two images
LINE = 15  # pixels that one line of a title needs
CHARACTER = 6.5  # pixels that one character of a title needs


def list_images(images, name="images"):
    """Check images and return them as a list of float32 arrays (height, width, 1|3)."""
    images = images if isinstance(images, list | tuple) else np.asarray(images)
    shape = getattr(images, "shape", None)
    if shape is not None and len(shape) != 4:
        raise ValueError(
            f"{name}: got shape {shape}, need (n, height, width, channels). Write "
            "images[None] for a single image, images[..., None] for grey images "
            "without channels."
        )
    if len(images) == 0:
        raise ValueError(f"{name}: there is no image to show.")
    images = [np.asarray(image) for image in images]
    for index, image in enumerate(images):
        if image.ndim != 3 or image.shape[-1] not in (1, 3):
            raise ValueError(
                f"{name}: image {index} has shape {image.shape}, need "
                "(height, width, 1) for grey or (height, width, 3) for colour."
            )
        image = image.astype("float32")  # masks too
        check_images(image[None], f"{name}: image {index}", tolerance=1e-6)
        images[index] = image
    return images


def draw_grid(images, titles=None, columns=1, labels=None):
    """Draw images on one canvas, pixel by pixel: a figure with one axes.

    `titles` stand above the images, `labels` at the left of the rows.
    """
    rows = math.ceil(len(images) / columns)
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    scale = choose_scale(rows, columns, height, width)
    lines = [0] * rows  # of titles above each row
    if titles is not None:
        texts = [line for title in titles for line in title.split("\n")]
        scale = max(scale, math.ceil(CHARACTER * max(map(len, texts)) / width))
        for row in range(rows):
            for title in titles[row * columns : (row + 1) * columns]:
                if title:
                    lines[row] = max(lines[row], title.count("\n") + 1)
    if columns * width > 1200:
        shrink = math.ceil(columns * width / 1200)
        images = [_shrink(image, shrink) for image in images]
        height, width = math.ceil(height / shrink), math.ceil(width / shrink)
        scale = 1
    tops, bottom = [], 0  # the first line of each row's images
    for count in lines:
        tops.append(bottom + GAP + (LINE * count + GAP if count else 0))
        bottom = tops[-1] + scale * height
    left = round(1.2 * CHARACTER * max(map(len, labels))) + GAP if labels else 0
    step = scale * width + GAP
    canvas = np.ones((bottom + GAP, left + columns * step + GAP, 3), "float32")
    size = [(pixels + 0.01) / DPI for pixels in (canvas.shape[1], canvas.shape[0])]
    figure = plt.figure(figsize=size, dpi=DPI)  # matplotlib rounds down: hence 0.01
    figure.set_facecolor("white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        y, x = tops[row], left + GAP + column * step
        if titles is not None:
            axes.text(
                x + scale * width / 2,
                y - GAP,
                titles[index],
                ha="center",
                va="bottom",
                fontsize=8,
            )
        if labels and column == 0:
            middle = y + scale * height / 2
            axes.text(left - GAP, middle, labels[row], ha="right", va="center", size=8)
        enlarge = min(scale * height // image.shape[0], scale * width // image.shape[1])
        image = image.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        y += (scale * height - image.shape[0]) // 2
        x += (scale * width - image.shape[1]) // 2
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    axes.imshow(np.clip(canvas, 0, 1), interpolation="nearest", aspect="auto")
    return figure


def choose_scale(rows, columns, height, width):
    """Choose how often to repeat each pixel: at most 160 an image, 700 x 500 in all."""
    return max(
        1,
        min(
            160 // max(height, width), 700 // (columns * width), 500 // (rows * height)
        ),
    )


def _shrink(image, factor):
    """Average an image down by a whole factor."""
    height, width, channels = image.shape
    image = np.pad(
        image, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge"
    )
    blocks = image.reshape(
        image.shape[0] // factor, factor, image.shape[1] // factor, factor, channels
    )
    return blocks.mean(axis=(1, 3))


def make_picture(images, columns):
    """Put images of one size in a grid, as a Pillow picture without titles."""
    rows = math.ceil(len(images) / columns)
    count, height, width, channels = images.shape
    scale = choose_scale(rows, columns, height, width)
    grid = np.zeros((rows * columns, height, width, channels), "float32")
    grid[:count] = images
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, columns * width, channels)
    grid = (255 * np.clip(grid, 0, 1)).round().astype("uint8")
    grid = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(grid[..., 0] if channels == 1 else grid)
