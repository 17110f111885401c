"""Convolutions in index notation are written as the libraries' own functions, and mean what is written there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.api import Derivation, derive

torch = pytest.importorskip("torch")

SIZES = {"N": 2, "C": 3, "H": 7, "W": 6, "O": 4, "P": 3, "Q": 2, "R": 2, "D": 4, "L": 6, "S": 3, "M": 4}


def functional(name: str, **options: Any) -> Any:
    return lambda x, k: getattr(torch.nn.functional, name)(x, k, **options)


def causal(x: Any, k: Any) -> Any:
    return torch.nn.functional.conv_transpose1d(x, k.transpose(0, 1))


# program, shapes, ranges of its indices, the forward in PyTorch, what the code calls
ROWS: list[tuple[str, dict[str, str], dict[str, str], Any, list[str]]] = [
    ("Y = conv2d(X, K)", {"X": "N C H W", "K": "O C P Q"}, {}, functional("conv2d"),
     ["functional.conv2d(X, K)", "grad.conv2d_input((N, C, H, W), K, grad_output)"]),
    ("Y = conv2d(X, K, stride=2, padding=1)", {"X": "N C H W", "K": "O C 3 3"}, {},
     functional("conv2d", stride=2, padding=1),
     ["functional.conv2d(X, K, stride=2, padding=1)",
      "grad.conv2d_weight(X, (O, C, 3, 3), grad_output, stride=2, padding=1)"]),
    ("Y = conv2d(X, K, stride=[2, 1], padding=[0, 2])", {"X": "N C H W", "K": "O C 3 3"}, {},
     functional("conv2d", stride=(2, 1), padding=(0, 2)), ["stride=(2, 1), padding=(0, 2)"]),
    ("Y = conv2d(X, K, dilation=2, stride=3)", {"X": "N C H W", "K": "O C P 2"}, {},
     functional("conv2d", stride=3, dilation=2), ["stride=3, dilation=2"]),
    ("Y = conv2d(X, K, stride=2)", {"X": "N C H W", "K": "O C 1 1"}, {}, functional("conv2d", stride=2),
     ["functional.conv2d(X, K, stride=2)"]),
    ("Y = conv1d(X, K, stride=2, padding=1, dilation=2, groups=2)", {"X": "N 4 L", "K": "6 2 3"}, {},
     functional("conv1d", stride=2, padding=1, dilation=2, groups=2),
     ["functional.conv1d(X, K, stride=2, padding=1, dilation=2, groups=2)", "grad.conv1d_input(",
      "grad.conv1d_weight("]),
    ("Y = conv2d(X, K, stride=2, padding=1, groups=4)", {"X": "2 4 6 6", "K": "8 1 3 3"}, {},
     functional("conv2d", stride=2, padding=1, groups=4), ["groups=4", "grad.conv2d_input(", "grad.conv2d_weight("]),
    ("Y[n,c,i,j] = X[n,c,i+p,j+q] * K[c,p,q]", {"X": "N C H W", "K": "C P Q"}, {"i": "H-P+1", "j": "W-Q+1"},
     lambda x, k: torch.nn.functional.conv2d(x, k[:, None], groups=3), ["groups=C"]),
    ("Y[i,j] = X[i+p,j+q] * K[p,q]", {"X": "H W", "K": "P Q"}, {"i": "H-P+1", "j": "W-Q+1"},
     lambda x, k: torch.nn.functional.conv2d(x[None, None], k[None, None])[0, 0], ["functional.conv2d("]),
    ("Y[n,i,j,o] = X[n,i+p,j+q,c] * K[p,q,c,o]", {"X": "N H W C", "K": "P Q C O"}, {"i": "H-P+1", "j": "W-Q+1"},
     lambda x, k: torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), k.permute(3, 2, 0, 1)).permute(0, 2, 3, 1),
     ["functional.conv2d(X.permute((0, 3, 1, 2)), K.permute((3, 2, 0, 1)))"]),
    ("Y[n,o,i,j,k] = X[n,c,i+p,j+q,k+r] * K[o,c,p,q,r]", {"X": "N C H W D", "K": "O C P Q R"},
     {"i": "H-P+1", "j": "W-Q+1", "k": "D-R+1"}, functional("conv3d"), ["functional.conv3d(X, K)"]),
    ("Y[n,o,t] = X[n,c,t-k] * K[o,c,k] * (0 <= t - k) * (t - k < L)", {"X": "N C L", "K": "O C S"},
     {"t": "L+S-1"}, causal, ["grad.conv1d_input((N, O, L + S - 1), K.permute((1, 0, 2)), X)"]),
    ("Y[n,o,t] = X[n,c,j] * K[c,o,k] * (t == 2*j + k)", {"X": "N C L", "K": "C O 3"}, {"t": "2*L+1"},
     functional("conv_transpose1d", stride=2), ["functional.conv1d(grad_output, K, stride=2)"]),
]  # fmt: skip
IDS = [row[0] for row in ROWS]


def derived(row: Any) -> Derivation:
    return derive(row[0], row[1], ranges=row[2] or None)


def arguments(row: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    shapes = {
        name: [SIZES[s] if s in SIZES else int(s) for s in text.split()] for name, text in row[1].items()
    }
    return {name: generator.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_code_calls_the_library(row: Any) -> None:
    code = derived(row).emit("torch", name="layer")
    assert all(text in code for text in row[4])
    assert "einsum" not in code and "arange" not in code


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_gradients_are_those_of_the_plain_convolution(row: Any, backend: str) -> None:
    if backend == "jax":
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
    values = arguments(row)
    tensors = [torch.tensor(value, requires_grad=True) for value in values.values()]
    output = row[3](*tensors)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).reshape(output.shape)
    wanted = torch.autograd.grad(output, tensors, upstream)
    given = torch.tensor if backend == "torch" else np.asarray
    found = derived(row).compile(backend)({k: given(v) for k, v in values.items()}, given(upstream.numpy()))
    for name, gradient in zip(values, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(found[name]), gradient.numpy(), rtol=1e-12, atol=1e-12)


# A convolution's equation with something else in it stays in index notation.
OTHERS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    (
        "Y[i] = X[i+p] * K[p] * (1 <= i + p)",
        {"X": "L", "K": "S"},
        {"i": "L-S+1"},
    ),  # the first entry is left out
    ("Y[i] = X[i+p] * K[p] * (i + p < L)", {"X": "L", "K": "S"}, {"i": "L"}),  # longer than without padding
    ("Y[i] = X[i+p] * K[p] * K[p]", {"X": "L", "K": "S"}, {"i": "L-S+1"}),
    ("Y[i] = X[i+p] * K[p] * (p == i)", {"X": "L", "K": "S"}, {"i": "L-S+1"}),
]


@pytest.mark.parametrize(("program", "shapes", "ranges"), OTHERS, ids=[row[0] for row in OTHERS])
def test_what_is_no_convolution_is_not_called_one(
    program: str, shapes: dict[str, str], ranges: dict[str, str]
) -> None:
    derivation = derive(program, shapes, ranges=ranges)
    forward = derivation.emit("torch", name="layer").split("setup_context")[0]
    assert "conv1d" not in forward
