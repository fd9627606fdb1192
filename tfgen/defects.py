"""Finding defects: a network that marks hairs, scratches, cracks and dust in a photo.

Each pixel is a question of its own: is it part of a defect? The network is a small
U-Net (Ronneberger, Fischer and Brox, 2015, arXiv:1505.04597) that looks at the photo at
full, half, a quarter and an eighth of its size, with the residual blocks of
`restoration.py`. To use it elsewhere, copy this file with `restoration.py`, `model.py`,
`checks.py`, `saving.py` and `tiles.py` beside it.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .checks import (
    check_built,
    check_counts,
    check_logits,
    ends,
    finite,
    fits,
    require,
)
from .model import ImageModel, copy_of, in_float32, usual_settings
from .restoration import residual_block
from .tiles import Tiler

# --- The network ------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class Double(layers.Layer):
    """Enlarge maps of any size two times, bilinearly."""

    def call(self, x):
        doubled = tf.image.resize(x, 2 * tf.shape(x)[1:3], "bilinear")
        return tf.cast(doubled, x.dtype)

    def compute_output_shape(self, shape):
        n, height, width, channels = shape
        sides = [side and 2 * side for side in (height, width)]
        return (n, *sides, channels)


@usual_settings()
def build_defect_finder(channels=3, width=16, blocks=2):
    """Build a network that tells for each pixel whether it is part of a defect.

    Parameters
    ----------
    channels : int
        1 for grey, 3 for colour.
    width : int
        Channels at full size; 2, 3 and 4 times as many at 1/2, 1/4 and 1/8 of it.
    blocks : int
        Number of residual blocks at each size on the way down.

    Returns
    -------
    keras.Model
        Maps ``{"image": (n, height, width, channels)}``, for sides that are multiples
        of 8, to logits (n, height, width, 1): their sigmoid is the probability of a
        defect.
    """
    check_counts(channels=channels, width=width, blocks=blocks)
    image = layers.Input((None, None, channels), name="image")
    x = image
    for _ in range(2):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    kept = [x]
    for times in (2, 3, 4):
        x = layers.Conv2D(
            times * width, 4, strides=2, padding="same", activation="relu"
        )(x)
        for _ in range(blocks):
            x = residual_block(x, times * width)
        kept.append(x)
    for times in (3, 2):
        x = Double()(layers.Conv2D(times * width, 1)(x))
        x = layers.Add()([x, kept[times - 1]])
        x = residual_block(x, times * width)
    x = Double()(layers.Conv2D(width, 1)(x))
    x = layers.Concatenate()([x, kept[0]])
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    logits = layers.Conv2D(1, 3, padding="same", dtype="float32")(x)
    return keras.Model({"image": image}, logits, name="defect_finder")


# --- The loss ---------------------------------------------------------------


@in_float32
def defect_loss(mask, logits):
    """The loss of each image, (n,): cross entropy in nats, and some soft Dice loss.

    With m the mask, 1 in defects, and p = sigmoid(logits), both (n, height, width, 1)::

        mean(-m log p - (1 - m) log(1 - p))
            + 0.3 * (1 - (2 sum(p m) + 1) / (sum(p) + sum(m) + 1))

    Few pixels are defects, and the cross entropy alone is low where none is marked; the
    Dice loss (Milletari, Navab and Ahmadi, "V-Net", 2016, arXiv:1606.04797) does not
    count the many pixels that are rightly left out. The ones make it 0, not 0 / 0,
    where there is no defect and none is marked.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(mask, logits)
    found, axes = tf.sigmoid(logits), (1, 2, 3)
    both = tf.reduce_sum(found * mask, axes)
    either = tf.reduce_sum(found, axes) + tf.reduce_sum(mask, axes)
    dice_loss = 1 - (2 * both + 1) / (either + 1)
    return tf.reduce_mean(entropy, axes) + 0.3 * dice_loss


# --- The model --------------------------------------------------------------


@keras.saving.register_keras_serializable("tfgen")
class DefectFinder(ImageModel):
    """A network that learns to find what a corruption has drawn over images.

    Parameters
    ----------
    network : keras.Model
        Maps ``{"image": (n, height, width, channels)}`` to logits (n, height, width,
        1), such as `build_defect_finder`'s.
    corruption : callable
        ``corruption(images, seed)`` makes a dictionary with ``"image"``, the damaged
        images, and ``"mask"``, (n, height, width, 1), 1 in the defects, such as
        `draw_defects`. It is saved as `Restorer` saves its own.
    average_decay, seed
        As in `Restorer`.

    Raises
    ------
    ValueError
        If the network does not take a dictionary with an image alone, does not give
        one logit for each pixel, or a parameter is out of range.

    Notes
    -----
    Train with ``fit(images, validation_data=...)``: arrays or `tf.data.Dataset`s of
    clean float32 images in [0, 1], with sides that the network takes. Each batch is
    damaged afresh in training, and always in the same way in evaluation. Metrics:
    ``loss`` (see `defect_loss`) and, over all pixels, with those marked whose
    probability is above 0.5: ``precision``, the share of the marked pixels that are
    defects; ``recall``, the share of the defects that is marked; and ``f1``, the
    harmonic mean of the two. Each is 0 where there is nothing to take a share of.
    """

    metric_names = "loss", "precision", "recall", "f1"
    averaged = ("network",)

    def __init__(self, network, corruption, average_decay=0.999, seed=None, **kwargs):
        check_finder(network)
        require(
            callable(corruption),
            "corruption is a function of (images, seed), such as tfgen.draw_defects; "
            f"got {corruption!r}.",
        )
        image_shape = network.input["image"].shape[1:]
        super().__init__(image_shape, (), average_decay, seed, **kwargs)
        self.network = network
        self.averaged_network = average = copy_of(network)
        self.corruption = corruption
        found = layers.Activation("sigmoid", dtype="float32")(average.output)
        self.tiler = Tiler(keras.Model(average.input, found), made=1)

    def compile(self, optimizer=None, **kwargs):
        """Choose the optimizer, by default Adam with a learning rate of 1e-3."""
        optimizer = optimizer or keras.optimizers.Adam(1e-3)
        super().compile(self.prepare(optimizer, self.network), **kwargs)

    def train_step(self, data):
        images = self.check_images(data)
        damaged = self.corruption(images, self.next_seed())
        with tf.GradientTape() as tape:
            logits = self.network({"image": damaged["image"]}, training=True)
            loss = finite(defect_loss(damaged["mask"], logits))
            scaled_loss = self.scaled(loss, self.optimizer)

        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        self.average_weights()
        return self.track_marks(loss, damaged["mask"], logits)

    def test_step(self, data):
        images = self.check_images(data)
        # A fixed seed for each batch, which training never meets, as in `Restorer`.
        seen = tf.cast(self.step_metrics["loss"].count, tf.int64)
        damaged = self.corruption(images, tf.stack([-1, seen]))
        logits = self.averaged_network({"image": damaged["image"]})
        loss = finite(defect_loss(damaged["mask"], logits))
        return self.track_marks(loss, damaged["mask"], logits)

    def track_marks(self, loss, mask, logits):
        """Add one batch to the metrics. Each share is a weighted mean over pixels: the
        precision that of the mask over the marked ones, and so on."""
        marked = tf.cast(logits > 0, tf.float32)
        metrics = self.step_metrics
        metrics["precision"].update_state(mask, sample_weight=marked)
        metrics["recall"].update_state(marked, sample_weight=mask)
        metrics["f1"].update_state(mask * marked, sample_weight=mask + marked)
        self.track(loss=loss)
        return {name: metric.result() for name, metric in metrics.items()}

    def call(self, inputs, training=False):
        """Logits for ``{"image": ...}``, as the averaged network gives them."""
        return self.averaged_network(inputs, training=training)

    def check_inputs(self, inputs):
        require(
            isinstance(inputs, dict) and "image" in inputs,
            "A call of this DefectFinder takes a dictionary with 'image'; got "
            f"{type(inputs).__name__}. `find` takes images.",
        )

    def find(self, images, *, tile=512, threshold=0.5, verbose=0):
        """Mark the defects in photos of any size.

        Parameters
        ----------
        images : array, (height, width), (height, width, channels) or (n, height,
            width, channels)
            In [0, 1]. A network for colour is given grey in every channel.
        tile, verbose
            As in `Restorer.restore`: what is found is that of the whole image.
        threshold : float
            In [0, 1]: pixels are marked whose probability is above it. Lower, more is
            marked, both defects and what looks like one.

        Returns
        -------
        numpy.ndarray
            bool, (height, width) or (n, height, width): True in the defects.

        Raises
        ------
        ValueError
            For images of another shape or range, or such a threshold.
        """
        require(0 <= threshold <= 1, f"A threshold is from 0 to 1; got {threshold!r}.")
        return self.find_probabilities(images, tile=tile, verbose=verbose) > threshold

    def find_probabilities(self, images, *, tile=512, verbose=0):
        """The probability that a pixel is part of a defect, float32 in [0, 1], for what
        `find` takes and in the shape that it returns."""
        self.refresh_averages()
        found = self.tiler.restore(images, tile=tile, verbose=verbose)
        return found if np.ndim(images) == 2 else found[..., 0]


# --- Checks -----------------------------------------------------------------


def check_finder(network):
    """ValueError unless the network takes a dictionary with an image alone, and gives
    one number of any sign for each pixel."""
    check_built(network=network)
    inputs, output = ends(network)
    alone = isinstance(inputs, dict) and set(inputs) == {"image"}
    require(
        alone
        and isinstance(output, keras.KerasTensor)
        and fits(output.shape, *inputs["image"].shape[:-1], 1),
        "The network must take images alone and give one logit for each pixel: "
        "keras.Model({'image': image}, logits), of shapes (n, height, width, channels) "
        f"and (n, height, width, 1). This one takes {inputs} and gives {output}.",
    )
    check_logits(network=network)
