"""What a program declares, in its text and beside it: shapes, integer tensors, facts, ranges."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pullback.errors import PullbackError, ShapeProblem, SyntaxProblem
from pullback.expression import Expr, sizes_in
from pullback.limits import MAX_RANK, demand
from pullback.reading.facts import fact_call, parse_facts
from pullback.reading.shapes import (
    any_symbol,
    by_name,
    parse_integers,
    parse_ranges,
    parse_shape,
    size_expression,
)
from pullback.reading.syntax import Source
from pullback.sizes import same_size, shape_text

Shape = tuple[Expr, ...]


@dataclass(slots=True)
class Declarations:
    """The declarations of a program, and the lines that are left: its definitions."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    integers: dict[str, tuple[Shape, Expr]] = field(default_factory=dict)
    facts: dict[str, frozenset[str]] = field(default_factory=dict)
    ranges: dict[str, Expr] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)  # names that stand where only a size can
    lines: list[ast.Assign] = field(default_factory=list)

    @property
    def sizes(self) -> set[str]:
        """Every symbol in a declared size."""
        extents = [e for shape in self.shapes.values() for e in shape]
        extents += [e for shape, values in self.integers.values() for e in (*shape, values)]
        extents += self.ranges.values()
        return self.named.union(*(sizes_in(e) for e in extents))

    def is_input(self, name: str) -> bool:
        return name in self.integers

    def declare(self, name: str, shape: Shape) -> None:
        known = self.shapes.get(name)
        differs = known is not None and (len(known) != len(shape) or not all(map(same_size, known, shape)))
        if differs or name in self.integers:
            found = shape_text(known or self.integers[name][0])
            raise ShapeProblem(f"the shape of {name} is given twice: {found} and {shape_text(shape)}")
        self.shapes[name] = shape

    def declare_integer(self, name: str, shape: Shape, values: Expr) -> None:
        if name in self.shapes or name in self.integers:
            raise ShapeProblem(f"the shape of {name} is given twice")
        self.integers[name] = (shape, values)


def gather(
    text: Source,
    statements: list[ast.stmt],
    shapes: Mapping[str, Any] | str | None,
    integers: Mapping[str, Any] | None,
    assume: Mapping[str, Any] | None,
    ranges: Mapping[str, Any] | None,
) -> Declarations:
    """The declarations beside the program, then those in it, and its definitions."""
    declared = Declarations()
    for name, entry in by_name(shapes, "shapes", '{"X": "N D"}').items():
        _check_name(name)
        declared.declare(name, parse_shape(entry))
    for name, entry in by_name(integers, "integers", '{"t": ("B", "V")}').items():
        _check_name(name)
        declared.declare_integer(name, *parse_integers(entry))
    for name, entry in by_name(assume, "assume", '{"S": "spd"}').items():
        declared.facts[name] = parse_facts(entry)
    declared.ranges = parse_ranges(by_name(ranges, "ranges", '{"p": "H-R+1"}'))
    for node in statements:
        try:
            _statement(declared, node)
        except PullbackError as error:
            raise error.at(text.place(node), text.text) from None
    return declared


def _check_name(name: str) -> None:
    any_symbol(name)


def _statement(declared: Declarations, node: ast.stmt) -> None:
    match node:
        case ast.Assign():
            declared.lines.append(node)
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            _declaration(declared, name, annotation)
        case ast.Expr(value=ast.Call(func=ast.Name(id=fact), args=arguments, keywords=keywords)):
            _fact(declared, fact, arguments, keywords)
        case _:
            what = "a definition begins with a name: a bare expression is no part of a program"
            raise SyntaxProblem(what, hint="Y = X @ W")


def _declaration(declared: Declarations, name: str, annotation: ast.expr) -> None:
    """`X: [N, D]`, `a: []`, `t: [B] in V`."""
    match annotation:
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            declared.declare(name, _shape(entries))
        case ast.Compare(left=ast.List(elts=entries), ops=[ast.In()], comparators=[values]):
            declared.declare_integer(name, _shape(entries), size_expression(values, any_symbol))
        case _:
            raise SyntaxProblem("a shape stands in brackets", hint=f"{name}: [N, D], or {name}: [N] in V")


def _shape(entries: list[ast.expr]) -> Shape:
    demand(len(entries), MAX_RANK, "the number of axes")
    return tuple(size_expression(entry, any_symbol) for entry in entries)


def _fact(declared: Declarations, fact: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> None:
    """`symmetric(A)` on a line of its own."""
    said, names = fact_call(fact, arguments, keywords)
    for name in names:
        declared.facts[name] = declared.facts.get(name, frozenset()) | {said}
