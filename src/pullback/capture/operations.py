"""Operations on recorded arrays, with NumPy's meaning: element by element, reductions, products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pullback.capture.arrays import (
    BUILD,
    INFINITE,
    NOT_A_NUMBER,
    Array,
    Kind,
    Shape,
    exact,
    filled,
    folded,
    known,
    number,
)
from pullback.errors import ShapeProblem
from pullback.expression import NEGATED, ONE, ZERO, Expr, mul, neg
from pullback.functions import HALF, TWO
from pullback.reading.value import broadcast_shapes
from pullback.sizes import product_size, same_size, shape_text, size_text
from pullback.tracing.numbers import Untraceable

RELATIONS: Final = ("==", "!=", "<", "<=", ">", ">=")
LOGICAL: Final = ("and", "or", "not")


def same_shape(a: Sequence[Expr], b: Sequence[Expr]) -> bool:
    return len(a) == len(b) and all(map(same_size, a, b))


def broadcast(*parts: Array) -> Shape:
    shape: Shape = ()
    for part in parts:
        shape = broadcast_shapes(shape, part.shape, "broadcasting")
    return shape


# ---- element by element ---------------------------------------------------------------------


def elementwise(op: str, *parts: Array) -> Array:
    """An operation of `BUILD` on each element, with broadcasting; known arrays stay known."""
    kind = _kind(op, parts)
    if all(part.is_known for part in parts):
        return folded(op, kind, parts)
    shape = broadcast(*parts)
    simpler = _simpler(op, parts, shape)
    if simpler is not None:
        return simpler
    if op == "**" and parts[1].constant() is HALF:
        return Array(shape, "real", "sqrt", (_plain(parts[0], parts[1:], shape),))
    plain = tuple(_plain(x, [o for o in parts if o is not x], shape) for x in parts)
    return Array(shape, kind, op, plain)


def _kind(op: str, parts: Sequence[Array]) -> Kind:
    if op in RELATIONS or op in LOGICAL:
        return "truth"
    operands = parts[1:] if op == "where" else parts
    whole = ("+", "-", "*", "//", "%", "neg", "abs", "sign", "where", "maximum", "minimum", "**")
    if op in whole and all(part.kind != "real" for part in operands):
        return "integer"
    return "real"


def _plain(x: Array, others: Sequence[Array], shape: Shape) -> Array:
    """An operand without what broadcasting does anyway: axes of size 1 in front, repetition."""
    if not others:
        return x
    while x.op in ("reshape", "broadcast"):
        inner = x.args[0]
        leading = x.op == "reshape" and same_shape(_unled(x.shape), _unled(inner.shape))
        if not leading and x.op == "reshape":
            break
        try:
            found = broadcast(inner, *others)
        except ShapeProblem:
            break
        if not same_shape(found, shape):
            break
        x = inner
    return x


def _unled(shape: Shape) -> Shape:
    """A shape without the sizes 1 in front."""
    k = 0
    while k < len(shape) and shape[k] is ONE:
        k += 1
    return shape[k:]


def _simpler(op: str, parts: Sequence[Array], shape: Shape) -> Array | None:
    """x + 0, x * 1 and their like, and the names that functions of numbers have."""
    a, b = (parts[0], parts[1]) if len(parts) > 1 else (parts[0], parts[0])
    left, right = a.constant(), b.constant()
    if op == "where":
        return _where(parts, shape)
    if op == "abs" and _is_positive(a):
        return a
    if op == "not" and a.op in NEGATED:
        return elementwise(NEGATED[a.op], *a.args)
    if len(parts) != 2:
        return None
    found = _idiom(op, a, b)
    if found is not None:
        return found
    keep_a, keep_b = same_shape(a.shape, shape), same_shape(b.shape, shape)
    neutral = {"+": ZERO, "-": ZERO, "*": ONE, "/": ONE, "**": ONE}.get(op)
    if neutral is not None and right is neutral and keep_a:
        return a
    if op in ("+", "*") and left is neutral and keep_b:
        return b
    if op == "-" and left is ZERO and keep_b:
        return elementwise("neg", b)
    if op in ("maximum", "minimum"):
        return _extreme_of(op, a, b, left, right)
    if op == "logaddexp" and ZERO in (left, right):
        return elementwise("softplus", b if left is ZERO else a)
    if op in RELATIONS:
        return _clipped(op, a, b, left, right)
    return None


def _is_positive(x: Array) -> bool:
    while x.op in ("sum", "mean", "reshape"):
        x = x.args[0]
    return x.op in ("exp", "softmax", "sigmoid")


def _idiom(op: str, a: Array, b: Array) -> Array | None:
    """softmax, its logarithm, the logarithm of its sum, and means, as people spell them out."""
    if op == "/" and a.op == "exp":
        return _softmax_of(a, b)
    if op == "-" and b.op == "log":
        return _log_softmax_of(a, b.args[0])
    if op == "+":
        for total, shift in ((a, b), (b, a)):
            found = _logsumexp_of(total, shift)
            if found is not None:
                return found
    if op == "/" and a.op == "sum" and not a.hint:
        count, axes = b.constant(), a.options["axes"]
        if count is not None and same_size(count, product_size(a.args[0].shape[k] for k in axes)):
            return Array(a.shape, "real", "mean", a.args, dict(a.options))
    return None


def _shifted(x: Array, axis: int) -> Array:
    """What a softmax is of: a shift that is the same along the axis does not count."""
    if x.op == "-":
        by = x.args[1]
        if by.op == "max" and by.args[0] is x.args[0] and by.options == {"axes": (axis,), "keepdims": True}:
            return x.args[0]
    return x


def _sum_of_exp(x: Array) -> tuple[Array, int] | None:
    """(z, axis) of sum(exp(z), axis, keepdims=True)."""
    if x.op != "sum" or not x.options["keepdims"] or len(x.options["axes"]) != 1 or x.args[0].op != "exp":
        return None
    return x.args[0].args[0], x.options["axes"][0]


def _softmax_of(a: Array, b: Array) -> Array | None:
    found = _sum_of_exp(b)
    if found is None or found[0] is not a.args[0]:
        return None
    return along("softmax", _shifted(*found), found[1])


def _log_softmax_of(a: Array, b: Array) -> Array | None:
    found = _sum_of_exp(b)
    if found is None or found[0] is not a:
        return None
    return along("log_softmax", _shifted(*found), found[1])


def _logsumexp_of(total: Array, shift: Array) -> Array | None:
    """log(Σ exp(x - m)) + m, with or without the axis."""
    if (
        total.op != "log"
        or shift.op != "max"
        or total.args[0].op != "sum"
        or total.args[0].args[0].op != "exp"
    ):
        return None
    summed, inner = total.args[0], total.args[0].args[0].args[0]
    if summed.options != shift.options or inner.op != "-" or inner.args[0] is not shift.args[0]:
        return None
    by = inner.args[1]
    if by.op != "max" or by.args[0] is not shift.args[0] or by.options["axes"] != shift.options["axes"]:
        return None
    return Array(total.shape, "real", "logsumexp", shift.args, dict(shift.options))


def _extreme_of(op: str, a: Array, b: Array, left: Expr | None, right: Expr | None) -> Array | None:
    unit = neg(INFINITE) if op == "maximum" else INFINITE
    if left is unit or left is NOT_A_NUMBER:
        return b
    if right is unit or right is NOT_A_NUMBER:
        return a
    if op == "maximum" and right is ZERO:
        return Array(a.shape, "real", "relu", (a,)) if not b.rank else None
    if op == "maximum" and left is ZERO:
        return Array(b.shape, "real", "relu", (b,)) if not a.rank else None
    return None


def _clipped(op: str, a: Array, b: Array, left: Expr | None, right: Expr | None) -> Array | None:
    """x == inf and the like: a value of the program is finite."""
    for e, sign in ((right, 1), (left, -1)):
        if e in (INFINITE, neg(INFINITE)):
            high = (e is INFINITE) == (sign == 1)
            true = op == "!=" or (op in ("<", "<=") if high else op in (">", ">="))
            return filled(broadcast(a, b), ONE if true else ZERO, "truth")
    return None


def _where(parts: Sequence[Array], shape: Shape) -> Array | None:
    condition, a, b = parts
    decided = condition.constant()
    if a.constant() is NOT_A_NUMBER or decided is ZERO:
        return expanded(b, shape)
    if b.constant() is NOT_A_NUMBER or decided is ONE or a is b:
        return expanded(a, shape)
    return None


def expanded(x: Array, shape: Shape) -> Array:
    """The array repeated to a larger shape."""
    if same_shape(x.shape, shape):
        return x
    if x.is_known:
        return folded("+", x.kind, (x, filled(shape, ZERO, x.kind)))
    broadcast_shapes(x.shape, shape, "broadcast_to")
    return Array(tuple(shape), x.kind, "broadcast", (x,))


def cast(x: Array, kind: Kind) -> Array:
    """The same numbers, seen as real, whole or true."""
    if x.kind == kind or (kind == "real" and x.op == "input"):
        return x if x.kind == kind else Array(x.shape, "real", "as real", (x,))
    if kind == "truth":
        return elementwise("!=", x, number(ZERO, "integer"))
    if kind == "integer" and x.kind == "real" and not x.is_known:
        raise Untraceable(
            "the code turns values into integers", hint="integers are inputs: labels, positions"
        )
    if x.is_known:
        return known(x.shape, kind, x.at, x.args)
    return Array(x.shape, kind, x.op, x.args, dict(x.options), x.entry, x.hint, x.place)


# ---- reductions -----------------------------------------------------------------------------


def axes_of(x: Array, axis: Any) -> tuple[int, ...]:
    """Axes counted from 0, in order; every axis where none is named."""
    if axis is None:
        return tuple(range(x.rank))
    listed = list(axis) if isinstance(axis, tuple | list) else [axis]
    found = []
    for a in listed:
        k = int(a)
        if not -x.rank <= k < x.rank:
            raise Untraceable(f"axis {k} of an array with {x.rank} axes")
        found.append(k % x.rank)
    return tuple(sorted(found))


def reduce(name: str, x: Array, axis: object = None, keepdims: bool = False) -> Array:
    """sum, mean, max, min, prod, norm or logsumexp over axes."""
    axes = axes_of(x, axis)
    if not axes:
        return elementwise("abs", x) if name == "norm" else x
    shape = tuple(ONE if k in axes else s for k, s in enumerate(x.shape) if keepdims or k not in axes)
    constant = x.constant()
    if constant is not None and name in ("sum", "mean", "max", "min"):
        count = product_size(x.shape[k] for k in axes) if name == "sum" else ONE
        return filled(shape, mul(constant, count), "real" if x.kind == "truth" else x.kind)
    kind: Kind = "real" if name in ("mean", "norm", "logsumexp") or x.kind == "truth" else x.kind
    inner, within = _from_reduction(name, x, axes)
    options = {"axes": within, "keepdims": keepdims}
    return Array(shape, kind, name, (inner,), options)


def _from_reduction(name: str, x: Array, axes: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """A sum of a sum is one sum."""
    if name == "sum" and x.op == "sum" and not x.options["keepdims"] and not x.hint:
        inner = x.args[0]
        kept = [k for k in range(inner.rank) if k not in x.options["axes"]]
        return inner, tuple(sorted((*x.options["axes"], *(kept[a] for a in axes))))
    return x, axes


def along(name: str, x: Array, axis: object = -1) -> Array:
    """cumsum along one axis, softmax and log_softmax along some, or along all for None."""
    axes = axes_of(x, axis)
    if len(axes) != 1 and name == "cumsum":
        raise Untraceable("cumsum takes one axis")
    return Array(x.shape, "real", name, (x,), {"axes": axes})


def variance(x: Array, axis: object = None, ddof: Array | None = None, keepdims: bool = False) -> Array:
    axes = axes_of(x, axis)
    gap = elementwise("-", x, reduce("mean", x, axes, True))
    squares = elementwise("**", gap, number(TWO))
    if ddof is None or ddof.constant() is ZERO:
        return reduce("mean", squares, axes, keepdims)
    count = number(product_size(x.shape[k] for k in axes))
    return elementwise("/", reduce("sum", squares, axes, keepdims), elementwise("-", count, ddof))


# ---- products -------------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    if not a.rank or not b.rank:
        raise Untraceable("@ takes no scalar", hint="* multiplies by a scalar")
    m, n = a.shape[-1], b.shape[max(b.rank - 2, 0)]
    if not same_size(m, n):
        raise ShapeProblem(
            f"@: {shape_text(a.shape)} and {shape_text(b.shape)} do not meet: {size_text(m)} and {size_text(n)}"
        )
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2], "@")
    shape = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ()))
    if a.constant() is ZERO or b.constant() is ZERO:
        return filled(shape, ZERO)
    return Array(shape, "real", "@", (a, b))


def einsum(spec: str, parts: Sequence[Array]) -> Array:
    """A contraction; the spec has its output and no dots."""
    left, output = spec.split("->")
    sizes: dict[str, Expr] = {}
    for term, x in zip(left.split(","), parts, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            if not same_size(sizes.setdefault(letter, size), size):
                raise ShapeProblem(
                    f"einsum: {letter} ranges over {size_text(sizes[letter])} and {size_text(size)}"
                )
    shape = tuple(sizes[letter] for letter in output)
    return Array(shape, "real", "einsum", tuple(parts), {"spec": spec})


def operator(name: str, shape: Shape, *parts: Array, **options: object) -> Array:
    """A function of whole arrays: inv, det, solve, trace, diag, …"""
    return Array(tuple(shape), "real", name, parts, dict(options))


def literal(x: object) -> Array:
    """A number of the code."""
    kind: Kind = "truth" if isinstance(x, bool) else "integer" if isinstance(x, int) else "real"
    return number(exact(x), kind)


assert set(RELATIONS) | set(LOGICAL) <= set(BUILD), "an operation without a meaning"
