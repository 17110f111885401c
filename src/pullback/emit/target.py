"""What code is written for: a spelling, and how a module begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pullback.emit.jax_spelling import Jax
from pullback.emit.numpy_spelling import NumPy
from pullback.emit.spelling import Speller
from pullback.emit.torch_spelling import Torch
from pullback.errors import NameProblem
from pullback.expression import Tensor


@dataclass(frozen=True, slots=True)
class Target:
    """One library that code is written for."""

    name: str
    speller: type[Speller]
    imports: tuple[str, ...]  # the lines that make its names
    real: str  # the annotation of a real array
    integer: str  # of an integer array

    def annotation(self, tensor: Tensor) -> str:
        return self.integer if tensor.is_integer else self.real

    def header(self, body: Sequence[str], also: Sequence[str] = ()) -> list[str]:
        """The import lines that the lines below need."""
        uses_math = any("math." in line for line in body)
        return [
            *(["import math"] if uses_math else []),
            *also,
            *([""] if uses_math or also else []),
            *self.imports,
        ]


NUMPY: Final = Target(
    "numpy",
    NumPy,
    ("import numpy as np", "from numpy.typing import NDArray"),
    "NDArray[np.floating]",
    "NDArray[np.integer]",
)
TORCH: Final = Target("torch", Torch, ("import torch", "from torch import Tensor"), "Tensor", "Tensor")
JAX: Final = Target(
    "jax", Jax, ("import jax", "import jax.numpy as jnp", "from jax import Array"), "Array", "Array"
)
TARGETS: Final = {target.name: target for target in (NUMPY, TORCH, JAX)}


def target_named(name: str, what: str = "target") -> Target:
    """The target of that name; `NameProblem` where there is none."""
    if name not in TARGETS:
        raise NameProblem(f"there is no {what} {name}", hint=f"the {what}s are: {', '.join(TARGETS)}")
    return TARGETS[name]
