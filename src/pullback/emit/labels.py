"""One-hot matrices that are never made: an entry of each row is read, or added to, at its label.

The words are neutral: `pick(A, t)` is A[…, t[…]], and `add_at(A, t, v)` is A with v added there.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pullback.functions import FUNCTIONS
from pullback.matrix.syntax import binary, constant, function, negative

KEEP = ("softmax", "log_softmax", "cumsum", "add_at", "where", *FUNCTIONS)


def at_labels(text: str, ranks: Mapping[str, int], *, add: bool) -> str:
    """The same value: Σ_c A[n,c] [t[n] = c] as a reading of A, and s · (A - onehot) as an addition to A.

    `ranks` says how many axes a name has, none of them of size 1; of any other name nothing is known. Without
    `add` no value is added at labels.
    """
    if "onehot(" not in text:
        return text
    tree = _Labels(ranks, add).visit(ast.parse(text, mode="eval").body)
    return ast.unparse(ast.fix_missing_locations(tree)).replace("'", '"')


class _Labels(ast.NodeTransformer):
    def __init__(self, ranks: Mapping[str, int], add: bool) -> None:
        self.ranks = ranks
        self.add = add

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("sum"), [ast.BinOp(left, ast.Mult(), right)], options):
                axis = next((k.value for k in options if k.arg == "axis"), None)
                for value, labels in ((left, right), (right, left)):
                    found = self._picked(value, labels, axis) if len(options) == (axis is not None) else None
                    if found is not None:
                        return found if axis is not None else function("sum", found)
        return node

    def _picked(self, value: ast.expr, labels: ast.expr, axis: ast.expr | None) -> ast.expr | None:
        match labels:
            case ast.UnaryOp(ast.USub(), inner):
                found = self._picked(value, inner, axis)
                return None if found is None else negative(found)
            case ast.Call(ast.Name("onehot"), [which, _]):
                last = self.rank(which)
                if (
                    last is not None
                    and (axis is None or _number(axis) in (last, -1))
                    and self._wide(value, which)
                ):
                    return function("pick", value, which)
        return None

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        # A product from the outside in: its scalars are looked at as a whole.
        scale, core = self._split(node)
        match core if self.add else None:
            case ast.BinOp(value, ast.Add() | ast.Sub() as sign, labels):
                part, hot = self._split(labels)
                match hot:
                    case ast.Call(ast.Name("onehot"), [which, _]) if self._wide(value, which):
                        step = part if isinstance(sign, ast.Add) else negative(part or constant(1))
                        return _scaled(
                            scale, function("add_at", self.visit(value), which, step or constant(1))
                        )
        self.generic_visit(node)
        return node

    def _wide(self, value: ast.expr, which: ast.expr) -> bool:
        rank, labels = self.rank(value), self.rank(which)
        return rank is not None and labels is not None and rank == labels + 1 and self._whole(value)

    def _whole(self, value: ast.expr) -> bool:
        """Whether no axis of the value is one of size 1, which would be broadcast."""
        kept = [k for part in ast.walk(value) if isinstance(part, ast.Call) for k in part.keywords]
        return not any(k.arg == "keepdims" for k in kept) and "reshape" not in ast.unparse(value)

    def _split(self, node: ast.expr) -> tuple[ast.expr | None, ast.expr]:
        """The scalars in front of and behind a value, and the value."""
        match node:
            case ast.BinOp(left, ast.Mult(), right) if self.rank(left) == 0:
                scale, core = self._split(right)
                return (left if scale is None else binary(left, "*", scale)), core
            case ast.BinOp(left, ast.Div(), right) if self.rank(right) == 0 != self.rank(left):
                scale, core = self._split(left)
                return binary(constant(1) if scale is None else scale, "/", right), core
            case ast.UnaryOp(ast.USub(), inner) if self.rank(inner) != 0:
                scale, core = self._split(inner)
                return negative(constant(1) if scale is None else scale), core
        return None, node

    def rank(self, node: ast.expr) -> int | None:
        """How many axes the value has; None where the text does not tell."""
        match node:
            case ast.Constant():
                return 0
            case ast.Name(name):
                return self.ranks.get(name)
            case ast.UnaryOp(_, inner):
                return self.rank(inner)
            case ast.BinOp(left, operator, right) if not isinstance(operator, ast.MatMult):
                sides = self.rank(left), self.rank(right)
                return None if None in sides else max(side for side in sides if side is not None)
            case ast.BinOp(left, ast.MatMult(), right):
                sides = self.rank(left), self.rank(right)
                return 2 if sides == (2, 2) else None
            case ast.Call(ast.Name("onehot"), [which, _]):
                rank = self.rank(which)
                return None if rank is None else rank + 1
            case ast.Call(ast.Name(name), [first, *_]) if name in KEEP:
                return self.rank(first)
        return None


def _scaled(scale: ast.expr | None, value: ast.expr) -> ast.expr:
    """The value times its scalars, which are worked out first."""
    match scale:
        case None:
            return value
        case ast.BinOp(ast.Constant(1), ast.Div(), right):
            return binary(value, "/", right)
    return binary(scale, "*", value)


def _number(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(int() as value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() as value)):
            return -value
    return None
