"""Pullback derives, proves and checks backward passes.

>>> import pullback
>>> derivation = pullback.derive("Y = X @ W")
>>> print(derivation.gradients["X"])
dX = dY @ W.T
"""

from pullback.api import Derivation, Formula, derive
from pullback.backward import Backward
from pullback.errors import PullbackError

__version__ = "0.1.0"
__all__ = ["Backward", "Derivation", "Formula", "PullbackError", "__version__", "derive"]
