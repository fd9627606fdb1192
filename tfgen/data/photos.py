"""The ``photos`` dataset: real photographs."""

import importlib.util
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfgen.data.embedded import EmbeddedBuilder

# Files inside the scikit-image package, then files beside this one; data/README.md
# gives the author, source and licence of each. No scene is in both splits.
PHOTOS = {
    "train": (
        "rocket.jpg",
        "brick.png",
        "motorcycle_left.png",
        "astronaut.png",
        "motorcycle_right.png",
        "ihc.png",
        "hubble_deep_field.jpg",
        "grass.png",
        "gravel.png",
        "pictures/cars.jpg",
        "pictures/chameleon.jpg",
        "pictures/colosseum.jpg",
        "pictures/cords.jpg",
        "pictures/crew.jpg",
        "pictures/dancer.jpg",
        "pictures/dog.jpg",
        "pictures/frog.jpg",
        "pictures/kingfisher.jpg",
        "pictures/market.jpg",
        "pictures/night_city.jpg",
        "pictures/otters.jpg",
        "pictures/path.jpg",
        "pictures/rocks.jpg",
        "pictures/roses.jpg",
        "pictures/skyline.jpg",
        "pictures/tulips.jpg",
        "pictures/wren.jpg",
    ),
    "test": (
        "coins.png",
        "chelsea.png",
        "camera.png",
        "retina.jpg",
        "coffee.png",
        "pictures/beetle.webp",
        "pictures/lake.webp",
        "pictures/nebula.webp",
        "pictures/pier.webp",
        "pictures/salad.webp",
        "pictures/sunflower.webp",
        "pictures/white_roses.webp",
    ),
}


class Photos(EmbeddedBuilder):
    """Thirty-nine photographs of varied size, split by photograph.

    Features: ``image`` (uint8, three channels; a grey photograph has three equal
    ones), ``name`` and ``gray`` (whether the photograph is grey). They come in the
    order of `PHOTOS`: the first nine for training and the first five for testing are
    those of scikit-image.
    """

    VERSION = tfds.core.Version("2.0.0")

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
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(PHOTOS[split]) for split in PHOTOS}

    def _generate_examples(self, files):
        from PIL import Image

        here = Path(__file__).parent
        package = Path(importlib.util.find_spec("skimage").origin).parent / "data"
        for number, file in enumerate(files):
            folder = here if file.startswith("pictures/") else package
            with Image.open(folder / file) as photo:
                pixels = np.asarray(photo.convert("RGB"))
                gray = photo.mode == "L"
            yield number, {"image": pixels, "name": Path(file).stem, "gray": gray}
