"""ATen's operations in the language: one row an operation, by its name without overload.

A row takes the writer and the arguments in ATen's order; tensors are values, sizes are numbers or size expressions.
The rows of layers and losses stand in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.writing import Value, Writer
from pullback.errors import DomainProblem
from pullback.expression import Expr
from pullback.sizes import size_text

Row = Callable[..., Any]
# -inf in a mask: the exponential of it is 0 in every precision.
NEGATIVE: Final = -1e30
SELU: Final = (1.6732632423543772, 1.0507009873554805)


def value(w: Writer, x: Any) -> Value:
    """A number or a size as a value."""
    if isinstance(x, Value):
        return x
    if isinstance(x, Expr):
        return w.size(x)
    if isinstance(x, float) and x == float("-inf"):
        w.notes.append("-inf in a mask is written -1e30")
        x = NEGATIVE
    return w.number(x, "bool" if isinstance(x, bool) else "int" if isinstance(x, int) else "float")


def refuse(what: str, hint: str = "") -> DomainProblem:
    return DomainProblem(what, hint=hint)


def unary(template: str, kind: Any = "float") -> Row:
    return lambda w, x, *_, **__: w.elementwise(template, value(w, x), kind=kind)


def binary(template: str, kind: Any = "float") -> Row:
    return lambda w, a, b, **__: w.elementwise(template, value(w, a), value(w, b), kind=kind)


def same(w: Writer, x: Value, *_: Any, **__: Any) -> Value:
    return x


# ---- arithmetic


def _scaled(w: Writer, x: Any, alpha: Any) -> Value:
    return phrases.times(w, value(w, alpha), value(w, x)) if alpha != 1 else value(w, x)


def _add(w: Writer, a: Any, b: Any, *, alpha: Any = 1) -> Value:
    return phrases.add_(w, value(w, a), _scaled(w, b, alpha))


def _sub(w: Writer, a: Any, b: Any, *, alpha: Any = 1) -> Value:
    return w.elementwise("{0} - {1}", value(w, a), _scaled(w, b, alpha))


def _div(w: Writer, a: Any, b: Any, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise refuse("a division that rounds has no gradient here")
    return w.elementwise("{0} / {1}", value(w, a), value(w, b))


def _pow(w: Writer, a: Any, b: Any) -> Value:
    if b == 0.5:
        return w.elementwise("sqrt({0})", value(w, a))
    return w.elementwise("{0} ** {1}", value(w, a), value(w, b))


def clamp(w: Writer, x: Value, low: Any = None, high: Any = None) -> Value:
    """PyTorch's gradient is 1 at the bounds themselves, so they belong to the middle."""
    if low is not None:
        x = w.elementwise("where({0} < {1}, {1}, {0})", x, value(w, low))
    return x if high is None else w.elementwise("where({0} > {1}, {1}, {0})", x, value(w, high))


def _leaky(w: Writer, x: Value, slope: float = 0.01, *_: Any) -> Value:
    return w.elementwise("where({0} > 0, {0}, {1} * {0})", x, value(w, slope))


def _elu(w: Writer, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    below = phrases.times(w, value(w, alpha), w.elementwise("expm1({0})", x))
    return phrases.times(w, value(w, scale), w.elementwise("where({0} > 0, {0}, {1})", x, below))


def _gelu(w: Writer, x: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        inner = w.elementwise("tanh(sqrt(2 / pi) * ({0} + 0.044715 * {0} ** 3))", x)
        return w.elementwise("{0} * (1 + {1}) / 2", x, inner)
    return w.elementwise("gelu({0})", x)


def _softplus(w: Writer, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """Above the threshold PyTorch takes the identity, which is equal within rounding."""
    return (
        w.elementwise("softplus({0})", x)
        if beta == 1
        else w.elementwise("softplus({1} * {0}) / {1}", x, value(w, beta))
    )


def _hardtanh(w: Writer, x: Value, low: float = -1.0, high: float = 1.0) -> Value:
    """PyTorch's gradient is 0 at the bounds themselves."""
    x = w.elementwise("where({0} <= {1}, {1}, {0})", x, value(w, low))
    return w.elementwise("where({0} >= {1}, {1}, {0})", x, value(w, high))


def _masked_fill(w: Writer, x: Value, mask: Value, filling: Any) -> Value:
    return phrases.where(w, mask, value(w, filling), x)


def _where(w: Writer, condition: Value, a: Any, b: Any) -> Value:
    return phrases.where(w, condition, value(w, a), value(w, b))


def _lerp(w: Writer, a: Value, b: Value, weight: Any) -> Value:
    return w.elementwise("{0} + {2} * ({1} - {0})", a, b, value(w, weight))


def _addcmul(w: Writer, x: Value, a: Value, b: Value, *, value: Any = 1) -> Value:
    return phrases.add_(w, x, _scaled(w, w.elementwise("{0} * {1}", a, b), value))


# ---- reductions


def _axes(dim: Any) -> Any:
    return None if dim is None or dim == [] else dim


def reduction(name: str) -> Row:
    def row(w: Writer, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
        return phrases.reduce(w, name, x, _axes(dim), keepdim)

    return row


def _extreme(name: str) -> Row:
    """Over all entries, along one axis (with positions, which have no gradient), or of two tensors."""

    def row(w: Writer, x: Value, other: Any = None, keepdim: bool = False) -> Any:
        if isinstance(other, Value):
            return w.elementwise(f"{name}imum({{0}}, {{1}})", x, other)
        found = phrases.reduce(w, name, x, other, keepdim)
        return found if other is None else (found, None)

    return row


def _var(
    w: Writer, x: Value, dim: Any = None, *more: Any, correction: Any = None, keepdim: bool = False, **o: Any
) -> Value:
    if more:
        correction, keepdim = int(more[0]), len(more) > 1 and bool(more[1])
    correction = o.get("unbiased", 1) if correction is None else correction
    axes = phrases.axes_of(x, _axes(dim))
    mean = phrases.reduce(w, "mean", x, axes, True, "mean")
    squares = w.elementwise("({0} - {1}) ** 2", x, mean)
    if not correction:
        return phrases.reduce(w, "mean", squares, axes, keepdim, "var")
    count = " * ".join(size_text(x.shape[k]) for k in axes)
    total = phrases.reduce(w, "sum", squares, axes, keepdim, "var")
    divisor = w.size(f"{count} - {correction}")
    return w.elementwise("{0} / {1}", total, divisor, hint="var")


def _std(w: Writer, x: Value, *args: Any, **kwargs: Any) -> Value:
    return w.elementwise("sqrt({0})", _var(w, x, *args, **kwargs), hint="std")


def _norm(w: Writer, x: Value, order: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    if order == 1:
        return phrases.reduce(w, "sum", w.elementwise("abs({0})", x), _axes(dim), keepdim)
    if order not in (2, None, "fro"):
        raise refuse(f"a norm of order {order}", "the orders are 1 and 2")
    return phrases.reduce(w, "norm", x, _axes(dim), keepdim)


def _along(name: str) -> Row:
    return lambda w, x, dim=-1, *_, **__: phrases.along(w, name, x, dim, {"softmax": "P"}.get(name, ""))


# ---- products


def addmm(w: Writer, x: Value, a: Value, b: Value, *, beta: Any = 1, alpha: Any = 1) -> Value:
    return phrases.add_(w, _scaled(w, x, beta), _scaled(w, phrases.matmul(w, a, b), alpha))


def _einsum(w: Writer, spec: str, operands: Sequence[Value], **_: Any) -> Value:
    return phrases.einsum(w, spec, operands)


def _bilinear(w: Writer, a: Value, b: Value, weight: Value, bias: Value | None = None) -> Value:
    product = phrases.einsum(w, "...i,oij,...j->...o", [a, weight, b])
    return product if bias is None else phrases.add_(w, product, bias)


def _weight_norm(w: Writer, v: Value, g: Value, dim: int = 0) -> Value:
    """g * v / |v|, a norm for each entry of one axis."""
    axes = [k for k in range(v.rank) if k != dim % v.rank]
    size = phrases.reduce(w, "norm", v, axes, True, f"{w.hint}_norm")
    return w.elementwise("{0} * {1} / {2}", g, v, size)


def _softshrink(w: Writer, x: Value, bound: float = 0.5) -> Value:
    below = w.elementwise("where({0} < -{1}, {0} + {1}, 0)", x, value(w, bound))
    return w.elementwise("where({0} > {1}, {0} - {1}, {2})", x, value(w, bound), below)


def _outer(w: Writer, a: Value, b: Value) -> Value:
    return w.define("outer({0}, {1})", a, b, shape=(*a.shape, *b.shape), style="contraction")


def _operator(template: str, drop: int) -> Row:
    """An operator of square matrices, whose result has `drop` axes fewer."""
    return lambda w, x, *_, **__: w.define(template, x, shape=x.shape[: x.rank - drop], style="operator")


def _solve(w: Writer, a: Value, b: Value, **_: Any) -> Value:
    return w.define("solve({0}, {1})", a, b, shape=b.shape, style="operator")


# ---- constants


def _filled(x: Any) -> Row:
    return lambda w, shape, *_, **__: w.filled(x, shape)


def _filled_like(x: Any) -> Row:
    return lambda w, like, *_, **__: w.filled(x, like.shape)


def _full(w: Writer, shape: Any, x: Any, **_: Any) -> Value:
    return w.filled(NEGATIVE if x == float("-inf") else x, shape)


def _full_like(w: Writer, like: Value, x: Any, **_: Any) -> Value:
    return _full(w, like.shape, x)


def dropout(w: Writer, x: Value, p: float = 0.5, train: bool = True, *_: Any) -> Value:
    if train and p:
        raise refuse(f"dropout with p = {p} draws at random", "module.eval(), or p=0")
    return x


_UNARY: Final = {
    **{name: f"{name}({{0}})" for name in ("exp", "log", "log1p", "expm1", "sqrt", "tanh", "sigmoid", "relu", "erf",
                                            "abs", "sign", "sin", "cos", "lgamma", "digamma")},
    "atan": "arctan({0})", "asin": "arcsin({0})", "acos": "arccos({0})", "special_gammaln": "lgamma({0})",
    "neg": "-{0}", "square": "{0} ** 2", "reciprocal": "1 / {0}", "rsqrt": "1 / sqrt({0})",
    "silu": "{0} * sigmoid({0})", "mish": "{0} * tanh(softplus({0}))", "log_sigmoid": "-softplus(-{0})",
    "softsign": "{0} / (1 + abs({0}))", "special_expit": "sigmoid({0})", "log2": "log({0}) / log(2)",
    "log10": "log({0}) / log(10)", "exp2": "exp({0} * log(2))", "tan": "sin({0}) / cos({0})",
    "sinh": "(exp({0}) - exp(-{0})) / 2", "cosh": "(exp({0}) + exp(-{0})) / 2", "erfc": "1 - erf({0})",
    "tanhshrink": "{0} - tanh({0})",
    "hardsigmoid": "where({0} <= -3, 0, where({0} >= 3, 1, ({0} + 3) / 6))",
    "hardswish": "where({0} <= -3, 0, where({0} >= 3, {0}, {0} * ({0} + 3) / 6))",
}  # fmt: skip
_BINARY: Final = {
    "mul": "{0} * {1}", "rsub": "{1} - {0}", "maximum": "maximum({0}, {1})", "minimum": "minimum({0}, {1})",
    "logaddexp": "logaddexp({0}, {1})", "atan2": "arctan2({0}, {1})", "xlogy": "{0} * log({1})",
}  # fmt: skip
_RELATIONS: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_SAME: Final = (
    "contiguous", "clone", "alias", "_to_copy", "to", "type_as", "float", "double", "lift_fresh_copy",
    "lift_fresh", "_assert_tensor_metadata", "feature_dropout_off",
)  # fmt: skip

TABLE: Final[dict[str, Row]] = {
    **{name: unary(template) for name, template in _UNARY.items()},
    **{name: binary(template) for name, template in _BINARY.items()},
    **{name: binary(f"{{0}} {sign} {{1}}", "bool") for name, sign in _RELATIONS.items()},
    **dict.fromkeys(_SAME, same),
    "logical_not": unary("{0} == 0", "bool"),
    "bitwise_not": unary("{0} == 0", "bool"),
    "logical_and": binary("{0} * {1}", "bool"),
    "bitwise_and": binary("{0} * {1}", "bool"),
    "logical_or": binary("maximum({0}, {1})", "bool"),
    "bitwise_or": binary("maximum({0}, {1})", "bool"),
    "add": _add,
    "sub": _sub,
    "subtract": _sub,
    "div": _div,
    "divide": _div,
    "true_divide": _div,
    "multiply": binary("{0} * {1}"),
    "pow": _pow,
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": lambda w, x, low: clamp(w, x, low),
    "clamp_max": lambda w, x, high: clamp(w, x, None, high),
    "leaky_relu": _leaky,
    "elu": _elu,
    "gelu": _gelu,
    "softplus": _softplus,
    "hardtanh": _hardtanh,
    "relu6": lambda w, x: _hardtanh(w, x, 0.0, 6.0),
    "selu": lambda w, x: _elu(w, x, *SELU),
    "celu": lambda w, x, alpha=1.0: w.elementwise(
        "where({0} > 0, {0}, {1} * expm1({0} / {1}))", x, value(w, alpha)
    ),
    "prelu": lambda w, x, a: w.elementwise("where({0} > 0, {0}, {1} * {0})", x, phrases.per_channel(w, a, x)),
    "threshold": lambda w, x, t, v: w.elementwise("where({0} > {1}, {0}, {2})", x, value(w, t), value(w, v)),
    "softshrink": _softshrink,
    "bilinear": _bilinear,
    "_weight_norm": _weight_norm,
    "masked_fill": _masked_fill,
    "where": _where,
    "lerp": _lerp,
    "addcmul": _addcmul,
    "sum": reduction("sum"),
    "mean": reduction("mean"),
    "amax": reduction("max"),
    "amin": reduction("min"),
    "prod": reduction("prod"),
    "logsumexp": reduction("logsumexp"),
    "max": _extreme("max"),
    "min": _extreme("min"),
    "var": _var,
    "std": _std,
    "linalg_vector_norm": _norm,
    "norm": _norm,
    "frobenius_norm": lambda w, x, d=None, k=False: _norm(w, x, 2, d, k),
    "softmax": _along("softmax"),
    "_softmax": _along("softmax"),
    "log_softmax": _along("log_softmax"),
    "_log_softmax": _along("log_softmax"),
    "cumsum": _along("cumsum"),
    "matmul": phrases.matmul,
    "mm": phrases.matmul,
    "bmm": phrases.matmul,
    "mv": phrases.matmul,
    "dot": phrases.matmul,
    "addmm": addmm,
    "baddbmm": addmm,
    "addmv": addmm,
    "einsum": _einsum,
    "outer": _outer,
    "linalg_inv": _operator("inv({0})", 0),
    "inverse": _operator("inv({0})", 0),
    "linalg_det": _operator("det({0})", 2),
    "det": _operator("det({0})", 2),
    "logdet": _operator("logdet({0})", 2),
    "trace": _operator("trace({0})", 2),
    "linalg_cholesky": _operator("cholesky({0})", 0),
    "cholesky": _operator("cholesky({0})", 0),
    "linalg_solve": _solve,
    "zeros": _filled(0),
    "ones": _filled(1),
    "zeros_like": _filled_like(0),
    "ones_like": _filled_like(1),
    "full": _full,
    "full_like": _full_like,
    "new_zeros": lambda w, _x, s, **_: w.filled(0, s),
    "new_ones": lambda w, _x, s, **_: w.filled(1, s),
    "dropout": dropout,
    "feature_dropout": dropout,
    "alpha_dropout": dropout,
}
