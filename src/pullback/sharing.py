"""What several lines, or one line several times, work out is given a name and worked out once.

The candidates are functions, comparisons, sums and products of each element: `sigmoid(Z)`, `A > B`, `Z + Z.T`.
One pass over the lines finds what is repeated, up to the names of indices; a second one reads it by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pullback.affine import is_inside
from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Definition,
    Equation,
    Expr,
    Index,
    Mul,
    Sum,
    Tensor,
    accesses,
    add,
    children,
    free,
    mul,
    rebuild,
    substitute,
    tensors,
    walk,
)
from pullback.expression import replace as rewritten
from pullback.naming import Names
from pullback.notation import left_side, show
from pullback.rewriting import Step
from pullback.rulebooks.algebra import Key, canonical, reading_order
from pullback.rulebooks.symmetry import mirrors

MOST_TERMS: Final = 8  # of a sum whose parts may be repeated
SUM: Final = "h"
PRODUCT: Final = "G"
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
        placed = len(named.made)
        read_body = named.inside if named.is_name(definition) else named.read
        new = replace(definition, body=read_body(definition.body))
        result += [*named.made[placed:], new]
        if new.body is not definition.body:
            left = left_side(definition)
            read = [made for made in named.made if made.tensor in tensors(new.body)]
            note = "computed once: " + ", ".join(f"{show(made.body)} as {made.tensor}" for made in read)
            step = Step("name values", Equation(left, definition.body), Equation(left, new.body), note)
            steps.setdefault(definition.tensor.name, []).append(step)
    return result, named.made


def without_named_sums(definitions: Sequence[Definition], program: Collection[str]) -> list[Definition]:
    """The definitions with sums that have a name for being repeated written out again.

    `program` names the tensors of the program, whose gradients keep their names.
    """
    gradients = {f"d{name}" for name in program}
    read = {tensor for definition in definitions for tensor in tensors(definition.body)}
    named: dict[Tensor, Definition] = {}
    result: list[Definition] = []

    def change(node: Expr) -> Expr | None:
        made = named.get(node.tensor) if isinstance(node, Access) else None
        if made is None or not isinstance(node, Access):
            return None
        return substitute(made.body, dict(zip(made.indices, node.slots, strict=True)))

    for definition in definitions:
        new = replace(definition, body=rewritten(definition.body, change))
        is_named = new.tensor.name.rstrip("0123456789") in (SUM, PRODUCT) and new.tensor in read
        if isinstance(new.body, Add | Mul | Sum) and is_named and new.tensor.name not in gradients:
            named[new.tensor] = new
        else:
            result.append(new)
    return result


def _count(e: Expr, counts: Counter[Key]) -> None:
    """Every candidate in the expression once more; what stands in a repeated one is not looked at again."""
    if _is_candidate(e):
        k = canonical(e)
        counts[k] += 1
        if counts[k] > 1:
            return
    counts.update({canonical(part) for part in _parts(e)})
    for child in children(e):
        _count(child, counts)


def _is_candidate(e: Expr) -> bool:
    match e:
        case Call(function, _):
            worth = function not in ("floordiv", "mod", "where")
        case Bracket():
            worth = any(not tensor.is_integer for tensor in tensors(e))
        case Add():
            worth = len(accesses(e)) > 1
        case Mul(factors):
            worth = _is_elementwise(factors)
        case Sum(_, Mul(factors)):
            worth = len(free(e)) > 1 and sum(isinstance(f, Access) for f in factors) > 1
        case _:
            return False
    return worth and bool(free(e)) and bool(tensors(e)) and not _is_split(e) and _stays_inside(e)


def _stays_inside(e: Expr) -> bool:
    """Whether no entry outside a tensor is read: the bracket that makes such a one zero may be left behind."""
    return all(
        is_inside(slot, size)
        for access in accesses(e)
        for slot, size in zip(access.slots, access.tensor.shape, strict=True)
    )


def _is_elementwise(factors: Sequence[Expr]) -> bool:
    """Whether matrices of one shape are multiplied entry by entry."""
    read = sum(isinstance(factor, Access) for factor in factors)
    return read > 1 and len(free(factors[0])) > 1 and len({free(factor) for factor in factors}) == 1


def _parts(e: Expr) -> list[Expr]:
    """Neighbouring terms, or factors of one shape, that may be repeated elsewhere, the longest first."""
    match e:
        case Add(terms) if len(terms) <= MOST_TERMS:
            return [part for span in _spans(terms) if _is_candidate(part := add(*span))]
        case Mul(factors) if len(factors) <= MOST_TERMS:
            groups: dict[frozenset[Index], list[Expr]] = {}
            for factor in factors:
                groups.setdefault(frozenset(free(factor)), []).append(factor)
            spans = [group for group in groups.values() if 1 < len(group) < len(factors)]
            spans += [span for group in groups.values() for span in _spans(group)]
            return [part for span in spans if _is_candidate(part := mul(*span))]
    return []


def _spans(items: Sequence[Expr]) -> list[list[Expr]]:
    """Runs of two or more of the items, but for all of them, the longest first."""
    count = len(items)
    return [list(items[k : k + size]) for size in range(count - 1, 1, -1) for k in range(count - size + 1)]


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
        if not _is_candidate(e) or canonical(e) not in self.repeated:
            return self.inside(e)
        k = canonical(e)
        indices = reading_order(e)
        if k not in self._known:
            self._known[k] = self._define(e, self.inside(e), indices)
        return Access(self._known[k], indices)

    def inside(self, e: Expr) -> Expr:
        """The expression with what stands in it read by name."""
        for part in _parts(e):
            if canonical(part) in self.repeated:
                if isinstance(e, Add) and isinstance(part, Add):
                    rest = add(*(term for term in e.terms if term not in part.terms))
                    return add(self.read(part), self.read(rest))
                if isinstance(e, Mul) and isinstance(part, Mul):
                    rest = mul(*(factor for factor in e.factors if factor not in part.factors))
                    return mul(self.read(part), self.read(rest))
        return rebuild(e, tuple(self.read(child) for child in children(e)))

    def _define(self, e: Expr, body: Expr, indices: tuple[Index, ...]) -> Tensor:
        shape = tuple(index.extent for index in indices)
        facts = frozenset(("symmetric",)) if isinstance(e, Add) and mirrors(indices, body) else frozenset()
        tensor = Tensor(self.names.new(_stem(e)), shape, None, facts)
        self.made.append(Definition(tensor, indices, body))
        return tensor


def _stem(e: Expr) -> str:
    match e:
        case Call(function, _):
            return STEMS.get(function, function[0])
        case Bracket():
            return "mask"
        case Add():
            return SUM
    return PRODUCT


def needed(published: Mapping[str, Definition], targets: Sequence[str]) -> list[Definition]:
    """The definitions that the targets depend on, in their order."""
    wanted: set[str] = set()
    stack = list(targets)
    while stack:
        name = stack.pop()
        if name in wanted or name not in published:
            continue
        wanted.add(name)
        stack.extend(tensor.name for tensor in tensors(published[name].body))
    return [definition for name, definition in published.items() if name in wanted]
