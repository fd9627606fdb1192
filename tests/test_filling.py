"""Filling with patches: what must come back exactly, and what is refused."""

import numpy as np
import pytest

import tfgen


def cut(image, *boxes):
    """An image with black boxes (top, bottom, left, right), and their mask."""
    mask = np.zeros(image.shape[:2], np.float32)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return image * (1 - mask[..., None]), mask


def draw_stripes(height=96, width=96):
    rows = np.arange(height) // 3 % 2
    return np.tile(np.float32(0.2 + 0.6 * rows)[:, None, None], (1, width, 3))


def test_a_periodic_texture_goes_on_exactly():
    image = draw_stripes()
    damaged, mask = cut(image, (30, 60, 30, 60))
    np.testing.assert_array_equal(tfgen.fill_patches(damaged, mask), image)
