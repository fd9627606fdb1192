"""The ``photos`` dataset: real photographs."""

import importlib.util
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfgen.data.embedded import EmbeddedBuilder

# Files inside the scikit-image package; data/README.md gives the author, source
# and licence of each. No scene is in both splits.
PHOTOS = {
    "train": (
        "astronaut.png",
        "brick.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "rocket.jpg",
    ),
    "test": (
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "retina.jpg",
    ),
}


class Photos(EmbeddedBuilder):
    """Fourteen photographs of varied size, split by photograph.

    Features: ``image`` (uint8, three channels; a grey photograph has three equal
    ones), ``name`` and ``gray`` (whether the photograph is grey).
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(None, None, 3), encoding_format="png"
                    ),
                    "name": tfds.features.Text(),
                    "gray": np.bool_,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(PHOTOS[split]) for split in PHOTOS}

    def _generate_examples(self, files):
        from PIL import Image

        package = importlib.util.find_spec("skimage")
        folder = Path(package.origin).parent / "data"
        for file in files:
            with Image.open(folder / file) as photo:
                pixels = np.asarray(photo.convert("RGB"))
                gray = photo.mode == "L"
            name = Path(file).stem
            yield name, {"image": pixels, "name": name, "gray": gray}
