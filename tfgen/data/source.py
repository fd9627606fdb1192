"""What `tfgen.load_dataset` needs to know of a set of images."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass
class Source:
    """Images that can be read: what is known of them, and how to read them.

    Attributes
    ----------
    count : int
        Number of images in the split.
    shape : tuple
        Height and width (None if they vary) and channels.
    class_names : list of str or None
        What the labels mean; None without labels.
    read : callable
        ``read(shuffle, seed)`` returns a `tf.data.Dataset` of (uint8 image, int64
        label).
    shuffles : bool
        Whether ``read(True, seed)`` gives a new order in every epoch; otherwise the
        caller has to shuffle.
    check : callable or None
        To be mapped over what ``read`` returns, behind a cache: raises an error where
        an element stands for a file that cannot be read.
    """

    count: int
    shape: tuple
    class_names: list | None
    read: Callable
    shuffles: bool
    check: Callable | None = None
