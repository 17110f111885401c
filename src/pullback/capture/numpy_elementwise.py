"""NumPy's universal functions on recorded arrays: one row a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.capture import moving, subscripts
from pullback.capture.arrays import Array, exact, number
from pullback.capture.operations import along, elementwise, expanded, matmul, reduce
from pullback.capture.tracers import Traced, lifted, wrapped
from pullback.expression import ONE, ZERO, num
from pullback.functions import TWO
from pullback.tracing.numbers import Untraceable


def _op(name: str) -> Callable[..., Array]:
    return lambda *parts: elementwise(name, *parts)


def clipped(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    if low is not None:
        x = elementwise("maximum", x, low)
    return x if high is None else elementwise("minimum", x, high)


def _sinh(sign: str) -> Callable[[Array], Array]:
    def build(x: Array) -> Array:
        both = elementwise(sign, elementwise("exp", x), elementwise("exp", elementwise("neg", x)))
        return elementwise("/", both, number(TWO))

    return build


def _logarithm(base: int) -> Callable[[Array], Array]:
    return lambda x: elementwise("/", elementwise("log", x), elementwise("log", number(num(base))))


def _tangent(x: Array) -> Array:
    return elementwise("/", elementwise("sin", x), elementwise("cos", x))


def inverse_of_sinh(x: Array) -> Array:
    root = elementwise("sqrt", elementwise("+", _power(x, number(TWO)), number(ONE)))
    return elementwise("log", elementwise("+", x, root))


def inverse_of_cosh(x: Array) -> Array:
    root = elementwise("sqrt", elementwise("-", _power(x, number(TWO)), number(ONE)))
    return elementwise("log", elementwise("+", x, root))


def _cube_root(x: Array) -> Array:
    third = elementwise("/", number(ONE), number(num(3)))
    return elementwise("*", elementwise("sign", x), elementwise("**", elementwise("abs", x), third))


def inverse_of_tanh(x: Array) -> Array:
    quotient = elementwise("/", elementwise("+", number(ONE), x), elementwise("-", number(ONE), x))
    return elementwise("/", elementwise("log", quotient), number(TWO))


def _heaviside(x: Array, at_zero: Array) -> Array:
    positive = elementwise(">", x, number(ZERO))
    return elementwise("+", positive, elementwise("*", elementwise("==", x, number(ZERO)), at_zero))


def _power(a: Array, b: Array) -> Array:
    return elementwise("**", a, b)


def _hypotenuse(a: Array, b: Array) -> Array:
    return elementwise("sqrt", elementwise("+", _power(a, number(TWO)), _power(b, number(TWO))))


UFUNCS: Final[dict[str, Callable[..., Array]]] = {
    "add": _op("+"), "subtract": _op("-"), "multiply": _op("*"), "divide": _op("/"), "true_divide": _op("/"),
    "power": _power, "float_power": _power, "matmul": matmul, "negative": _op("neg"), "positive": lambda x: x,
    "floor_divide": _op("//"), "remainder": _op("%"), "mod": _op("%"), "absolute": _op("abs"), "fabs": _op("abs"),
    "exp": _op("exp"), "log": _op("log"), "sqrt": _op("sqrt"), "log1p": _op("log1p"), "expm1": _op("expm1"),
    "sin": _op("sin"), "cos": _op("cos"), "tan": _tangent, "tanh": _op("tanh"), "sinh": _sinh("-"),
    "cosh": _sinh("+"), "sign": _op("sign"), "erf": _op("erf"), "logaddexp": _op("logaddexp"),
    "erfc": lambda x: elementwise("-", number(ONE), elementwise("erf", x)), "expit": _op("sigmoid"),
    "arctan": _op("arctan"), "arcsin": _op("arcsin"), "arccos": _op("arccos"), "arctan2": _op("arctan2"),
    "arcsinh": inverse_of_sinh, "arccosh": inverse_of_cosh, "arctanh": inverse_of_tanh,
    "cbrt": _cube_root, "gammaln": _op("lgamma"), "loggamma": _op("lgamma"), "lgamma": _op("lgamma"),
    "digamma": _op("digamma"), "psi": _op("digamma"),
    "log_expit": lambda x: elementwise("neg", elementwise("softplus", elementwise("neg", x))),
    "maximum": _op("maximum"), "minimum": _op("minimum"), "fmax": _op("maximum"), "fmin": _op("minimum"),
    "square": lambda x: elementwise("**", x, number(TWO)), "reciprocal": lambda x: elementwise("/", number(ONE), x),
    "log2": _logarithm(2), "log10": _logarithm(10), "exp2": lambda x: elementwise("**", number(TWO), x),
    "clip": clipped, "heaviside": _heaviside, "conjugate": lambda x: x, "hypot": _hypotenuse,
    "deg2rad": lambda x: elementwise("*", x, number(exact(np.pi / 180))),
    "equal": _op("=="), "not_equal": _op("!="), "less": _op("<"), "less_equal": _op("<="), "greater": _op(">"),
    "greater_equal": _op(">="), "logical_and": _op("and"), "logical_or": _op("or"), "logical_not": _op("not"),
    "bitwise_and": _op("and"), "bitwise_or": _op("or"), "invert": _op("not"),
}  # fmt: skip
_REDUCED: Final = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}


def apply_ufunc(ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """A ufunc on recorded arrays; `out=` and the in-place form update what they name."""
    out = options.pop("out", None)
    name = ufunc.__name__
    if method == "reduce" and name in _REDUCED:
        made = reduce(
            _REDUCED[name], lifted(inputs[0]), options.get("axis", 0), bool(options.get("keepdims"))
        )
    elif method == "at" and name in ("add", "subtract"):
        return _added_at(name, inputs[0], inputs[1], lifted(inputs[2]))
    elif method == "outer":
        a, b = lifted(inputs[0]), lifted(inputs[1])
        made = UFUNCS[name](moving.reshape(a, [*a.shape, *[ONE] * b.rank]), b)
    elif method == "accumulate" and name == "add":
        made = along("cumsum", lifted(inputs[0]), options.get("axis", 0))
    elif method != "__call__" or name not in UFUNCS:
        what = name if method == "__call__" else f"{name}.{method}"
        raise Untraceable(f"numpy.{what} has no meaning in the language")
    elif "where" in options and options["where"] is not True:
        raise Untraceable(f"numpy.{name} with where=", hint="np.where(condition, a, b)")
    else:
        made = UFUNCS[name](*map(lifted, inputs))
    if out is None:
        return wrapped(made)
    target = out[0] if isinstance(out, tuple) else out
    if not isinstance(target, Traced):
        raise Untraceable(
            "the code writes traced values into a plain array", hint="np.zeros inside the function"
        )
    target.replace(expanded(made, target.array.shape))
    return target


def _added_at(name: str, target: Any, index: Any, value: Array) -> None:
    """`np.add.at(x, t, v)`: each row is added where it belongs."""
    where = lifted(index)
    x: Array = target.array
    target.replace(
        elementwise({"add": "+", "subtract": "-"}[name], x, subscripts.scattered(x.shape, where, value))
    )
