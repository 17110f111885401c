"""One-hot matrices become readings and additions at labels, where the shapes are certain; repeated work gets a name."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.api import derive
from pullback.emit.labels import at_labels

RANKS = {"Z": 2, "W": 3, "t": 1, "u": 2, "g": 0, "N": 0, "C": 0, "b": 1}

ROWS = [
    ("sum(Z * onehot(t, C), axis=1)", "pick(Z, t)"),
    ("-sum(onehot(t, C) * log_softmax(Z, axis=1), axis=1)", "-pick(log_softmax(Z, axis=1), t)"),
    ("sum(onehot(u, C) * W) / N", "sum(pick(W, u)) / N"),
    ("g * (softmax(Z, axis=1) - onehot(t, C)) / N", "g / N * add_at(softmax(Z, axis=1), t, -1)"),
    ("Z + 2 * onehot(t, C)", "add_at(Z, t, 2)"),
    # Another axis, a value that is broadcast, or one of unknown shape: as it was.
    ("sum(Z * onehot(t, C), axis=0)", "sum(Z * onehot(t, C), axis=0)"),
    ("sum(W * onehot(u, C), axis=1)", "sum(W * onehot(u, C), axis=1)"),
    ("sum(b * onehot(t, C), axis=1)", "sum(b * onehot(t, C), axis=1)"),
    ("b - onehot(t, C)", "b - onehot(t, C)"),
    ("mean(Z, axis=1, keepdims=True) - onehot(t, C)", "mean(Z, axis=1, keepdims=True) - onehot(t, C)"),
    ("unknown - onehot(t, C)", "unknown - onehot(t, C)"),
]


@pytest.mark.parametrize(("text", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_a_one_hot_matrix_is_not_made_where_its_labels_are_enough(text: str, expected: str) -> None:
    assert at_labels(text, RANKS, add=True) == expected


def test_without_addition_labels_are_only_read() -> None:
    text = "Z - onehot(t, C)"
    assert at_labels(text, RANKS, add=False) == text


LOSSES = [
    ("L = mean(logsumexp(Z, axis=1) - sum(Z * onehot(t, C), axis=1))", "N C", ("N", "C")),
    ("logP = log_softmax(Z, axis=2); L = -sum(onehot(t, C) * logP) / (N * M)", "N M C", ("N M", "C")),
]


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
@pytest.mark.parametrize(("program", "shape", "labels"), LOSSES, ids=[row[0] for row in LOSSES])
def test_the_gradient_of_a_loss_with_labels_is_right(
    program: str, shape: str, labels: tuple[str, str], backend: str
) -> None:
    if backend != "numpy":
        pytest.importorskip(backend)
    generator = np.random.default_rng(1)
    logits = generator.standard_normal([{"N": 4, "M": 2, "C": 5}[n] for n in shape.split()])
    t = generator.integers(0, 5, logits.shape[:-1])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    wanted = (probabilities - np.eye(5)[t]) / t.size
    backward = derive(program, {"Z": shape}, integers={"t": labels}).compile(backend)
    if backend == "torch":
        import torch

        found = backward({"Z": torch.tensor(logits), "t": torch.tensor(t)})["Z"].numpy()
    else:
        found = np.asarray(backward({"Z": logits, "t": t})["Z"])
    np.testing.assert_allclose(found, wanted, rtol=1e-6 if backend == "jax" else 1e-12, atol=1e-7)


def test_what_several_gradients_share_is_computed_once() -> None:
    program = "A = X @ W; Y = (A * sigmoid(A) * (X @ V)) @ U"
    shapes = {"X": "N D", "W": "D F", "V": "D F", "U": "F D"}
    code = derive(program, shapes).emit("torch", name="gated").split("def backward")[1].split("def gated")[0]
    assert code.count("X @ V") == code.count("grad_output @ U.mT") == 1
    assert "dU = (A_s * X_V).mT @ grad_output" in code
