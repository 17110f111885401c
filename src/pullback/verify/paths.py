"""Edits that put in what is missing: a second path, a mean taken off, a matrix factor, a diagonal, an inverse."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations

from pullback.verify.edits import Change, Vocabulary
from pullback.verify.tree import Spot, binary, call, expression, name, number, text_of, transposed

KEPT = ast.Constant(True)
MOST_PLACES = 5  # of index expressions of which two are changed at once


def missing(spot: Spot, known: Vocabulary) -> Iterator[Change]:
    """What one place may lack."""
    node = spot.node
    if spot.role == "slot":
        return
    if isinstance(node, ast.Call):
        yield from _function(node)
    if isinstance(node, ast.BinOp):
        yield from _operation(node)
    if spot.indexed:
        return
    if isinstance(node, ast.Name):
        yield from _name(node, known)
    if spot.role in ("root", "term") and not isinstance(node, ast.Constant):
        yield from _diagonal(node, known)
        yield from _factors(node, known)


def _function(node: ast.Call) -> Iterator[Change]:
    function = node.func.id if isinstance(node.func, ast.Name) else ""
    match function, node.args:
        case "cumsum", [x, *_]:
            axis = next((k.value for k in node.keywords if k.arg == "axis"), number(0))
            turned = call("flip", call("cumsum", call("flip", x, axis), axis=axis), axis)
            yield Change(turned, "the running sum from the other end", 2)
        case "tril", [x]:
            mirrored = binary(node, ast.Add(), call("tril", transposed(x), number(-1)))
            yield Change(mirrored, "the mirrored entries, too: a second path", 3)
            diagonal = binary(call("diag", call("diag", x)), ast.Div(), number(2))
            yield Change(binary(node, ast.Sub(), diagonal), "the diagonal counts once", 3)
        case (("minimum" | "maximum" | "where"), arguments):
            for argument in arguments:
                yield Change(argument, f"without {function}", 2)
        case "ones", [ast.List(elts=[a, b])] if text_of(a) == text_of(b):
            yield Change(call("eye", a), "the diagonal alone", 2)
        case "outer", [a, b]:
            yield Change(call("diag", binary(a, ast.Mult(), b)), "the diagonal alone", 2)
        case "relu", [x]:
            yield Change(x, "without relu", 2)
        case "inv", [x]:
            yield Change(binary(node, ast.MatMult(), node), f"{text_of(node)} twice", 2)


def _operation(node: ast.BinOp) -> Iterator[Change]:
    match node:
        case ast.BinOp(left=a, op=ast.Pow(), right=ast.Constant(value=2)):
            square = binary(a, ast.MatMult(), a)
            yield Change(square, "the square of a matrix, not of its entries", 2)
            turned = [transposed(a), transposed(a)]
            yield Change(
                binary(turned[0], ast.MatMult(), turned[1]), "the square of the transposed matrix", 3
            )
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub()):
            yield Change(binary(node, ast.Add(), transposed(node)), "its transpose, too: a second path", 3)
        case ast.BinOp(op=ast.MatMult()):
            chain = _chain(node)
            if len(chain) >= 3:
                # Both ends of x.T B x C, and of the like, are reached twice.
                other = [transposed(chain[0]), *chain[1:-1], transposed(chain[-1])]
                product = other[0]
                for factor in other[1:]:
                    product = binary(product, ast.MatMult(), factor)
                words = "the other place of the variable: a second path"
                yield Change(binary(node, ast.Add(), product), words, 3)


def _chain(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return [*_chain(node.left), *_chain(node.right)]
    return [node]


def _name(node: ast.Name, known: Vocabulary) -> Iterator[Change]:
    rank = known.ranks.get(node.id, 0)
    for axis in range(rank):
        mean = call("mean", node, axis=number(axis), keepdims=KEPT)
        yield Change(binary(node, ast.Sub(), mean), f"less its mean over axis {axis}", 3)
    if rank == 2:
        yield Change(call("inv", node), f"the inverse of {node.id}", 3)


def _diagonal(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    yield Change(call("diag", node), "on the diagonal", 3)
    for size in known.sizes:
        yield Change(binary(node, ast.Mult(), call("eye", name(size))), "the diagonal alone", 4)


def _factors(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    """A matrix in front or behind."""
    for text in known.matrices:
        factor = expression(text)
        yield Change(binary(factor, ast.MatMult(), node), f"the factor {text} in front", 3)
        yield Change(binary(node, ast.MatMult(), factor), f"the factor {text} behind", 3)


# ---- the same change in several places ----------------------------------------------------------


def everywhere(value: ast.expr, known: Vocabulary, indexed: bool) -> Iterator[tuple[ast.expr, str, int]]:
    """(the side, words, cost): one change made wherever the same thing stands."""
    if indexed:
        yield from _slots(value)
        return
    yield from _axes(value)
    counts: dict[str, int] = {}
    for part in ast.walk(value):
        if isinstance(part, ast.Name) and part.id in known.ranks:
            counts[part.id] = counts.get(part.id, 0) + 1
    for word in (word for word, count in counts.items() if count > 1):
        for other in known.alike(word):
            yield _replaced(value, word, name(other)), f"{other} instead of {word}, everywhere", 3
        for other in (w for w in counts if w != word and known.ranks[w] <= known.ranks[word]):
            product = binary(name(word), ast.Mult(), name(other))
            words = f"{word} * {other} instead of {word}, everywhere"
            yield _replaced(value, word, product), words, 4
            rest = _without(value, other)
            if rest is not None:
                yield _replaced(rest, word, product), f"{other} inside, with every {word}", 3


def _axes(value: ast.expr) -> Iterator[tuple[ast.expr, str, int]]:
    """Every reduction over another axis."""
    used = [k for n in ast.walk(value) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "axis"]
    texts = {text_of(keyword.value) for keyword in used}
    if len(used) < 2 or len(texts) != 1:
        return
    for axis in (0, 1, 2):
        if texts == {str(axis)}:
            continue
        for kept in (False, True):
            turned = ast.parse(text_of(value), mode="eval").body
            for found in ast.walk(turned):
                if isinstance(found, ast.Call) and any(k.arg == "axis" for k in found.keywords):
                    rest = [k for k in found.keywords if k.arg not in ("axis", "keepdims")]
                    old = [k for k in found.keywords if k.arg == "keepdims"]
                    added = [ast.keyword("keepdims", KEPT)] if kept else old
                    found.keywords = [*rest, ast.keyword("axis", number(axis)), *added]
            yield turned, f"over axis {axis} everywhere{', with keepdims' if kept else ''}", 2 + kept


def _slots(value: ast.expr) -> Iterator[tuple[ast.expr, str, int]]:
    """Another sign in every slot and bracket where the same index expression stands."""
    texts: dict[str, ast.expr] = {}
    for part in ast.walk(value):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add | ast.Sub):
            texts.setdefault(text_of(part), part)
    for text, node in texts.items():
        for variant in _signs(node):
            yield _swapped(value, text, variant), f"{text_of(variant)} instead of {text}", 2
        for strided, words in _strides(node):
            if strided is not None:
                yield _swapped(value, text, strided), f"{words}: {text_of(strided)} instead of {text}", 2
    for first, second in combinations(list(texts)[:MOST_PLACES], 2):
        others = zip(_strides(texts[first]), _strides(texts[second]), strict=True)
        for (one, words), (other, _) in others:
            if one is not None and other is not None:
                turned = _swapped(_swapped(value, first, one), second, other)
                yield turned, f"{words} in {first} and {second}", 3


def _strides(node: ast.expr) -> Iterator[tuple[ast.expr | None, str]]:
    """An index expression with another stride, dilation or padding; None where it has none such."""
    assert isinstance(node, ast.BinOp)
    left, right = node.left, node.right
    for k in (2, 3):
        whole = isinstance(left, ast.Name)
        yield (
            binary(binary(number(k), ast.Mult(), left), node.op, right) if whole else None,
            f"the stride {k}",
        )
        whole = isinstance(right, ast.Name)
        yield (
            binary(left, node.op, binary(number(k), ast.Mult(), right)) if whole else None,
            f"the dilation {k}",
        )
    for sign in (ast.Sub(), ast.Add()):
        yield binary(node, sign, number(1)), "a padding of 1"


def _signs(node: ast.expr) -> Iterator[ast.expr]:
    """The sum with one or two of its terms negated, but not the first."""
    terms: list[tuple[bool, ast.expr]] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        terms.append((isinstance(node.op, ast.Sub), node.right))
        node = node.left
    terms.reverse()
    places = range(len(terms))
    for chosen in [*((k,) for k in places), *combinations(places, 2)]:
        result = node
        for k, (minus, term) in enumerate(terms):
            result = binary(result, ast.Sub() if minus != (k in chosen) else ast.Add(), term)
        yield result


def _replaced(value: ast.expr, word: str, new: ast.expr) -> ast.expr:
    class Replacing(ast.NodeTransformer):
        def visit_Name(self, found: ast.Name) -> ast.expr:
            return new if found.id == word else found

    result: ast.expr = Replacing().visit(ast.parse(text_of(value), mode="eval").body)
    return result


def _swapped(value: ast.expr, text: str, new: ast.expr) -> ast.expr:
    """Every part of that text replaced."""

    class Swapping(ast.NodeTransformer):
        def generic_visit(self, found: ast.AST) -> ast.AST:
            if isinstance(found, ast.BinOp) and text_of(found) == text:
                return new
            return super().generic_visit(found)

    result: ast.expr = Swapping().visit(ast.parse(text_of(value), mode="eval").body)
    return result


def _without(value: ast.expr, word: str) -> ast.expr | None:
    """The product without one of its factors, by name."""
    match value:
        case ast.BinOp(left=ast.Name(id=found), op=ast.Mult(), right=rest) if found == word:
            return rest
        case ast.BinOp(left=rest, op=ast.Mult(), right=ast.Name(id=found)) if found == word:
            return rest
        case ast.BinOp(left=a, op=ast.Mult() | ast.Div() as op, right=b):
            inner = _without(a, word)
            return None if inner is None else binary(inner, op, b)
    return None
