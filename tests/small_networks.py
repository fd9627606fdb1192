"""Small untrained networks in place of the trained ones, and photos to give them."""

import functools

import numpy as np
from skimage import data

import tfgen
from tfgen import weights as pretrained

COLOR = data.astronaut()[100:140, 150:200]  # 50 x 40 pixels
GREY = data.camera()[200:240, 200:250]


@functools.cache
def build_restorer(name):
    """A network that changes the image, told what the trained one of the name is."""
    build, undo = pretrained.RECIPES[name]
    network = build(width=8, blocks=1)
    rng = np.random.default_rng(0)
    network.set_weights(
        [weight + rng.normal(0, 0.1, weight.shape) for weight in network.get_weights()]
    )
    make = tfgen.DefectFinder if name == "scratches" else tfgen.Restorer
    return make(network, undo)
