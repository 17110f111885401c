"""The meaning of ATen's operations on arrays of numbers: one row an operation, by its name without overload."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.tracing.arrays import (
    FUNCTIONS,
    Numbers,
    extreme,
    logsumexp,
    mean,
    numbers,
    reduced,
    softmax,
    var,
    wrapped,
)
from pullback.tracing.aten_layers import LAYERS
from pullback.tracing.aten_statistics import STATISTICS
from pullback.tracing.indexing import (
    cumulated,
    gathered,
    indexed,
    padded,
    put,
    scattered,
    selected,
    sliced,
)
from pullback.tracing.numbers import Untraceable, better
from pullback.tracing.ordering import argmax, argmin, argsort

Row = Callable[..., Any]


def _is_float(x: Any) -> bool:
    return isinstance(x, Numbers | float)


def array(x: Any) -> Any:
    """A tensor's entries: numbers stay numbers, whole numbers and booleans plain arrays."""
    if isinstance(x, np.ndarray):
        return x
    return numbers(x) if not isinstance(x, bool | int | np.integer | np.bool_) else np.asarray(x)


def elementwise(name: str) -> Row:
    def row(x: Any, *_: Any, **__: Any) -> Any:
        given = array(x)
        plain = {"absolute": np.abs, "sign": np.sign, "square": np.square}.get(name)
        return plain(given) if plain and given.dtype.kind in "iu" else wrapped(FUNCTIONS[name](given))

    return row


def compared(f: Callable[[Any, Any], Any]) -> Row:
    return lambda a, b, **_: np.asarray(f(a, b), dtype=bool)


def _add(a: Any, b: Any, alpha: Any = 1, **_: Any) -> Any:
    return a + (b if alpha == 1 else alpha * b)


def _subtract(a: Any, b: Any, alpha: Any = 1, **_: Any) -> Any:
    return a - (b if alpha == 1 else alpha * b)


def _divide(a: Any, b: Any, rounding_mode: Any = None, **_: Any) -> Any:
    if rounding_mode is not None:
        if _is_float(a) or _is_float(b):
            raise Untraceable("a division is rounded to whole numbers")
        return a // b
    return numbers(a) / b


def _power(a: Any, b: Any, **_: Any) -> Any:
    return wrapped(FUNCTIONS["power"](a, b)) if _is_float(a) or _is_float(b) else a**b


def _clamp(x: Any, low: Any = None, high: Any = None, **options: Any) -> Any:
    """PyTorch's: at a bound the derivative passes."""
    low, high = options.get("min", low), options.get("max", high)
    if low is not None:
        x = np.where(np.asarray(x < low, dtype=bool), low, x)
    if high is not None:
        x = np.where(np.asarray(x > high, dtype=bool), high, x)
    return wrapped(x)


def _axes(dim: Any, x: Any) -> tuple[int, ...]:
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return tuple(range(np.ndim(x)))
    found = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    return tuple(d % max(1, np.ndim(x)) for d in found if np.ndim(x))


def _sum(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.sum(x, axis=_axes(dim, x), keepdims=keepdim)


def _mean(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return mean(x, axis=_axes(dim, x), keepdims=keepdim)


def _var(x: Any, dim: Any = None, *rest: Any, correction: Any = 1, keepdim: bool = False, **_: Any) -> Any:
    if isinstance(dim, bool) or rest:
        raise Untraceable("this form of the variance is not known")
    return var(x, axis=_axes(dim, x), ddof=1 if correction is None else int(correction), keepdims=keepdim)


def _var_mean(x: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False, **_: Any) -> Any:
    return _var(x, dim, correction=correction, keepdim=keepdim), _mean(x, dim, keepdim)


def _extreme(relation: str) -> Row:
    return lambda x, dim=None, keepdim=False: extreme(x, relation, axis=_axes(dim, x), keepdims=keepdim)


def _best_along(pick: Callable[..., Any], relation: str) -> Row:
    """max and min: of all entries, or along an axis, where the first of several that tie is taken."""

    def row(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return extreme(x, relation)
        if isinstance(dim, np.ndarray):
            return wrapped(FUNCTIONS["maximum" if relation == ">" else "minimum"](x, dim))
        where = np.expand_dims(pick(x.view(np.ndarray), axis=dim), dim)
        found = np.take_along_axis(x, where, axis=dim)
        return (found, where) if keepdim else (np.squeeze(found, dim), np.squeeze(where, dim))

    return row


def _index_of(pick: Callable[..., Any]) -> Row:
    def row(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        found = pick(x.view(np.ndarray), axis=dim)
        return np.expand_dims(found, dim) if keepdim and dim is not None else np.asarray(found)

    return row


def _product(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.prod(x, axis=_axes(dim, x), keepdims=keepdim)


def _add_matrix(a: Any, b: Any, c: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    product = b @ c
    return (a if beta == 1 else beta * a) + (product if alpha == 1 else alpha * product)


def _squeeze(x: Any, dim: Any = None) -> Any:
    axes = _axes(dim, x) if dim is not None else range(np.ndim(x))
    return np.squeeze(x, tuple(a for a in axes if x.shape[a] == 1))


def _expand(x: Any, size: Sequence[int], **_: Any) -> Any:
    shape = np.shape(x)
    lead = len(size) - len(shape)
    wanted = [n if n != -1 else shape[k - lead] for k, n in enumerate(size)]
    return wrapped(np.broadcast_to(x, wanted))


def _converted(x: Any, dtype: Any = None, **_: Any) -> Any:
    kind = "" if dtype is None else str(dtype).removeprefix("torch.")
    if kind.startswith(("float", "bfloat", "double", "half")) or dtype is None:
        return numbers(x) if dtype is not None or isinstance(x, Numbers) else np.array(x)
    if isinstance(x, Numbers):
        return x.astype(bool if kind == "bool" else np.int64)
    return np.asarray(x).astype(bool if kind == "bool" else np.int64)


def _filled(value: Any, shape: Sequence[int], dtype: Any, like: Any = None) -> Any:
    kind = str(dtype).removeprefix("torch.") if dtype is not None else ""
    whole = (
        kind.startswith(("int", "uint", "bool"))
        if kind
        else like is not None and not isinstance(like, Numbers)
    )
    made = np.full(tuple(shape), value, dtype=(bool if kind == "bool" else np.int64) if whole else object)
    return wrapped(made)


def _full(shape: Sequence[int], value: Any, dtype: Any = None, **_: Any) -> Any:
    if dtype is None and isinstance(value, bool | int):
        return wrapped(np.full(tuple(shape), value))
    return _filled(value, shape, dtype)


def _full_like(x: Any, value: Any, dtype: Any = None, **_: Any) -> Any:
    return _filled(value, np.shape(x), dtype, x)


def _arange(*args: Any, dtype: Any = None, **_: Any) -> Any:
    found = np.arange(*args)
    real = dtype is not None and "float" in str(dtype)
    return numbers(found) if real or found.dtype.kind == "f" else found


def _where(mask: Any, a: Any = None, b: Any = None) -> Any:
    if a is None:
        raise Untraceable("the shape of a result depends on values")
    if _is_float(a) or _is_float(b):
        a, b = numbers(a), numbers(b)
    return wrapped(np.where(mask, a, b))


def _softmax(x: Any, dim: int, *_: Any) -> Any:
    return softmax(x, axis=dim) if np.ndim(x) else numbers(1)


def _log_softmax(x: Any, dim: int, *_: Any) -> Any:
    return x - logsumexp(x, axis=dim, keepdims=True)


def _layer_norm(x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    axes = tuple(range(np.ndim(x) - len(shape), np.ndim(x)))
    mu = mean(x, axis=axes, keepdims=True)
    rstd = 1 / np.sqrt(var(x, axis=axes, keepdims=True) + eps)
    out = (x - mu) * rstd
    out = out if weight is None else out * weight
    return (out if bias is None else out + bias), mu, rstd


def _group_norm(x: Any, w: Any, b: Any, n: int, c: int, hw: int, groups: int, eps: float) -> Any:
    split = np.reshape(x, (n, groups, -1))
    mu = mean(split, axis=2)
    rstd = 1 / np.sqrt(var(split, axis=2) + eps)
    out = np.reshape((split - mu[..., None]) * rstd[..., None], x.shape)
    shape = (1, c, *(1,) * (np.ndim(x) - 2))
    out = out if w is None else out * np.reshape(w, shape)
    return (out if b is None else out + np.reshape(b, shape)), mu, rstd


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner))
    return 0.5 * x * (1 + wrapped(FUNCTIONS["erf"](x * math.sqrt(0.5))))


def _leaky(x: Any, slope: Any = 0.01) -> Any:
    return wrapped(np.where(np.asarray(x > 0, dtype=bool), x, x * slope))


def _elu(x: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Any:
    return wrapped(
        np.where(np.asarray(x > 0, dtype=bool), x * scale, alpha * scale * (np.exp(x * input_scale) - 1))
    )


def _sorted(x: Any, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    order = argsort(x, axis=dim, descending=descending)
    return np.take_along_axis(x, order, axis=dim), order


def _best_few(x: Any, k: int, dim: int = -1, largest: bool = True, *_: Any) -> Any:
    values, order = _sorted(x, dim, largest)
    few = np.arange(k)
    return np.take(values, few, axis=dim), np.take(order, few, axis=dim)


def _triangle(f: Callable[..., Any]) -> Row:
    def row(x: Any, diagonal: int = 0) -> Any:
        mask = f(np.ones(np.shape(x)[-2:], dtype=bool), diagonal)
        return wrapped(np.where(mask, x, 0))

    return row


def _logical(f: Callable[..., Any]) -> Row:
    def row(a: Any, b: Any) -> Any:
        return f(_truth(a), _truth(b)) if f is not np.bitwise_and else f(a, b)

    return row


def _truth(x: Any) -> Any:
    return x.astype(bool) if isinstance(x, np.ndarray) else bool(x)


def _no_gradient_of_bits(f: Callable[..., Any]) -> Row:
    return lambda *args: f(*(np.asarray(a) for a in args))


def _split(x: Any, size: Any, dim: int = 0) -> Any:
    whole = np.shape(x)[dim]
    sizes = [min(size, whole - k) for k in range(0, whole, size)] if isinstance(size, int) else list(size)
    return [wrapped(part) for part in np.split(x, np.cumsum(sizes)[:-1], axis=dim)]


def _stacked(parts: Sequence[Any], dim: int = 0) -> Any:
    return wrapped(np.stack(parts, axis=dim))


def _joined(parts: Sequence[Any], dim: int = 0) -> Any:
    return wrapped(np.concatenate([p for p in parts if np.shape(p) != (0,)], axis=dim))


def _square_root_of_one_over(x: Any) -> Any:
    return 1 / np.sqrt(x)


def _unbound(x: Any, dim: int = 0) -> Any:
    return [selected(x, dim, k) for k in range(np.shape(x)[dim])]


def _copied(x: Any, y: Any, *_: Any) -> Any:
    return wrapped(np.broadcast_to(_like(y, x), np.shape(x)).copy())


OPERATIONS: Final[dict[str, Row]] = {
    **LAYERS, **STATISTICS,
    **{name: elementwise(name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf")},
    **{name: elementwise(name) for name in ("log1p", "expm1", "log2", "log10", "exp2", "sign", "reciprocal")},
    **{name: elementwise(name) for name in ("square", "erfc")},
    "sgn": elementwise("sign"), "abs": elementwise("absolute"), "sigmoid": elementwise("expit"),
    "rsqrt": _square_root_of_one_over, "neg": lambda x: -x, "relu": lambda x: np.maximum(x, 0),
    "gelu": _gelu, "leaky_relu": _leaky, "elu": _elu, "silu": lambda x: x * FUNCTIONS["expit"](x),
    "hardtanh": lambda x, low=-1, high=1: _clamp(x, low, high),
    "add": _add, "sub": _subtract, "rsub": lambda a, b, alpha=1: b - alpha * a, "mul": lambda a, b: a * b,
    "div": _divide, "pow": _power, "maximum": lambda a, b: wrapped(np.frompyfunc(better(">"), 2, 1)(a, b)),
    "minimum": lambda a, b: wrapped(np.frompyfunc(better("<"), 2, 1)(a, b)), "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, low), "clamp_max": lambda x, high: _clamp(x, None, high),
    "sum": _sum, "mean": _mean, "var": _var, "var_mean": _var_mean, "prod": _product,
    "amax": _extreme(">"), "amin": _extreme("<"), "max": _best_along(argmax, ">"),
    "min": _best_along(argmin, "<"), "argmax": _index_of(argmax), "argmin": _index_of(argmin),
    "cumsum": cumulated, "logsumexp": lambda x, dim, keepdim=False: logsumexp(x, axis=_axes(dim, x), keepdims=keepdim),
    "mm": lambda a, b: a @ b, "bmm": lambda a, b: a @ b, "mv": lambda a, b: a @ b, "dot": lambda a, b: a @ b,
    "matmul": lambda a, b: a @ b, "addmm": _add_matrix, "baddbmm": _add_matrix, "addmv": _add_matrix,
    "view": lambda x, shape: np.reshape(x, tuple(shape)), "reshape": lambda x, shape: np.reshape(x, tuple(shape)),
    "_unsafe_view": lambda x, shape: np.reshape(x, tuple(shape)), "permute": lambda x, dims: np.transpose(x, dims),
    "transpose": lambda x, a, b: np.swapaxes(x, a, b), "t": np.transpose, "expand": _expand,
    "unsqueeze": lambda x, dim: np.expand_dims(x, dim), "squeeze": _squeeze, "squeeze_": _squeeze,
    "select": selected, "slice": sliced, "cat": _joined, "stack": _stacked,
    "split": _split, "split_with_sizes": _split, "unbind": _unbound, "clone": lambda x, **_: x.copy(), "copy": _copied,
    "detach": lambda x: x, "alias": lambda x: x, "lift_fresh_copy": lambda x: x, "lift_fresh": lambda x: x,
    "contiguous": lambda x, **_: x, "_to_copy": _converted, "to": _converted,
    "full": _full, "full_like": _full_like, "scalar_tensor": lambda x, **_: array(x),
    "zeros": lambda shape, dtype=None, **_: _filled(0, shape, dtype),
    "ones": lambda shape, dtype=None, **_: _filled(1, shape, dtype),
    "empty": lambda shape, dtype=None, **_: _filled(0, shape, dtype),
    "zeros_like": lambda x, dtype=None, **_: _filled(0, np.shape(x), dtype, x),
    "ones_like": lambda x, dtype=None, **_: _filled(1, np.shape(x), dtype, x),
    "empty_permuted": lambda shape, order, dtype=None, **_: _filled(0, shape, dtype),
    "empty_like": lambda x, dtype=None, **_: _filled(0, np.shape(x), dtype, x),
    "new_zeros": lambda x, shape, dtype=None, **_: _filled(0, shape, dtype, x),
    "new_ones": lambda x, shape, dtype=None, **_: _filled(1, shape, dtype, x),
    "new_full": lambda x, shape, value, dtype=None, **_: _filled(value, shape, dtype, x),
    "new_empty": lambda x, shape, dtype=None, **_: _filled(0, shape, dtype, x),
    "fill": lambda x, value: _filled(value, np.shape(x), None, x), "arange": _arange, "where": _where,
    "eq": compared(lambda a, b: a == b), "ne": compared(lambda a, b: a != b), "lt": compared(lambda a, b: a < b),
    "le": compared(lambda a, b: a <= b), "gt": compared(lambda a, b: a > b), "ge": compared(lambda a, b: a >= b),
    "logical_and": _logical(np.logical_and), "logical_or": _logical(np.logical_or),
    "logical_xor": _logical(np.logical_xor), "logical_not": lambda x: ~_truth(x),
    "bitwise_and": _no_gradient_of_bits(np.bitwise_and), "bitwise_or": _no_gradient_of_bits(np.bitwise_or),
    "bitwise_not": _no_gradient_of_bits(np.bitwise_not), "isnan": lambda x: np.zeros(np.shape(x), dtype=bool),
    "isinf": lambda x: np.isinf(x), "any": lambda x, dim=None, keepdim=False: np.any(x, axis=dim, keepdims=keepdim),
    "all": lambda x, dim=None, keepdim=False: np.all(x, axis=dim, keepdims=keepdim),
    "index": indexed, "index_put": put, "_unsafe_index": indexed, "_unsafe_index_put": put, "gather": gathered,
    "scatter": scattered, "scatter_add": lambda x, dim, index, src: scattered(x, dim, index, src, add=True),
    "index_select": lambda x, dim, index: np.take(x, index, axis=dim),
    "embedding": lambda table, index, *_: table[index],
    "_softmax": _softmax, "_log_softmax": _log_softmax, "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm, "flip": lambda x, dims: np.flip(x, tuple(dims)),
    "tril": _triangle(np.tril), "triu": _triangle(np.triu), "sort": _sorted, "topk": _best_few,
    "constant_pad_nd": padded, "repeat": lambda x, times: wrapped(np.tile(x, tuple(times))),
    "roll": lambda x, shifts, dims=(): np.roll(x, tuple(shifts), tuple(dims) or None),
    "diagonal": lambda x, offset=0, a=0, b=1: np.diagonal(x, offset, a, b),
}  # fmt: skip


def _like(y: Any, x: Any) -> Any:
    return numbers(y) if isinstance(x, Numbers) else y


def operation(name: str) -> Row:
    """The row of an operation; views and their copies are one. Raises `Untraceable` for one without a meaning."""
    plain = (
        name.removesuffix("_copy")
        if name != "_to_copy" and name.removesuffix("_copy") in OPERATIONS
        else name
    )
    if plain not in OPERATIONS:
        raise Untraceable(f"the operation {name} of PyTorch has no meaning here")
    return OPERATIONS[plain]


__all__ = ["array", "operation", "reduced"]
