"""The ``glyphs`` dataset: capital letters in real typefaces."""

import dataclasses
import functools
import string
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfgen.data.embedded import EmbeddedBuilder
from tfgen.images import LUMA

LETTERS = string.ascii_uppercase

# Every text typeface inside matplotlib whose 26 capitals read well. Left out:
# symbol fonts, the display cuts (few letters) and the script capitals of cmsy10.
TYPEFACES = {
    "DejaVu Sans": "DejaVuSans.ttf",
    "DejaVu Sans Bold": "DejaVuSans-Bold.ttf",
    "DejaVu Sans Oblique": "DejaVuSans-Oblique.ttf",
    "DejaVu Sans Bold Oblique": "DejaVuSans-BoldOblique.ttf",
    "DejaVu Sans Mono": "DejaVuSansMono.ttf",
    "DejaVu Sans Mono Bold": "DejaVuSansMono-Bold.ttf",
    "DejaVu Sans Mono Oblique": "DejaVuSansMono-Oblique.ttf",
    "DejaVu Sans Mono Bold Oblique": "DejaVuSansMono-BoldOblique.ttf",
    "DejaVu Serif": "DejaVuSerif.ttf",
    "DejaVu Serif Bold": "DejaVuSerif-Bold.ttf",
    "DejaVu Serif Italic": "DejaVuSerif-Italic.ttf",
    "DejaVu Serif Bold Italic": "DejaVuSerif-BoldItalic.ttf",
    "STIX General": "STIXGeneral.ttf",
    "STIX General Bold": "STIXGeneralBol.ttf",
    "STIX General Italic": "STIXGeneralItalic.ttf",
    "STIX General Bold Italic": "STIXGeneralBolIta.ttf",
    "Computer Modern Roman": "cmr10.ttf",
    "Computer Modern Bold": "cmb10.ttf",
    "Computer Modern Italic": "cmti10.ttf",
    "Computer Modern Sans": "cmss10.ttf",
    "Computer Modern Typewriter": "cmtt10.ttf",
}

# What the config "new_typefaces" keeps for testing: the family unlike all others.
HELD_OUT = tuple(name for name in TYPEFACES if name.startswith("STIX"))

# How often each letter is drawn in each typeface: 26 * 21 * 37 = 20,202 training
# images and 26 * 21 * 7 = 3,822 test images.
DRAWS = {"train": 37, "test": 7}

SIZES = (0.6, 0.875)  # longer side of the letter / side of the image
ROTATIONS = (-15.0, 15.0)  # degrees, anticlockwise
SHEARS = (-0.2, 0.2)  # shift to the right of the top / height
CONTRAST = 0.4  # least difference in luma between letter and ground

_FINE = 4  # letters are drawn this much larger first, so that hinting is negligible


@dataclasses.dataclass(kw_only=True)
class GlyphsConfig(tfds.core.BuilderConfig):
    """One size and colouring of the letters, and how they are split.

    Attributes
    ----------
    image_size : int
        Height and width in pixels.
    channels : int
        1: white letters on black; 3: coloured letters on a coloured ground.
    held_out : tuple of str
        Typefaces of which training holds no letter; they alone make the test split.
    """

    image_size: int = 32
    channels: int = 1
    held_out: tuple = ()


class Glyphs(EmbeddedBuilder):
    """Capital letters, 26 x 21 typefaces, with random size, rotation and shear.

    Each split holds every letter in every one of its typefaces equally often. The
    draws for training and testing come from independent random streams, and example
    number `i` has the same letter, typeface and pose in every size and colouring.

    All of these share their typefaces between training and testing: a test letter is
    a new pose of a known outline. Only the config ``new_typefaces`` asks about unseen
    outlines: its test split holds the typefaces `HELD_OUT`, training the seventeen
    others, and ``validation`` new poses of these seventeen.

    Features: ``image`` (uint8), ``label`` (the letter), ``typeface``, ``size``
    (longer side of the letter as a fraction of the image's), ``rotation``
    (degrees, anticlockwise) and ``shear`` (how far the top leans to the right, as
    a fraction of the height). The colour configs add ``letter_color`` and
    ``ground_color`` (RGB in [0, 1]).
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        GlyphsConfig(name="gray_32", description="White on black, 32 x 32."),
        GlyphsConfig(
            name="color_64", image_size=64, channels=3, description="64 x 64."
        ),
        GlyphsConfig(
            name="color_128", image_size=128, channels=3, description="128 x 128."
        ),
        GlyphsConfig(
            name="new_typefaces",
            held_out=HELD_OUT,
            description="White on black, 32 x 32, split by typeface.",
        ),
    ]

    def _info(self):
        config = self.builder_config
        features = {
            "image": tfds.features.Image(
                shape=(config.image_size, config.image_size, config.channels),
                encoding_format="png",
            ),
            "label": tfds.features.ClassLabel(names=list(LETTERS)),
            "typeface": tfds.features.ClassLabel(names=list(TYPEFACES)),
            "size": np.float32,
            "rotation": np.float32,
            "shear": np.float32,
        }
        if config.channels == 3:
            color = tfds.features.Tensor(shape=(3,), dtype=np.float32)
            features |= {"letter_color": color, "ground_color": color}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://matplotlib.org/stable/users/explain/text/fonts.html",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        if not self.builder_config.held_out:
            return {split: self._generate_examples(split) for split in DRAWS}
        return {
            "train": self._generate_examples("train", held_out=False),
            "validation": self._generate_examples("test", held_out=False),
            "test": self._generate_examples("test", held_out=True),
        }

    def _generate_examples(self, split, held_out=None):
        """Draw a split: the held out typefaces, the others (False) or all (None)."""
        import tensorflow as tf

        image_size = self.builder_config.image_size
        outlines = draw_outlines(2 * image_size)
        poses = draw_poses(split)
        if held_out is not None:
            apart = [list(TYPEFACES).index(n) for n in self.builder_config.held_out]
            chosen = np.isin(poses["typeface"], apart) == held_out
            poses = {name: values[chosen] for name, values in poses.items()}
        kept = [name for name in self.info.features if name != "image"]
        count = len(poses["label"])
        for start in range(0, count, len(outlines)):
            block = {n: poses[n][start : start + len(outlines)] for n in poses}
            images = render(outlines, block, image_size)[..., None]
            if self.builder_config.channels == 3:
                ground = block["ground_color"][:, None, None, :]
                ink = block["letter_color"][:, None, None, :]
                images = ground + (ink - ground) * images
            pngs = tf.io.encode_png(np.rint(255 * images).astype(np.uint8))
            for i, png in enumerate(pngs.numpy()):
                example = {name: block[name][i] for name in kept}
                yield f"{split}_{start + i:05d}", {"image": png, **example}


def draw_poses(split):
    """Draw the letter, typeface, pose and colours of every example of a split.

    Parameters
    ----------
    split : {"train", "test"}

    Returns
    -------
    dict of ndarray
        The features of `Glyphs` except ``image``, each with one row for every
        example; equal in every call.
    """
    rng = np.random.default_rng([2014, list(DRAWS).index(split)])
    pairs = np.tile(np.arange(len(LETTERS) * len(TYPEFACES)), DRAWS[split])
    letters, typefaces = np.divmod(pairs, len(TYPEFACES))
    size, rotation, shear = (
        rng.uniform(low, high, len(pairs)).astype(np.float32)
        for low, high in (SIZES, ROTATIONS, SHEARS)
    )
    ground, ink = rng.uniform(size=(2, len(pairs), 3))
    while np.any(pale := np.abs((ink - ground) @ LUMA) < CONTRAST):
        ground[pale], ink[pale] = rng.uniform(size=(2, pale.sum(), 3))
    return {
        "label": letters,
        "typeface": typefaces,
        "size": size,
        "rotation": rotation,
        "shear": shear,
        "letter_color": ink.astype(np.float32),
        "ground_color": ground.astype(np.float32),
    }


def render(outlines, poses, image_size):
    """Draw letters, antialiased, each centred in its image.

    Parameters
    ----------
    outlines : dict
        The upright letters, from `draw_outlines`.
    poses : dict of ndarray
        With ``label``, ``typeface``, ``size``, ``rotation`` and ``shear`` as in
        `Glyphs`, one row for each letter.
    image_size : int
        Side of the images in pixels.

    Returns
    -------
    ndarray of float32, shape (n, image_size, image_size)
        1 inside the letter, 0 outside, in between on its edge.
    """
    from PIL import Image

    canvas = 2 * image_size
    count = len(poses["label"])
    strip = Image.new("L", (canvas, canvas * count))  # one drawing below another
    # Rows of an image run downwards, hence the signs.
    angle, zero = np.deg2rad(poses["rotation"]), np.zeros(count)
    rotate = _matrices(np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle))
    turn = rotate @ _matrices(zero + 1, -poses["shear"], zero, zero + 1)
    turn_back = np.linalg.inv(turn)
    for i in range(count):
        letter, points = outlines[poses["typeface"][i], poses["label"][i]]
        turned = points @ turn[i].T
        low, high = turned.min(axis=0), turned.max(axis=0)
        scale = poses["size"][i] * canvas / (high - low).max()
        # PIL asks where in the letter each pixel of the drawing comes from.
        (a, b), (d, e) = turn_back[i] / scale
        c, f = turn_back[i] @ ((low + high - canvas / scale) / 2)
        drawing = letter.transform(
            (canvas, canvas),
            Image.Transform.AFFINE,
            (a, b, c, d, e, f),
            Image.Resampling.BILINEAR,
        )
        strip.paste(drawing, (0, i * canvas))
    pixels = np.asarray(strip.reduce(2)) / np.float32(255)
    return pixels.reshape(count, image_size, image_size)


def _matrices(a, b, c, d):
    """Stack the entries [[a, b], [c, d]] into matrices of shape (n, 2, 2)."""
    return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2)


@functools.cache
def draw_outlines(height):
    """Draw every letter in every typeface, upright, about `height` pixels high.

    Returns
    -------
    dict
        From the numbers (typeface, letter) to the drawing, a PIL image, and its
        outermost points, an array of x and y of shape (n, 2).
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    outlines = {}
    for typeface, file in enumerate(TYPEFACES.values()):
        font = ImageFont.truetype(str(folder / file), size=int(1.2 * _FINE * height))
        for number, letter in enumerate(LETTERS):
            left, top, right, bottom = font.getbbox(letter)
            shape = right - left + 4 * _FINE, bottom - top + 4 * _FINE
            drawing = Image.new("L", shape)
            corner = 2 * _FINE - left, 2 * _FINE - top
            ImageDraw.Draw(drawing).text(corner, letter, 255, font)
            inked = np.asarray(drawing) > 127
            rows = np.flatnonzero(inked.any(axis=1))
            first = inked[rows].argmax(axis=1)
            last = inked.shape[1] - inked[rows, ::-1].argmax(axis=1)
            edges = [(x, y) for x in (first, last) for y in (rows, rows + 1)]
            points = np.concatenate([np.stack(edge, axis=1) for edge in edges])
            outermost = np.unique((points @ directions).argmax(axis=0))
            points = points[outermost] / _FINE
            outlines[typeface, number] = drawing.reduce(_FINE), points
    return outlines
