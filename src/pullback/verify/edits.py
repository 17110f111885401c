"""Small edits of a claim's syntax tree: what people get wrong, undone.

An edit replaces one node. Each carries its cost (how far it is from what was written) and words.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import Final

from pullback.verify.tree import (
    Spot,
    binary,
    call,
    chain_of,
    expression,
    is_view,
    name,
    number,
    product_of,
    text_of,
    transposed,
)

OTHER: Final = {"tril": "triu", "triu": "tril", "sin": "cos", "cos": "sin", "max": "min", "min": "max",
                "maximum": "minimum", "minimum": "maximum", "sum": "mean", "mean": "sum"}  # fmt: skip
REDUCTIONS: Final = ("sum", "mean", "max", "min", "prod", "logsumexp", "softmax", "log_softmax", "cumsum")
LONGEST_CHAIN: Final = 4
MASKS: Final = ("tril", "triu")
DROPPED: Final = {"inv", "sqrt", "exp", "log", "tanh", "sigmoid", "diag", "reshape", *REDUCTIONS, *MASKS}


@dataclass(frozen=True, slots=True)
class Change:
    """A replacement for one node."""

    node: ast.expr
    words: str
    cost: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an edit may bring in."""

    sizes: tuple[str, ...]
    ranks: dict[str, int]  # of the known tensors
    alike: Callable[[str], Sequence[str]]  # names of the same shape
    near: Callable[[str], Sequence[str]]  # names of the same rank and another shape
    masks: tuple[str, ...]  # conditions of the program, as text
    factors: tuple[str, ...]  # of the derived gradient, as text
    terms: tuple[str, ...]  # of sums inside it
    parts: tuple[str, ...]  # all of its subexpressions that are not too large
    target: tuple[str, ...]  # names of the shape of the gradient
    matrices: tuple[str, ...] = ()  # factors of matrix products of the derived gradient
    unused: tuple[str, ...] = ()  # names that the claim defines and does not use
    extents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the axes of a tensor
    slopes: tuple[str, ...] = ()  # derivatives of the scalar functions of the program, at their arguments


# ---- the edits ------------------------------------------------------------------------------


def changes(spot: Spot, known: Vocabulary) -> Iterator[Change]:
    """Every edit at one place."""
    node = spot.node
    if spot.role == "slot":
        yield from _arithmetic(node)
        return
    yield from _structure(node)
    yield from _arithmetic(node)
    yield from _calls(node)
    yield from _names(node, known)
    if spot.role in ("root", "term", "factor"):
        yield from _around(spot, known)
    if not spot.indexed:
        yield from _transplants(spot, known)
    if not spot.indexed:
        yield from _transposes(node, known)


def _structure(node: ast.expr) -> Iterator[Change]:
    """Factors and terms that are dropped, swapped, or of the wrong sign."""
    match node:
        case ast.BinOp(left=a, op=ast.Mult(), right=b):
            yield Change(a, f"without the factor {text_of(b)}", 2)
            yield Change(b, f"without the factor {text_of(a)}", 2)
            yield Change(binary(a, ast.Div(), b), f"divided by {text_of(b)}, not multiplied", 2)
        case ast.BinOp(left=a, op=ast.Div(), right=b):
            yield Change(a, f"not divided by {text_of(b)}", 2)
            yield Change(binary(a, ast.Mult(), b), f"multiplied by {text_of(b)}, not divided", 2)
            yield Change(binary(a, ast.Div(), binary(b, ast.Pow(), number(2))), f"{text_of(b)} squared", 2)
            yield Change(binary(a, ast.Div(), call("sqrt", b)), f"the root of {text_of(b)}", 2)
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            yield Change(binary(a, ast.Sub(), b), f"the sign of {text_of(b)}", 1)
            yield Change(a, f"without the term {text_of(b)}", 2)
            yield Change(b, f"without the term {text_of(a)}", 2)
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            yield Change(binary(a, ast.Add(), b), f"the sign of {text_of(b)}", 1)
            yield Change(binary(b, ast.Sub(), a), "the sign", 1)
            yield Change(a, f"without the term {text_of(b)}", 2)
            yield Change(ast.UnaryOp(ast.USub(), b), f"without the term {text_of(a)}", 2)
            if isinstance(a, ast.Constant):
                yield Change(b, f"{text_of(b)} itself", 2)
        case ast.BinOp(left=a, op=ast.MatMult(), right=b):
            yield Change(binary(b, ast.MatMult(), a), "swap the factors", 1)
            yield Change(call("outer", a, b), "an outer product", 2)
            yield Change(call("outer", b, a), "an outer product", 2)
            yield Change(binary(a, ast.Mult(), b), "entry by entry, no matrix product", 2)
            yield Change(a, f"without the factor {text_of(b)}", 2)
            yield Change(b, f"without the factor {text_of(a)}", 2)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            yield Change(a, "the sign", 1)
    yield from _chain(node)


def _chain(node: ast.expr) -> Iterator[Change]:
    """Another order of the factors of a matrix product, each as it is or transposed."""
    factors = chain_of(node)
    if not 2 <= len(factors) <= LONGEST_CHAIN:
        return
    count = len(factors)
    for order in permutations(range(count)):
        moved = sum(k != p for k, p in enumerate(order))
        for turned in product((False, True), repeat=count):
            cost = sum(turned) + (moved + 1) // 2
            if not cost or cost > 4 or (count == LONGEST_CHAIN and cost > 3):
                continue
            parts = [transposed(factors[k]) if turned[k] else factors[k] for k in order]
            said = [f"transpose {text_of(factors[k])}" for k in sorted(order) if turned[k]]
            yield Change(product_of(parts), ", ".join([*(["another order"] if moved else []), *said]), cost)


def _transposes(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    match node:
        case ast.Attribute(attr="T", value=value):
            yield Change(value, f"{text_of(value)} is not transposed", 1)
        case ast.Name(id=text) if known.ranks.get(text, 2) == 2:
            yield Change(transposed(node), f"transpose {text}", 1)
        case ast.Name(id=text) if known.ranks.get(text) == 3:
            axes = ast.List([number(k) for k in (0, 2, 1)], ast.Load())
            yield Change(call("transpose", node, axes), f"transpose the matrices of {text}", 1)
        case ast.BinOp(op=ast.MatMult()):
            turned = [transposed(factor) for factor in reversed(chain_of(node))]
            yield Change(product_of(turned), f"transpose {text_of(node)}", 1)
        case ast.BinOp() | ast.Call():
            yield Change(transposed(node), f"transpose {text_of(node)}", 2)
    if isinstance(node, ast.Name) and known.ranks.get(node.id) == 1:
        for size in known.sizes:
            column = ast.List([name(size), number(1)], ast.Load())
            yield Change(call("reshape", node, column), f"{node.id} as a column", 2)


def _arithmetic(node: ast.expr) -> Iterator[Change]:
    """Numbers, exponents, comparisons."""
    match node:
        case ast.Constant(value=int() as k) if not isinstance(k, bool):
            for other in (k + 1, k - 1, -k, 2 * k):
                yield Change(number(other), f"{other} instead of {k}", 2)
        case ast.Constant(value=float() as x):
            yield Change(ast.Constant(2 * x), f"{2 * x} instead of {x}", 2)
            yield Change(ast.Constant(x / 2), f"{x / 2} instead of {x}", 2)
        case ast.BinOp(left=a, op=ast.Pow()):
            yield Change(a, "without the exponent", 2)
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            yield Change(binary(a, ast.Sub(), b), f"the sign of {text_of(b)}", 1)
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            yield Change(binary(a, ast.Add(), b), f"the sign of {text_of(b)}", 1)
            yield Change(binary(b, ast.Sub(), a), f"{text_of(b)} - {text_of(a)}", 1)
        case ast.Compare(left=a, ops=[op], comparators=[b]):
            for relation in _relations(op):
                new = ast.Compare(a, [relation], [b])
                yield Change(new, f"{text_of(new)}, not {text_of(node)}", 1)


def _relations(op: ast.cmpop) -> list[ast.cmpop]:
    groups: list[list[type[ast.cmpop]]] = [[ast.Lt, ast.LtE, ast.Gt, ast.GtE], [ast.Eq, ast.NotEq]]
    return [kind() for group in groups if type(op) in group for kind in group if kind is not type(op)]


def _calls(node: ast.expr) -> Iterator[Change]:
    """Reductions over the wrong axis or missing, functions for another."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return
    function, first = node.func.id, node.args[0]
    if function in OTHER:
        yield Change(_named(node, OTHER[function]), f"{OTHER[function]} instead of {function}", 2)
    if function in REDUCTIONS:
        yield from _axes(node)
    if function == "outer" and len(node.args) == 2:
        yield Change(call("outer", node.args[1], first), "swap the vectors", 1)
        yield Change(binary(first, ast.MatMult(), node.args[1]), "a product, not an outer one", 2)
    if function in ("solve", "outer") and len(node.args) == 2:
        yield Change(call(function, transposed(first), node.args[1]), f"transpose {text_of(first)}", 1)
    if function in (
        "inv",
        "sqrt",
        "exp",
        "log",
        "tanh",
        "sigmoid",
        "diag",
        "softmax",
        "reshape",
        *REDUCTIONS,
        *MASKS,
    ):
        yield Change(first, f"without {function}", 2)
    if function == "einsum" and isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield from _einsum(node, first.value)


def _named(node: ast.Call, function: str) -> ast.Call:
    return ast.Call(name(function), node.args, node.keywords)


def _axes(node: ast.Call) -> Iterator[Change]:
    keywords = {k.arg: k.value for k in node.keywords if k.arg is not None}
    function = text_of(node.func)
    for axis in (0, 1, 2):
        if text_of(keywords.get("axis", name("None"))) != str(axis):
            changed = {**keywords, "axis": number(axis)}
            yield Change(call(function, *node.args[:1], **changed), f"over axis {axis}", 1)
            if "keepdims" not in keywords:
                kept = {**changed, "keepdims": ast.Constant(True)}
                yield Change(call(function, *node.args[:1], **kept), f"over axis {axis}, with keepdims", 2)
    if "axis" in keywords:
        rest = {k: v for k, v in keywords.items() if k not in ("axis", "keepdims")}
        yield Change(call(function, *node.args[:1], **rest), "over every axis", 1)
    if "keepdims" in keywords:
        rest = {k: v for k, v in keywords.items() if k != "keepdims"}
        yield Change(call(function, *node.args[:1], **rest), "without keepdims", 1)
    elif "axis" in keywords:
        yield Change(
            call(function, *node.args[:1], **keywords, keepdims=ast.Constant(True)), "keepdims=True", 1
        )


def _einsum(node: ast.Call, spec: str) -> Iterator[Change]:
    """The letters of one operand, or of the result, in another order."""
    left, arrow, right = spec.replace(" ", "").partition("->")
    operands = [*left.split(","), right] if arrow else left.split(",")
    for k, letters in enumerate(operands):
        for order in permutations(letters) if len(letters) <= LONGEST_CHAIN + 1 else ():
            other = "".join(order)
            moved = sum(a != b for a, b in zip(letters, order, strict=True))
            if moved == 2 or (moved == 3 and len(letters) == 3):
                changed = [*operands[:k], other, *operands[k + 1 :]]
                text = ",".join(changed[:-1]) + "->" + changed[-1] if arrow else ",".join(changed)
                new = ast.Call(node.func, [ast.Constant(text), *node.args[1:]], node.keywords)
                yield Change(new, f"{other} instead of {letters}", 2)


def _names(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    """Another tensor of the same shape; the slots of an access in another order."""
    match node:
        case ast.Name(id=text):
            for other in known.alike(text):
                yield Change(name(other), f"{other} instead of {text}", 2)
            for other in known.near(text):
                yield Change(name(other), f"{other} instead of {text}", 3)
            if text in known.sizes:
                for other in known.sizes:
                    if other != text:
                        yield Change(name(other), f"{other} instead of {text}", 2)
            elif text in known.ranks:
                yield Change(binary(node, ast.Pow(), number(2)), f"{text} squared", 2)
                yield Change(binary(number(1), ast.Sub(), node), f"1 - {text} instead of {text}", 2)
        case ast.Subscript(value=ast.Name(id=text) as tensor, slice=ast.Tuple(elts=slots)) if len(slots) <= 4:
            for order in permutations(range(len(slots))):
                moved = sum(k != p for k, p in enumerate(order))
                if 0 < moved <= 3:
                    turned = ast.Tuple([slots[p] for p in order], ast.Load())
                    new = ast.Subscript(tensor, turned, ast.Load())
                    yield Change(new, f"{text_of(new)} instead of {text_of(node)}", 1 if moved == 2 else 2)
            if not is_view(node):
                yield from _other_tensor(node, text, known)
        case ast.Subscript(value=ast.Name(id=text)) if not is_view(node):
            yield from _other_tensor(node, text, known)


def _other_tensor(node: ast.Subscript, text: str, known: Vocabulary) -> Iterator[Change]:
    for other in known.alike(text):
        yield Change(ast.Subscript(name(other), node.slice, ast.Load()), f"{other} instead of {text}", 2)


def _transplants(spot: Spot, known: Vocabulary) -> Iterator[Change]:
    """A part of the derived gradient in the place of another, or as a further term."""
    node = spot.node
    written = text_of(node)
    if spot.role != "root" and not isinstance(node, ast.Constant):
        for part in known.parts:
            if part != written:
                cost = 3 + abs(len(part) - len(written)) // 12
                yield Change(expression(part), f"{part} instead of {written}", cost)
    if isinstance(node, ast.Constant) or not spot.role:
        return
    for term in known.terms:
        if term != written:
            other = expression(term)
            yield Change(binary(node, ast.Add(), other), f"the term {term} is missing", 4)
            yield Change(binary(node, ast.Sub(), other), f"the term -({term}) is missing", 4)


def _around(spot: Spot, known: Vocabulary) -> Iterator[Change]:
    """Something that is missing: a sum, a mask, a factor."""
    node = spot.node
    yield Change(ast.UnaryOp(ast.USub(), node), "the sign", 2)
    if spot.role != "factor":
        for size in known.sizes:
            yield Change(binary(node, ast.Div(), name(size)), f"the factor 1/{size}", 3)
            yield Change(binary(name(size), ast.Mult(), node), f"the factor {size}", 3)
        for k in (2, 3):
            yield Change(binary(number(k), ast.Mult(), node), f"the factor {k}", 3)
            yield Change(binary(node, ast.Div(), number(k)), f"the factor 1/{k}", 3)
    for factor in known.factors if spot.role != "factor" else ():
        part = expression(factor)
        yield Change(binary(node, ast.Mult(), part), f"the factor {factor}", 3)
    for mask in known.masks:
        condition = expression(mask)
        yield Change(binary(node, ast.Mult(), condition), f"the mask ({mask})", 2)
    if spot.indexed:
        return
    for axis in (0, 1):
        yield Change(call("sum", node, axis=number(axis)), f"sum over axis {axis}", 2)
        kept = call("sum", node, axis=number(axis), keepdims=ast.Constant(True))
        yield Change(kept, f"sum over axis {axis}, with keepdims", 3)
    for mask in MASKS:
        yield Change(call(mask, node), f"{mask} around {text_of(node)}", 2)
    for other in known.target:
        yield Change(binary(node, ast.Mult(), name(other)), f"the factor {other}", 3)
        yield Change(binary(node, ast.Div(), name(other)), f"divided by {other}", 3)
        yield Change(binary(node, ast.Add(), name(other)), f"the term {other}", 3)
        yield Change(binary(node, ast.Sub(), name(other)), f"the term -{other}", 3)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield Change(binary(node, ast.Add(), transposed(node)), "its transpose as a second term", 4)
    if isinstance(node, ast.Name) and known.ranks.get(node.id) == 2:
        both = binary(node, ast.Add(), transposed(node))
        yield Change(both, f"{node.id} and its transpose: a second path", 2)
