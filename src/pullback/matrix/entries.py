"""One entry of a tensor as a form: plain, on the diagonal, of a split axis, of a block, or taken by an integer."""

from __future__ import annotations

from fractions import Fraction

from pullback.affine import divide, is_plain, same
from pullback.expression import ONE, Access, Add, Expr, Index, Num, add, free, is_symmetric, mul, num
from pullback.matrix.forms import Diagonal, Form, Leaf, NoMatrixForm, Reshaped, Take


def entry(e: Access) -> Form:
    """`T[…]` over its free indices; raises `NoMatrixForm` where the slots have no matrix form."""
    axes: list[Index | None] = []
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        if isinstance(slot, Index) and same(slot.extent, size):
            axes.append(slot)
        elif isinstance(slot, Index) or (isinstance(slot, Add) and len(free(slot)) == 1):
            return _block(e)
        elif isinstance(slot, Num) and size is Num(Fraction(1)):
            axes.append(None)
        elif isinstance(slot, Add):
            return _reshaped(e)
        else:
            return _take(e)
    labels = tuple(axis for axis in axes if axis is not None)
    if len(set(labels)) != len(labels):
        return _diagonal(e, labels)
    return Leaf(labels, e.tensor.name, tuple(axes), is_symmetric(e.tensor))


def _reshaped(e: Access) -> Form:
    """X[…, c·p + a, …] with a below c: the axis split into p and a."""
    labels: list[Index] = []
    shape: list[Expr] = []
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        pair = (slot,) if isinstance(slot, Index) else _quotient_remainder(slot)
        if not same(mul(*(index.extent for index in pair)), size):
            raise NoMatrixForm
        labels += pair
        shape += [index.extent for index in pair]
    if len(set(labels)) != len(labels):
        raise NoMatrixForm
    return Reshaped(tuple(labels), e.tensor.name, tuple(shape))


def _block(e: Access) -> Form:
    """X[…, c·H + h, …], one of the equal blocks of an axis: the axis split, and block c taken."""
    inner: list[Index] = []
    shape: list[Expr] = []
    which: int | None = None
    axis = Index("_", ONE)
    for slot, size in zip(e.slots, e.tensor.shape, strict=True):
        if isinstance(slot, Index) and same(slot.extent, size):
            inner.append(slot)
            shape.append(size)
            continue
        rest = sorted(free(slot), key=lambda index: index.name)
        blocks = divide(size, rest[0].extent) if len(rest) == 1 else None
        if which is not None or not isinstance(blocks, Num):
            raise NoMatrixForm
        h = rest[0]
        found = [c for c in range(int(blocks.value)) if same(slot, add(mul(num(c), h.extent), h))]
        if not found:
            raise NoMatrixForm
        which, axis = found[0], Index("_", blocks)
        inner += [axis, h]
        shape += [blocks, h.extent]
    if which is None or len(set(inner)) != len(inner):
        raise NoMatrixForm
    labels = tuple(index for index in inner if index is not axis)
    return Take(labels, Reshaped(tuple(inner), e.tensor.name, tuple(shape)), tuple(inner), axis, which)


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
