"""What a claim lacks, found from the numbers: truth - claim as a product of things that are known.

Products are entry by entry (`dc * b * sigmoid(a)`) or of matrices (`C.T @ X @ dZ`), with a number, a size or a
scalar in front.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Final

import numpy as np

from pullback.verify.edits import Change
from pullback.verify.factors import factor_of
from pullback.verify.tree import additive_terms, binary, expression, text_of

MOST_FACTORS: Final = 4  # of a product entry by entry
LONGEST_CHAIN: Final = 4  # matrices
MOST_ATOMS: Final = 22
MOST_MATRICES: Final = 16
TOLERANCE: Final = 1e-7

Array = Any


@dataclass(frozen=True, slots=True)
class Atom:
    """Something known: its text and its value at the point."""

    text: str
    value: Array


def same_array(a: Array, b: Array) -> bool:
    """Whether two arrays are equal entry by entry."""
    return bool(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-12, atol=0))


def lacking(
    node: ast.expr,
    true: Array,
    value: Callable[[ast.expr], Array],
    atoms: Sequence[Atom],
    named: Mapping[str, float],
) -> Iterator[Change]:
    """The claim with a term more, or with one of its terms replaced."""
    terms = additive_terms(node)
    values = [value(term) for _, term in terms]
    if any(v is None or not np.isfinite(v).all() for v in values):
        return
    signed = [sign * np.broadcast_to(v, true.shape) for (sign, _), v in zip(terms, values, strict=True)]
    whole = sum(signed)
    for product_text, sign in _products(true - whole, atoms, named):
        op: ast.operator = ast.Add() if sign > 0 else ast.Sub()
        yield Change(binary(node, op, expression(product_text)), f"the term {product_text} is missing", 4)
    if len(terms) < 2:
        return
    for k, (_, term) in enumerate(terms):
        for product_text, sign in _products(true - whole + signed[k], atoms, named):
            rest = [t for n, t in enumerate(terms) if n != k]
            new = _joined([*rest[:k], (sign, expression(product_text)), *rest[k:]])
            yield Change(new, f"{product_text} instead of {text_of(term)}", 4)


def _products(wanted: Array, atoms: Sequence[Atom], named: Mapping[str, float]) -> Iterator[tuple[str, int]]:
    """(text, sign) of the products that are the wanted array, the shortest first."""
    largest = float(np.abs(wanted).max(initial=0.0))
    if largest < TOLERANCE:
        return
    for text, found in (*_elementwise(wanted, atoms), *_chains(wanted, atoms)):
        ratio = _ratio(wanted, found, largest)
        if ratio is None:
            continue
        sign = 1 if ratio > 0 else -1
        if abs(abs(ratio) - 1) < TOLERANCE:
            yield text, sign
            continue
        factor = factor_of(abs(ratio), named, TOLERANCE)
        if factor is not None:
            yield text_of(factor[1](expression(text))), sign


def _ratio(wanted: Array, found: Array, largest: float) -> float | None:
    try:
        spread = np.broadcast_to(found, wanted.shape)
    except ValueError:
        return None
    at = int(np.argmax(np.abs(wanted)))
    top, bottom = float(wanted.ravel()[at]), float(spread.ravel()[at])
    if not bottom or not np.isfinite(bottom):
        return None
    close = np.abs(wanted - top / bottom * spread) <= TOLERANCE * largest
    return top / bottom if close.all() else None


def _elementwise(wanted: Array, atoms: Sequence[Atom]) -> Iterator[tuple[str, Array]]:
    fitting = [a for a in atoms if _fits(a.value, wanted)][:MOST_ATOMS]
    for count in range(1, MOST_FACTORS + 1):
        for chosen in combinations_with_replacement(fitting, count):
            found = chosen[0].value
            for atom in chosen[1:]:
                found = found * atom.value
            yield " * ".join(_bracketed(atom.text) for atom in chosen), found


def _fits(value: Array, wanted: Array) -> bool:
    if np.ndim(value) != wanted.ndim or not wanted.ndim:
        return not wanted.ndim and not np.ndim(value)
    return all(m in (1, n) for m, n in zip(np.shape(value), wanted.shape, strict=True))


def _bracketed(text: str) -> str:
    node = expression(text)
    return f"({text})" if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mult) else text


def _chains(wanted: Array, atoms: Sequence[Atom]) -> Iterator[tuple[str, Array]]:
    """Products of matrices whose shapes meet, as they are or transposed."""
    if wanted.ndim != 2:
        return
    plain = [a for a in atoms if np.ndim(a.value) == 2][:MOST_MATRICES]
    sides = [*plain, *(Atom(f"{_wrapped(a.text)}.T", a.value.T) for a in plain)]
    level = [a for a in sides if a.value.shape[0] == wanted.shape[0]]
    for _ in range(LONGEST_CHAIN):
        longer: list[Atom] = []
        for left in level:
            if left.value.shape[1] == wanted.shape[1]:
                yield left.text, left.value
            for right in sides:
                if left.value.shape[1] == right.value.shape[0] and len(longer) < 6_000:
                    joined = f"{_wrapped(left.text)} @ {_wrapped(right.text)}"
                    longer.append(Atom(joined, left.value @ right.value))
        level = longer


def _wrapped(text: str) -> str:
    node = expression(text)
    chain = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    return text if chain or not isinstance(node, ast.BinOp | ast.Compare) else f"({text})"


def _joined(terms: Sequence[tuple[int, ast.expr]]) -> ast.expr:
    (sign, first), *rest = terms
    result = first if sign > 0 else ast.UnaryOp(ast.USub(), first)
    for sign, term in rest:
        result = binary(result, ast.Add() if sign > 0 else ast.Sub(), term)
    return result
