"""The structure of a Jacobian or Hessian, kept in sight: `diag`, `X.T @ diag(s) @ X`, Kronecker products.

What is shown here is a way to write the same equation; what runs may be written otherwise.
"""

from pullback.structure.congruences import with_jacobians
from pullback.structure.kronecker import kronecker
from pullback.structure.squares import structured, transposed

__all__ = ["kronecker", "structured", "transposed", "with_jacobians"]
