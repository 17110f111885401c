"""Shapes that nobody declared, inferred where one reading is possible."""

from __future__ import annotations

from pullback.expression import Expr
from pullback.reading.declarations import Declarations
from pullback.reading.syntax import Source


def infer(text: Source, declared: Declarations) -> dict[str, tuple[Expr, ...]]:
    return {}
