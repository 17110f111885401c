"""Names for intermediates: readable, and never one that is taken."""

from __future__ import annotations

from typing import Final

from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS
from pullback.program import Program

STEMS: Final = {
    "softmax": "P",
    "log_softmax": "LP",
    "logsumexp": "lse",
    "weighted_softmax": "P",
    "weighted_logsumexp": "lse",
    "norm": "nrm",
    "max": "mx",
    "min": "mn",
    "prod": "pr",
    "inv": "Inv",
    "det": "det_",
    "logdet": "ld",
    "solve": "Sol",
    "cholesky": "Chol",
}


class Names:
    """Hands out names that neither the program nor its gradients use."""

    def __init__(self, program: Program) -> None:
        self.taken = set(program.by_name) | {f"d{name}" for name in program.by_name}
        self.taken |= set(program.sizes) | set(FUNCTIONS) | set(OPERATORS) | set(program.ranges)

    def new(self, wanted: str) -> str:
        """A free name near the wanted one; an operator's name gives its customary letter."""
        stem = STEMS.get(wanted, wanted)
        name, k = stem, 1
        while name in self.taken:
            name, k = f"{stem}{k}", k + 1
        self.taken.add(name)
        return name
