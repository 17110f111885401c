"""Further operations of ATen: linear algebra, distances, running products, and resampling by fixed matrices."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pullback.capture import phrases
from pullback.capture.aten import NEGATIVE, Row, refuse, value
from pullback.capture.aten_layers import CONV2D
from pullback.capture.aten_views import length
from pullback.capture.writing import Value, Writer
from pullback.expression import ONE
from pullback.sizes import size_text

# ---- linear algebra


def _slogdet(w: Writer, x: Value) -> tuple[Value, Value]:
    shape = x.shape[: x.rank - 2]
    det = w.define("det({0})", x, shape=shape, style="operator")
    return w.elementwise("sign({0})", det), w.define("logdet({0})", x, shape=shape, style="operator")


def _triangle_solve(
    w: Writer, a: Value, b: Value, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Value:
    """One triangle of `a` counts; a factor of Cholesky is triangular already."""
    if unitriangular or not left or a.rank != 2:
        raise refuse("a triangular solve from the right, in batches, or with an implied diagonal of 1")
    whole = (
        a if "cholesky" in _text(a) else w.define(f"{'triu' if upper else 'tril'}({{0}})", a, shape=a.shape)
    )
    return w.define("solve({0}, {1})", whole, b, shape=b.shape, style="operator")


def _text(x: Value) -> str:
    return "" if x.tree is None else ast.unparse(x.tree)


def _cholesky_solve(w: Writer, b: Value, factor: Value, upper: bool = False) -> Value:
    """The solution of L @ L.T @ x = b."""
    turned = phrases.swapaxes(w, factor, -2, -1)
    whole = phrases.matmul(w, turned, factor) if upper else phrases.matmul(w, factor, turned)
    return w.define("solve({0}, {1})", whole, b, shape=b.shape, style="operator")


def _norm(w: Writer, x: Value, order: Any = None, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Of all the entries, or along axes."""
    axes = None if dim in (None, []) else dim
    if order in (None, "fro", 2):
        return phrases.reduce(w, "norm", x, axes, keepdim)
    if isinstance(order, str):
        raise refuse(f"a matrix norm of order {order}", "the Frobenius norm")
    size = w.elementwise("abs({0})", x)
    if order in (float("inf"), -float("inf")):
        return phrases.reduce(w, "max" if order > 0 else "min", size, axes, keepdim)
    if order == 1:
        return phrases.reduce(w, "sum", size, axes, keepdim)
    if order <= 0:
        raise refuse(f"a norm of order {order}", "orders above 0")
    total = phrases.reduce(w, "sum", w.elementwise("{0} ** {1}", size, value(w, order)), axes, keepdim)
    return w.elementwise("{0} ** (1 / {1})", total, value(w, order))


def _matrix_norm(
    w: Writer, x: Value, order: Any = None, dim: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    """A matrix has its Frobenius norm only; vectors have any."""
    axes = (-2, -1) if dim is None and x.rank > 2 else dim
    of_matrix = len(axes) == 2 if isinstance(axes, list | tuple) else axes is None and x.rank == 2
    if of_matrix and order not in (None, "fro"):
        raise refuse(
            f"a matrix norm of order {order}", "the Frobenius norm, or torch.linalg.vector_norm(x, 1)"
        )
    return _norm(w, x, order, axes, keepdim)


def _cdist(w: Writer, a: Value, b: Value, p: float = 2.0, *_: Any) -> Value:
    """|a[i] - b[j]| of all pairs of rows."""
    gap = w.elementwise("{0} - {1}", phrases.new_axis(w, a, a.rank - 1), phrases.new_axis(w, b, b.rank - 2))
    return _norm(w, gap, p, -1)


def _var_mean(row: Row) -> Row:
    return lambda w, x, *args, **kwargs: (
        row(w, x, *args, **kwargs),
        phrases.reduce(w, "mean", x, args[0] if args and args[0] else None, kwargs.get("keepdim", False)),
    )


# ---- running along an axis


def _running(name: str, neutral: float) -> Row:
    """The product, or the logarithm of the sum of exponentials, of the entries so far."""

    def row(w: Writer, x: Value, dim: int) -> Value:
        dim %= x.rank
        last = phrases.move_axis(w, x, dim, -1)
        n = last.shape[-1]
        so_far = w.define(f"tril(ones([{size_text(n)}, {size_text(n)}]))", shape=(n, n))
        wide = phrases.new_axis(w, last, x.rank - 1)
        kept = w.elementwise("where({1} == 1, {0}, {2})", wide, so_far, w.number(neutral))
        return phrases.move_axis(w, phrases.reduce(w, name, kept, -1), -1, dim)

    return row


# ---- layers in three dimensions, and transposed


def _triple(x: Any) -> list[int]:
    listed = list(x) if isinstance(x, list | tuple) else [x]
    return listed * 3 if len(listed) == 1 else listed


def conv3d(
    w: Writer,
    x: Value,
    kernel: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """Y[n, o, p, q, r] = X[n, c, s p + a, s q + b, s r + d] W[o, c, a, b, d], on the padded input."""
    if groups != 1 or isinstance(padding, str) or x.rank != 5:
        raise refuse("conv3d with groups, without a batch, or with a padding by name")
    x = phrases.pad(w, x, [(0, 0), (0, 0), *((p, p) for p in _triple(padding))])
    steps, gaps = _triple(stride), _triple(dilation)
    places, lengths = [], []
    for k, (s, g) in enumerate(zip(steps, gaps, strict=True)):
        first, second = (f"{n} * {i}" if n != 1 else i for n, i in ((s, "pqr"[k]), (g, "abd"[k])))
        places.append(f"{first} + {second}")
        size = length(kernel, k + 2)
        lengths.append(f"({size_text(x.shape[k + 2])} - {g * (size - 1)} - 1)//{s} + 1")
    template = f"{{0}}[n, c, {', '.join(places)}] * {{1}}[o, c, a, b, d]"
    shape = (x.shape[0], kernel.shape[0], *lengths)
    made = w.define(template, x, kernel, shape=shape, indices=["n", "o", "p", "q", "r"])
    made.declared = True
    return made if bias is None else phrases.add_(w, made, phrases.reshape(w, bias, [*bias.shape, 1, 1, 1]))


def _transposed(rank: int, convolution: Row) -> Row:
    """The stride's zeros between the entries, then a convolution with the kernel flipped."""

    def row(
        w: Writer,
        x: Value,
        kernel: Value,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        more: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Value:
        steps, pads, ends, gaps = (_spatial(n, rank) for n in (stride, padding, more, dilation))
        for k, step in enumerate(steps):
            x = spread(w, x, k + 2, step)
        sizes = [length(kernel, k + 2) for k in range(rank)]
        given, made = length(kernel, 0), length(kernel, 1)
        split = phrases.reshape(w, kernel, [groups, given // groups, made, *sizes])
        turned = phrases.reshape(
            w, phrases.swapaxes(w, split, 1, 2), [groups * made, given // groups, *sizes]
        )
        flipped = phrases.flip(w, turned, tuple(range(2, rank + 2)))
        reach = [g * (n - 1) - p for g, n, p in zip(gaps, sizes, pads, strict=True)]
        around = [(0, 0), (0, 0), *((r, r + e) for r, e in zip(reach, ends, strict=True))]
        found: Value = convolution(w, phrases.pad(w, x, around), flipped, bias, 1, 0, gaps, groups)
        return found

    return row


def _spatial(x: Any, rank: int) -> list[int]:
    listed = list(x) if isinstance(x, list | tuple) else [x]
    return listed * rank if len(listed) == 1 else listed


def spread(w: Writer, x: Value, axis: int, step: int) -> Value:
    """step - 1 zeros after every entry but the last."""
    if step == 1:
        return x
    wide = phrases.new_axis(w, x, axis + 1)
    zeros = w.filled(0, [*wide.shape[: axis + 1], step - 1, *wide.shape[axis + 2 :]])
    joined = phrases.concatenate(w, [wide, zeros], axis + 1)
    flat = phrases.reshape(w, joined, [*x.shape[:axis], -1, *x.shape[axis + 1 :]])
    return phrases.part(w, flat, axis, 0, length(flat, axis) - step + 1)


def _pool3d(name: str, pool: Row) -> Row:
    """Pooling of two axes, then of the third."""

    def row(w: Writer, x: Value, size: Any, stride: Any = None, padding: Any = 0, *more: Any) -> Value:
        if more and any(n not in (1, True, None, [1], [1, 1, 1]) and n for n in more):
            raise refuse(f"{name}3d with dilation, ceil_mode or a divisor")
        windows, steps, pads = _triple(size), _triple(stride) if stride else _triple(size), _triple(padding)
        n, c, d = x.shape[:3]
        flat = phrases.reshape(w, x, [n, length(x, 1) * length(x, 2), *x.shape[3:]])
        flat = pool(w, flat, windows[1:], steps[1:], pads[1:])
        high, wide = flat.shape[2:]
        rows = phrases.reshape(w, flat, [n, c, d, f"({size_text(high)})*({size_text(wide)})"])
        rows = pool(w, rows, [windows[0], 1], [steps[0], 1], [pads[0], 0])
        return phrases.reshape(w, rows, [n, c, rows.shape[2], high, wide])

    return row


# ---- resampling: each axis times a matrix of numbers


def _resampled(w: Writer, x: Value, axis: int, matrix: Any) -> Value:
    """Σ_i M[t, i] x[.., i, ..]: what one axis becomes."""
    n = x.rank
    last = phrases.move_axis(w, x, axis, -1)
    made = phrases.matmul(w, last, w.constant(np.asarray(matrix), "M"))
    return phrases.move_axis(w, made, -1, axis % n)


def _interpolation(mode: str, rank: int) -> Row:
    """Interpolation of every spatial axis by itself: the matrix is what it makes of the unit vectors."""

    def row(w: Writer, x: Value, size: Any = None, *more: Any, **_: Any) -> Value:
        aligned = next((n for n in more if isinstance(n, bool)), None)
        scales = next(
            (n for n in (size, *more) if isinstance(n, list | tuple) and isinstance(n[0], float)), None
        )
        for k in range(rank):
            sizes = {"scale_factor": scales[k]} if scales is not None else {"size": size[k]}
            x = _resampled(w, x, k + 2, _unit(mode, length(x, k + 2), aligned, sizes))
        return x

    return row


def _unit(mode: str, n: int, aligned: bool | None, sizes: Any) -> Any:
    import torch

    unit = torch.eye(n, dtype=torch.float64)[:, None]
    if mode == "bicubic":
        own: Any = {key: (1, x) if key == "size" else (1.0, x) for key, x in sizes.items()}
        return torch.nn.functional.interpolate(unit[:, :, None], mode=mode, align_corners=aligned, **own)[
            :, 0, 0
        ]
    options: Any = {} if mode == "nearest" else {"align_corners": aligned}
    return torch.nn.functional.interpolate(unit, mode=mode, **options, **sizes)[:, 0]


def _adaptive_average(rank: int, plain: Row | None) -> Row:
    """As one mean or as pooling where the windows are equal, else a matrix for each axis."""

    def row(w: Writer, x: Value, size: Any) -> Any:
        import torch

        wanted = _spatial(size, rank)
        if all(n == 1 for n in wanted):
            return phrases.reduce(w, "mean", x, tuple(range(-rank, 0)), True)
        whole = [n is None or length(x, k - rank) % n == 0 for k, n in enumerate(wanted)]
        if plain is not None and all(whole):
            return plain(w, x, size)
        for k, n in enumerate(wanted):
            axis = x.rank - rank + k
            if n == 1:
                x = phrases.reduce(w, "mean", x, axis, True)
            elif n is not None and not (x.shape[axis] is ONE or length(x, axis) == n):
                unit = torch.eye(length(x, axis), dtype=torch.float64)[:, None]
                x = _resampled(w, x, axis, torch.nn.functional.adaptive_avg_pool1d(unit, n)[:, 0])
        return x

    return row


def _embedding_bag(
    w: Writer, table: Value, index: Value, offsets: Value, _: Any = False, mode: int = 0, *more: Any
) -> tuple[Any, ...]:
    """The sum (mode 0), the mean (1) or the largest entries (2) of the rows in each bag."""
    weights = more[1] if len(more) > 1 else None
    if mode == 2 or (len(more) > 3 and more[3] not in (None, -1)):
        raise refuse("an embedding bag of the largest entries, or with a padding row")

    def bags(_: Any, args: tuple[Any, ...]) -> Any:
        import torch

        return torch.bucketize(torch.arange(args[1].shape[0]), args[2], right=True).sub(1).numpy()

    rows = phrases.take(w, table, index, 0)
    rows = rows if weights is None else phrases.times(w, rows, phrases.new_axis(w, weights, 1))
    bag = w.computed("bag", bags, index.shape)
    w.ranges_over(bag, offsets.shape[0])
    shape = (offsets.shape[0], table.shape[1])
    made = w.define("({1}[b] == v) * {0}[b, i]", rows, bag, shape=shape, indices=["v", "i"])
    made.declared = True
    if mode == 1:
        count = w.define(
            "sum(onehot({0}, " + size_text(offsets.shape[0]) + "), axis=0)", bag, shape=offsets.shape
        )
        made = w.elementwise("{0} / maximum({1}, 1)", made, phrases.new_axis(w, count, 1))
    return made, None, None, None


def _unshuffled(w: Writer, x: Value, r: int) -> Value:
    *lead, c = x.shape[:-2]
    split = phrases.reshape(w, x, [*lead, c, length(x, -2) // r, r, length(x, -1) // r, r])
    k = len(lead)
    turned = phrases.transpose(w, split, [*range(k + 1), k + 2, k + 4, k + 1, k + 3])
    return phrases.reshape(w, turned, [*lead, length(x, -3) * r * r, length(x, -2) // r, length(x, -1) // r])


def _channel_shuffle(w: Writer, x: Value, groups: int) -> Value:
    split = phrases.reshape(w, x, [x.shape[0], groups, length(x, 1) // groups, *x.shape[2:]])
    return phrases.reshape(w, phrases.swapaxes(w, split, 1, 2), x.shape)


def _hypot(w: Writer, a: Value, b: Value) -> Value:
    return w.elementwise("sqrt({0} ** 2 + {1} ** 2)", a, b)


def _rrelu(
    w: Writer, x: Value, low: float = 1 / 8, high: float = 1 / 3, train: bool = False, *_: Any
) -> Value:
    if train:
        raise refuse("rrelu in training draws at random", "module.eval()")
    return w.elementwise("where({0} > 0, {0}, {1} * {0})", x, w.number((low + high) / 2))


def _formula(template: str) -> Row:
    return lambda w, *xs, **_: w.elementwise(template, *(value(w, x) for x in xs))


_OWN: Final[dict[str, Row]] = {
    **dict.fromkeys(("slogdet", "linalg_slogdet"), _slogdet),
    "linalg_solve_triangular": _triangle_solve,
    "cholesky_solve": _cholesky_solve,
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm),
    **dict.fromkeys(("linalg_norm", "linalg_matrix_norm"), _matrix_norm),
    **dict.fromkeys(("cdist", "_cdist_forward"), _cdist),
    "dist": lambda w, a, b, p=2.0: _norm(w, phrases.reshape(w, w.elementwise("{0} - {1}", a, b), [-1]), p),
    "cumprod": _running("prod", 1.0),
    "logcumsumexp": _running("logsumexp", NEGATIVE),
    "conv3d": conv3d,
    "conv_transpose2d": _transposed(2, CONV2D),
    "conv_transpose3d": _transposed(3, conv3d),
    "adaptive_avg_pool3d": _adaptive_average(3, None),
    "upsample_linear1d": _interpolation("linear", 1),
    "upsample_bilinear2d": _interpolation("linear", 2),
    "upsample_trilinear3d": _interpolation("linear", 3),
    "upsample_bicubic2d": _interpolation("bicubic", 2),
    "upsample_nearest1d": _interpolation("nearest", 1),
    "upsample_nearest3d": _interpolation("nearest", 3),
    **dict.fromkeys(("embedding_bag", "_embedding_bag"), _embedding_bag),
    "pixel_unshuffle": _unshuffled,
    "channel_shuffle": _channel_shuffle,
    "asinh": _formula("log({0} + sqrt({0} ** 2 + 1))"),
    "acosh": _formula("log({0} + sqrt({0} ** 2 - 1))"),
    "atanh": _formula("log((1 + {0}) / (1 - {0})) / 2"),
    "hypot": _hypot,
    "fmax": _formula("maximum({0}, {1})"),
    "fmin": _formula("minimum({0}, {1})"),
    "sgn": _formula("sign({0})"),
    "hardshrink": lambda w, x, bound=0.5: w.elementwise("where(abs({0}) > {1}, {0}, 0)", x, value(w, bound)),
    "rrelu": _rrelu,
}


def table(rows: Callable[[str], Row]) -> dict[str, Row]:
    """The rows; `rows` gives those that stand elsewhere and are built upon here."""
    return {
        **_OWN,
        "var_mean": _var_mean(rows("var")),
        "conv_transpose1d": _transposed(1, rows("conv1d")),
        "avg_pool3d": _pool3d("avg_pool", rows("avg_pool2d")),
        "max_pool3d": _pool3d("max_pool", rows("max_pool2d")),
        "adaptive_avg_pool1d": _adaptive_average(1, rows("adaptive_avg_pool1d")),
        "adaptive_avg_pool2d": _adaptive_average(2, rows("adaptive_avg_pool2d")),
    }
