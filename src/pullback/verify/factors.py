"""A claim that is right but for a constant factor: which number or size it is, and how it is put in."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from pullback.verify.tree import binary, text_of

Factor = tuple[str, Callable[[ast.expr], ast.expr], str, bool, int]


def cancelled(value: ast.expr, text: str, inverse: bool, sign: int) -> ast.expr | None:
    """The product without a factor that undoes the wanted one: `2 * x` times 1/2 is `x`."""
    match value:
        case ast.UnaryOp(op=ast.USub(), operand=a) if text == "1":
            return a
        case ast.BinOp(left=a, op=ast.Mult(), right=b) if inverse and sign > 0 and text_of(a) == text:
            return b
        case ast.BinOp(left=a, op=ast.Mult(), right=b) if inverse and sign > 0 and text_of(b) == text:
            return a
        case ast.BinOp(left=a, op=ast.Div(), right=b) if not inverse and sign > 0 and text_of(b) == text:
            return a
        case ast.BinOp(left=a, op=ast.Mult() | ast.MatMult() | ast.Div() as op, right=b):
            left = cancelled(a, text, inverse, sign)
            if left is not None:
                return binary(left, op, b)
            if not isinstance(op, ast.Div):
                right = cancelled(b, text, inverse, sign)
                return None if right is None else binary(a, op, right)
    return None


def _made(text: str, inverse: bool, sign: int) -> Factor:
    """Words for a factor, the function that puts it in, and what it is."""
    node: Any = ast.parse(text, mode="eval").body
    said = f"1/({text})" if inverse and "*" in text else f"1/{text}" if inverse else text

    def apply(value: ast.expr) -> ast.expr:
        if text == "1":
            return ast.UnaryOp(ast.USub(), value)
        result = binary(value, ast.Div(), node) if inverse else binary(node, ast.Mult(), value)
        return ast.UnaryOp(ast.USub(), result) if sign < 0 else result

    if text == "1":
        return "the sign", apply, text, inverse, sign
    return f"the factor {'-' if sign < 0 else ''}{said}", apply, text, inverse, sign


def factor_of(ratio: float, named: Mapping[str, float], tolerance: float) -> Factor | None:
    """A number, a named one (a size, a scalar) or a product of two, or one over it, with a sign.

    None where no such factor is the ratio.
    """
    plain = [(str(k), float(k)) for k in (1, 2, 3, 4)]
    plain += [(name, value) for name, value in named.items() if value]
    plain += [(f"{a} * {b}", m * n) for (a, m), (b, n) in combinations(named.items(), 2) if m * n]
    for text, value in plain:
        for inverse in (False, True):
            for sign in (1, -1):
                exact = sign / value if inverse else sign * value
                if abs(ratio - exact) < tolerance * max(1.0, abs(ratio)):
                    return _made(text, inverse, sign)
    return None
