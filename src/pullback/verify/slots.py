"""Edits of lines in index notation: offsets, strides, mirrored and shifted indices, brackets, forgotten factors."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product
from typing import Final

from pullback.verify.edits import Change, Vocabulary
from pullback.verify.tree import Spot, binary, exchanged, expression, name, number, text_of

LONGEST: Final = 4  # terms of an index expression whose signs are tried
MOST_SLOTS: Final = 3  # of a factor that is put in
MOST_FACTORS: Final = 600
STRIDES: Final = (2, 3)


def slot_changes(spot: Spot, indices: Sequence[str], known: Vocabulary) -> Iterator[Change]:
    """Every edit at one place of a line with indices."""
    if not spot.indexed:
        return
    node = spot.node
    if spot.role == "slot" or (spot.role == "part" and _is_index(node, indices, known)):
        yield from _expressions(node, indices, known)
    if isinstance(node, ast.Compare):
        yield from _brackets(node, indices)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        yield from _mirrored(node, node.value, known)
    if spot.role == "root":
        yield from _factors(node, indices, known)


def _is_index(node: ast.expr, indices: Sequence[str], known: Vocabulary) -> bool:
    """Whether a side of a bracket counts with indices."""
    words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return bool(words) and words <= {*indices, *known.sizes}


def _expressions(node: ast.expr, indices: Sequence[str], known: Vocabulary) -> Iterator[Change]:
    """Another index expression in one place."""
    written = text_of(node)

    def said(new: ast.expr) -> str:
        return f"{text_of(new)} instead of {written}"

    if isinstance(node, ast.Name) and node.id in indices:
        for k in STRIDES:
            for new in (
                binary(number(k), ast.Mult(), node),
                binary(node, ast.FloorDiv(), number(k)),
                binary(node, ast.Mod(), number(k)),
            ):
                yield Change(new, said(new), 2)
    if isinstance(node, ast.Name | ast.BinOp):
        for op in (ast.Add(), ast.Sub()):
            near = binary(node, op, number(1))
            yield Change(near, said(near), 2)
    match node:
        case ast.BinOp(left=a, op=ast.Mod() | ast.FloorDiv() as divides, right=b):
            other: ast.operator = ast.FloorDiv() if isinstance(divides, ast.Mod) else ast.Mod()
            divisors = [b, *(number(k) for k in STRIDES), *(name(size) for size in known.sizes)]
            for operator, divisor in product((divides, other), divisors):
                new = binary(a, operator, divisor)
                yield Change(new, said(new), 2)
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            yield from _signs(node, known)


def _mirrored(node: ast.Subscript, tensor: ast.Name, known: Vocabulary) -> Iterator[Change]:
    """K[r, s]  →  K[R - 1 - r, S - 1 - s]: a kernel that is flipped, along one axis or two."""
    slots = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    extents = known.extents.get(tensor.id, ())
    if len(extents) != len(slots):
        return
    for count in (1, 2):
        for chosen in combinations(range(len(slots)), count):
            turned = list(slots)
            for k in chosen:
                extent = expression(extents[k])
                turned[k] = binary(binary(extent, ast.Sub(), number(1)), ast.Sub(), slots[k])
            inner = turned[0] if len(turned) == 1 else ast.Tuple(turned, ast.Load())
            new = ast.Subscript(tensor, inner, ast.Load())
            yield Change(new, f"{text_of(new)} instead of {text_of(node)}", 2 + count)


def _signs(node: ast.BinOp, known: Vocabulary) -> Iterator[Change]:
    """Indices of an index expression dropped, or with another sign; what is added to them dropped or put in."""
    terms = _terms(node)
    counting = [(sign, t) for sign, t in terms if not _is_fixed(t, known)]
    fixed = [(sign, t) for sign, t in terms if _is_fixed(t, known)]
    if len(terms) > LONGEST or not counting:
        return
    ends: list[list[tuple[int, ast.expr]]] = [fixed]
    ends += [[]] if fixed else [[(1, name(size)), (-1, number(1))] for size in known.sizes]
    for signs in product((1, -1, 0), repeat=len(counting)):
        for end in ends:
            result: ast.expr | None = None
            chosen = [(sign, term) for sign, (_, term) in zip(signs, counting, strict=True) if sign]
            if not chosen:
                continue
            for sign, term in sorted([*chosen, *end], key=lambda part: -part[0]):
                result = _joined(result, sign, term)
            changed = sum(sign != was for sign, (was, _) in zip(signs, counting, strict=True))
            cost = max(1, changed + (end is not fixed) * (1 if fixed else 2))
            if result is not None and changed + (end is not fixed):
                yield Change(result, f"{text_of(result)} instead of {text_of(node)}", cost)


def _is_fixed(term: ast.expr, known: Vocabulary) -> bool:
    words = {n.id for n in ast.walk(term) if isinstance(n, ast.Name)}
    return words <= set(known.sizes)


def _joined(sum_so_far: ast.expr | None, sign: int, term: ast.expr) -> ast.expr:
    if sum_so_far is None:
        return term if sign > 0 else ast.UnaryOp(ast.USub(), term)
    return binary(sum_so_far, ast.Add() if sign > 0 else ast.Sub(), term)


def _terms(node: ast.expr, sign: int = 1) -> list[tuple[int, ast.expr]]:
    match node:
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            return [*_terms(a, sign), *_terms(b, sign)]
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            return [*_terms(a, sign), *_terms(b, -sign)]
    return [(sign, node)]


def _brackets(node: ast.Compare, indices: Sequence[str]) -> Iterator[Change]:
    """Indices exchanged inside a bracket, a bracket of the other element, a bracket of the whole window."""
    inside = [i for i in indices if any(isinstance(n, ast.Name) and n.id == i for n in ast.walk(node))]
    for k, i in enumerate(inside):
        for j in inside[k + 1 :]:
            new = exchanged(node, i, j)
            yield Change(new, f"{text_of(new)}, not {text_of(node)}", 2)
    match node:
        case ast.Compare(left=a, ops=[ast.Eq()], comparators=[ast.BinOp(left=b, op=ast.Add())]):
            other = ast.Compare(a, [ast.Eq()], [b])
            yield Change(binary(node, ast.Sub(), other), f"the term of {text_of(other)}", 2)
            yield Change(binary(other, ast.Sub(), node), f"the term of {text_of(other)}", 2)
        case ast.Compare(left=a, ops=[ast.Eq()], comparators=[ast.BinOp(left=step, op=ast.Mult(), right=b)]):
            new = ast.Compare(binary(a, ast.FloorDiv(), step), [ast.Eq()], [b])
            yield Change(new, f"{text_of(new)}: every entry of the window", 1)


def _factors(node: ast.expr, indices: Sequence[str], known: Vocabulary) -> Iterator[Change]:
    """An access of a known tensor, with indices of the line in its slots, as a factor or a divisor."""
    written = [
        tuple(text_of(s) for s in (a.slice.elts if isinstance(a.slice, ast.Tuple) else [a.slice]))
        for a in ast.walk(node)
        if isinstance(a, ast.Subscript)
    ]
    slots = list(dict.fromkeys([*indices, *(text for texts in written for text in texts)]))
    made = 0
    for word, rank in known.ranks.items():
        if not 0 < rank <= MOST_SLOTS:
            continue
        for chosen in permutations(slots, rank):
            if (made := made + 1) > MOST_FACTORS:
                return
            access = expression(f"{word}[{', '.join(chosen)}]")
            yield Change(binary(node, ast.Mult(), access), f"the factor {text_of(access)}", 3)
            yield Change(binary(node, ast.Div(), access), f"divided by {text_of(access)}", 3)
