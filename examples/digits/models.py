"""Two classifiers as programs, their starting parameters, and their forward pass.

The programs are all that Pullback sees. The gradients that train the models are derived from them;
the forward pass below is NumPy by hand, and serves to report losses and accuracies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import pullback

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Parameters = dict[str, Array]

SOFTMAX_CLASSIFIER = """
S = X @ W + b
L = -sum(log_softmax(S, axis=1) * onehot(t, M)) / N
"""

TWO_LAYERS = """
H = tanh(X @ W1 + b1)
S = H @ W2 + b2
L = -sum(log_softmax(S, axis=1) * onehot(t, M)) / N
"""


@dataclass(frozen=True)
class Model:
    """A program with the shapes of its inputs; `logits` is its forward pass up to the scores `S`."""

    name: str
    program: str
    shapes: dict[str, str]
    start: Callable[[np.random.Generator], Parameters]
    logits: Callable[[Parameters, Array], Array]
    rate: float

    def derive(self) -> pullback.Derivation:
        """The derivation for every parameter; images `X` and labels `t` are data."""
        parameters = [name for name in self.shapes if name != "X"]
        return pullback.derive(self.program, self.shapes, wrt=parameters, integers={"t": ("N", "M")})


def _weights(rng: np.random.Generator, rows: int, columns: int) -> Array:
    return rng.normal(0, rows**-0.5, (rows, columns))


def softmax_classifier(pixels: int = 64, classes: int = 10) -> Model:
    def start(rng: np.random.Generator) -> Parameters:
        return {"W": _weights(rng, pixels, classes), "b": np.zeros(classes)}

    def logits(p: Parameters, images: Array) -> Array:
        return images @ p["W"] + p["b"]

    shapes = {"X": "N D", "W": "D M", "b": "M"}
    return Model("softmax classifier", SOFTMAX_CLASSIFIER, shapes, start, logits, rate=0.3)


def two_layer_network(pixels: int = 64, hidden: int = 64, classes: int = 10) -> Model:
    def start(rng: np.random.Generator) -> Parameters:
        return {
            "W1": _weights(rng, pixels, hidden),
            "b1": np.zeros(hidden),
            "W2": _weights(rng, hidden, classes),
            "b2": np.zeros(classes),
        }

    def logits(p: Parameters, images: Array) -> Array:
        return np.tanh(images @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]

    shapes = {"X": "N D", "W1": "D F", "b1": "F", "W2": "F M", "b2": "M"}
    return Model("two-layer network", TWO_LAYERS, shapes, start, logits, rate=0.1)


def loss_of(logits: Array, labels: Labels) -> float:
    """Mean cross-entropy, in the form that does not overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sums - shifted[np.arange(len(labels)), labels]).mean())


def accuracy_of(logits: Array, labels: Labels) -> float:
    return float((logits.argmax(axis=1) == labels).mean())
