"""The training of the network that draws texture, a few steps of it."""

import functools
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_tiles import SMALL, pictures, shake

import tfgen
from tfgen.restoration import Bicubic
from tfgen.weights import build_restorer

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import train_sharp  # noqa: E402
from train_sharp import build_judge, shrink_to_files  # noqa: E402


def build(warmup, seed=3):
    keras.utils.set_random_seed(0)
    network = shake(tfgen.build_sharp_upscaler(**SMALL))
    model = tfgen.AdversarialRestorer(
        network,
        build_judge(1),
        shrink_to_files,
        feature_weight=0.05,
        adversarial_weight=0.05,
        pixel_weight=0.1,
        consistency_weight=10,
        warmup=warmup,
        seed=seed,
    )
    for weight in model.discriminator.weights:
        weight.assign(2 * weight)  # a judge with opinions
    return model


def shrink(images):
    return tf.image.resize(images, (8, 8), "bicubic", antialias=True)


def by_hand(model, images, share):
    """The losses of a step, and the gradients, written anew."""
    small = model.corruption(images, model.next_seed())
    smooth = tf.clip_by_value(Bicubic(4)(small["image"]), 0, 1)
    draws = [tf.random.stateless_normal(images.shape, model.next_seed()) for _ in "ab"]

    def judge(x):
        return model.discriminator(tf.concat([4 * (x - smooth), 4 * smooth - 2], -1))

    with tf.GradientTape(persistent=True) as tape:
        restored = model.network(small)
        fixed = tf.stop_gradient(restored)
        (real, *a), (fake, *b) = judge(images), judge(restored)
        features = (
            sum(tf.reduce_mean(abs(x - y)) for x, y in zip(a, b, strict=True)) / 7
        )
        same = tf.reduce_mean(abs(shrink(restored) - shrink(images)))
        pixel = tf.reduce_mean(abs(restored - images))
        adversarial = -tf.reduce_mean(tf.math.log_sigmoid(fake - real))
        loss = pixel * (1 - share) + share * (
            0.1 * pixel + 10 * same + 0.05 * features + 0.05 * adversarial
        )
        steep = sum(
            tf.reduce_mean((judge(x + 0.03 * draw)[0] - judge(x)[0]) ** 2)
            for x, draw in zip((images, fixed), draws, strict=True)
        )
        d_loss = -tf.reduce_mean(tf.math.log_sigmoid(real - fake))
        total = d_loss + steep
    logs = {
        "loss": loss,
        "consistency_loss": same,
        "feature_loss": features,
        "adversarial_loss": adversarial,
        "discriminator_loss": d_loss,
        "penalty": steep,
    }
    parts = (model.network, loss), (model.discriminator, total)
    gradients = [tape.gradient(x, net.trainable_variables) for net, x in parts]
    return {name: float(value) for name, value in logs.items()}, gradients


@pytest.mark.parametrize(
    "warmup, done, share", [(1000, 0, 0), (2, 2, 0.5), (2, 3, 1), (0, 0, 1)]
)
def test_a_step_makes_the_updates_of_a_tape_by_hand(warmup, done, share):
    images = pictures(4, 32, 32)
    model, other = build(warmup), build(warmup)
    rates = 0.1, 0.01
    model.compile(*map(keras.optimizers.SGD, rates), run_eagerly=True)
    model.optimizer.iterations.assign(done)
    expected, gradients = by_hand(other, images, share)
    logs = model.train_on_batch(images, return_dict=True)
    assert {key: logs[key] for key in expected} == pytest.approx(expected, rel=1e-3)
    networks = (
        (model.network, other.network),
        (model.discriminator, other.discriminator),
    )
    for (now, before), slopes, rate in zip(networks, gradients, rates, strict=True):
        pairs = zip(now.trainable_variables, before.trainable_variables, strict=True)
        for (weight, start), slope in zip(pairs, slopes, strict=True):
            np.testing.assert_allclose(weight, start - rate * slope, atol=1e-4)
        assert max(np.abs(slope).max() for slope in slopes) > 1e-3


def test_it_begins_with_what_an_upscaler_makes():
    upscaler = shake(tfgen.build_upscaler(4, **SMALL))
    network = tfgen.build_sharp_upscaler(**SMALL)
    train_sharp.begin_with(network, upscaler)
    image = pictures(2)
    expected = upscaler({"image": image})
    np.testing.assert_allclose(network({"image": image}), expected, atol=1e-6)
    assert np.abs(expected - Bicubic(4)(image)).max() > 1e-3


def test_the_judge_looks_at_patches():
    judge = build_judge(1)
    x = tf.Variable(np.random.default_rng(0).random((1, 160, 160, 2), np.float32))
    with tf.GradientTape() as tape:
        logits, *maps = judge(x)
        middle = logits[0, 10, 10, 0]
    seen = np.nonzero(np.abs(tape.gradient(middle, x)).max(axis=(0, 2, 3)))[0]
    assert np.ptp(seen) + 1 == 68
    assert logits.shape == (1, 20, 20, 1) and len(maps) == 7


def test_three_in_ten_small_images_have_noise():
    small = shrink_to_files(tf.fill((20, 64, 64, 1), 102.45 / 255), 1)["image"].numpy()
    noisy = small.std(axis=(1, 2, 3)) > 1e-6
    assert small.shape == (20, 16, 16, 1)
    assert list(np.nonzero(noisy)[0]) == [0, 1, 2, 10, 11, 12]
    np.testing.assert_allclose(small * 255, np.rint(small * 255), atol=1e-4)


def test_a_training_runs_as_a_graph_and_goes_on_where_it_was(tmp_path):
    patches = tfgen.random_patches([np.full((32, 32, 1), 0.5)], 32, 8, batch_size=4)
    model = build(warmup=1)
    before = model.averaged_network.get_weights()
    train_sharp.train(model, patches, 1, 2, tmp_path)
    assert any(
        (a != b).any()
        for a, b in zip(model.averaged_network.get_weights(), before, strict=True)
    )
    later = build(warmup=1, seed=4)
    train_sharp.train(later, patches, 1, 2, tmp_path)  # all is done
    for a, b in zip(later.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_program_stores_weights_and_their_record(tmp_path, monkeypatch):
    """Its photos are a folder's; two steps from the package's own weights."""
    for number in range(12):  # some are held out
        picture = keras.utils.array_to_img(pictures(1, 130, 130, 3, seed=number)[0])
        picture.save(tmp_path / f"{number}.png")
    options = ["--photos", str(tmp_path), "--out", str(tmp_path / "weights")]
    options += ["--begin", train_sharp.NAME, "--steps", "2", "--batch", "1"]
    monkeypatch.setattr("sys.argv", ["train_sharp.py", *options])
    monkeypatch.setattr(train_sharp, "build_judge", lambda: build_judge(1))
    step_by_step = functools.partialmethod(
        tfgen.AdversarialRestorer.compile, run_eagerly=True
    )
    monkeypatch.setattr(
        tfgen.AdversarialRestorer, "compile", step_by_step
    )  # quicker for two
    scores = {"untouched_psnr": 1.0, "restored_psnr": 2.0}
    monkeypatch.setattr(train_sharp, "measure_restorer", lambda *_: scores)
    monkeypatch.chdir(tmp_path)
    train_sharp.main()
    (record,) = json.loads((tmp_path / "weights/records.json").read_text()).values()
    assert (record["steps"], record["batch"]) == (2, "1 patches of 128")
    content = (tmp_path / "weights/upscale_x4_sharp.npz").read_bytes()
    trained = build_restorer(train_sharp.NAME, content).network.get_weights()
    shipped = tfgen.load_pretrained(train_sharp.NAME).network.get_weights()
    changes = [np.abs(a - b).max() for a, b in zip(trained, shipped, strict=True)]
    assert 0 < max(changes) < 0.01
    assert not list((tmp_path / "build/weights").iterdir())
