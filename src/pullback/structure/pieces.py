"""Pieces of a structured line: factors sorted by their indices, and their text in matrix notation."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from pullback.expression import MINUS_ONE, ONE, Bracket, Definition, Expr, Index, Mul, Tensor, free, mul, walk
from pullback.matrix import matrix_line


def scaled(term: Expr) -> tuple[Expr, Expr]:
    """The factors without indices in front of a sum, and the sum."""
    if not isinstance(term, Mul):
        return ONE, term
    outer = [factor for factor in term.factors if not free(factor)]
    return mul(*outer), mul(*(factor for factor in term.factors if free(factor)))


def grouped(body: Expr, kinds: Sequence[set[Index]]) -> list[Expr] | None:
    """The factors by the indices that they have: one product for each kind, then those without any."""
    factors = body.factors if isinstance(body, Mul) else (body,)
    found: list[list[Expr]] = [[] for _ in range(len(kinds) + 1)]
    for factor in factors:
        here = set(free(factor))
        place = next((k for k, kind in enumerate(kinds) if here == kind), None)
        if place is None and here:
            place = next((k for k, kind in enumerate(kinds) if here <= kind), None)
        if place is None:
            if here:
                return None
            place = len(kinds)
        found[place].append(factor)
    return [mul(*group) for group in found]


def matrix_text(e: Expr, indices: tuple[Index, ...]) -> str | None:
    """An expression in matrix notation."""
    line = matrix_line(Definition(Tensor("_", tuple(i.extent for i in indices)), indices, e))
    return None if line is None else line.text


def tight(text: str) -> str:
    """In parentheses where a product around it would bind tighter."""
    node = ast.parse(text, mode="eval").body
    loose = isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare) and not (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    )
    return f"({text})" if loose else text


def scaled_text(scale: Expr, text: str) -> str | None:
    if scale is ONE:
        return text
    if scale is MINUS_ONE:
        return f"-{tight(text)}"
    number = matrix_text(scale, ())
    if number is None:
        return None
    return f"({number}) * {tight(text)}" if is_sum(number) else f"{number} * {tight(text)}"


def is_sum(text: str) -> bool:
    node = ast.parse(text, mode="eval").body
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def joined(texts: Sequence[str]) -> str:
    result = texts[0]
    for text in texts[1:]:
        result += f" - {text[1:]}" if text.startswith("-") else f" + {text}"
    return result


def has_delta(e: Expr) -> bool:
    return any(isinstance(node, Bracket) for node in walk(e))


def connected(body: Expr, bound: Iterable[Index]) -> list[tuple[list[Expr], set[Index]]]:
    """The factors in groups that share bound indices."""
    inside = set(bound)
    groups: list[tuple[list[Expr], set[Index]]] = []
    for factor in body.factors if isinstance(body, Mul) else (body,):
        members, labels = [factor], set(free(factor))
        rest = []
        for other in groups:
            if other[1] & labels & inside:
                members, labels = [*other[0], *members], labels | other[1]
            else:
                rest.append(other)
        groups = [*rest, (members, labels)]
    return groups


def common(scales: Sequence[Expr]) -> Expr:
    """What stands in front of all of them, but for a sign: the first, or nothing."""
    first = scales[0]
    return first if all(_same(e, first) or _same(e, mul(MINUS_ONE, first)) for e in scales) else ONE


def ratio(scale: Expr, shared: Expr) -> Expr:
    """What is left of a scale in front of what `common` found."""
    if _same(scale, shared):
        return ONE
    return MINUS_ONE if _same(scale, mul(MINUS_ONE, shared)) else scale


def _same(a: Expr, b: Expr) -> bool:
    """Sums over indices of other names are the same."""
    return a is b or (matrix_text(a, ()) is not None and matrix_text(a, ()) == matrix_text(b, ()))
