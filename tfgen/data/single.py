"""Single embedded pictures, each by its name."""

from pathlib import Path

import numpy as np

PICTURES = Path(__file__).parent / "pictures"
SUFFIXES = ".jpg", ".png", ".webp"


def load_picture(name):
    """Load one of the embedded pictures: a painting, a map, a radiograph, a photo.

    Parameters
    ----------
    name : str
        Without extension; an unknown one raises an error that lists all. The author,
        source and licence of each are in ``data/README.md`` of the project.

    Returns
    -------
    numpy.ndarray, (height, width, channels)
        float32 in [0, 1]; one channel if the picture is stored grey, else three.

    Raises
    ------
    ValueError
        If there is no such picture.
    """
    from PIL import Image

    files = {path.stem: path for path in PICTURES.iterdir() if path.suffix in SUFFIXES}
    if name not in files:
        raise ValueError(
            f"There is no picture {name!r}. There are: {', '.join(sorted(files))}."
        )
    with Image.open(files[name]) as picture:
        pixels = np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
    return np.atleast_3d(np.float32(pixels) / 255)
