"""An `ndarray` of numbers of a domain: NumPy code runs on it unchanged, with the declared conventions at ties."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.tracing import products
from pullback.tracing.entrywise import at_once, raised, summed
from pullback.tracing.numbers import Number, Untraceable, best_of, better, is_infinite, lift
from pullback.tracing.ordering import argmax, argmin, argsort


class Numbers(np.ndarray):
    """Entries are `Number`s, or Python numbers that stand for constants."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [_plain(x) for x in inputs]
        options.pop("dtype", None)
        options.pop("casting", None)
        if out is not None:
            options["out"] = tuple(_plain(x) for x in out)
        if method == "reduce" and ufunc.__name__ in EXTREMES:
            options.pop("out", None)
            options.pop("initial", None)
            return extreme(plain[0], EXTREMES[ufunc.__name__], *plain[1:2], **options)
        if ufunc is np.matmul and not options:
            return wrapped(products.matmul(*(np.asarray(x) for x in plain)))
        found = _as_one(ufunc, method, plain, options)
        if found is not None:
            return wrapped(found)
        own = FUNCTIONS.get(ufunc.__name__)
        result = getattr(own or ufunc, method)(*plain, **options)
        return out[0] if out is not None and method != "at" else wrapped(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        own = CALLS.get(function.__name__)
        if own is not None:
            return wrapped(own(*args, **kwargs))
        return wrapped(super().__array_function__(function, types, args, kwargs))

    def astype(self, dtype: Any, *_: Any, **__: Any) -> Any:
        kind = np.dtype(dtype).kind
        if kind in "fO":
            return self.copy()
        if kind == "b":
            return np.asarray(_plain(self) != 0, dtype=bool)
        return whole(self, np.dtype(dtype))

    def mean(  # type: ignore[override]
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **_: Any
    ) -> Any:
        return mean(self, axis=axis, keepdims=keepdims)

    def var(  # type: ignore[override]
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
        **_: Any,
    ) -> Any:
        return var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(  # type: ignore[override]
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
        **_: Any,
    ) -> Any:
        return np.sqrt(var(self, axis=axis, ddof=ddof, keepdims=keepdims))

    def clip(self, min: Any = None, max: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return clip(self, min, max)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        return argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        return argmin(self, axis, keepdims=keepdims)

    def argsort(self, axis: Any = -1, *_: Any, **__: Any) -> Any:
        return argsort(self, axis)

    def sort(self, axis: Any = -1, *_: Any, **__: Any) -> None:
        self[...] = sorted_along(self, axis)

    def item(self, *where: Any) -> Any:
        return _plain(self)[where if where else (0,) * self.ndim]

    @property  # type: ignore[misc]
    def real(self) -> Any:
        return self


def _as_one(ufunc: Any, method: str, plain: list[Any], options: dict[str, Any]) -> Any:
    """A ufunc as one operation of the domain; None where it is done entry by entry."""
    if method == "__call__" and not options:
        return at_once(ufunc.__name__, plain, FUNCTIONS.get(ufunc.__name__, ufunc))
    if method != "reduce" or ufunc is not np.add or len(plain) != 1:
        return None
    rest = {key: x for key, x in options.items() if key not in ("axis", "keepdims")}
    if rest not in ({}, {"where": True}):
        return None
    return summed(plain[0], _axes(options.get("axis", 0), plain[0].ndim), bool(options.get("keepdims")))


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Numbers) else x


def wrapped(x: Any) -> Any:
    """Arrays of objects as `Numbers`; everything else as it is."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return x.view(Numbers)
    if isinstance(x, tuple | list):
        return type(x)(wrapped(part) for part in x) if type(x) in (tuple, list) else x
    return x


def whole(x: Any, dtype: Any) -> Any:
    """Constants of an object array as integers; a number is none."""
    if any(isinstance(entry, Number) for entry in x.flat):
        raise Untraceable("the code turns values into integers")
    return np.array(x.tolist(), dtype=dtype)


def numbers(x: Any) -> Numbers:
    """Any array or number as an array of objects."""
    found = np.empty(np.shape(x), dtype=object)
    found[...] = _plain(x)
    return found.view(Numbers)


# ---- reductions -----------------------------------------------------------------------------


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(int(a) % rank for a in given)


def reduced(x: Any, axis: Any, keepdims: bool, f: Callable[[list[Any]], Any]) -> Any:
    """`f` of the entries along some axes, in row-major order."""
    x = _plain(x) if isinstance(x, np.ndarray) else np.asarray(x, dtype=object)
    axes = _axes(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    turned = x.transpose([*kept, *axes]).reshape([x.shape[a] for a in kept] + [-1])
    result = np.empty(turned.shape[:-1], dtype=object)
    for at in np.ndindex(*result.shape):
        result[at] = f(list(turned[at]))
    if keepdims:
        result = result.reshape([1 if a in axes else x.shape[a] for a in range(x.ndim)])
    return result[()] if result.ndim == 0 else wrapped(result)


def extreme(x: Any, relation: str, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    return reduced(x, axis, bool(keepdims), lambda entries: best_of(entries, relation))


def mean(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **_: Any
) -> Any:
    axes = _axes(axis, np.ndim(x))
    count = int(np.prod([np.shape(x)[a] for a in axes]))
    return np.sum(x, axis=axes, keepdims=keepdims is True) * Fraction(1, count)


def var(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: int = 0,
    keepdims: Any = False,
    **options: Any,
) -> Any:
    axes = _axes(axis, np.ndim(x))
    count = int(np.prod([np.shape(x)[a] for a in axes])) - int(options.get("correction", ddof))
    gap = x - mean(x, axis=axes, keepdims=True)
    return np.sum(gap * gap, axis=axes, keepdims=keepdims is True) / count


def clip(x: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
    low, high = options.get("min", a_min), options.get("max", a_max)
    if low is not None:
        x = FUNCTIONS["maximum"](_plain(x), _plain(low))
    if high is not None:
        x = FUNCTIONS["minimum"](_plain(x), _plain(high))
    return wrapped(x)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2, "fro", 1, np.inf) or (ord == 2 and axis is None and np.ndim(x) != 1):
        raise Untraceable(f"a norm of order {ord} is not known here")
    if ord == 1 and (np.ndim(x) == 1 or axis is not None):
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if ord in (None, 2, "fro"):
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    raise Untraceable(f"a norm of order {ord} is not known here")


def softmax(x: Any, axis: Any = None, **_: Any) -> Any:
    """exp(x) / Σ exp(x), less the largest entry as a constant: where one is -inf its weight is 0."""
    e = np.exp(wrapped(x))
    return e / np.sum(e, axis=axis, keepdims=True)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    return np.log(np.sum(np.exp(wrapped(x)), axis=axis, keepdims=keepdims))


def sorted_along(x: Any, axis: int = -1, **_: Any) -> Any:
    return np.take_along_axis(x, argsort(x, axis=axis), axis=axis)


def vander_refused(*_: Any, **__: Any) -> Any:
    raise Untraceable("this function of NumPy is not known here")


# ---- tables ---------------------------------------------------------------------------------

EXTREMES: Final = {"maximum": ">", "minimum": "<", "fmax": ">", "fmin": "<"}


def _at_infinity(name: str, x: Any) -> Any:
    """Limits of the functions that code meets after masking with -inf."""
    low = float(x) < 0
    limits = {"exp": 0 if low else None, "tanh": -1 if low else 1, "sigmoid": 0 if low else 1, "abs": np.inf}
    limit = limits.get(name)
    if limit is None:
        raise Untraceable(f"{name} of an infinite value")
    return limit


def _elementwise(name: str, f: Callable[[Any], Any]) -> Any:
    def one(x: Any) -> Any:
        return _at_infinity(name, x) if is_infinite(x) else f(lift(x))

    return _Unary(name, np.frompyfunc(one, 1, 1))


class _Unary:
    """A function of single numbers: at once where its domain has it, else entry by entry."""

    def __init__(self, name: str, one: Any) -> None:
        self.name = name
        self.one = one
        self.at = one.at
        self.outer = one.outer

    def __call__(self, x: Any, **options: Any) -> Any:
        found = (
            at_once(self.name, [_plain(x)], self.one) if isinstance(x, np.ndarray) and not options else None
        )
        return self.one(x, **options) if found is None else found


def _log_of_sum(a: Any, b: Any) -> Any:
    return (lift(a).exp() + lift(b).exp()).log()


def sigmoid(x: Number) -> Number:
    found: Number = 1 / (1 + (-x).exp())
    return found


def _heaviside(a: Any, b: Any) -> Any:
    return b if a == 0 else (1 if a > 0 else 0)


def _power(a: Any, b: Any) -> Any:
    return lift(a) ** b if isinstance(a, Number) or isinstance(b, Number) else a**b


class _Power:
    """a ** b: at once where b is one plain number."""

    def __init__(self) -> None:
        self.one = np.frompyfunc(_power, 2, 1)
        self.outer = self.one.outer

    def __call__(self, a: Any, b: Any, **options: Any) -> Any:
        found = raised(_plain(a), b) if isinstance(a, np.ndarray) and not options else None
        return self.one(a, b, **options) if found is None else found


FUNCTIONS: Final[dict[str, Any]] = {
    "exp": _elementwise("exp", Number.exp),
    "log": _elementwise("log", Number.log),
    "sqrt": _elementwise("sqrt", Number.sqrt),
    "sin": _elementwise("sin", Number.sin),
    "cos": _elementwise("cos", Number.cos),
    "tan": _elementwise("tan", lambda x: x.sin() / x.cos()),
    "tanh": _elementwise("tanh", Number.tanh),
    "sinh": _elementwise("sinh", lambda x: (x.exp() - (-x).exp()) / 2),
    "cosh": _elementwise("cosh", lambda x: (x.exp() + (-x).exp()) / 2),
    "erf": _elementwise("erf", Number.erf),
    "erfc": _elementwise("erfc", lambda x: 1 - x.erf()),
    "expit": _elementwise("sigmoid", sigmoid),
    "log_expit": _elementwise("log_sigmoid", lambda x: -(1 + (-x).exp()).log()),
    "log1p": _elementwise("log1p", lambda x: (1 + x).log()),
    "expm1": _elementwise("expm1", lambda x: x.exp() - 1),
    "log2": _elementwise("log2", lambda x: x.log() / lift(2).log()),
    "log10": _elementwise("log10", lambda x: x.log() / lift(10).log()),
    "exp2": _elementwise("exp2", lambda x: (x * lift(2).log()).exp()),
    "cbrt": _elementwise("cbrt", lambda x: x.sign() * abs(x) ** Fraction(1, 3)),
    "absolute": _elementwise("abs", abs),
    "fabs": _elementwise("abs", abs),
    "sign": _elementwise("sign", Number.sign),
    "square": _elementwise("square", lambda x: x * x),
    "reciprocal": _elementwise("reciprocal", lambda x: 1 / x),
    "maximum": np.frompyfunc(better(">"), 2, 1),
    "minimum": np.frompyfunc(better("<"), 2, 1),
    "fmax": np.frompyfunc(better(">"), 2, 1),
    "fmin": np.frompyfunc(better("<"), 2, 1),
    "power": _Power(),
    "float_power": np.frompyfunc(_power, 2, 1),
    "logaddexp": np.frompyfunc(_log_of_sum, 2, 1),
    "heaviside": np.frompyfunc(_heaviside, 2, 1),
}
FUNCTIONS["clip"] = np.frompyfunc(lambda x, a, b: better("<")(better(">")(x, a), b), 3, 1)


class _Answer:
    """A ufunc of numbers that gives booleans."""

    def __init__(self, answer: Callable[[Any], bool]) -> None:
        self.found = np.frompyfunc(answer, 1, 1)

    def __call__(self, x: Any, **_: Any) -> Any:
        return np.asarray(self.found(x)).astype(bool)


FUNCTIONS["isfinite"] = _Answer(lambda x: not is_infinite(x))
FUNCTIONS["isinf"] = _Answer(is_infinite)
FUNCTIONS["isnan"] = _Answer(lambda x: False)
FUNCTIONS["signbit"] = _Answer(lambda x: bool(x < 0))

CALLS: Final[dict[str, Callable[..., Any]]] = {
    "dot": products.dot,
    "tensordot": products.tensordot,
    "einsum": products.einsum,
    "mean": mean,
    "var": var,
    "std": lambda x, **options: np.sqrt(var(x, **options)),
    "clip": clip,
    "norm": norm,
    "softmax": softmax,
    "logsumexp": logsumexp,
    "log_softmax": lambda x, axis=None: x - logsumexp(x, axis=axis, keepdims=True),
    "sort": sorted_along,
    "argmax": argmax,
    "argmin": argmin,
    "argsort": argsort,
    "real": lambda x: x,
    "nan_to_num": lambda x, **_: x,
    "median": vander_refused,
    "cond": vander_refused,
    "svd": vander_refused,
    "eigh": vander_refused,
    "qr": vander_refused,
}
