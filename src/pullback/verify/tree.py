"""A claim's syntax tree as places where something else may stand, and nodes to put there."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the tree: the node that stands there, and how another is put there."""

    node: ast.expr
    put: Callable[[ast.expr], None]
    statement: int
    role: str  # "root", "term", "factor" or "part"; "slot" inside an access of index notation
    indexed: bool  # whether its line is in index notation


# ---- building nodes -------------------------------------------------------------------------


def name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def number(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


@lru_cache(maxsize=4096)
def expression(text: str) -> ast.expr:
    """The node of a text. It is shared, so nothing may change it."""
    return ast.parse(text, mode="eval").body


def binary(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.BinOp:
    return ast.BinOp(left, op, right)


def call(function: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.Call:
    return ast.Call(name(function), list(arguments), [ast.keyword(k, v) for k, v in keywords.items()])


def transposed(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return node.value
    return ast.Attribute(node, "T", ast.Load())


def exchanged(node: Node, i: str, j: str) -> Node:
    """The expression or line with two names in each other's place."""
    other = {i: j, j: i}

    class Exchange(ast.NodeTransformer):
        def visit_Name(self, found: ast.Name) -> ast.Name:
            return ast.Name(other.get(found.id, found.id), found.ctx)

    copy: Node = Exchange().visit(deepcopy(node))
    return copy


def text_of(node: ast.AST) -> str:
    return ast.unparse(node)


# ---- places ---------------------------------------------------------------------------------


def spots(statements: Sequence[ast.stmt]) -> Iterator[Spot]:
    """Every place of every line where an edit may be made, outermost first."""
    for k, statement in enumerate(statements):
        if not isinstance(statement, ast.Assign | ast.Expr):
            continue
        indexed = any(isinstance(n, ast.Subscript) and not is_view(n) for n in ast.walk(statement))
        put = _setter(statement, "value", None)
        yield from _below(Spot(statement.value, put, k, "root", indexed))


def _below(spot: Spot) -> Iterator[Spot]:
    yield spot
    for child, put, role in _children(spot.node, spot.role):
        yield from _below(Spot(child, put, spot.statement, role, spot.indexed))


def is_view(node: ast.Subscript) -> bool:
    """Whether an access takes slices and puts axes of size 1 in, as `m[:, None]`: no index notation."""
    slots = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return all(isinstance(s, ast.Slice) or (isinstance(s, ast.Constant) and s.value is None) for s in slots)


def _children(node: ast.expr, role: str) -> Iterator[tuple[ast.expr, Callable[[ast.expr], None], str]]:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            inner = _role(op, role)
            yield left, _setter(node, "left", None), inner
            yield right, _setter(node, "right", None), inner
        case ast.UnaryOp(operand=operand):
            yield operand, _setter(node, "operand", None), role if role == "slot" else "factor"
        case ast.Compare(left=left, comparators=comparators):
            inner = "slot" if role == "slot" else "part"
            yield left, _setter(node, "left", None), inner
            for k, part in enumerate(comparators):
                yield part, _setter(node, "comparators", k), inner
        case ast.Call(func=ast.Name(id="concatenate"), args=[ast.List() as listed, *_]):
            for k, part in enumerate(listed.elts):
                yield part, _setter(listed, "elts", k), "part"
        case ast.Call(func=function, args=arguments):
            summed = isinstance(function, ast.Name) and function.id in ("sum", "mean", "trace")
            for k, part in enumerate(arguments):
                if not isinstance(part, ast.Constant | ast.List | ast.Tuple):
                    yield part, _setter(node, "args", k), "term" if summed else "part"
        case ast.Attribute(value=value):
            yield value, _setter(node, "value", None), "part"
        case ast.Subscript(value=value) if is_view(node):
            yield value, _setter(node, "value", None), "part"
        case ast.Subscript(slice=ast.Tuple() as slots):
            for k, part in enumerate(slots.elts):
                yield part, _setter(slots, "elts", k), "slot"
        case ast.Subscript(slice=part):
            yield part, _setter(node, "slice", None), "slot"


def path_to(tree: ast.AST, node: ast.AST) -> list[int]:
    """The ids of the nodes from a tree down to one of its nodes."""
    if tree is node:
        return [id(node)]
    for child in ast.iter_child_nodes(tree):
        below = path_to(child, node)
        if below:
            return [id(tree), *below]
    return []


def _role(op: ast.operator, role: str) -> str:
    if role == "slot":
        return "slot"
    if isinstance(op, ast.Add | ast.Sub):
        return "term"
    return "factor" if isinstance(op, ast.Mult | ast.Div | ast.MatMult) else "part"


def _setter(parent: ast.AST, field: str, index: int | None) -> Callable[[ast.expr], None]:
    def put(node: ast.expr) -> None:
        if index is None:
            setattr(parent, field, node)
        else:
            getattr(parent, field)[index] = node

    return put


# ---- products -------------------------------------------------------------------------------


def product_of(factors: Sequence[ast.expr]) -> ast.expr:
    """factors[0] @ factors[1] @ …"""
    result = factors[0]
    for factor in factors[1:]:
        result = binary(result, ast.MatMult(), factor)
    return result


def chain_of(node: ast.expr) -> list[ast.expr]:
    """The factors of a matrix product."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return [*chain_of(node.left), *chain_of(node.right)]
    return [node]


def additive_terms(node: ast.expr, sign: int = 1) -> list[tuple[int, ast.expr]]:
    """The terms of a sum, each with its sign."""
    match node:
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            return [*additive_terms(a, sign), *additive_terms(b, sign)]
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            return [*additive_terms(a, sign), *additive_terms(b, -sign)]
        case ast.UnaryOp(op=ast.USub(), operand=a):
            return additive_terms(a, -sign)
    return [(sign, node)]
