"""The ``groceries`` dataset: small real photos of fruit and vegetables."""

import io
import zipfile
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfgen.data.embedded import EmbeddedBuilder

ARCHIVE = Path(__file__).parent / "pictures" / "groceries.zip"

# The folders of the original in the order of the alphabet.
CLASSES = (
    "Apple",
    "Asparagus",
    "Aubergine",
    "Avocado",
    "Banana",
    "Brown-Cap-Mushroom",
    "Cabbage",
    "Carrots",
    "Cucumber",
    "Garlic",
    "Ginger",
    "Kiwi",
    "Leek",
    "Lemon",
    "Lime",
    "Mango",
    "Melon",
    "Mushroom",
    "Nectarine",
    "Onion",
    "Orange",
    "Papaya",
    "Passion-Fruit",
    "Peach",
    "Pear",
    "Pepper",
    "Pineapple",
    "Plum",
    "Pomegranate",
    "Potato",
    "Red-Beet",
    "Red-Grapefruit",
    "Satsumas",
    "Tomato",
    "Zucchini",
)


class Groceries(EmbeddedBuilder):
    """Fruit and vegetables in a shop, 35 classes, 80 x 80 pixels.

    The splits are those of the original [1]_, photo by photo. They are uneven: 16 to
    100 photos of a class for training, none of ``Mushroom``, which is only in the test
    split, as ``Brown-Cap-Mushroom`` is only in the others. Most photos show a heap or
    a box, not a single fruit.

    Features: ``image`` (uint8), ``label`` (the class) and ``name`` (the variety and
    its number in the original).

    .. [1] M. Klasson, C. Zhang and H. Kjellström, "A hierarchical grocery store image
       dataset with visual and semantic labels", WACV 2019.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://github.com/marcusklasson/GroceryStoreDataset",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(80, 80, 3), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=list(CLASSES)),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        splits = "train", "validation", "test"
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split):
        from PIL import Image

        with zipfile.ZipFile(ARCHIVE) as archive:
            for path in archive.namelist():
                if not path.startswith(f"{split}/"):
                    continue
                _, label, file = path.split("/")
                with Image.open(io.BytesIO(archive.read(path))) as photo:
                    pixels = np.asarray(photo.convert("RGB"))
                name = Path(file).stem
                yield path, {"image": pixels, "label": label, "name": name}
