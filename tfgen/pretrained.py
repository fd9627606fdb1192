"""The small trained networks that come with the package."""

import functools
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from tfgen import corruption, restoration

FOLDER = Path(__file__).parent / "weights"
RECIPES = {  # name: the network, what it was trained to undo
    "denoise": (
        functools.partial(restoration.build_denoiser, channels=1),
        functools.partial(corruption.add_gaussian_noise, sigma=(0, 55)),
    ),
    "denoise_color": (
        functools.partial(restoration.build_denoiser, channels=3),
        functools.partial(corruption.add_gaussian_noise, sigma=(0, 55)),
    ),
    "inpaint": (restoration.build_inpainter, corruption.mask_scratches),
    **{
        f"upscale_x{scale}": (
            functools.partial(restoration.build_upscaler, scale),
            functools.partial(corruption.downsample, scale=scale),
        )
        for scale in (2, 3, 4)
    },
}


def load_pretrained(name):
    """Load a small network that was trained on the embedded photos.

    Parameters
    ----------
    name : str
        ``"denoise"`` (grey, sigma 0 to 55), ``"denoise_color"``, ``"inpaint"``,
        ``"upscale_x2"``, ``"upscale_x3"`` or ``"upscale_x4"``. How each was
        trained, and what it scores, is in ``tfgen/weights/README.md``.

    Returns
    -------
    Restorer
        ``load_pretrained("denoise").restore(photo)``; also compiled, to be trained
        further.

    Raises
    ------
    ValueError
        For an unknown name, or if the file of the weights is damaged.
    FileNotFoundError
        If the file of the weights is missing.
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown network {name!r}; choose from {sorted(RECIPES)}.")
    path = FOLDER / f"{name}.npz"
    records = json.loads((FOLDER / "records.json").read_text("utf-8"))
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != records[name]["sha256"]:
        raise ValueError(
            f"The weights in {path} are damaged: their checksum is not that of the "
            "release. Fetch the file again: git checkout -- tfgen/weights, or "
            "reinstall the package."
        )
    return build_restorer(name, content)


def build_restorer(name, content):
    """Build the network `name` with weights from the bytes of an npz file."""
    build, undo = RECIPES[name]
    network = build()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        network.set_weights([arrays[str(i)] for i in range(len(arrays.files))])
    restorer = restoration.Restorer(network, undo)
    restorer.compile()
    return restorer
