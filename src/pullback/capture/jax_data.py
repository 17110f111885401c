"""What a JAX function computes without a gradient, as data: positions, rounded values, what `stop_gradient` holds.

The program has them as inputs; the jaxpr, run on numbers, gives them again at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.capture.arrays import Array, Kind, Shape, generic
from pullback.capture.jax_library import JITTED
from pullback.capture.subscripts import taken_along
from pullback.expression import Num
from pullback.tracing.jaxprs import CALLS, needed
from pullback.tracing.numbers import Untraceable

HINTS: Final = {
    "stop_gradient": "held", "round": "rounded", "floor": "rounded", "ceil": "rounded", "argmax": "best",
    "argmin": "best", "sort": "order", "top_k": "order",
}  # fmt: skip


@dataclass
class Kept:
    """The data of one walk, in the order in which it was met; `cuts` says whether `stop_gradient` makes data."""

    cuts: bool = False
    taken: set[str] = field(default_factory=set)  # names that are not free
    arrays: list[Array] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)  # name -> primitive

    def holds(self, name: str, args: Sequence[Any]) -> bool:
        """Whether the result of a primitive is data."""
        if name == "stop_gradient":
            return self.cuts and _is_real(args[0])
        return name in HINTS

    def made(self, name: str, args: Sequence[Array], params: Any) -> list[Array]:
        """The results of a primitive that gives data."""
        x = args[0]
        if name in ("argmax", "argmin"):
            (axis,) = params["axes"]
            return [self._data(name, (*x.shape[:axis], *x.shape[axis + 1 :]), "integer", x.shape[axis])]
        if name == "top_k":
            axis = params["axis"] % x.rank
            count = Num(Fraction(int(params["k"])))
            shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
            order = self._data(name, shape, "integer", x.shape[axis])
            return [taken_along(x, order, axis), order]
        if name == "sort":
            if params["num_keys"] != 1:
                raise Untraceable("values are put in order by several keys at once")
            axis = params["dimension"]
            order = self._data(name, x.shape, "integer", x.shape[axis])
            return [order if _counts(a, axis) else taken_along(a, order, axis) for a in args]
        return [self._data(name, x.shape, "real")]

    def _data(self, name: str, shape: Shape, kind: Kind, extent: Any = None) -> Array:
        stem = HINTS[name]
        hint = next(n for n in (stem, *(f"{stem}{k}" for k in range(1, 999))) if n not in self.taken)
        self.taken.add(hint)
        self.made_by[hint] = name
        options = {"constant": True} | ({} if extent is None else {"extent": extent})
        self.arrays.append(Array(shape, kind, "input", options=options, hint=hint))
        return self.arrays[-1]


def _is_real(x: Any) -> bool:
    return x.kind == "real" if isinstance(x, Array) else np.issubdtype(np.asarray(x).dtype, np.floating)


def _counts(x: Array, axis: int) -> bool:
    """Whether an array counts along the axis, so that sorting it along with another gives the order."""
    at = generic(x.shape)
    return x.op == "known" and x.at(at) is at[axis]


# ---- the jaxpr on numbers ---------------------------------------------------------------------


@dataclass
class Numbers:
    """A jaxpr run on numbers, in the order of the walk that met the data."""

    kept: Kept
    found: list[Any] = field(default_factory=list)

    def run(self, jaxpr: Any, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """The outputs; the data are in `found`."""
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *args), strict=True))

        def value(v: Any) -> Any:
            return v.val if hasattr(v, "val") else values[v]

        for equation in needed(jaxpr, list(jaxpr.outvars)):
            given = [value(v) for v in equation.invars]
            results = self._results(equation, given)
            if self.kept.holds(equation.primitive.name, given):
                self.found.append(_picked(equation, given, results))
            values.update(zip(equation.outvars, results, strict=True))
        return [value(v) for v in jaxpr.outvars]

    def _results(self, equation: Any, given: list[Any]) -> list[Any]:
        name, params = equation.primitive.name, equation.params
        if name == "scan":
            return self._steps(params, given)
        if name == "while":
            return self._while(params, given)
        if name == "cond":
            chosen = params["branches"][chosen_branch(params, int(given[0]))]
            return self.run(chosen.jaxpr, chosen.consts, given[1:])
        inner = inner_jaxpr(equation)
        if inner is not None:
            return self.run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
        bound = equation.primitive.bind(*given, **params)
        return list(bound) if equation.primitive.multiple_results else [bound]

    def _while(self, params: Any, given: list[Any]) -> list[Any]:
        first, second = params["cond_nconsts"], params["body_nconsts"]
        test, body = params["cond_jaxpr"], params["body_jaxpr"]
        tested, constants, carry = given[:first], given[first : first + second], given[first + second :]
        while self.run(test.jaxpr, test.consts, [*tested, *carry])[0]:
            carry = self.run(body.jaxpr, body.consts, [*constants, *carry])
        return carry

    def _steps(self, params: Any, given: list[Any]) -> list[Any]:
        fixed, carried = params["num_consts"], params["num_carry"]
        constants, carry, series = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]
        body, count = params["jaxpr"], int(params["length"])
        rows: dict[int, list[Any]] = {}
        for k in range(count - 1, -1, -1) if params["reverse"] else range(count):
            found = self.run(body.jaxpr, body.consts, [*constants, *carry, *(s[k] for s in series)])
            carry, rows[k] = found[:carried], found[carried:]
        outs = len(body.jaxpr.outvars) - carried
        return [*carry, *(np.stack([rows[k][i] for k in range(count)]) for i in range(outs))]


def _picked(equation: Any, given: Sequence[Any], results: Sequence[Any]) -> Any:
    import jax

    params = equation.params
    match equation.primitive.name:
        case "sort":
            return np.asarray(jax.numpy.argsort(given[0], axis=params["dimension"], stable=True))
        case "top_k":
            return np.asarray(results[1])
    return np.asarray(results[0])


def inner_jaxpr(equation: Any) -> Any:
    """The jaxpr that an equation calls; None for an operation, and for a function of JAX's own that is read whole."""
    params = equation.params
    inner = next((params[key] for key in CALLS if key in params), None)
    if inner is None or equation.primitive.name == "while":
        return None
    return None if params.get("name", "") in JITTED and of_jax(inner) else inner


def of_jax(inner: Any) -> bool:
    """Whether a function that was compiled by itself is one of JAX's own."""
    jaxpr = getattr(inner, "jaxpr", inner)
    where = getattr(getattr(jaxpr, "debug_info", None), "func_src_info", None) or ""
    return "/jax/_src/" in where.replace("\\", "/")


def chosen_branch(params: Any, which: int) -> int:
    """The branch that is taken; of JAX's choice by platform the general one."""
    last = len(params["branches"]) - 1
    return last if params.get("branches_platforms") is not None else min(max(which, 0), last)
