"""The backward pass in PyTorch and in JAX computes what it computes in NumPy, in that library's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.api import derive
from pullback.emit import plain_source, run_source
from pullback.emit.target import TORCH
from pullback.errors import DomainProblem, InternalProblem, NameProblem, ShapeProblem
from pullback.sizes import evaluate_size

# program, shapes, integers
ROWS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("L = sum(2 * x[0:1] + 3 * x[1:2])", {"x": "2"}, {}),
    ("Y = X @ W", {"X": "N D", "W": "D M"}, {}),
    ("Y = softmax(X @ W, axis=1)", {"X": "N D", "W": "D M"}, {}),
    ("L = mean(logsumexp(X, axis=1) - take(y, 1, axis=1))", {"X": "N D", "y": "N D"}, {}),
    ("Y = take(E, t, axis=0)", {"E": "V D"}, {"t": ("B", "V")}),
    ("Y = X * onehot(t, V)", {"X": "B V"}, {"t": ("B", "V")}),
    ("L = sum(max(X, axis=0)) + prod(x)", {"X": "N D", "x": "N"}, {}),
    ("L = sum(X)", {"X": "3 4"}, {}),
    ("L = sum(where(X > 0, 1, 0) * X + maximum(X, 0) + minimum(X, y))", {"X": "N D", "y": "N D"}, {}),
    ("L = sum(softplus(X) + gelu(X) + erf(X) + relu(X) + abs(X) + logaddexp(X, 1) + hypot(X, 1))", {"X": "N D"}, {}),
    ("L = sum(arctan(X) + arctan2(X, y) + arctan2(2, X) * arcsin(tanh(X)))", {"X": "N", "y": "N"}, {}),
    ("L = sum(lgamma(2 + X**2)) + N * lgamma(N) + digamma(N) * sum(X)", {"X": "N"}, {}),
    ("L = logdet(S) + sum(inv(S)) + det(S) + trace(S) + sum(solve(S, b))", {"S": "N N", "b": "N"}, {}),
    ("Y = cumsum(X, axis=1)", {"X": "N D"}, {}),
    ("Y = concatenate([X, y], axis=1)", {"X": "N D", "y": "N M"}, {}),
    ("Y = einsum('bij,bjk,kl->bil', X, y, z)", {"X": "B I J", "y": "B J K", "z": "K L"}, {}),
    ("Y = kron(X, y)", {"X": "2 N", "y": "M 3"}, {}),
    ("P = softmax(where(tril(ones([N, N])) > 0, S / sqrt(N), -1e9), axis=1); Y = P @ V", {"S": "N N", "V": "N D"}, {}),
    ("Y[i] = X[i] * t[i] / 2 + (t[i] == 1)", {"X": "B"}, {"t": ("B", "V")}),
    ("L = norm(x)", {"x": "N"}, {}),
    ("Y = x / norm(x)", {"x": "N"}, {}),
    ("Y = conv2d(X, W, stride=2, padding=1)", {"X": "N C 4 4", "W": "O C 2 2"}, {}),
    ("Y = max_pool2d(X, 2)", {"X": "N C 4 4"}, {}),
    ("q = x[i]**2; f = sqrt(q)", {"x": "N"}, {}),
    ("Z[i] = exp(S[i,j]) * (j <= i); P[i,j] = exp(S[i,j]) * (j <= i) / Z[i]", {"S": "N N"}, {}),
    ("Y = np * torch + jnp", {"np": "N", "torch": "N", "jnp": "N"}, {}),
]  # fmt: skip


def arrays(derivation: Any, dtype: Any = float) -> tuple[dict[str, Any], Any]:
    """Inputs and an upstream gradient of distinct small sizes."""
    rng = np.random.default_rng(1)
    sizes = {name: 2 + k % 4 for k, name in enumerate(derivation.program.sizes)}

    def shape(tensor: Any) -> list[int]:
        return [evaluate_size(extent, sizes) for extent in tensor.shape]

    inputs: dict[str, Any] = {}
    for tensor in derivation.program.inputs:
        if tensor.is_integer:
            inputs[tensor.name] = rng.integers(0, 2, size=shape(tensor))
        else:
            inputs[tensor.name] = rng.normal(size=shape(tensor)).astype(dtype)
            if tensor.name == "S":
                inputs["S"] = (inputs["S"] @ inputs["S"].T + np.eye(len(inputs["S"]))).astype(dtype)
    output = derivation.program.output
    upstream = rng.normal(size=shape(output)).astype(dtype) if output.shape else None
    return inputs, upstream


def check(derivation: Any, backend: str, dtype: Any, tolerance: float) -> None:
    inputs, upstream = arrays(derivation, dtype)
    wanted = derivation.compile()(inputs, upstream)
    found = derivation.compile(backend)(inputs, upstream)
    assert list(found) == list(wanted)
    for name, gradient in wanted.items():
        got = np.asarray(found[name])
        assert (got.shape, got.dtype) == (gradient.shape, gradient.dtype)
        np.testing.assert_allclose(got, gradient, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.torch
@pytest.mark.parametrize(("program", "shapes", "integers"), ROWS, ids=[row[0] for row in ROWS])
def test_pytorch_computes_the_same(program: str, shapes: dict[str, str], integers: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    check(derive(program, shapes, integers=integers), "torch", np.float64, 1e-12)


@pytest.mark.jax
@pytest.mark.parametrize(("program", "shapes", "integers"), ROWS, ids=[row[0] for row in ROWS])
def test_jax_computes_the_same(program: str, shapes: dict[str, str], integers: dict[str, Any]) -> None:
    pytest.importorskip("jax")
    check(derive(program, shapes, integers=integers), "jax", np.float32, 2e-4)


@pytest.mark.torch
def test_a_pass_on_tensors_gives_tensors_and_says_what_is_wrong() -> None:
    torch = pytest.importorskip("torch")
    backward = derive("Y = X @ W").compile("torch")
    X, W = torch.ones(2, 3), torch.ones(3, 4, dtype=torch.bfloat16).float()
    found = backward({"X": X, "W": W}, torch.ones(2, 4))
    assert {type(gradient) for gradient in found.values()} == {torch.Tensor}
    assert "dX = dY @ W.mT" in backward.source
    with pytest.raises(ShapeProblem, match=r"dY has shape \(2, 5\), where \(2, 4\) is expected"):
        backward({"X": X, "W": W}, torch.ones(2, 5))
    with pytest.raises(DomainProblem, match=r"X holds torch\.bool"):
        backward({"X": X > 0, "W": W}, torch.ones(2, 4))
    rows = derive("Y = take(E, t, axis=0)", {"E": "V D"}, integers={"t": ("B", "V")}).compile("torch")
    with pytest.raises(DomainProblem, match=r"t holds 0\.\.7, where 0\.\.2 is expected"):
        rows({"E": torch.ones(3, 2), "t": torch.tensor([0, 7])}, torch.ones(2, 2))


@pytest.mark.jax
def test_a_pass_on_arrays_runs_under_jit() -> None:
    jax = pytest.importorskip("jax")
    backward = derive("Y = take(E, t, axis=0)", {"E": "V D"}, integers={"t": ("B", "V")}).compile("jax")
    inputs = {"E": jax.numpy.ones((3, 2)), "t": jax.numpy.array([0, 2])}
    found = jax.jit(backward)(inputs, jax.numpy.ones((2, 2)))
    assert found["E"].tolist() == [[1, 1], [0, 0], [1, 1]]


def test_only_names_of_the_tables_are_run() -> None:
    pytest.importorskip("torch")
    text = plain_source(derive("Y = X @ W").derived, target=TORCH).text
    assert callable(run_source(text, "backward", TORCH))
    for bad in (
        "torch.load('a')",
        "torch.ops.aten.add(dY, dY)",
        "torch.save",
        "jax.numpy",
        "dY.numpy()",
        "math.os",
    ):
        with pytest.raises(InternalProblem):
            run_source(text.replace("dY @ W.mT", bad), "backward", TORCH)


def test_unknown_backends_are_named() -> None:
    with pytest.raises(NameProblem, match="there is no backend cuda"):
        derive("Y = X @ W").compile("cuda")
