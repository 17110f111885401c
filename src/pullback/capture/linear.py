"""Products, norms and the operators of linear algebra on recorded arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pullback.capture.arrays import Array, known, moved, number, sources
from pullback.capture.assembling import concatenate
from pullback.capture.moving import reshape, swapped, transpose
from pullback.capture.operations import axes_of, einsum, elementwise, matmul, operator, reduce
from pullback.capture.phrases import explicit
from pullback.capture.session import SESSION, Pinned
from pullback.capture.subscripts import Span, subscript
from pullback.expression import ONE, ZERO, Expr, Num, add, call, mul, num
from pullback.reading.arrangement import position_in
from pullback.reading.value import At
from pullback.sizes import normal_size, same_size
from pullback.tracing.numbers import Untraceable

LETTERS = "ijklmnpqrstuvwxyzabcdefgh"


class SignAndLog(NamedTuple):
    """What slogdet gives."""

    sign: Any
    logabsdet: Any


def dot(a: Array, b: Array) -> Array:
    """numpy.dot: the last axis of a meets the last but one of b."""
    if not a.rank or not b.rank:
        return elementwise("*", a, b)
    if a.rank <= 2 and b.rank <= 2:
        return matmul(a, b)
    if b.rank == 1:
        return matmul(a, b)
    left, right = LETTERS[: a.rank], LETTERS[a.rank : a.rank + b.rank]
    right = right[:-2] + left[-1] + right[-1]
    return einsum(f"{left},{right}->{left[:-1]}{right[:-2]}{right[-1]}", [a, b])


def inner(a: Array, b: Array) -> Array:
    if a.rank <= 1 and b.rank <= 1:
        return dot(a, b)
    left, right = LETTERS[: a.rank], LETTERS[a.rank : a.rank + b.rank - 1]
    return einsum(f"{left},{right}{left[-1]}->{left[:-1]}{right}", [a, b])


def vdot(a: Array, b: Array) -> Array:
    return matmul(reshape(a, [None]), reshape(b, [None])) if a.rank > 1 else dot(a, b)


def outer(a: Array, b: Array) -> Array:
    a, b = reshape(a, [None]) if a.rank != 1 else a, reshape(b, [None]) if b.rank != 1 else b
    return operator("outer", (a.shape[0], b.shape[0]), a, b)


def kron(a: Array, b: Array) -> Array:
    if a.rank != b.rank or a.rank not in (1, 2):
        raise Untraceable("kron of arrays that are no two vectors and no two matrices")
    return operator(
        "kron", tuple(normal_size(mul(m, n)) for m, n in zip(a.shape, b.shape, strict=True)), a, b
    )


def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    if isinstance(axes, int):
        first, second = list(range(a.rank - axes, a.rank)), list(range(axes))
    else:
        first, second = ([axis] if isinstance(axis, int) else list(axis) for axis in axes)
    left = list(LETTERS[: a.rank])
    right = list(LETTERS[a.rank : a.rank + b.rank])
    for m, n in zip(first, second, strict=True):
        right[n] = left[m]
    output = [c for c in left if c not in right] + [c for c in right if c not in left]
    return contraction("".join(left), "".join(right), "".join(output), a, b)


def contraction(left: str, right: str, output: str, a: Array, b: Array) -> Array:
    """A contraction of two arrays, as `@` where it is one."""
    product = _as_matmul(left, right, output, a, b)
    return product if product is not None else einsum(f"{left},{right}->{output}", [a, b])


def _as_matmul(left: str, right: str, output: str, a: Array, b: Array) -> Array | None:
    """`@` of the two, perhaps with their last axes exchanged; None where that takes more."""
    shared = [c for c in left if c in right and c not in output]
    batch = [c for c in left if c in right and c in output]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    if len(shared) != 1 or len(columns) > 1 or len(set(left)) != len(left) or len(set(right)) != len(right):
        return None
    if output != "".join([*batch, *rows, *columns]):
        if not batch and output == "".join([*columns, *rows]) and len(rows) <= 1:
            return _as_matmul(right, left, output, b, a)
        return None
    if len(rows) > 1 and batch:
        return None
    a = transpose(a, [left.index(c) for c in (*batch, *rows, *shared)])
    b = transpose(b, [right.index(c) for c in (*batch, *shared, *columns)])
    if batch and (not rows or not columns):
        return None
    return matmul(a, b)


def einsum_of(spec: str, parts: Sequence[Array]) -> Array:
    """numpy.einsum, as `@` where it is one."""
    full = explicit(spec.replace(" ", ""), [part.rank for part in parts])
    terms, output = full.split("->")
    listed = terms.split(",")
    if len(listed) == 1 and len(set(listed[0])) == len(listed[0]) == len(output):
        return transpose(parts[0], [listed[0].index(c) for c in output])
    if len(listed) == 2:
        return contraction(listed[0], listed[1], output, parts[0], parts[1])
    return einsum(full, parts)


def multi_dot(parts: Sequence[Array]) -> Array:
    found = parts[0]
    for part in parts[1:]:
        found = matmul(found, part)
    return found


def matrix_power(a: Array, n: int) -> Array:
    if n < 0:
        return matrix_power(inverse(a), -n)
    if n == 0:
        return known(a.shape, "real", lambda at: call("where", ZERO, ONE, ZERO))
    return multi_dot([a] * n)


def average(x: Array, axis: object, weights: Array | None) -> Array:
    if weights is None:
        return reduce("mean", x, axis)
    if weights.rank != x.rank:
        k = axes_of(x, axis)[0]
        weights = reshape(weights, [weights.shape[0] if j == k else ONE for j in range(x.rank)])
    return elementwise("/", reduce("sum", elementwise("*", x, weights), axis), reduce("sum", weights, axis))


# ---- matrices -------------------------------------------------------------------------------


def _square(name: str, x: Array) -> Array:
    if x.rank < 2 or not same_size(x.shape[-1], x.shape[-2]):
        raise Untraceable(f"{name} of an array that is no square matrix")
    return x


def trace(x: Array) -> Array:
    if x.rank != 2:
        return reduce("sum", diagonal(x, 0, 0, 1), -1)
    return operator("trace", (), _square("trace", x))


def diagonal_matrix(x: Array) -> Array:
    if x.rank == 1:
        return operator("diag", (x.shape[0], x.shape[0]), x)
    return diagonal(x)


def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The entries [.., i, i] of two axes; their axis comes last."""
    if x.rank == 2 and not offset and same_size(*x.shape):
        return operator("diag", x.shape[:1], x)
    a, b = axis1 % x.rank, axis2 % x.rank
    length = _diagonal_length(x.shape[a], x.shape[b], offset)
    rest = [k for k in range(x.rank) if k not in (a, b)]

    def entry(at: At) -> Any:
        place = dict(zip(rest, at, strict=False))
        place[a] = add(at[-1], num(max(-offset, 0)))
        place[b] = add(at[-1], num(max(offset, 0)))
        return x.at(tuple(place[k] for k in range(x.rank)))

    shape = (*(x.shape[k] for k in rest), length)
    if x.is_known:
        return known(shape, x.kind, entry, sources(x))
    return moved(shape, entry, sources(x))


def _diagonal_length(rows: Expr, columns: Expr, offset: int) -> Expr:
    """How many entries [i, i + offset] there are: which end comes first is as in this run."""
    rows = normal_size(add(rows, num(min(offset, 0))))
    columns = normal_size(add(columns, num(-max(offset, 0))))
    if same_size(rows, columns):
        return rows
    session = SESSION.get()
    pinned = next((n for n in (rows, columns) if not isinstance(n, Num)), None)
    if pinned is not None:
        raise Pinned(pinned, "the diagonal of an array that is not square, of size")
    return rows if session.length(rows) < session.length(columns) else columns


def inverse(x: Array) -> Array:
    return operator("inv", _square("inv", x).shape, x)


def determinant(x: Array) -> Array:
    return operator("det", _square("det", x).shape[:-2], x)


def slogdet(x: Array) -> tuple[Array, Array]:
    found = operator("logdet", _square("slogdet", x).shape[:-2], x)
    return elementwise("sign", determinant(x)), found


def cholesky(x: Array) -> Array:
    return operator("cholesky", _square("cholesky", x).shape, x)


def solve(a: Array, b: Array) -> Array:
    _square("solve", a)
    if a.rank > 2:
        return matmul(inverse(a), b)
    return operator("solve", b.shape, a, b)


def triangular_solve(a: Array, b: Array, lower: bool = False, transposed: bool = False) -> Array:
    """A factor of Cholesky is triangular already; another matrix loses its other half."""
    if not _is_factor(a):
        a = Array(a.shape, "real", "tril" if lower else "triu", (a,), {"k": ZERO})
    return solve(swapped(a, -1, -2) if transposed else a, b)


def _is_factor(a: Array) -> bool:
    return a.op == "cholesky" or (a.op == "transpose" and a.args[0].op == "cholesky")


def cholesky_solve(factor: Array, b: Array, lower: bool) -> Array:
    """The solution of S x = b, from the factor of S."""
    if factor.op == "cholesky":
        return solve(factor.args[0], b)
    whole = matmul(factor, swapped(factor, -1, -2)) if lower else matmul(swapped(factor, -1, -2), factor)
    return solve(whole, b)


def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    vector = (axis is not None and not isinstance(axis, tuple | list)) or x.rank == 1
    if ord is None or ord == "fro" or (ord == 2 and vector):
        return reduce("norm", x, axis, keepdims)
    if vector and ord in (1, float("inf")):
        return reduce("sum" if ord == 1 else "max", elementwise("abs", x), axis, keepdims)
    if vector and isinstance(ord, int | float) and ord > 0:
        total = reduce("sum", elementwise("**", elementwise("abs", x), _number(ord)), axis, keepdims)
        return elementwise("**", total, elementwise("/", number(ONE), _number(ord)))
    raise Untraceable(f"a norm of order {ord} is not known here")


def _number(x: Any) -> Array:
    return number(num(x) if isinstance(x, int) else num(str(x)))


def cross(a: Array, b: Array) -> Array:
    """The cross product along the last axis."""

    def part(x: Array, k: int) -> Array:
        where = position_in(x.shape[-1], num(k))
        slots = [*(Span(ZERO, s) for s in x.shape[:-1]), Span(where, normal_size(add(where, ONE)))]
        return subscript(x, slots)

    rows = []
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        first = elementwise("*", part(a, i), part(b, j))
        rows.append(elementwise("-", first, elementwise("*", part(a, j), part(b, i))))
    return concatenate(rows, rows[0].rank - 1)
