"""JAX's primitives of one element on recorded arrays; most are NumPy's functions under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pullback.capture.arrays import Array, number
from pullback.capture.numpy_elementwise import UFUNCS
from pullback.capture.operations import elementwise
from pullback.expression import ONE

Row = Callable[..., Any]

# JAX's name -> NumPy's or SciPy's.
NAMED: Final = {
    **{
        name: name
        for name in (
            "exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "erfc", "log1p", "expm1", "sign",
            "exp2", "square", "digamma", "cbrt", "polygamma",
        )
    },
    "abs": "absolute", "add": "add", "sub": "subtract", "mul": "multiply", "neg": "negative", "max": "maximum",
    "min": "minimum", "pow": "power", "rem": "remainder", "logistic": "expit", "atan": "arctan", "asin": "arcsin",
    "acos": "arccos", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "lgamma": "gammaln",
}  # fmt: skip


def op(name: str) -> Row:
    return lambda *parts, **_: elementwise(name, *parts)


def _numpy(name: str) -> Row:
    return lambda *parts, **_: UFUNCS[name](*parts)


def _reciprocal_root(x: Array, **_: Any) -> Array:
    return elementwise("/", number(ONE), elementwise("sqrt", x))


ELEMENTWISE: Final[dict[str, Row]] = {
    **{name: _numpy(known) for name, known in NAMED.items()},
    "rsqrt": _reciprocal_root,
}
