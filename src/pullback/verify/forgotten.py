"""Edits that put in what people forget: a chain factor, the second term of the softmax, a factor inside a product."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import permutations, product

from pullback.verify.edits import Change, Vocabulary
from pullback.verify.tree import (
    Spot,
    binary,
    call,
    chain_of,
    expression,
    name,
    number,
    product_of,
    text_of,
    transposed,
)

KEPT = ast.Constant(True)
LONGEST_LIST = 6  # entries of a shape that are put in another order
LONGEST_CHAIN = 6
MOST_AXES = 2  # of a name that is put in as a factor


def forgotten(spot: Spot, known: Vocabulary) -> Iterator[Change]:
    """What one place of a line in matrix notation may lack."""
    node = spot.node
    if spot.role == "slot":
        return
    yield from _numbers(node)
    if spot.indexed:
        return
    yield from _lists(node)
    if isinstance(node, ast.Constant):
        return
    if spot.role != "part":
        yield from _slopes(node, known)
    yield from _own(node, known)
    for word, rank in known.ranks.items():
        if word not in known.target and rank <= MOST_AXES:
            yield Change(binary(node, ast.Mult(), name(word)), f"the factor {word}", 3)
    yield from _centred(node)
    yield from _roots(node)
    yield from _inserted(node, known)
    if isinstance(node, ast.Call):
        yield from _masked(node, known)
        yield Change(binary(node, ast.Add(), transposed(node)), "its transpose, too: a second path", 3)


def _slopes(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    for slope in known.slopes:
        factor = expression(slope)
        yield Change(binary(node, ast.Mult(), factor), f"the derivative {slope}", 2)


def _own(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    """A name that was defined for the purpose, and forgotten."""
    for word in known.unused:
        if text_of(node) != word:
            yield Change(binary(node, ast.Mult(), name(word)), f"the factor {word}", 2)
            yield Change(name(word), f"{word} instead of {text_of(node)}", 2)


def _numbers(node: ast.expr) -> Iterator[Change]:
    match node:
        case ast.BinOp(left=a, op=ast.Div(), right=b) if not isinstance(a, ast.Constant):
            yield Change(binary(b, ast.Div(), a), f"{text_of(b)} / {text_of(a)}", 2)
        case ast.BinOp(left=ast.Name() | ast.Call() | ast.BinOp() as a, op=ast.Mult(), right=b) if isinstance(
            b, ast.Name
        ):
            yield Change(binary(a, ast.Mult(), binary(b, ast.Pow(), number(2))), f"{text_of(b)} squared", 2)
    match node:
        case ast.BinOp(op=ast.Pow(), left=a, right=ast.Constant(value=int() as k)):
            yield Change(
                binary(number(k), ast.Mult(), binary(a, ast.Pow(), number(k - 1))), "a power's rule", 2
            )
        case ast.Name() | ast.Call() | ast.Attribute():
            yield Change(binary(number(1), ast.Sub(), node), f"1 - {text_of(node)}", 2)


def _lists(node: ast.expr) -> Iterator[Change]:
    """The entries of a shape, or of what is put together, in another order; another entry of an axis."""
    match node:
        case ast.Call(
            func=ast.Name(id="reshape" | "transpose" | "concatenate" as word), args=[*_, ast.List() as listed]
        ) if 2 <= len(listed.elts) <= LONGEST_LIST:
            for order in permutations(range(len(listed.elts))):
                moved = sum(k != p for k, p in enumerate(order))
                if 0 < moved <= 3:
                    turned = ast.List([listed.elts[p] for p in order], ast.Load())
                    changed = ast.Call(node.func, [*node.args[:-1], turned], node.keywords)
                    yield Change(changed, f"{word} in the order {text_of(turned)}", moved - 1)
        case ast.Call(func=ast.Name(id="take"), args=[x, ast.Constant(value=int() as k), *rest]):
            for other in {0, 1, 2, 3, k + 1} - {k}:
                changed = ast.Call(node.func, [x, number(other), *rest], node.keywords)
                yield Change(changed, f"entry {other} instead of {k}", 2)
        case ast.Call(func=ast.Name(id="einsum"), args=[ast.Constant(value=str() as spec), *_]):
            yield from _letters(node, spec)


def _letters(node: ast.Call, spec: str) -> Iterator[Change]:
    """Another letter for one index of one operand."""
    left, arrow, right = spec.replace(" ", "").partition("->")
    letters = sorted(set(left) - {","})
    for k, old in enumerate(left):
        for new in letters if arrow and old != "," else ():
            if new != old:
                changed = f"{left[:k]}{new}{left[k + 1 :]}->{right}"
                call_to = ast.Call(node.func, [ast.Constant(changed), *node.args[1:]], node.keywords)
                yield Change(call_to, f"index {new} instead of {old}", 2)


def _centred(node: ast.expr) -> Iterator[Change]:
    """P * G  →  P * (G - sum(P * G)): the second term of the softmax's Jacobian; and a mean taken off."""
    match node:
        case ast.BinOp(left=ast.BinOp(left=p, op=ast.Mult(), right=rest), op=ast.Mult(), right=g) if (
            _is_one_minus(rest, p)
        ):
            yield from _softmax(p, g)
        case ast.BinOp(left=p, op=ast.Mult(), right=g):
            yield from _softmax(p, g)
            yield from _softmax(g, p)
    match node:
        case ast.Call(func=ast.Name(id="diag"), args=[ast.BinOp(left=p, op=ast.Mult(), right=rest)]) if (
            _is_one_minus(rest, p)
        ):
            full = binary(call("diag", p), ast.Sub(), call("outer", p, p))
            yield Change(full, "the entries off the diagonal", 2)
        case ast.Call(func=ast.Name(id="diag"), args=[p]):
            full = binary(node, ast.Sub(), call("outer", p, p))
            yield Change(full, f"the term -outer({text_of(p)}, {text_of(p)})", 3)


def _is_one_minus(node: ast.expr, p: ast.expr) -> bool:
    return text_of(node) == text_of(binary(number(1), ast.Sub(), p))


def _softmax(p: ast.expr, g: ast.expr) -> Iterator[Change]:
    both = binary(p, ast.Mult(), g)
    sums = [call("sum", both, axis=number(axis), keepdims=KEPT) for axis in (1, 0, 2, 3)]
    for total in (call("sum", both), *sums):
        changed = binary(p, ast.Mult(), binary(g, ast.Sub(), total))
        cost = 5 if "sum(" in text_of(both) else 3
        yield Change(changed, f"the term -{text_of(total)} of the softmax's Jacobian", cost)


def _roots(node: ast.expr) -> Iterator[Change]:
    """sqrt(v) + eps  ↔  sqrt(v + eps)."""
    match node:
        case ast.BinOp(left=ast.Call(func=ast.Name(id="sqrt"), args=[v]), op=ast.Add(), right=eps):
            yield Change(call("sqrt", binary(v, ast.Add(), eps)), f"{text_of(eps)} inside the root", 1)
        case ast.Call(func=ast.Name(id="sqrt"), args=[ast.BinOp(left=v, op=ast.Add(), right=eps)]):
            yield Change(binary(call("sqrt", v), ast.Add(), eps), f"{text_of(eps)} outside the root", 1)
            yield Change(call("sqrt", v), f"without {text_of(eps)}", 2)


def _inserted(node: ast.expr, known: Vocabulary) -> Iterator[Change]:
    """A matrix that is missing somewhere in a product, and a sum inside it that is taken apart."""
    chain = chain_of(node)
    whole = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    if not (whole or isinstance(node, ast.Name)) or len(chain) > LONGEST_CHAIN:
        return
    names = [word for word, rank in known.ranks.items() if rank == 2]
    texts = dict.fromkeys([*names, *(f"{word}.T" for word in names), *known.matrices])
    for text in texts:
        for at in range(len(chain) + 1):
            factor = expression(text)
            changed = product_of([*chain[:at], factor, *chain[at:]])
            yield Change(changed, f"the factor {text} is missing", 3)
    for at, factor in enumerate(chain):
        match factor:
            case ast.BinOp(op=ast.Add()) if len(chain) > 1:
                yield from _spread_out(chain, at, factor, None)
            case ast.BinOp(left=k, op=ast.Mult(), right=ast.BinOp(op=ast.Add()) as inner) if len(chain) > 1:
                yield from _spread_out(chain, at, inner, k)


def _spread_out(
    chain: list[ast.expr], at: int, factor: ast.BinOp, scale: ast.expr | None
) -> Iterator[Change]:
    """(A + A.T) @ X @ C  →  A @ X @ C + A.T @ X @ C.T."""
    left, right = (
        side if scale is None else binary(scale, ast.Mult(), side) for side in (factor.left, factor.right)
    )
    first = product_of([*chain[:at], left, *chain[at + 1 :]])
    others = [k for k in range(len(chain)) if k != at]
    for turned in product((False, True), repeat=len(others)):
        if any(turned):
            parts = list(chain)
            parts[at] = right
            for k, turn in zip(others, turned, strict=True):
                parts[k] = transposed(chain[k]) if turn else chain[k]
            second = product_of(parts)
            words = f"{text_of(second)} as the second path"
            yield Change(binary(first, ast.Add(), second), words, 2 + sum(turned))


def _masked(node: ast.Call, known: Vocabulary) -> Iterator[Change]:
    """relu(G)  →  G * (X > 0)."""
    match node:
        case ast.Call(func=ast.Name(id="relu"), args=[x]):
            for mask in known.masks:
                condition = expression(mask)
                yield Change(binary(x, ast.Mult(), condition), f"the mask ({mask}) instead of relu", 2)
