"""How much is accepted. Every limit has one place, and passing it is a sentence, never a crash."""

from __future__ import annotations

from typing import Final

from pullback.errors import LimitProblem

MAX_CHARACTERS: Final = 200_000  # a chain of 1,000 layers with its declarations fits
MAX_NESTING: Final = 100
MAX_NODES: Final = 200_000
MAX_DIGITS: Final = 30
MAX_EXPONENT: Final = 64
MAX_RANK: Final = 16
MAX_ELEMENTS: Final = 2 * 10**8  # of one array that a compiled pass would allocate
MAX_WALKTHROUGH_ENTRIES: Final = 64  # of one tensor that is written out entry by entry
MAX_CHECK_ELEMENTS: Final = 4_000_000  # of one array inside the exact evaluator


def demand(value: int, limit: int, what: str, hint: str = "") -> None:
    """Raise `LimitProblem` where `value` exceeds `limit`; `what` names the thing that is counted."""
    if value > limit:
        raise LimitProblem(f"{what}: {value:,} where at most {limit:,} are accepted", hint=hint)
