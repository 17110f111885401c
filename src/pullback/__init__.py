"""Pullback derives, proves and checks backward passes.

>>> import pullback
>>> derivation = pullback.derive("Y = X @ W")
>>> print(derivation.gradients["X"])
dX = dY @ W.T
"""

from pullback.api import Derivation, Formula, derive
from pullback.backward import Backward
from pullback.catalogue import Layer, layer, layers
from pullback.claiming import Verdict, claim
from pullback.errors import PullbackError

__version__ = "0.1.0"
__all__ = [
    "Backward",
    "Derivation",
    "Formula",
    "Layer",
    "PullbackError",
    "Verdict",
    "__version__",
    "claim",
    "derive",
    "layer",
    "layers",
]
