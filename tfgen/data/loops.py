"""Loops over images in which a damaged file is a ValueError of one sentence.

TensorFlow has no public way to do this. Where its private parts are others,
`tfgen.load_dataset` does without this file, and loops raise TensorFlow's own error.
"""

import re

import tensorflow as tf
from tensorflow.python.data.ops.iterator_ops import OwnedIterator


class ImageDataset(tf.data.Dataset):
    """A dataset as it was, but for its loops.

    What is made of it, as by `map`, is a `tf.data.Dataset` like any other.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        super().__init__(dataset._variant_tensor)

    def _inputs(self):
        return [self.dataset]

    @property
    def element_spec(self):
        return self.dataset.element_spec

    def __iter__(self):
        return ImageIterator(self)


class ImageIterator(OwnedIterator):
    """What TensorFlow reports of a file becomes the sentence in it, between << >>."""

    def __next__(self):
        try:
            return super().__next__()
        except tf.errors.InvalidArgumentError as error:
            found = re.search("<<(.*?)>>", str(error), re.DOTALL)
            if found is None:
                raise
            raise ValueError(found[1]) from None
