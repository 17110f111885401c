"""The meaning of JAX's primitives on arrays of numbers, and the walk along a jaxpr."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.evaluator import Unrepresentable
from pullback.tracing import linalg
from pullback.tracing.arrays import FUNCTIONS, Numbers, extreme, numbers, wrapped
from pullback.tracing.indexing import cumulated
from pullback.tracing.jax_layers import LAYERS
from pullback.tracing.numbers import Number, Untraceable
from pullback.tracing.ordering import argmax, argmin

Row = Callable[..., Any]

COMPARISONS: Final = ("lt", "le", "gt", "ge")


def _elementwise(name: str) -> Row:
    return lambda x, **_: wrapped(np.asarray(FUNCTIONS[name](x), dtype=object))


def _plainly(f: Callable[..., Any]) -> Row:
    return lambda *args, **_: f(*args)


def _truth(f: Callable[[Any, Any], Any]) -> Row:
    return lambda a, b, **_: np.asarray(f(a, b), dtype=bool)


def _divide(a: Any, b: Any, **_: Any) -> Any:
    return a / b if isinstance(a, Numbers) or isinstance(b, Numbers) else a // b


def _integer_power(x: Any, y: int, **_: Any) -> Any:
    return wrapped(FUNCTIONS["power"](numbers(x), y)) if isinstance(x, Numbers) else x**y


def _power(x: Any, y: Any, **_: Any) -> Any:
    return wrapped(FUNCTIONS["power"](numbers(x), y))


def _extreme_of_two(name: str) -> Row:
    def row(a: Any, b: Any, **_: Any) -> Any:
        if isinstance(a, Numbers) or isinstance(b, Numbers):
            return wrapped(np.asarray(FUNCTIONS[name](a, b), dtype=object))
        return getattr(np, name)(a, b)

    return row


def _best(relation: str) -> Row:
    def row(x: Any, axes: Sequence[int], **_: Any) -> Any:
        if isinstance(x, Numbers):
            return extreme(x, relation, axis=tuple(axes))
        return x.max(axis=tuple(axes)) if relation == ">" else x.min(axis=tuple(axes))

    return row


def _dot(a: Any, b: Any, dimension_numbers: Any, **_: Any) -> Any:
    (left, right), (left_batch, right_batch) = dimension_numbers
    names = iter("abcdefghijklmnopqrstuvwxyz")
    shared = {("l", i): next(names) for i in (*left_batch, *left)}
    for i, j in zip((*left_batch, *left), (*right_batch, *right), strict=True):
        shared["r", j] = shared["l", i]
    one = [shared.get(("l", i)) or next(names) for i in range(np.ndim(a))]
    two = [shared.get(("r", j)) or next(names) for j in range(np.ndim(b))]
    batch = [one[i] for i in left_batch]
    free = [c for i, c in enumerate(one) if i not in (*left_batch, *left)]
    free += [c for j, c in enumerate(two) if j not in (*right_batch, *right)]
    return wrapped(np.asarray(np.einsum(f"{''.join(one)},{''.join(two)}->{''.join(batch + free)}", a, b)))


def _broadcast(x: Any, *_: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int], **__: Any) -> Any:
    middle = [1] * len(shape)
    for k, d in enumerate(broadcast_dimensions):
        middle[d] = np.shape(x)[k]
    return wrapped(np.broadcast_to(np.reshape(x, middle), shape).copy())


def _slice(x: Any, start_indices: Any, limit_indices: Any, strides: Any = None, **_: Any) -> Any:
    steps = strides or (1,) * len(start_indices)
    return x[tuple(slice(a, b, s) for a, b, s in zip(start_indices, limit_indices, steps, strict=True))]


def _starts(x: Any, sizes: Sequence[int], starts: Sequence[Any]) -> tuple[slice, ...]:
    found = []
    for n, size, start in zip(np.shape(x), sizes, starts, strict=True):
        first = int(start)
        if not 0 <= first <= n - size:
            raise Unrepresentable("a slice lies outside its array, and JAX moves it")
        found.append(slice(first, first + size))
    return tuple(found)


def _dynamic_slice(x: Any, *starts: Any, slice_sizes: Sequence[int], **_: Any) -> Any:
    return x[_starts(x, slice_sizes, starts)]


def _dynamic_update(x: Any, update: Any, *starts: Any, **_: Any) -> Any:
    found = x.copy()
    found[_starts(x, np.shape(update), starts)] = update
    return found


def _pad(x: Any, value: Any, padding_config: Sequence[tuple[int, int, int]], **_: Any) -> Any:
    shape = [a + b + n + max(0, n - 1) * i for n, (a, b, i) in zip(np.shape(x), padding_config, strict=True)]
    found = np.full([max(0, n) for n in shape], np.asarray(value)[()], dtype=x.dtype)
    place, cut = [], []
    for n, size, (a, _high, i) in zip(np.shape(x), found.shape, padding_config, strict=True):
        at = [a + k * (i + 1) for k in range(n)]
        kept = [k for k, p in enumerate(at) if 0 <= p < size]
        cut.append(kept)
        place.append([at[k] for k in kept])
    found[np.ix_(*place)] = x[np.ix_(*cut)]
    return wrapped(found)


def _select(which: Any, *cases: Any, **_: Any) -> Any:
    if any(isinstance(c, Numbers) for c in cases):
        cases = tuple(numbers(c) for c in cases)
    if len(cases) == 2:
        return wrapped(np.where(np.asarray(which, dtype=bool), cases[1], cases[0]))
    return wrapped(np.choose(which, cases))


def _convert(x: Any, new_dtype: Any, **_: Any) -> Any:
    kind = np.dtype(new_dtype).kind if str(new_dtype) != "bfloat16" else "f"
    if kind == "f":
        return numbers(x)
    return x.astype(new_dtype)


def _iota(*_: Any, dtype: Any, shape: Sequence[int], dimension: int, **__: Any) -> Any:
    line = np.arange(shape[dimension]).reshape([-1 if k == dimension else 1 for k in range(len(shape))])
    full = np.broadcast_to(line, shape).copy()
    return numbers(full) if np.dtype(dtype).kind == "f" else full


def _clamp(low: Any, x: Any, high: Any, **_: Any) -> Any:
    x = np.where(np.asarray(x < low, dtype=bool), low, x)
    return wrapped(np.where(np.asarray(x > high, dtype=bool), high, x))


def _index_of(f: Callable[..., Any]) -> Row:
    return lambda x, axes, **_: np.asarray(f(x.view(np.ndarray), axis=axes[0]))


def _cumulative(x: Any, axis: int, reverse: bool = False, **_: Any) -> Any:
    if reverse:
        return np.flip(cumulated(np.flip(x, axis), axis), axis)
    return cumulated(x, axis)


def _without_tangent(x: Any, **_: Any) -> Any:
    return wrapped(np.frompyfunc(_constant, 1, 1)(x)) if isinstance(x, Numbers) else x


def _constant(x: Any) -> Any:
    if not isinstance(x, Number):
        return x
    lifted = getattr(x.world.domain, "lift", None)
    return x if lifted is None else Number(x.world, lifted(x.plain()))


def _split(x: Any, sizes: Sequence[int], axis: int, **_: Any) -> Any:
    return [wrapped(p) for p in np.split(x, np.cumsum(sizes)[:-1], axis=axis)]


_ROWS: Final[dict[str, str]] = {
    "exp": "exp", "log": "log", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tan": "tan", "tanh": "tanh",
    "sinh": "sinh", "cosh": "cosh", "erf": "erf", "erfc": "erfc", "log1p": "log1p", "expm1": "expm1",
    "exp2": "exp2", "cbrt": "cbrt", "logistic": "expit", "square": "square",
}  # fmt: skip

PRIMITIVES: Final[dict[str, Row]] = {
    **LAYERS,
    **{name: _elementwise(found) for name, found in _ROWS.items()},
    "sign": lambda x, **_: wrapped(FUNCTIONS["sign"](x)) if isinstance(x, Numbers) else np.sign(x),
    "abs": lambda x, **_: wrapped(FUNCTIONS["absolute"](x)) if isinstance(x, Numbers) else np.abs(x),
    "rsqrt": lambda x, **_: 1 / np.sqrt(x), "neg": _plainly(operator.neg), "add": _plainly(operator.add),
    "add_any": _plainly(operator.add), "sub": _plainly(operator.sub), "mul": _plainly(operator.mul),
    "div": _divide, "integer_pow": _integer_power, "pow": _power, "max": _extreme_of_two("maximum"),
    "min": _extreme_of_two("minimum"), "clamp": _clamp,
    "reduce_sum": lambda x, axes, **_: np.sum(x, axis=tuple(axes)),
    "reduce_prod": lambda x, axes, **_: np.prod(x, axis=tuple(axes)),
    "reduce_max": _best(">"), "reduce_min": _best("<"),
    "reduce_and": lambda x, axes, **_: np.all(x, axis=tuple(axes)),
    "reduce_or": lambda x, axes, **_: np.any(x, axis=tuple(axes)),
    "argmax": _index_of(argmax), "argmin": _index_of(argmin), "cumsum": _cumulative,
    "dot_general": _dot, "broadcast_in_dim": _broadcast, "slice": _slice, "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update, "pad": _pad, "select_n": _select, "convert_element_type": _convert,
    "reshape": lambda x, *_, new_sizes, **__: np.reshape(x, new_sizes),
    "transpose": lambda x, permutation, **_: np.transpose(x, permutation),
    "squeeze": lambda x, dimensions, **_: np.squeeze(x, tuple(dimensions)),
    "expand_dims": lambda x, dimensions, **_: np.expand_dims(x, tuple(dimensions)),
    "rev": lambda x, dimensions, **_: np.flip(x, tuple(dimensions)),
    "concatenate": lambda *xs, dimension, **_: wrapped(np.concatenate(xs, axis=dimension)),
    "iota": _iota, "split": _split, "copy": _plainly(lambda x: x), "copy_p": _plainly(lambda x: x),
    "stop_gradient": _without_tangent, "optimization_barrier": lambda *xs, **_: list(xs),
    "eq": _truth(operator.eq), "ne": _truth(operator.ne), "lt": _truth(operator.lt), "le": _truth(operator.le),
    "gt": _truth(operator.gt), "ge": _truth(operator.ge), "and": _plainly(operator.and_),
    "or": _plainly(operator.or_), "xor": _plainly(operator.xor), "not": _plainly(operator.invert),
    "is_finite": lambda x, **_: ~np.isinf(x), "rem": _plainly(np.fmod), "real": _plainly(lambda x: x),
}  # fmt: skip
MOST_STEPS: Final = 1000
CALLS: Final = ("jaxpr", "call_jaxpr", "fun_jaxpr")


# ---- primitives that only move entries: where to is asked of JAX, on positions ----------------


def _gather(x: Any, indices: Any, primitive: Any, params: Any) -> Any:
    positions = np.asarray(primitive.bind(np.arange(np.size(x)).reshape(np.shape(x)), indices, **params))
    outside = (positions < 0) | (positions >= np.size(x))
    if outside.any():
        raise Unrepresentable("an index lies outside its array")
    return wrapped(np.asarray(x.reshape(-1)[positions], dtype=x.dtype))


def _scatter(x: Any, indices: Any, updates: Any, primitive: Any, params: Any) -> Any:
    """Each update is added where it lands, or takes its place."""
    flat = x.copy().reshape(-1)
    given = updates.reshape(-1)
    for k, place in _landings(np.shape(x), indices, np.shape(updates), primitive, params):
        flat[place] = given[k] if primitive.name == "scatter" else flat[place] + given[k]
    return wrapped(flat.reshape(np.shape(x)))


_LANDINGS: Final[dict[Any, list[tuple[int, int]]]] = {}


def _landings(
    shape: tuple[int, ...], indices: Any, updates: tuple[int, ...], primitive: Any, params: Any
) -> list[tuple[int, int]]:
    """(update, place) for each update that lands, asked of JAX with one mark at a time."""
    import jax

    key = (shape, np.asarray(indices).tobytes(), updates, str(params))
    if key not in _LANDINGS:
        size = int(np.prod(updates))
        marks = np.eye(size).reshape(size, *updates)
        one_each: Any = jax.vmap(lambda mark: primitive.bind(np.zeros(shape), indices, mark, **params))
        landed = np.asarray(one_each(marks)).reshape(size, -1)
        _LANDINGS[key] = [(int(k), int(place)) for k, place in np.argwhere(landed)]
    return _LANDINGS[key]


# ---- the walk -------------------------------------------------------------------------------


def run_jaxpr(jaxpr: Any, constants: Sequence[Any], args: Sequence[Any], wanted: Any = None) -> list[Any]:
    """The outputs of a jaxpr on arrays of numbers; `wanted` are the outputs that are needed, default: all."""
    values: dict[Any, Any] = {}
    values.update(zip(jaxpr.constvars, (_entry(c) for c in constants), strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    outs = list(jaxpr.outvars) if wanted is None else [jaxpr.outvars[k] for k in wanted]
    for equation in needed(jaxpr, outs):
        found = _applied(equation, _operands(equation, values))
        results = found if isinstance(found, list) else [found]
        for variable, result in zip(equation.outvars, results, strict=True):
            values[variable] = _shaped(result, variable)
    return [_value(v, values) for v in outs]


def needed(jaxpr: Any, outs: Sequence[Any]) -> list[Any]:
    """The equations that some outputs depend on."""
    wanted = {v for v in outs if not hasattr(v, "val")}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if wanted.intersection(equation.outvars):
            kept.append(equation)
            wanted.update(v for v in equation.invars if not hasattr(v, "val"))
    return kept[::-1]


def _operands(equation: Any, values: dict[Any, Any]) -> list[Any]:
    """The operands; a constant that something is compared with stays a float, which is remembered as a threshold."""
    compared = equation.primitive.name in COMPARISONS
    return [
        float(v.val)
        if compared and hasattr(v, "val") and not np.shape(v.val) and v.aval.dtype.kind == "f"
        else _value(v, values)
        for v in equation.invars
    ]


def _value(v: Any, values: dict[Any, Any]) -> Any:
    return _entry(v.val) if hasattr(v, "val") else values[v]


def _entry(x: Any) -> Any:
    found = np.asarray(x)
    return numbers(found) if found.dtype.kind == "f" or str(found.dtype) == "bfloat16" else found


def _shaped(x: Any, variable: Any) -> Any:
    """Scalars as arrays without axes; floats as numbers."""
    kind = np.dtype(variable.aval.dtype).kind if str(variable.aval.dtype) != "bfloat16" else "f"
    return x if isinstance(x, Numbers) or (isinstance(x, np.ndarray) and kind != "f") else (
        numbers(x) if kind == "f" else np.asarray(x)
    )  # fmt: skip


def _applied(equation: Any, args: list[Any]) -> Any:
    name, params = equation.primitive.name, equation.params
    if name in PRIMITIVES:
        return PRIMITIVES[name](*args, **params)
    if name == "gather":
        return _gather(args[0], args[1], equation.primitive, params)
    if name in ("scatter-add", "scatter_add", "scatter"):
        return _scatter(args[0], args[1], args[2], equation.primitive, params)
    if name == "scan":
        return _scan(args, params)
    if name == "while":
        return _while(args, params)
    if name == "cond":
        return _called(params["branches"][int(_decided(args[0]))], args[1:])
    if name == "custom_linear_solve":
        return _linear_solve(args, params)
    inner = next((params[key] for key in CALLS if key in params), None)
    if inner is None:
        raise Untraceable(f"the primitive {name} of JAX has no meaning here")
    return _called(inner, args)


def _called(inner: Any, args: Sequence[Any]) -> list[Any]:
    if hasattr(inner, "jaxpr"):
        return run_jaxpr(inner.jaxpr, inner.consts, args)
    return run_jaxpr(inner, (), args)


def _linear_solve(args: list[Any], params: Any) -> list[Any]:
    """The system whose matrix is what the operator makes of unit vectors."""
    lengths = params["const_lengths"]
    constants, right = args[: lengths.matvec], args[sum(lengths) :]
    if len(right) != 1:
        raise Untraceable("a system in several unknown arrays has no meaning here")
    shape, size = np.shape(right[0]), int(np.size(right[0]))
    units = np.eye(size, dtype=np.int64).reshape(size, *shape)
    columns = [_called(params["jaxprs"].matvec, [*constants, numbers(u)])[0].reshape(-1) for u in units]
    found = linalg.solved(np.stack(columns, axis=1), right[0].reshape(-1))
    return [wrapped(found.reshape(shape))]


def _decided(x: Any) -> Any:
    """The one value of a predicate; numbers are none."""
    found = np.asarray(x)
    if isinstance(x, Numbers) or found.ndim:
        raise Untraceable("a branch depends on something that is no truth value")
    return found[()]


def _while(args: list[Any], params: Any) -> list[Any]:
    """The loop, as long as its condition holds."""
    first, second = params["cond_nconsts"], params["body_nconsts"]
    asked, given, carry = args[:first], args[first : first + second], args[first + second :]
    for _ in range(MOST_STEPS):
        if not bool(_decided(_called(params["cond_jaxpr"], [*asked, *carry])[0])):
            return carry
        carry = _called(params["body_jaxpr"], [*given, *carry])
    raise Untraceable(f"a loop takes more than {MOST_STEPS} steps")


def _scan(args: list[Any], params: Any) -> list[Any]:
    """The loop, one step after another."""
    fixed, carried = params["num_consts"], params["num_carry"]
    constants, carry, series = args[:fixed], args[fixed : fixed + carried], args[fixed + carried :]
    body, length = params["jaxpr"], params["length"]
    steps = range(length - 1, -1, -1) if params["reverse"] else range(length)
    rows: dict[int, list[Any]] = {}
    for k in steps:
        here = [wrapped(np.asarray(s[k], dtype=s.dtype)) for s in series]
        found = run_jaxpr(body.jaxpr, body.consts, [*constants, *carry, *here])
        carry, rows[k] = found[:carried], found[carried:]
    count = len(body.jaxpr.outvars) - carried
    stacked = [wrapped(np.stack([rows[k][i] for k in range(length)])) for i in range(count)]
    return [*carry, *stacked]
