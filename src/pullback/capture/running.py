"""What runs along a line of entries: products, convolutions of two lines, trapezoids, polynomials."""

from __future__ import annotations

from pullback.capture import moving
from pullback.capture.arrays import Array, compared, known, number
from pullback.capture.operations import axes_of, elementwise, matmul, operator, reduce
from pullback.capture.session import Pinned
from pullback.capture.subscripts import Span, subscript
from pullback.expression import MINUS_ONE, ONE, ZERO, Expr, Num, add, num
from pullback.sizes import normal_size
from pullback.tracing.numbers import Untraceable


def running_product(x: Array, axis: int) -> Array:
    """The product of the entries up to each: ones stand in the place of those behind it."""
    axis = axes_of(x, axis)[0]
    size = x.shape[axis]
    row = moving.new_axes(x, (axis,))  # [.., 1, n, ..]
    shape = tuple(size if k == axis else n for k, n in enumerate(row.shape))
    behind = known(shape, "truth", lambda at: compared("<", at[axis], at[axis + 1]))
    return reduce("prod", elementwise("where", behind, number(ONE), row), axis + 1)


def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    """np.convolve: Σ_j a[i - j] v[j], the shorter line as the kernel."""
    if a.rank != 1 or v.rank != 1:
        raise Untraceable("np.convolve takes two vectors")
    kernel = v.shape[0]
    if not isinstance(kernel, Num):
        raise Pinned(kernel, "the code convolves with a kernel of size")
    if isinstance(a.shape[0], Num) and a.shape[0].value < kernel.value:
        return convolve(v, a, mode)
    over = int(kernel.value) - 1
    front, back = {"full": (over, over), "same": (over - over // 2, over // 2), "valid": (0, 0)}[mode]
    line = moving.pad(a, [(num(front), num(back))], ZERO)
    length = normal_size(add(line.shape[0], num(-over)))
    made = operator(
        "conv1d", (ONE, ONE, length), moving.new_axes(line, (0, 1)), moving.new_axes(moving.flip(v), (0, 1))
    )
    return moving.reshape(made, [length])


def _ends(x: Array, axis: int, start: Expr, stop: Expr) -> Array:
    spans = [Span(ZERO, n) for n in x.shape]
    spans[axis] = Span(start, stop)
    return subscript(x, spans)


def trapezoid(y: Array, x: Array | None, dx: Array, axis: int) -> Array:
    """Σ (y[k] + y[k + 1]) / 2 * (x[k + 1] - x[k])."""
    axis = axes_of(y, axis)[0]
    size = y.shape[axis]
    last = normal_size(add(size, MINUS_ONE))
    middle = elementwise("+", _ends(y, axis, ONE, size), _ends(y, axis, ZERO, last))
    if x is not None:
        own = axis if x.rank == y.rank else 0
        before = normal_size(add(x.shape[own], MINUS_ONE))
        dx = elementwise("-", _ends(x, own, ONE, x.shape[own]), _ends(x, own, ZERO, before))
        if x.rank != y.rank:
            dx = moving.new_axes(dx, tuple(range(1, y.rank - axis)))
    whole = reduce("sum", elementwise("*", middle, dx), axis)
    return elementwise("/", whole, number(num(2)))


def polynomial(p: Array, x: Array) -> Array:
    """np.polyval: the coefficients from the highest power down, by Horner's scheme."""
    count = p.shape[0]
    if not isinstance(count, Num):
        raise Pinned(count, "the code evaluates a polynomial with a number of coefficients of size")
    at = [subscript(p, [Span(num(k), num(k + 1), single=True)]) for k in range(int(count.value))]
    total = at[0]
    for coefficient in at[1:]:
        total = elementwise("+", elementwise("*", total, x), coefficient)
    return total


def covariance(x: Array, rowvar: bool, ddof: int) -> Array:
    """Σ over the observations of the products of what is left of two variables beside their means."""
    if x.rank != 2:
        raise Untraceable("the covariance of an array that is no matrix", hint="x[None, :] makes one")
    rows = x if rowvar else moving.swapped(x, 0, 1)
    gap = elementwise("-", rows, reduce("mean", rows, 1, True))
    count = elementwise("-", number(rows.shape[1]), number(num(ddof)))
    return elementwise("/", matmul(gap, moving.swapped(gap, 0, 1)), count)
