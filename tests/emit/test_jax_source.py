"""Emitted custom_vjp rules: right in value and in both derivatives, under jit and vmap, in float32 too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.sizes import evaluate_size

from .emitted import NAMES, derivation, example_sizes, load

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax

MOST = [name for name in NAMES if name not in ("shadow", "filled", "gelu_gate")]


class Case:
    """One emitted function with example arguments in float32, JAX's own default."""

    def __init__(self, name: str) -> None:
        self.derivation = derivation(name)
        self.text = self.derivation.emit("jax", name=name)
        self.function = load(self.text, name)
        self.sizes = example_sizes(name)
        rng = np.random.default_rng(0)
        self.arguments: list[Any] = []
        for tensor in self.derivation.program.inputs:
            shape = [evaluate_size(extent, self.sizes) for extent in tensor.shape]
            if tensor.is_integer:
                self.arguments.append(jax.numpy.asarray(rng.integers(0, 2, size=shape)))
            else:
                self.arguments.append(jax.numpy.asarray(rng.uniform(0.5, 1.5, size=shape), dtype="float32"))
        self.hidden = [self.sizes["K"]] if name == "filled" else []
        self.real = [k for k, tensor in enumerate(self.derivation.program.inputs) if not tensor.is_integer]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments, *self.hidden)

    def loss(self, *arguments: Any) -> Any:
        return (self(*arguments) ** 2).sum()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_numpy(name: str) -> None:
    case = Case(name)
    output, pull = jax.vjp(case, *case.arguments)
    upstream = jax.numpy.ones_like(output)
    found = pull(upstream)
    inputs = dict(
        zip((t.name for t in case.derivation.program.inputs), map(np.asarray, case.arguments), strict=True)
    )
    sizes = {"K": case.sizes["K"]} if case.hidden else None
    wanted = case.derivation.compile(sizes=sizes)(inputs, np.asarray(upstream))
    assert [found[k].dtype for k in case.real] == ["float32"] * len(case.real)
    for k, expected in zip(case.real, wanted.values(), strict=True):
        np.testing.assert_allclose(found[k], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MOST)
def test_the_gradient_of_the_gradient_under_jit(name: str) -> None:
    case = Case(name)
    k = case.real[0]

    def norm(*arguments: Any) -> Any:
        return (jax.grad(case.loss, argnums=k)(*arguments) ** 2).sum()

    found = jax.jit(jax.grad(norm, argnums=k))(*case.arguments)
    step = 1e-2
    direction = jax.numpy.ones_like(case.arguments[k])

    def at(move: float) -> float:
        moved = [a + move * direction if i == k else a for i, a in enumerate(case.arguments)]
        return float(norm(*moved))

    numerical = (at(step) - at(-step)) / (2 * step)
    scale = max(1.0, abs(at(0.0)), abs(numerical))
    assert abs(float((found * direction).sum()) - numerical) <= 2e-2 * scale


@pytest.mark.parametrize("name", ["linear", "attention", "embedding", "layer_norm", "convolution"])
def test_vmap_is_one_after_the_other(name: str) -> None:
    case = Case(name)
    k = case.real[0]
    gradient = jax.grad(case.loss, argnums=k)
    batch = jax.numpy.stack([case.arguments[k], case.arguments[k] + 0.1])
    axes = [0 if i == k else None for i in range(len(case.arguments))]
    batched = [batch if i == k else a for i, a in enumerate(case.arguments)]
    found = jax.vmap(gradient, in_axes=axes)(*batched)
    for row, x in zip(found, batch, strict=True):
        alone = gradient(*[x if i == k else a for i, a in enumerate(case.arguments)])
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-5)


RESIDUALS = [
    ("softmax", "return Y, (Y,)"),
    ("linear", "return Y, (X, W)"),
    ("mlp", "return Y, (X, W, V, H)"),
    ("embedding", "return Y, (t, E)"),  # E for its shape
]


@pytest.mark.parametrize(("name", "line"), RESIDUALS)
def test_only_what_the_backward_rule_reads_is_passed_on(name: str, line: str) -> None:
    assert f"    {line}\n" in Case(name).text
