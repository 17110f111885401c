"""What several lines, or one line several times, work out is given a name and worked out once.

The candidates are functions and comparisons of each element: `sigmoid(Z)`, `A > B`. One pass over the lines
finds what is repeated, up to the names of indices; a second one reads it by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from pullback.expression import (
    Access,
    Bracket,
    Call,
    Definition,
    Equation,
    Expr,
    Index,
    Tensor,
    children,
    free,
    rebuild,
    tensors,
    walk,
)
from pullback.naming import Names
from pullback.notation import left_side, show
from pullback.rewriting import Step
from pullback.rulebooks.algebra import Key, canonical, reading_order

STEMS: Final = {"sigmoid": "s", "exp": "e", "tanh": "t", "log": "l", "sign": "s"}


def shared(
    definitions: Sequence[Definition], names: Names, steps: dict[str, list[Step]]
) -> tuple[list[Definition], list[Definition]]:
    """The definitions with what is repeated read by name, each name before its first reader; and the names.

    Reading by name is a step of each definition that does it, added to `steps`.
    """
    counts: Counter[Key] = Counter()
    for definition in definitions:
        _count(definition.body, counts)
    repeated = {k for k, count in counts.items() if count > 1}
    if not repeated:
        return list(definitions), []
    names.taken |= {definition.tensor.name for definition in definitions}
    named = Named(repeated, names)
    result: list[Definition] = []
    for definition in definitions:
        if named.is_name(definition):
            result.append(definition)
            continue
        placed = len(named.made)
        new = replace(definition, body=named.read(definition.body))
        result += [*named.made[placed:], new]
        if new.body is not definition.body:
            left = left_side(definition)
            read = [made for made in named.made if made.tensor in tensors(new.body)]
            note = "computed once: " + ", ".join(f"{show(made.body)} as {made.tensor}" for made in read)
            step = Step("name values", Equation(left, definition.body), Equation(left, new.body), note)
            steps.setdefault(definition.tensor.name, []).append(step)
    return result, named.made


def _count(e: Expr, counts: Counter[Key]) -> None:
    """Every candidate in the expression once more; what stands in a repeated one is not looked at again."""
    if _is_candidate(e):
        k = canonical(e)
        counts[k] += 1
        if counts[k] > 1:
            return
    for child in children(e):
        _count(child, counts)


def _is_candidate(e: Expr) -> bool:
    match e:
        case Call(function, _):
            worth = function not in ("floordiv", "mod", "where")
        case Bracket():
            worth = any(not tensor.is_integer for tensor in tensors(e))
        case _:
            return False
    return worth and bool(free(e)) and bool(tensors(e)) and not _is_split(e)


def _is_split(e: Expr) -> bool:
    """Whether a quotient or a remainder of an index stands in it: one block would be worked out for every block."""
    return any(isinstance(node, Call) and node.function in ("floordiv", "mod") for node in walk(e))


class Named:
    """Reads repeated expressions by name, and keeps the definitions of the names."""

    def __init__(self, repeated: Collection[Key], names: Names) -> None:
        self.repeated = repeated
        self.names = names
        self.made: list[Definition] = []
        self._known: dict[Key, Tensor] = {}

    def is_name(self, definition: Definition) -> bool:
        """Whether the definition is itself a name for a candidate; later lines then read it."""
        e = definition.body
        if not _is_candidate(e) or reading_order(e) != definition.indices:
            return False
        return self._known.setdefault(canonical(e), definition.tensor) is definition.tensor

    def read(self, e: Expr) -> Expr:
        if not _is_candidate(e):
            return rebuild(e, tuple(self.read(child) for child in children(e)))
        k = canonical(e)
        indices = reading_order(e)
        inner = rebuild(e, tuple(self.read(child) for child in children(e)))
        if k not in self.repeated:
            return inner
        if k not in self._known:
            self._known[k] = self._define(e, inner, indices)
        return Access(self._known[k], indices)

    def _define(self, e: Expr, body: Expr, indices: tuple[Index, ...]) -> Tensor:
        stem = STEMS.get(e.function, e.function[0]) if isinstance(e, Call) else "mask"
        tensor = Tensor(self.names.new(stem), tuple(index.extent for index in indices))
        self.made.append(Definition(tensor, indices, body))
        return tensor
