"""The right `jax.custom_vjp`, written for a forward with a wrong rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.checking import check
from pullback.mending import mended

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax
RNG = np.random.default_rng(5)


def made(forward: Any, fwd: Any, bwd: Any) -> Any:
    found = jax.custom_vjp(forward)
    found.defvjp(fwd, bwd)
    return found


def swish(x, b):
    return x * jax.nn.sigmoid(b * x)


def swish_fwd(x, b):
    return swish(x, b), (x, b)


def swish_bwd(res, g):
    x, b = res
    s = jax.nn.sigmoid(b * x)
    return g * (s + x * s * (1 - s)), g * x * x * s * (1 - s)


def layer_norm(x, w):
    m = jax.numpy.mean(x, axis=-1, keepdims=True)
    v = jax.numpy.mean((x - m) ** 2, axis=-1, keepdims=True)
    return (x - m) / jax.numpy.sqrt(v + 1e-5) * w


def layer_norm_fwd(x, w):
    return layer_norm(x, w), (x, w)


def layer_norm_bwd(res, g):
    x, w = res
    m = jax.numpy.mean(x, axis=-1, keepdims=True)
    r = 1 / jax.numpy.sqrt(jax.numpy.mean((x - m) ** 2, axis=-1, keepdims=True) + 1e-5)
    h = (x - m) * r
    return r * g * w, jax.numpy.sum(g * h, axis=0)


WRONG = [
    (made(swish, swish_fwd, swish_bwd), [RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))]),
    (made(layer_norm, layer_norm_fwd, layer_norm_bwd), [RNG.normal(size=(3, 4)), RNG.normal(size=4)]),
]


@pytest.mark.parametrize(("wrong", "inputs"), WRONG)
def test_the_code_that_is_written_is_right(wrong: Any, inputs: list[Any]) -> None:
    assert check(wrong, inputs).ok is False
    source = mended(wrong, inputs)
    assert "@jax.custom_vjp" in source and ".defvjp(" in source
    names: dict[str, Any] = {}
    exec(compile(source, "mended", "exec"), names)
    (right,) = (x for x in names.values() if isinstance(x, jax.custom_vjp))
    with jax.enable_x64(True):
        assert check(right, inputs).ok is True
        given = [jax.numpy.asarray(x) for x in inputs]
        assert np.allclose(right(*given), wrong(*given), rtol=1e-12)
