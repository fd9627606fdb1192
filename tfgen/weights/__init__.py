"""The small trained networks that come with the package."""

import functools
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from tfgen import restoration, srgan
from tfgen.data import corruptions, groceries, photo_damage
from tfgen.data.defects import draw_defects
from tfgen.defects import DefectFinder, build_defect_finder
from tfgen.diffusion import Diffusion
from tfgen.measures.features import build_classifier
from tfgen.unet import build_large_denoising_unet

FOLDER = Path(__file__).parent
CLASSIFIER = "glyph_classifier"
GROCERIES = "groceries"
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
        photo_damage.corrupt_like_a_photo,
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
    "scratches": (build_defect_finder, draw_defects),
    **{
        name: (
            srgan.build_sharp_upscaler,
            functools.partial(corruptions.downsample, scale=4),
        )
        for name in ("upscale_x4_features", "upscale_x4_sharp")
    },
}
NAMES = sorted([*RECIPES, CLASSIFIER, GROCERIES])


def load_pretrained(name):
    """Load a small network that was trained on photos or glyphs.

    Parameters
    ----------
    name : str
        ``"photo"`` (noise, grain, compression and slight blur of unknown strength),
        ``"denoise"`` (grey, sigma 0 to 55), ``"denoise_color"``, ``"inpaint"``,
        ``"upscale_x2"``, ``"upscale_x3"``, ``"upscale_x4"``, ``"upscale_x4_small"``
        (half the work), ``"upscale_x4_features"`` (crisp, at a lower PSNR),
        ``"upscale_x4_sharp"`` (draws more texture, at a still lower one),
        ``"scratches"`` (finds them), ``"glyph_classifier"`` (letters of 32 x 32 grey
        pixels) or ``"groceries"`` (draws fruit and vegetables, 64 x 64 in colour). How
        each was trained, and what it scores, is in ``tfgen/weights/README.md``.

    Returns
    -------
    Restorer, DefectFinder, Diffusion or keras.Sequential
        ``load_pretrained("denoise").restore(photo)``,
        ``load_pretrained("scratches").find(photo)``,
        ``load_pretrained("groceries").sample(16, labels="Pomegranate", guidance=2)``,
        of which ``label_names`` are all that can be drawn; also compiled, to be trained
        further. The classifier is what `build_classifier` makes, for
        `classifier_features`.

    Raises
    ------
    ValueError
        For an unknown name, or if the file of the weights is damaged.
    FileNotFoundError
        If the file of the weights is missing.
    """
    if name not in NAMES:
        raise ValueError(f"Unknown network {name!r}; choose from {NAMES}.")
    path = FOLDER / f"{name}.npz"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != read_records()[name]["sha256"]:
        raise ValueError(
            f"The weights in {path} are damaged: their checksum is not that of the "
            "release. Fetch the file again: git checkout -- tfgen/weights, or "
            "reinstall the package."
        )
    if name == CLASSIFIER:
        return set_weights(build_classifier(), content)
    if name == GROCERIES:
        return build_diffusion(content)
    return build_restorer(name, content)


def read_records():
    """How each network was trained, and what it scores, by its name."""
    return json.loads((FOLDER / "records.json").read_text("utf-8"))


def build_diffusion(content):
    """Build the model that draws groceries with weights from the bytes of an npz
    file."""
    names = groceries.CLASSES
    network = build_large_denoising_unet((64, 64, 3), classes=len(names))
    set_weights(network, content)
    diffusion = Diffusion(network, classes=len(names), label_names=names)
    diffusion.compile()
    return diffusion


def build_restorer(name, content):
    """Build the network `name` with weights from the bytes of an npz file."""
    build, undo = RECIPES[name]
    make = DefectFinder if name == "scratches" else restoration.Restorer
    restorer = make(set_weights(build(), content), undo)
    restorer.compile()
    return restorer


def set_weights(network, content):
    """Give a network the weights in the bytes of an npz file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        network.set_weights([arrays[str(i)] for i in range(len(arrays.files))])
    return network


def find_scratches(images, threshold=0.5):
    """Mark scratches, hairs, cracks, folds, specks and small chips in photos.

    Thin things of the picture can look like them, such as ropes, masts or letters: look
    at the mask, and correct it, before you fill what it marks.

    Parameters
    ----------
    images : array, (height, width), (height, width, channels) or (n, height, width,
        channels)
        In [0, 1], grey or colour, of any size.
    threshold : float
        In [0, 1]: pixels are marked whose probability is above it. Lower, more is
        marked.

    Returns
    -------
    numpy.ndarray
        bool, (height, width) or (n, height, width): True in the defects, as
        ``load_pretrained("inpaint").restore(images, mask=...)`` takes it.

    Raises
    ------
    ValueError
        For images of another shape or range, or such a threshold.

    Notes
    -----
    Each call loads the network: for many photos, load it once and call its `find`,
    ``load_pretrained("scratches").find(photo)``.
    """
    return load_pretrained("scratches").find(images, threshold=threshold)
