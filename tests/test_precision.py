"""The policy that is chosen is the faster one."""

import pytest

import tfgen
from tfgen import precision


@pytest.mark.parametrize(
    ("seconds", "policy"),
    [
        ({"float32": 2, "bfloat16": 1}, "mixed_bfloat16"),
        ({"float32": 1, "bfloat16": 12}, "float32"),
    ],
)
def test_the_faster_policy_is_chosen(monkeypatch, seconds, policy):
    monkeypatch.setattr(precision, "time_gradient", seconds.get)
    assert tfgen.faster_policy() == policy


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gradient_takes_time(dtype):
    assert 0 < precision.time_gradient(dtype) < 10
