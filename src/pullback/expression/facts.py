"""What may be declared about a tensor: the facts, which of them go together, and what each says of an entry."""

from __future__ import annotations

import re
from typing import Final

from pullback.expression.nodes import Tensor

SIMPLEX: Final = re.compile(r"simplex(?:\(axis=(-?\d+)\))?\Z")
FACTS: Final = (
    "positive", "nonnegative", "nonzero", "symmetric", "spd", "invertible", "lower_triangular",
    "simplex", "binary", "zero_diagonal",
)  # fmt: skip
SQUARE_FACTS: Final = frozenset(("symmetric", "spd", "invertible", "lower_triangular", "zero_diagonal"))
# Facts that draw the values of a tensor, each with those that may be declared beside it.
BESIDE: Final = {
    "simplex": frozenset(("positive", "nonnegative", "nonzero")),
    "binary": frozenset(("nonnegative", "symmetric", "lower_triangular", "zero_diagonal")),
    "zero_diagonal": frozenset(("nonnegative", "symmetric", "binary")),
}
SYMMETRIC: Final = frozenset(("symmetric", "spd"))
VALUE_FACTS: Final = frozenset(BESIDE)


def fact_name(fact: str) -> str:
    """The fact without its axis."""
    return "simplex" if SIMPLEX.match(fact) else fact


def simplex_axis(tensor: Tensor) -> int | None:
    """The axis along which the entries are nonnegative and sum to 1, counted from 0, if one is declared."""
    for fact in tensor.facts:
        found = SIMPLEX.match(fact)
        if found is not None:
            return int(found[1] or -1) % tensor.rank
    return None


def clash(facts: frozenset[str]) -> tuple[str, str] | None:
    """Two facts that cannot be declared of one tensor, if there are any."""
    names = sorted(facts, key=fact_name)
    for first in names:
        allowed = BESIDE.get(fact_name(first))
        others = [
            fact for fact in names if fact != first and allowed is not None and fact_name(fact) not in allowed
        ]
        if others:
            return first, others[0]
    return None


def is_symmetric(tensor: Tensor) -> bool:
    """Whether S[i,j] = S[j,i] is known of the tensor."""
    return tensor.rank == 2 and not tensor.facts.isdisjoint(SYMMETRIC)


def untied(tensor: Tensor, *, keep_symmetry: bool = False) -> Tensor:
    """The same tensor without the facts that tie its entries to each other or to a value."""
    facts = tensor.facts
    if facts & SYMMETRIC and not keep_symmetry:
        facts = facts - SYMMETRIC | {"invertible"}
    if simplex_axis(tensor) is not None:
        facts = facts | {"positive"}
    facts = frozenset(fact for fact in facts if fact_name(fact) not in VALUE_FACTS)
    return tensor if facts == tensor.facts else Tensor(tensor.name, tensor.shape, None, facts)
