"""A picture of a photo before and after, with an enlarged detail of both."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL = 800  # pixels of the longer side of each half; small photos are shown larger
ZOOM = 3  # how many times larger the detail is shown than its pixels in the half
GAP, LINE = 12, 30  # pixels between the panels, and of a line of text
PAPER, INK = "white", "black"


def draw_before_after(before, after):
    """Draw both halves side by side, and below the detail in which they differ most.

    Parameters
    ----------
    before, after : ndarray of uint8 or uint16, (height, width, channels)
        Of 1 or 3 channels; `before` may be smaller, and is enlarged bicubically.

    Returns
    -------
    ndarray of uint8, (height, width, channels)
    """
    after = _to_image(after)
    before = _to_image(before).resize(after.size, Image.Resampling.BICUBIC)
    long = max(after.size)
    larger = max(1, PANEL // 2 // long)  # by whole pixels
    scale = larger if long <= PANEL else PANEL / long
    panel = tuple(max(1, round(scale * side)) for side in after.size)
    zoom = ZOOM * larger
    size = tuple(max(1, side // zoom) for side in panel)
    left, top = find_change(np.asarray(before), np.asarray(after), size)
    box = left, top, left + size[0], top + size[1]

    columns = panel[0] + GAP
    sheet = Image.new(
        after.mode, (2 * columns + GAP, 2 * (LINE + panel[1]) + GAP), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(20)
    for column, (name, image) in enumerate((("before", before), ("after", after))):
        x, y = GAP + column * columns, LINE
        how = Image.Resampling.NEAREST if larger > 1 else Image.Resampling.BOX
        sheet.paste(image.resize(panel, how), (x, y))
        corners = [scale * side for side in box]
        frame = x + corners[0], y + corners[1], x + corners[2], y + corners[3]
        draw.rectangle(frame, outline=PAPER, width=3)
        draw.rectangle(frame, outline=INK)
        below = y + panel[1] + LINE
        detail = [zoom * side for side in size]
        detail = image.resize(detail, Image.Resampling.NEAREST, box)
        sheet.paste(detail, (x, below))
        draw.text((x, y - LINE + 3), name, INK, font)
        draw.text((x, below - LINE + 3), f"{name}, {zoom} times", INK, font)
    pixels = np.asarray(sheet)
    return pixels.reshape(*pixels.shape[:2], -1)


def find_change(before, after, size):
    """Where two pictures of uint8 differ most: left and top of a window of a size.

    Windows half of which overlap are compared by the sum of absolute differences.
    """
    height, width = before.shape[:2]
    steps = [max(1, side // 2) for side in size]
    sums = []
    for row in range(0, height, steps[1]):  # in strips, to save memory
        strip = slice(row, row + steps[1])
        change = np.abs(np.subtract(before[strip], after[strip], dtype=np.int16))
        change = change.reshape(*change.shape[:2], -1).sum((0, 2))
        sums.append(np.add.reduceat(change, np.arange(0, width, steps[0])))
    sums = np.pad(sums, ((0, 1), (0, 1)))
    windows = sums[:-1, :-1] + sums[1:, :-1] + sums[:-1, 1:] + sums[1:, 1:]
    row, column = np.unravel_index(windows.argmax(), windows.shape)
    left = min(column * steps[0], width - size[0])
    return int(left), int(min(row * steps[1], height - size[1]))


def _to_image(pixels):
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
