"""One entry of a tensor as a form: plain, on the diagonal, of a split axis, of a block, or taken by an integer."""

from __future__ import annotations

from fractions import Fraction

from pullback.affine import difference, expression, is_plain, polynomial, same, within
from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Access,
    Add,
    Call,
    Expr,
    Index,
    Mul,
    Num,
    add,
    free,
    is_symmetric,
    mul,
    neg,
    num,
)
from pullback.matrix.forms import Diagonal, Form, Joined, Leaf, NoMatrixForm, Reshaped, Sliced, Take

Slice = tuple[Expr | None, Expr | None, Expr | None]


def entry(e: Access) -> Form:
    """`T[…]` over its free indices; raises `NoMatrixForm` where the slots have no matrix form."""
    axes: list[Index | None] = []
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        if isinstance(slot, Index) and same(slot.extent, size):
            axes.append(slot)
        elif isinstance(slot, Index | Mul) or (isinstance(slot, Add) and len(free(slot)) == 1):
            return _sliced(e)
        elif isinstance(slot, Num) and size is Num(Fraction(1)):
            axes.append(None)
        elif isinstance(slot, Add):
            return _reshaped(e) or _sliced(e)
        else:
            return _joined(e) or _take(e)
    labels = tuple(axis for axis in axes if axis is not None)
    if len(set(labels)) != len(labels):
        return _diagonal(e, labels)
    return Leaf(labels, e.tensor.name, tuple(axes), is_symmetric(e.tensor))


def _reshaped(e: Access) -> Form | None:
    """X[…, c·p + a, …] with a below c: the axis split into p and a."""
    labels: list[Index] = []
    shape: list[Expr] = []
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        indices, low, step = _affine(slot)
        if low is not ZERO or step is not ONE or not same(mul(*(index.extent for index in indices)), size):
            return None
        labels += indices
        shape += [index.extent for index in indices]
    if len(set(labels)) != len(labels):
        raise NoMatrixForm
    return Reshaped(tuple(labels), e.tensor.name, tuple(shape))


def _joined(e: Access) -> Form | None:
    """X[…, h // c, …, h % c, …]: two axes side by side, joined to one; None where the slots are no such pair."""
    remainders = [k for k, slot in enumerate(e.slots) if isinstance(slot, Call) and slot.function == "mod"]
    if len(remainders) != 1:
        return None
    (last,) = remainders
    slot = e.slots[last]
    assert isinstance(slot, Call)
    h, c = slot.arguments
    quotient = Call("floordiv", (h, c))
    if not isinstance(h, Index) or list(e.slots).count(quotient) != 1 or not same(e.tensor.shape[last], c):
        return None
    first = e.slots.index(quotient)
    if not same(mul(e.tensor.shape[first], c), h.extent):
        return None
    labels: list[Index] = []
    order: list[int] = []
    for k, other in enumerate(e.slots):
        if k == last:
            labels.append(h)
            order += [first, last]
        elif k != first:
            if not isinstance(other, Index) or not same(other.extent, e.tensor.shape[k]):
                return None
            labels.append(other)
            order.append(k)
    return None if len(set(labels)) < len(labels) else Joined(tuple(labels), e.tensor.name, tuple(order))


def _sliced(e: Access) -> Form:
    """X[…, i + low, …], X[…, 2 i, …] and X[…, c·p + a + low, …]: a slice of an axis, split in two where it has two."""
    labels: list[Index] = []
    slices: list[Slice | None] = []
    split = False
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        if isinstance(slot, Index) and same(slot.extent, size):
            labels.append(slot)
            slices.append(None)
            continue
        if not within(slot, size):
            raise NoMatrixForm
        indices, low, step = _affine(slot)
        labels += indices
        length = mul(*(index.extent for index in indices))
        high = add(low, mul(step, length))
        if step is not ONE and not same(high, size):
            high = add(low, mul(step, add(length, MINUS_ONE)), ONE)
        stop = _stop(high, size)
        slices.append((None if low is ZERO else low, stop, None if step is ONE else step))
        split = split or len(indices) > 1
    if len(set(labels)) != len(labels):
        raise NoMatrixForm
    shape = tuple(index.extent for index in labels) if split else None
    return Sliced(tuple(labels), e.tensor.name, tuple(slices), shape)


def _stop(high: Expr, size: Expr) -> Expr | None:
    """Where a slice ends: None for the end of the axis, -k for k before it."""
    if same(high, size):
        return None
    left = expression(difference(high, size))
    return left if isinstance(left, Num) and not isinstance(size, Num) else expression(polynomial(high))


def _affine(slot: Expr) -> tuple[tuple[Index, ...], Expr, Expr]:
    """low + step · i, or low + c · p + a with a below c: the indices, low and step."""
    p = polynomial(slot)
    low = expression({monomial: c for monomial, c in p.items() if not any(free(atom) for atom in monomial)})
    indices = sorted(free(slot), key=lambda index: index.name)
    if len(indices) == 1:
        step = p.get((indices[0],), Fraction(0))
        if step.denominator == 1 and step > 0 and same(slot, add(low, mul(num(step), indices[0]))):
            return (indices[0],), low, num(step)
    if len(indices) == 2:
        return _quotient_remainder(add(slot, neg(low))), low, ONE
    raise NoMatrixForm


def _quotient_remainder(slot: Expr) -> tuple[Index, Index]:
    indices = sorted(free(slot), key=lambda index: index.name)
    if len(indices) == 2:
        for p, a in (indices, indices[::-1]):
            if same(slot, add(mul(a.extent, p), a)):
                return p, a
    raise NoMatrixForm


def _diagonal(e: Access, labels: tuple[Index, ...]) -> Form:
    if e.tensor.rank != 2 or len(labels) != 2:
        raise NoMatrixForm
    i = labels[0]
    inner = (i, Index(i.name + "_", i.extent))
    return Diagonal((i,), Leaf(inner, e.tensor.name, inner), inner)


def _take(e: Access) -> Form:
    """A constant or an integer tensor in one slot, plain indices in the others."""
    special = [k for k, slot in enumerate(e.slots) if not isinstance(slot, Index)]
    labels = [slot for slot in e.slots if isinstance(slot, Index)]
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        if isinstance(slot, Index) and not same(slot.extent, size):
            raise NoMatrixForm
    if len(special) != 1 or len(set(labels)) != len(labels):
        raise NoMatrixForm
    (k,) = special
    slot = e.slots[k]
    axis = Index("_", e.tensor.shape[k])
    inner = (*labels[:k], axis, *labels[k:])
    child = Leaf(inner, e.tensor.name, inner)
    match slot:
        case Num(value):
            return Take(tuple(labels), child, inner, axis, int(value))
        case Access(tensor, slots) if tensor.is_integer and is_plain(slot):
            rows = tuple(s for s in slots if isinstance(s, Index))
            if len(set(rows)) != len(rows) or set(rows) & set(labels):
                raise NoMatrixForm
            return Take((*inner[:k], *rows, *inner[k + 1 :]), child, inner, axis, tensor.name)
    raise NoMatrixForm
