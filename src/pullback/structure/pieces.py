"""Pieces of a structured line: factors sorted by their indices, and their text in matrix notation."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from pullback.expression import MINUS_ONE, ONE, Bracket, Definition, Expr, Index, Mul, Tensor, free, mul, walk
from pullback.matrix import matrix_line
from pullback.rulebooks.factoring import parts_of, shared_scale
from pullback.rulebooks.normal import expand


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
    return None if number is None else times(number, tight(text), f"({text})" if is_sum(text) else text)


def times(number: str, text: str, above: str = "") -> str:
    """A scalar in front of an array, or below it: `X / n` for `1 / n * X`; `above` is the array above a line."""
    above = above or text
    match ast.parse(number, mode="eval").body:
        case ast.BinOp(ast.Constant(1), ast.Div(), below):
            divisor = ast.unparse(below)
            return f"{above} / ({divisor})" if _is_product(below) else f"{above} / {divisor}"
        case ast.BinOp(ast.UnaryOp(ast.USub(), ast.Constant(1)), ast.Div(), below):
            return f"-{times(f'1 / {ast.unparse(below)}', text, above)}"
    return f"({number}) * {text}" if is_sum(number) else f"{number} * {text}"


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow)


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


def common(scales: Sequence[Expr]) -> tuple[Expr, list[Expr]]:
    """What stands in front of all of them, and what is left in front of each."""
    return shared_scale([parts_of(expand(scale, lambda _: True))[0] for scale in scales])
