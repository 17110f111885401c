"""Walking expressions: what stands in them, and the same with something else in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pullback.expression.building import add, bracket, mul, power, total
from pullback.expression.nodes import (
    Access,
    Add,
    Bracket,
    Call,
    Element,
    Expr,
    Index,
    Mul,
    Partial,
    Pow,
    Size,
    Sum,
    Tensor,
)

_BELOW: Final[dict[type[Expr], Callable[[Any], tuple[Expr, ...]]]] = {
    Access: lambda e: e.slots,
    Add: lambda e: e.terms,
    Mul: lambda e: e.factors,
    Pow: lambda e: (e.base, e.exponent),
    Call: lambda e: e.arguments,
    Bracket: lambda e: (e.left, e.right),
    Sum: lambda e: (e.body,),
    Element: lambda e: e.at + e.bodies,
    Partial: lambda e: (e.of, e.by),
}


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions, bound ones included; extents of indices are not children."""
    below = _BELOW.get(type(e))
    return () if below is None else below(e)


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same node with other children, through the smart constructors."""
    if new == children(e):
        return e
    match e:
        case Access(tensor, _):
            return Access(tensor, new)
        case Add():
            return add(*new)
        case Mul():
            return mul(*new)
        case Pow():
            return power(*new)
        case Call(function, _):
            return Call(function, new)
        case Bracket(relation, _, _):
            return bracket(relation, *new)
        case Sum(indices, _):
            return total(indices, new[0])
        case Element(operator, at, binders, _, attributes):
            k = len(at)
            return Element(operator, new[:k], binders, new[k:], attributes)
        case Partial():
            by = new[1]
            assert isinstance(by, Access)
            return Partial(new[0], by)
    return e


def terms_of(e: Expr) -> tuple[Expr, ...]:
    """The terms of a sum; anything else is its own single term."""
    return e.terms if isinstance(e, Add) else (e,)


def walk(e: Expr) -> Iterator[Expr]:
    """Every distinct node below and including `e`, parents before children."""
    seen: set[Expr] = set()
    stack = [e]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(reversed(children(node)))


def accesses(e: Expr) -> list[Access]:
    """The distinct accesses in `e`, in the order of reading."""
    return [node for node in walk(e) if isinstance(node, Access)]


def tensors(e: Expr) -> list[Tensor]:
    """The distinct tensors read in `e`, in the order of reading."""
    if e._tensors is None:
        found = tuple(dict.fromkeys(access.tensor for access in accesses(e)))
        object.__setattr__(e, "_tensors", found)
        return list(found)
    return list(e._tensors)


_NOTHING: Final[frozenset[Index]] = frozenset()


def free(e: Expr) -> frozenset[Index]:
    """The indices that `e` is a function of."""
    if e._free is not None:
        return e._free
    result: frozenset[Index]
    match e:
        case Index():
            result = frozenset((e,))
        case Sum(indices, body):
            result = free(body).difference(indices)
        case Element(_, at, binders, bodies, _):
            result = _NOTHING.union(*(free(x) for x in at))
            for bound, body in zip(binders, bodies, strict=True):
                result |= free(body).difference(bound)
        case _:
            below = children(e)
            result = _NOTHING.union(*(free(x) for x in below)) if below else _NOTHING
    object.__setattr__(e, "_free", result)
    return result


def sizes_in(e: Expr) -> set[str]:
    """The names of the symbolic sizes in `e`, extents of its indices and shapes of its tensors included."""
    found: set[str] = set()
    for node in walk(e):
        match node:
            case Size(name):
                found.add(name)
            case Index(_, extent):
                found |= sizes_in(extent)
            case Access(tensor, _):
                for extent in tensor.shape:
                    found |= sizes_in(extent)
    return found


def fresh(index: Index, taken: set[str]) -> Index:
    """An index with the same range whose name is not taken; the new name is added to `taken`."""
    name = index.name
    if name in taken:
        stem = name.rstrip("0123456789")
        k = 2
        while f"{stem}{k}" in taken:
            k += 1
        name = f"{stem}{k}"
    taken.add(name)
    return index if name == index.name else Index(name, index.extent)


def substitute(e: Expr, mapping: Mapping[Index, Expr]) -> Expr:
    """`e` with free indices replaced. Bound indices are renamed where they would capture one."""
    mapping = {index: value for index, value in mapping.items() if index is not value}
    if not mapping:
        return e
    return _substitute(e, mapping, {})


def _substitute(e: Expr, mapping: Mapping[Index, Expr], memo: dict[Expr, Expr]) -> Expr:
    if free(e).isdisjoint(mapping):
        return e
    if isinstance(e, Index):
        return mapping[e]
    if e in memo:
        return memo[e]
    match e:
        case Sum(indices, body):
            bound, inner = _enter(indices, body, mapping)
            result = total(bound, _substitute(body, inner, {}))
        case Element(operator, at, binders, bodies, attributes):
            new_binders, new_bodies = [], []
            for indices, body in zip(binders, bodies, strict=True):
                bound, inner = _enter(indices, body, mapping)
                new_binders.append(bound)
                new_bodies.append(_substitute(body, inner, {}))
            new_at = tuple(_substitute(x, mapping, memo) for x in at)
            result = Element(operator, new_at, tuple(new_binders), tuple(new_bodies), attributes)
        case _:
            result = rebuild(e, tuple(_substitute(x, mapping, memo) for x in children(e)))
    memo[e] = result
    return result


def _enter(
    indices: tuple[Index, ...], body: Expr, mapping: Mapping[Index, Expr]
) -> tuple[tuple[Index, ...], dict[Index, Expr]]:
    """The binder's indices, renamed away from what comes in, and the mapping that holds inside."""
    inner = {i: v for i, v in mapping.items() if i not in indices and i in free(body)}
    incoming = {index.name for value in inner.values() for index in free(value)}
    taken = incoming | {index.name for index in free(body)}
    bound = []
    for index in indices:
        if index.name in incoming:
            renamed = fresh(index, taken)
            inner[index] = renamed
            bound.append(renamed)
        else:
            bound.append(index)
    return tuple(bound), inner


def replace(e: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """`e` with `change` applied to each node, children first; None leaves a node as it is."""
    memo: dict[Expr, Expr] = {}

    def go(node: Expr) -> Expr:
        known = memo.get(node)
        if known is not None:
            return known
        old = children(node)
        parts = tuple([go(x) for x in old])
        new = node if parts == old else rebuild(node, parts)
        changed = change(new)
        result = memo[node] = new if changed is None else changed
        return result

    return go(e)


def exchange(e: Expr, pairs: Mapping[Expr, Expr]) -> Expr:
    """`e` with whole nodes replaced by others."""
    return replace(e, lambda node: pairs.get(node))


def flattened(e: Expr) -> tuple[list[Index], list[Expr]]:
    """The bound indices and the factors of a product with sums in it, in the order of reading."""
    bound: list[Index] = []
    factors: list[Expr] = []
    stack = [e]
    while stack:
        node = stack.pop(0)
        if isinstance(node, Sum):
            bound += node.indices
            stack.insert(0, node.body)
        elif isinstance(node, Mul):
            stack = [*node.factors, *stack]
        else:
            factors.append(node)
    return bound, factors
