"""The small trained networks that come with the package."""

import functools
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from tfgen import restoration, srgan
from tfgen.data import corruptions
from tfgen.measures.features import build_classifier

FOLDER = Path(__file__).parent
CLASSIFIER = "glyph_classifier"
RECIPES = {  # name: the network, what it was trained to undo
    "denoise": (
        functools.partial(restoration.build_denoiser, channels=1, blocks=8),
        functools.partial(corruptions.add_gaussian_noise, sigma=(0, 55)),
    ),
    "denoise_color": (
        functools.partial(restoration.build_denoiser, channels=3, blocks=10),
        functools.partial(corruptions.add_gaussian_noise, sigma=(0, 55)),
    ),
    "photo": (
        functools.partial(
            restoration.build_denoiser, channels=3, blocks=10, blind=True
        ),
        corruptions.compress_jpeg,
    ),
    "inpaint": (restoration.build_inpainter, corruptions.mask_scratches),
    "upscale_x4": (
        functools.partial(restoration.build_upscaler, 4, width=64, blocks=8),
        functools.partial(corruptions.downsample, scale=4),
    ),
    **{
        name: (
            functools.partial(restoration.build_upscaler, scale),
            functools.partial(corruptions.downsample, scale=scale),
        )
        for name, scale in (
            ("upscale_x2", 2),
            ("upscale_x3", 3),
            ("upscale_x4_small", 4),
        )
    },
    "upscale_x4_sharp": (
        srgan.build_sharp_upscaler,
        functools.partial(corruptions.downsample, scale=4),
    ),
}


def load_pretrained(name):
    """Load a small network that was trained on photos or glyphs.

    Parameters
    ----------
    name : str
        ``"photo"`` (noise, grain, compression and slight blur of unknown strength),
        ``"denoise"`` (grey, sigma 0 to 55), ``"denoise_color"``, ``"inpaint"``,
        ``"upscale_x2"``, ``"upscale_x3"``, ``"upscale_x4"``, ``"upscale_x4_small"``
        (half the work), ``"upscale_x4_sharp"`` (draws texture, at a lower PSNR) or
        ``"glyph_classifier"`` (letters of 32 x 32 grey pixels). How each was trained,
        and what it scores, is in ``tfgen/weights/README.md``.

    Returns
    -------
    Restorer or keras.Sequential
        ``load_pretrained("denoise").restore(photo)``; also compiled, to be trained
        further. The classifier is what `build_classifier` makes, for
        `classifier_features`.

    Raises
    ------
    ValueError
        For an unknown name, or if the file of the weights is damaged.
    FileNotFoundError
        If the file of the weights is missing.
    """
    names = sorted([*RECIPES, CLASSIFIER])
    if name not in names:
        raise ValueError(f"Unknown network {name!r}; choose from {names}.")
    path = FOLDER / f"{name}.npz"
    records = json.loads((FOLDER / "records.json").read_text("utf-8"))
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != records[name]["sha256"]:
        raise ValueError(
            f"The weights in {path} are damaged: their checksum is not that of the "
            "release. Fetch the file again: git checkout -- tfgen/weights, or "
            "reinstall the package."
        )
    if name == CLASSIFIER:
        return set_weights(build_classifier(), content)
    return build_restorer(name, content)


def build_restorer(name, content):
    """Build the network `name` with weights from the bytes of an npz file."""
    build, undo = RECIPES[name]
    restorer = restoration.Restorer(set_weights(build(), content), undo)
    restorer.compile()
    return restorer


def set_weights(network, content):
    """Give a network the weights in the bytes of an npz file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        network.set_weights([arrays[str(i)] for i in range(len(arrays.files))])
    return network
