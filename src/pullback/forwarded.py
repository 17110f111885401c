"""A finished derivation by forward mode, and the lines that compute its results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pullback.derivation import Derived
from pullback.expression import Definition, Element, Tensor, walk
from pullback.formula import Spelling, Statement, index_statements, inline, statements
from pullback.sharing import needed
from pullback.structure import structured, transposed

Kind = Literal["jacobian", "hessian", "jvp", "hvp"]


@dataclass(frozen=True, slots=True)
class Result:
    """One derivative: the tensor that holds it, and for a Jacobian or Hessian what it is a derivative of."""

    key: str  # the input or "x,x2" that a caller asks by
    tensor: Tensor
    outputs: int = 0  # how many of its axes are the output's (of a Hessian: the first input's)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A finished derivation of derivatives by forward mode. Everything above this floor only reads it.

    `derived` is laid out as that of a backward pass: `raw` and `backward` hold the gradient's lines where
    they are differentiated, then the tangents.
    """

    kind: Kind
    derived: Derived
    results: tuple[Result, ...]
    directions: Mapping[str, str]  # input -> the input that holds its direction
    notes: tuple[str, ...]


def result_program(
    forwarded: Forwarded,
    results: Collection[str] | None = None,
    *,
    with_forward: bool = False,
    dense: bool = False,
) -> tuple[Statement, ...]:
    """The statements that compute the results (names of their tensors; all by default), in order.

    A derivative of more than two axes is written in index notation, where its brackets show the structure,
    with `dense` in matrix notation where that exists.
    """
    derived = forwarded.derived
    every = {result.tensor.name: result for result in forwarded.results}
    wanted = list(results if results is not None else every)
    made: dict[str, Definition] = {}
    for definition in derived.program.definitions:
        if with_forward or not definition.source:
            made[definition.tensor.name] = definition
    for definition in derived.backward:
        made[definition.tensor.name] = definition
    spelling = Spelling(derived)
    lines: list[Statement] = []
    for definition in needed(made, wanted):
        name = definition.tensor.name
        line = derived.lines.get(name)
        shown = name in every and not dense and forwarded.kind in ("jacobian", "hessian")
        if shown and definition.tensor.rank > 2 and not _reads_operators(definition):
            lines += index_statements(definition, spelling)
        else:
            line = (structured(definition) if shown else None) or line
            if line is not None and name in every:
                line = transposed(definition, line)
            lines += statements(definition, line, spelling)
    own = {d.tensor.name for d in derived.program.definitions if d.source}
    return inline(lines, set(wanted) | own, derived.program.by_name)


def _reads_operators(definition: Definition) -> bool:
    return any(isinstance(node, Element) for node in walk(definition.body))
