"""The picture with both halves: what stands where, and which detail is chosen."""

import numpy as np
import pytest
from PIL import Image

from tfgen.commands import before_after
from tfgen.commands.before_after import GAP, LINE, draw_before_after, find_change

RNG = np.random.default_rng(0)


def cut_panels(sheet, height, width):
    """Before, after, and both details below, of a sheet with halves of a size."""
    rows, columns = (LINE, 2 * LINE + height), (GAP, 2 * GAP + width)
    return [
        sheet[row : row + height, column : column + width]
        for row in rows
        for column in columns
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_halves_and_the_detail_that_differs_most(channels, dtype):
    before = RNG.integers(60, 200, (450, 600, channels)).astype(np.uint8)
    after = before.copy()
    after[300:420, 100:260] += 50
    after[10, 10] = 0  # a smaller change
    unit = 257 if dtype == np.uint16 else 1
    sheet = draw_before_after(before.astype(dtype) * unit, after.astype(dtype) * unit)
    assert sheet.dtype == np.uint8 and sheet.shape[-1] == channels
    halves = cut_panels(sheet, 450, 600)
    for half, image in zip(halves[:2], (before, after), strict=True):
        assert (half != image).mean() < 0.03  # by the frame
    for half, image in zip(halves[2:], (before, after), strict=True):
        left, top = find_change(before, after, (200, 150))
        part = image[top : top + 150, left : left + 200]
        enlarged = part.repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(half, enlarged)
        assert 250 <= top <= 320 and 60 <= left <= 140


def test_the_frame_is_round_the_detail():
    before = np.full((400, 400, 1), 128, np.uint8)
    after = before.copy()
    after[266:399, 0:133] = 160
    half = cut_panels(draw_before_after(before, after), 400, 400)[0][..., 0]
    rows, columns = np.nonzero(half != 128)
    left, top = find_change(before, after, (133, 133))
    assert (rows.min(), columns.min()) == (top, left)
    assert (half[200, 200], half[5, 5]) == (128, 128)


def test_large_photos_are_shrunk_and_their_detail_shows_pixels():
    after = np.zeros((1200, 2000, 3), np.uint8)
    after[700:703, 1500:1503] = 255
    sheet = draw_before_after(0 * after, after)
    assert max(sheet.shape) <= 2 * before_after.PANEL + 3 * GAP
    *_, plain, detail = cut_panels(sheet, 480, 800)
    assert plain[:, :798].max() == 0  # 266 pixels, enlarged
    assert (detail[:, :798] == 255).all(
        axis=-1
    ).sum() == 81  # nine pixels, three times larger


def test_a_small_photo_is_enlarged_by_whole_pixels():
    image = RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    _, after, *_ = cut_panels(draw_before_after(image, image), 320, 400)
    assert (after == image.repeat(8, axis=0).repeat(8, axis=1)).mean() > 0.9


def test_an_enlargement_is_shown_beside_the_bicubic_one():
    small = RNG.integers(0, 256, (100, 150, 3)).astype(np.uint8)
    large = np.zeros((400, 600, 3), np.uint8)
    before, *_ = cut_panels(draw_before_after(small, large), 400, 600)
    expected = Image.fromarray(small).resize((600, 400), Image.Resampling.BICUBIC)
    assert (before == np.asarray(expected)).mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3000, 3), (3000, 2, 1), (801, 3, 3)])
def test_photos_of_odd_shapes(shape):
    sheet = draw_before_after(np.zeros(shape, np.uint8), np.full(shape, 9, np.uint8))
    assert sheet.shape[-1] == shape[-1]
