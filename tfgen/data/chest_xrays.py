"""The ``chest_xrays`` dataset: small X-rays of children's chests."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfgen.data.embedded import EmbeddedBuilder

ARCHIVE = Path(__file__).parent / "pictures" / "chest_xrays.zip"
CLASSES = "healthy", "pneumonia"
COUNTS = {"train": 1214, "validation": 135, "test": 234}  # X-rays of each class
SIDE = 28  # pixels


class ChestXrays(EmbeddedBuilder):
    """X-rays of children's chests, healthy or with pneumonia, 28 x 28 grey pixels.

    They are those of PneumoniaMNIST [1]_ with its splits, from one hospital [2]_; of
    those with pneumonia as many as there are healthy ones. The test split comes from
    the original's own test split: no child is in both. Far too small for a diagnosis.

    Features: ``image`` (uint8) and ``label`` (0 is healthy, 1 is pneumonia).

    .. [1] J. Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and
       3D biomedical image classification", Scientific Data, 2023.
    .. [2] D. S. Kermany et al., "Identifying medical diagnoses and treatable diseases
       by image-based deep learning", Cell, 2018.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://medmnist.com",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(SIDE, SIDE, 1), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=list(CLASSES)),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        from PIL import Image

        with zipfile.ZipFile(ARCHIVE) as archive:
            for label in CLASSES:
                with (
                    archive.open(f"{split}/{label}.webp") as file,
                    Image.open(file) as sheet,
                ):
                    pixels = np.asarray(sheet.convert("L"))
                columns = pixels.shape[1] // SIDE
                images = pixels.reshape(-1, SIDE, columns, SIDE, 1).swapaxes(1, 2)
                images = images.reshape(-1, SIDE, SIDE, 1)[: COUNTS[split]]
                for number, image in enumerate(images):
                    key = f"{split}/{label}/{number:04}"
                    yield key, {"image": image, "label": label}
