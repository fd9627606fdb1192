"""Patches of photos: where they come from, how often, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.data.patches import random_patches


def all_images(dataset):
    return np.concatenate(list(dataset.as_numpy_iterator()))


def numbered(height, width, channels=1):
    """A photo in which every value occurs once."""
    values = np.arange(height * width * channels, dtype=np.float32)
    return (values / values.max()).reshape(height, width, channels)


def symmetries(image):
    """The 8 ways to turn and to mirror an image."""
    turned = [np.rot90(image, k) for k in range(4)]
    return turned + [image[:, ::-1] for image in turned]


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_pieces_of_the_photo_turned_or_mirrored(channels):
    photo = numbered(9, 14, channels)
    patches = random_patches([photo], 5, 400, batch_size=40)
    shape = (40, 5, 5, channels)
    assert patches.element_spec == tf.TensorSpec(shape, tf.float32)
    assert patches.cardinality() == 10
    pieces = {
        piece.tobytes(): (top, left, turn)
        for top in range(5)
        for left in range(10)
        for turn, piece in enumerate(symmetries(photo[top : top + 5, left : left + 5]))
    }
    assert len(pieces) == 400
    found = [pieces[patch.tobytes()] for patch in all_images(patches)]
    assert [len(set(part)) for part in zip(*found, strict=True)] == [5, 10, 8]
    assert len(set(found)) > 200  # of 400 draws: 253 are expected


def test_patches_are_new_in_every_epoch_and_fixed_by_the_seed():
    photos = [numbered(20, 20), numbered(30, 25)]

    def epochs(seed):
        data = random_patches(iter(photos), 8, 32, seed=seed)
        return [all_images(data) for _ in range(2)]

    (first, second), again, other = epochs(1), epochs(1), epochs(2)
    np.testing.assert_array_equal([first, second], again)
    assert first.shape == (32, 8, 8, 1)
    assert not np.array_equal(first[:16], first[16:])
    for different in (second, other[0]):
        assert not np.array_equal(first, different)


def test_large_photos_are_chosen_more_often():
    dark, bright = (
        np.full((side, side, 1), side / 40, np.float32) for side in (20, 40)
    )
    values = all_images(random_patches([dark, bright], 4, 1600, batch_size=100))
    assert set(np.unique(values)) == {0.5, 1}
    assert values.mean(axis=(1, 2, 3)).mean() == pytest.approx(
        0.5 + 0.5 * 0.8, abs=0.02
    )


def test_a_patch_may_be_the_whole_photo():
    photo = numbered(6, 6, 3)
    whole = {image.tobytes() for image in symmetries(photo)}
    patches = all_images(random_patches([photo], 6, 100, batch_size=50))
    assert {patch.tobytes() for patch in patches} == whole


@pytest.mark.parametrize(
    ("photos", "size", "count", "message"),
    [
        ([], 4, 16, "One or more photos"),
        ([np.zeros((8, 8))], 4, 16, r"photos \(height, width, channels\)"),
        ([np.zeros((1, 8, 8, 1))], 4, 16, r"photos \(height, width, channels\)"),
        ([np.zeros((8, 8, 1)), np.zeros((8, 8, 3))], 4, 16, "channels="),
        ([np.zeros((8, 8, 1)), np.zeros((3, 9, 1))], 4, 16, "4 pixels.* has 3"),
        ([np.zeros((8, 8, 1))], 0, 16, "Patches of 0 pixels"),
        ([np.zeros((8, 8, 1))], 4, 20, "multiple of batch_size; got 20 and 16"),
        ([np.zeros((8, 8, 1))], 4, 0, "multiple of batch_size; got 0"),
    ],
)
def test_patches_that_cannot_be_cut_are_refused(photos, size, count, message):
    with pytest.raises(ValueError, match=message):
        random_patches(photos, size, count)
