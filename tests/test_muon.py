"""The optimizer with orthogonal steps, against the singular values of NumPy."""

import keras
import numpy as np
import pytest

from tfgen.muon import Muon, is_matrix, orthogonalize

rng = np.random.default_rng(0)


def variable(*shape, name="kernel"):
    values = rng.normal(size=shape).astype(np.float32)
    return keras.Variable(values, name=name)


@pytest.mark.parametrize("shape", [(40, 40), (36, 200), (300, 33)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_one_and_vectors_stay(shape, scale):
    matrix = scale * rng.normal(size=shape).astype(np.float32)
    found = np.array(orthogonalize(matrix))
    assert found.shape == shape
    values = np.linalg.svd(found, compute_uv=False)
    large = np.linalg.svd(matrix, compute_uv=False) > np.linalg.norm(matrix) / 500
    assert values.max() < 1.22 and values[large].min() > 0.67
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ found @ right.T  # diagonal, if the vectors are the same
    assert np.abs(turned - np.diag(np.diag(turned))).max() < 1e-3


def test_one_step_is_the_polynomial_of_the_singular_values():
    matrix = rng.normal(size=(5, 7))
    left, values, right = np.linalg.svd(matrix / np.linalg.norm(matrix), False)
    values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    found = orthogonalize(matrix, steps=1)
    np.testing.assert_allclose(found, left * values @ right, atol=1e-6)


def test_no_gradient_is_no_step():
    assert not np.any(orthogonalize(np.zeros((40, 50), np.float32)))


def step_by_hand(start, gradients, rate):
    """Muon as in its paper, with the singular vectors in place of the iteration."""
    momentum, now = 0.0, start.astype(np.float64)
    for gradient in gradients:
        momentum = 0.95 * momentum + gradient
        ahead = gradient + 0.95 * momentum
        left, _, right = np.linalg.svd(ahead.reshape(-1, start.shape[-1]), False)
        longer = max(np.prod(start.shape[:-1]), start.shape[-1])
        now = now - rate * 0.2 * longer**0.5 * (left @ right).reshape(start.shape)
    return now


@pytest.mark.parametrize("shape", [(40, 64), (3, 3, 8, 40), (3, 3, 40, 32)])
def test_kernels_take_orthogonal_steps(shape):
    kernel = variable(*shape)
    start, optimizer = kernel.numpy(), Muon(0.1)
    gradients = rng.normal(size=(3, *shape))
    for gradient in gradients:
        optimizer.apply([gradient.astype(np.float32)], [kernel])
    moved = kernel.numpy() - start
    expected = step_by_hand(start, gradients, 0.1) - start
    aligned = np.sum(moved * expected) / np.linalg.norm(moved)
    assert aligned / np.linalg.norm(expected) > 0.97
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(expected), rel=0.2)
    # About as far as Adam: 0.2 of the rate, for each number, in one step.
    assert np.sqrt(np.mean(np.square(moved))) < 3 * 0.1 * 0.2 * 1.3


@pytest.mark.parametrize(
    "shape, name",
    [((40,), "bias"), ((64, 4), "kernel"), ((3, 3, 2, 64), "kernel"), ((), "scale")]
    + [((40, 64), "embeddings")],
)
def test_all_else_is_moved_by_adam(shape, name):
    one, two = variable(*shape, name=name), variable(*shape, name=name)
    two.assign(one)
    assert not is_matrix(one)
    muon = Muon(0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-12)
    adam = keras.optimizers.Adam(0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-12)
    for _ in range(4):
        gradient = rng.normal(size=shape).astype(np.float32)
        muon.apply([gradient], [one])
        adam.apply([gradient], [two])
    np.testing.assert_allclose(one, two, rtol=2e-4, atol=2e-5)


def test_it_keeps_only_what_it_needs_and_all_of_it():
    optimizer = Muon()
    optimizer.build([variable(40, 64), variable(64, name="bias")])
    names = [v.name for v in optimizer.variables]
    assert len([name for name in names if "momentum" in name]) == 2
    assert len([name for name in names if "velocity" in name]) == 1


def test_it_is_loaded_with_its_numbers():
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 100)
    for rate in (0.1, schedule):
        optimizer = Muon(rate, 0.9, 0.8, 0.7, 1e-3, weight_decay=0.1, clipnorm=2.0)
        saved = keras.saving.serialize_keras_object(optimizer)
        loaded = keras.saving.deserialize_keras_object(saved)
        assert type(loaded) is Muon and loaded.get_config() == optimizer.get_config()
