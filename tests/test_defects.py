"""Drawn defects, the network that finds them, its loss and its scores."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from test_corruptions import photos, plain

import tfgen
from tfgen.data import defects as drawing
from tfgen.data.defects import draw_defects
from tfgen.defects import DefectFinder, Double, build_defect_finder, defect_loss

# --- drawn defects ---


@functools.cache
def drawn(value=0.5, count=60, channels=1, **options):
    """Defects over plain images, the same for all tests."""
    images = plain(value, (count, 96, 128, channels))
    result = draw_defects(images, seed=0, **options)
    return images, result["image"].numpy(), result["mask"].numpy()


def test_the_mask_marks_where_the_picture_differs():
    images, damaged, mask = drawn(aged=False)
    change = np.abs(damaged - images)
    assert set(np.unique(mask)) == {0, 1}
    assert change[mask == 1].min() > 0.05
    # An edge is left out if it covers a quarter of a pixel: of 0.5 to black or white.
    assert change[mask == 0].max() <= 0.25 * 0.5 + 0.05
    assert (change[mask == 0] == 0).mean() > 0.98


def test_defects_are_bright_and_dark_thin_and_let_the_picture_through():
    images, damaged, mask = drawn(aged=False)
    change = (damaged - images)[mask == 1]
    assert (change > 0.2).mean() > 0.3 and (change < -0.2).mean() > 0.15
    edges = (np.abs(change) < 0.2).mean()  # soft edges and transparent defects
    assert 0.1 < edges < 0.6
    thick = ndimage.binary_opening(mask[..., 0], np.ones((1, 9, 9)))
    assert 0 < thick.sum() < 0.3 * mask.sum()
    assert 0.01 < mask.mean() < 0.06


def test_a_transparent_defect_keeps_something_of_the_picture():
    """Stripes below defects are seen in some of them, and hidden by others."""
    stripes = plain(0.4, (40, 96, 128, 1))
    stripes[:, ::2] = 0.6
    result = draw_defects(stripes, seed=0, aged=False)
    inside = ndimage.binary_erosion(result["mask"].numpy()[..., 0], np.ones((1, 3, 3)))
    steps = np.abs(np.diff(result["image"].numpy()[..., 0], axis=1))
    steps = steps[inside[:, 1:] & inside[:, :-1]]
    assert 0.1 < (steps < 0.001).mean() < 0.9
    assert 0.1 < ((0.02 < steps) & (steps < 0.15)).mean()


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_share_of_the_images_gets_defects(share):
    images, damaged, mask = drawn(count=100, share=share, aged=False)
    has = mask.any(axis=(1, 2, 3))
    np.testing.assert_array_equal(has[~has], (damaged != images).any((1, 2, 3))[~has])
    low, high = {0: (0, 0), 0.5: (0.3, 0.6), 1: (0.85, 1)}[share]
    assert low <= has.mean() <= high  # now and then, all defects are out of sight


def test_the_look_of_old_prints_is_no_defect():
    images = photos(60, 48, 64)
    aged = draw_defects(images, seed=0, share=0)
    assert not aged["mask"].numpy().any()
    found = aged["image"].numpy()
    np.testing.assert_allclose(found * 255, np.round(found * 255), atol=1e-3)
    assert 0 <= found.min() and found.max() <= 1
    change = np.abs(found - images).mean(axis=(1, 2, 3))
    assert change.min() < 0.05 < change.max()
    # Grey pictures have one hue: red, green and blue keep one proportion.
    hues = found.reshape(60, -1, 3) / found.mean(axis=(1, 2))[:, None]
    grey = np.abs(hues[..., 0] - hues[..., 2]).mean(axis=1) < 0.02
    assert 0.3 < grey.mean() < 0.8


def test_grey_and_colour_get_the_same_defects():
    grey = draw_defects(plain(0.5), seed=3, aged=False)
    color = draw_defects(plain(0.5, (3, 100, 100, 3)), seed=3, aged=False)
    np.testing.assert_array_equal(grey["mask"], color["mask"])
    np.testing.assert_allclose(color["image"], grey["image"].numpy().repeat(3, -1))


def test_a_path_is_as_long_and_as_wide_as_it_says(monkeypatch):
    monkeypatch.setattr(drawing, "_wander", lambda rng, steps, knots: np.zeros(steps))
    rng, widths = np.random.default_rng(0), []
    for _ in range(20):
        start = np.array([100.0, 100.0])
        points, shape = drawing._draw_path(
            (200, 200), rng, start, (0.3, 0.3), 0.0, 0.0, (3.0, 3.0)
        )
        ends = points[-1] - points[0]
        assert np.hypot(*ends) == pytest.approx(60, rel=0.02)
        widths.append(shape.sum() / 60)
    assert np.mean(widths) == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize(
    "options, images, message",
    [
        ({"share": 1.2}, plain(0.5), "from 0 to 1; got 1.2"),
        ({"share": -0.1}, plain(0.5), "from 0 to 1; got -0.1"),
        ({}, plain(0.5, (1, 8, 8, 4)), "1 or 3 channels; got 4"),
    ],
)
def test_bad_options_of_drawing_are_refused(options, images, message):
    with pytest.raises(ValueError, match=message):
        draw_defects(images, 0, **options)


# --- the network and its loss ---


def test_the_network_gives_a_logit_for_each_pixel():
    network = build_defect_finder(3, 4, 1)
    result = network({"image": photos(2, 24, 40)})
    assert result.shape == (2, 24, 40, 1) and result.dtype == tf.float32
    assert build_defect_finder().count_params() == 422_721


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_network_computes_in_16_bits(policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = build_defect_finder(1, 4, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    computed = {layer.compute_dtype for layer in network.layers[1:]}
    assert computed == {policy.removeprefix("mixed_"), "float32"}
    assert network({"image": photos(1, 16, 16, 1)}).dtype == tf.float32


def test_maps_are_doubled_bilinearly():
    x = photos(2, 5, 7, 2)
    expected = ndimage.zoom(x, (1, 2, 2, 1), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(Double()(x), expected, atol=1e-6)
    half = Double(dtype="float16")(x)
    assert half.dtype == tf.float16
    np.testing.assert_allclose(half, expected, atol=1e-3)


def test_the_loss_by_hand():
    """One image of two pixels, one a defect; logits of 0 mean a probability of 1/2."""
    mask = np.array([1, 0], np.float32).reshape(1, 1, 2, 1)
    dice_loss = 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    expected = np.log(2) + 0.3 * dice_loss
    np.testing.assert_allclose(defect_loss(mask, 0 * mask), [expected], rtol=1e-6)
    sure = 50 * (2 * mask - 1)
    np.testing.assert_allclose(defect_loss(mask, sure), [0], atol=1e-6)
    np.testing.assert_allclose(defect_loss(0 * mask, 0 * mask - 50), [0], atol=1e-6)
    both = np.concatenate([sure, 0 * mask])
    losses = defect_loss(np.concatenate([mask, mask]), both)
    np.testing.assert_allclose(losses, [0, expected], atol=1e-6)


# --- the model ---


@keras.saving.register_keras_serializable("tests")
def paint(images, seed):
    """White squares, a quarter of the images, at places that the seed draws."""
    shape = tf.concat([tf.shape(images)[:1], [4, 4, 1]], axis=0)
    cells = tf.random.stateless_uniform(shape, seed) < 0.25
    mask = tf.cast(tf.repeat(tf.repeat(cells, 4, axis=1), 4, axis=2), tf.float32)
    return {"image": images * (1 - mask) + mask, "mask": mask}


def brightness(threshold, channels=1):
    """A network that takes pixels above a brightness for defects."""
    image = keras.Input((None, None, channels), name="image")
    layer = keras.layers.Conv2D(1, 1)
    network = keras.Model({"image": image}, layer(image))
    layer.kernel.assign(tf.fill((1, 1, channels, 1), 100.0 / channels))
    layer.bias.assign([-100.0 * threshold])
    return network


def test_a_finder_learns_to_find():
    keras.utils.set_random_seed(0)
    finder = DefectFinder(build_defect_finder(1, 4, 1), paint, 0.9, seed=0)
    finder.compile(keras.optimizers.Adam(0.01))
    images = photos(32, 16, 16, 1)
    finder.fit(np.tile(images, (25, 1, 1, 1)), batch_size=8, shuffle=False, verbose=0)
    scores = finder.evaluate(images, return_dict=True, verbose=0)
    assert scores["f1"] > 0.9
    damaged = {key: x.numpy() for key, x in paint(images, (7, 7)).items()}
    found = finder.find(damaged["image"])
    assert np.mean(found == (damaged["mask"][..., 0] == 1)) > 0.95


@pytest.mark.parametrize("batch_size", [4, 3])
def test_scores_are_those_of_all_pixels_together(batch_size):
    images = photos(8, 16, 16, 1)
    finder = DefectFinder(brightness(0.6), paint)
    finder.compile()
    scores = finder.evaluate(images, batch_size=batch_size, return_dict=True, verbose=0)
    hits = marked = defects = 0
    for start in range(0, 8, batch_size):
        batch = images[start : start + batch_size]
        damaged = paint(batch, tf.constant([-1, start], tf.int64))
        mask, found = damaged["mask"].numpy() == 1, damaged["image"].numpy() > 0.6
        hits += (mask & found).sum()
        marked += found.sum()
        defects += mask.sum()
    assert scores["precision"] == pytest.approx(hits / marked, rel=1e-5)
    assert scores["recall"] == pytest.approx(hits / defects, rel=1e-5)
    assert scores["f1"] == pytest.approx(2 * hits / (marked + defects), rel=1e-5)
    assert hits / marked < 0.9 < hits / defects  # they are not alike


def test_where_nothing_is_marked_or_drawn_the_scores_are_0():
    finder = DefectFinder(brightness(2), paint)
    finder.compile()
    scores = finder.evaluate(photos(2, 16, 16, 1), return_dict=True, verbose=0)
    assert scores["precision"] == scores["recall"] == scores["f1"] == 0


@pytest.mark.parametrize("shape", [(20, 27), (20, 27, 1), (20, 27, 3), (2, 20, 27, 3)])
def test_what_is_found_has_the_form_of_the_images(shape):
    finder = DefectFinder(brightness(0.5, channels=3), paint)
    images = photos(2, 20, 27, 3)
    images = images.mean(-1, keepdims=True) if shape[-1] != 3 else images
    images = images if len(shape) == 4 else images[0]
    images = images[..., 0] if len(shape) == 2 else images
    found = finder.find(images)
    bright = images if len(shape) == 2 else images.mean(-1)
    assert found.dtype == bool and found.shape == bright.shape
    np.testing.assert_array_equal(found, bright > 0.5)
    chances = finder.find_probabilities(images)
    expected = 1 / (1 + np.exp(-100 * (bright.astype(float) - 0.5)))
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances, expected, atol=1e-3)


def test_a_lower_threshold_marks_more():
    finder = DefectFinder(brightness(0.5), paint)
    image = photos(1, 40, 40, 1)[0]
    chances = finder.find_probabilities(image)
    shares = []
    for threshold in (0, 0.1, 0.5, 0.9, 1):
        found = finder.find(image, threshold=threshold)
        np.testing.assert_array_equal(found, chances > threshold)
        shares.append(found.mean())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2] > shares[4] == 0


def test_a_photo_searched_in_tiles_is_that_searched_whole(monkeypatch, capsys):
    keras.utils.set_random_seed(0)
    network = build_defect_finder(3, 4, 1)
    rng = np.random.default_rng(0)
    network.set_weights(
        [
            rng.normal(0, (1.5 / max(w[..., 0].size, 1)) ** 0.5, w.shape)
            for w in network.get_weights()
        ]
    )
    finder = DefectFinder(network, paint)
    image = photos(1, 210, 301)[0]
    whole = finder.find_probabilities(image, tile=1000)
    assert np.ptp(whole) > 0.1
    tiled = finder.find_probabilities(image, tile=64, verbose=1)
    assert "20/20" in capsys.readouterr().out
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    padded = np.pad(image, [(0, 6), (0, 3), (0, 0)], "symmetric")[None]
    logits = network({"image": padded})[0, :210, :301, 0]
    np.testing.assert_allclose(whole, tf.sigmoid(logits), atol=1e-5)
    monkeypatch.setattr(finder.tiler, "find_reach", lambda: 0)
    cut = finder.find_probabilities(image, tile=64)
    assert np.abs(cut - whole).max() > 1e-3


def test_what_training_changes_is_what_finds():
    finder = DefectFinder(brightness(0.5), paint)
    image = plain(0.5, (8, 8))
    assert not finder.find(image - 0.1).any()
    finder.network.set_weights(brightness(0.2).get_weights())
    assert finder.find(image - 0.1).all()


def two_inputs():
    image = keras.Input((None, None, 1), name="image")
    sigma = keras.Input((1,), name="sigma")
    logits = keras.layers.Conv2D(1, 1)(image)
    return keras.Model({"image": image, "sigma": sigma}, logits)


def no_dictionary():
    return keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1)])


def other_end(channels, kernel_size=1, **options):
    image = keras.Input((None, None, 1), name="image")
    logits = keras.layers.Conv2D(channels, kernel_size, **options)(image)
    return keras.Model({"image": image}, logits)


def enlarging():
    image = keras.Input((None, None, 1), name="image")
    logits = keras.layers.Conv2DTranspose(1, 2, strides=2)(image)
    return keras.Model({"image": image}, logits)


@pytest.mark.parametrize(
    "make, message",
    [
        (two_inputs, "images alone"),
        (no_dictionary, "images alone"),
        (functools.partial(other_end, 3), "one logit for each pixel"),
        (functools.partial(other_end, 1, strides=2), None),
        (functools.partial(other_end, 1, padding="valid", kernel_size=3), None),
        (enlarging, None),
        (functools.partial(other_end, 1, activation="sigmoid"), "activation"),
        (lambda: build_defect_finder, "keras.Model"),
    ],
)
def test_other_networks_are_refused(make, message):
    if message is None:  # known only once it is run
        message = r"must make 1 channel of an image, as large as it; of \(\d+, \d+, 1\)"
        with pytest.raises(ValueError, match=message):
            DefectFinder(make(), paint).find(plain(0.5, (16, 16)))
    else:
        with pytest.raises(ValueError, match=message):
            DefectFinder(make(), paint)


@pytest.mark.parametrize(
    "images, options, message",
    [
        (plain(0.5), {"threshold": 1.5}, "from 0 to 1; got 1.5"),
        (plain(0.5), {"threshold": np.nan}, "from 0 to 1; got nan"),
        (plain(0.5), {"tile": 0}, "tile=0"),
        (plain(2.0), {}, r"\[0, 1\]"),
        (np.zeros((8, 8), np.uint8), {}, "uint8"),
        (plain(0.5, (8, 8, 3)), {}, "1 channels; this one has 3"),
    ],
)
def test_bad_input_is_refused(images, options, message):
    finder = DefectFinder(brightness(0.5), paint)
    with pytest.raises(ValueError, match=message):
        finder.find(images, **options)


def test_a_corruption_is_a_function():
    with pytest.raises(ValueError, match="function of .images, seed.*got 25"):
        DefectFinder(brightness(0.5), 25)


def test_a_call_takes_a_dictionary():
    with pytest.raises(ValueError, match="dictionary with 'image'.*`find`"):
        DefectFinder(brightness(0.5), paint)(plain(0.5))


# --- the trained network ---


def top_hat(image, radius=4):
    from skimage import morphology

    disk = morphology.disk(radius)
    bright = morphology.white_tophat(image, disk)
    return np.maximum(bright, morphology.black_tophat(image, disk))


def test_the_trained_network_finds_more_than_a_top_hat():
    """On the middle of four test photos, which it was not trained on."""
    dataset = tfgen.load_dataset("photos", "test", batch_size=None, shuffle=False)
    sizes = [(p, p.shape[0] // 2, p.shape[1] // 2) for p in dataset.as_numpy_iterator()]
    crops = np.stack([p[y - 80 : y + 80, x - 80 : x + 80] for p, y, x in sizes[::3]])
    damaged = draw_defects(crops, seed=0, share=1)
    mask = damaged["mask"].numpy()[..., 0] == 1

    def f1(found):
        return 2 * (found & mask).sum() / (found.sum() + mask.sum())

    grey = damaged["image"].numpy().mean(-1)
    classic = f1(np.stack([top_hat(image) for image in grey]) > 0.3)
    found = tfgen.find_scratches(damaged["image"].numpy())
    assert f1(found) > max(0.5, 1.5 * classic)
    assert tfgen.find_scratches(crops).mean() < 0.01
