"""Pullback derives, proves and checks backward passes.

>>> import pullback
>>> derivation = pullback.derive("Y = X @ W")
>>> print(derivation.gradients["X"])
dX = dY @ W.T
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pullback.api import Derivation, Formula, derive
    from pullback.backward import Backward
    from pullback.catalogue import Layer, layer, layers
    from pullback.checking import check
    from pullback.claiming import Verdict, claim
    from pullback.errors import PullbackError
    from pullback.laws import Accumulation, accumulates
    from pullback.proofreading import Proofreading, proofread

__version__ = "0.1.0"
__all__ = [
    "Accumulation",
    "Backward",
    "Derivation",
    "Formula",
    "Layer",
    "Proofreading",
    "PullbackError",
    "Verdict",
    "__version__",
    "accumulates",
    "check",
    "claim",
    "derive",
    "layer",
    "layers",
    "proofread",
]

# Public name -> the module that it stands in. A name is imported when it is first used, so that the
# command line pays for what it runs and for nothing else.
_HOMES = {
    "Accumulation": "pullback.laws",
    "Backward": "pullback.backward",
    "Derivation": "pullback.api",
    "Formula": "pullback.api",
    "Layer": "pullback.catalogue",
    "Proofreading": "pullback.proofreading",
    "PullbackError": "pullback.errors",
    "Verdict": "pullback.claiming",
    "accumulates": "pullback.laws",
    "check": "pullback.checking",
    "claim": "pullback.claiming",
    "derive": "pullback.api",
    "layer": "pullback.catalogue",
    "layers": "pullback.catalogue",
    "proofread": "pullback.proofreading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
