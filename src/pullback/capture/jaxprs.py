"""A jaxpr walked with recorded arrays in the place of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pullback.capture.arrays import Array
from pullback.capture.assembling import stack
from pullback.capture.jax_data import Kept, chosen_branch, inner_jaxpr
from pullback.capture.jax_library import JITTED
from pullback.capture.jax_primitives import PRIMITIVES, size_from
from pullback.capture.session import Pinned, held
from pullback.capture.source_names import Chain, SourceNames, chain_of
from pullback.capture.subscripts import Span, subscript
from pullback.expression import Num, num
from pullback.tracing.jaxprs import CALLS, needed
from pullback.tracing.numbers import Untraceable

OWN_RULES: Final = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "stop_gradient")
LONGEST: Final = 64  # steps of a loop that is unrolled


@dataclass
class Walk:
    """One walk: `own_rules` says whether something met has a derivative of its own."""

    names: SourceNames
    kept: Kept = field(default_factory=Kept)
    own_rules: bool = False
    holds_back: bool = False  # whether `stop_gradient` was met
    constants: dict[int, tuple[Any, Array]] = field(default_factory=dict)

    def run(
        self, jaxpr: Any, constants: Sequence[Any], args: Sequence[Array], outer: Chain = ()
    ) -> list[Array]:
        """The outputs of a jaxpr."""
        values: dict[Any, Array] = dict(zip(jaxpr.constvars, map(self._held, constants), strict=True))
        values.update(zip(jaxpr.invars, args, strict=True))

        def value(v: Any) -> Array:
            return self._held(v.val) if hasattr(v, "val") else values[v]

        for equation in needed(jaxpr, list(jaxpr.outvars)):
            chain = chain_of(equation, outer)
            self.names.moved_to(chain)
            found = self._applied(equation, [value(v) for v in equation.invars], chain)
            results = found if isinstance(found, list) else [found]
            for variable, result in zip(equation.outvars, results, strict=False):
                values[variable] = result
                if chain and result.place is None:
                    result.place = chain[-1]
            self.names.computed(results[0])
        return [value(v) for v in jaxpr.outvars]

    def _held(self, x: Any) -> Array:
        """A constant of the code."""
        if id(x) not in self.constants:
            self.constants[id(x)] = (x, held(np.asarray(x), "c"))
        return self.constants[id(x)][1]

    def _applied(self, equation: Any, args: list[Array], chain: Chain) -> Any:
        name, params = equation.primitive.name, equation.params
        self.own_rules |= name in OWN_RULES
        self.holds_back |= name == "stop_gradient"
        if self.kept.holds(name, args):
            return self.kept.made(name, args, params)
        if name in PRIMITIVES:
            return PRIMITIVES[name](*args, **params)
        if name == "scan":
            return self._scan(args, params, chain)
        if name == "cond":
            return self._branch(args, params, chain)
        if name == "while":
            return self._while(args, params, chain)
        if not any(key in params for key in CALLS):
            raise Untraceable(f"the primitive {name} of JAX has no meaning in the language")
        inner = inner_jaxpr(equation)
        if inner is None:
            return JITTED[params["name"]](*args)
        return self.run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), args, chain)

    def _branch(self, args: list[Array], params: Any, chain: Chain) -> Any:
        """A branch that is decided now; JAX's choice by platform is its general one."""
        which = args[0].constant()
        if params.get("branches_platforms") is not None:
            which = num(len(params["branches"]) - 1)
        if not isinstance(which, Num):
            raise Untraceable(
                "the code branches on a value", hint="jnp.where(condition, a, b) keeps both branches"
            )
        chosen = params["branches"][chosen_branch(params, int(which.value))]
        return self.run(chosen.jaxpr, chosen.consts, args[1:], chain)

    def _while(self, args: list[Array], params: Any, chain: Chain) -> list[Array]:
        """A loop whose condition counts, one step after another."""
        first, second = params["cond_nconsts"], params["body_nconsts"]
        test, body = params["cond_jaxpr"], params["body_jaxpr"]
        tested, constants, carry = args[:first], args[first : first + second], args[first + second :]
        for _ in range(LONGEST + 1):
            goes_on = self.run(test.jaxpr, test.consts, [*tested, *carry], chain)[0].constant()
            if not isinstance(goes_on, Num):
                raise Untraceable(
                    "a loop whose condition depends on values",
                    hint="lax.scan or lax.fori_loop, with a fixed number of steps",
                )
            if not goes_on.value:
                return carry
            carry = self.run(body.jaxpr, body.consts, [*constants, *carry], chain)
        raise Untraceable(f"a loop of over {LONGEST} steps", hint=f"at most {LONGEST} steps are unrolled")

    def _scan(self, args: list[Array], params: Any, chain: Chain) -> list[Array]:
        """The loop, one step after another."""
        length = size_from(params["length"])
        if not isinstance(length, Num):
            raise Pinned(length, "the code loops over an axis of size")
        count = int(length.value)
        if count > LONGEST:
            raise Untraceable(f"a loop of {count} steps", hint=f"at most {LONGEST} steps are unrolled")
        fixed, carried = params["num_consts"], params["num_carry"]
        constants, carry, series = args[:fixed], args[fixed : fixed + carried], args[fixed + carried :]
        body = params["jaxpr"]
        rows: dict[int, list[Array]] = {}
        for k in range(count - 1, -1, -1) if params["reverse"] else range(count):
            here = [subscript(s, [Span(num(k), num(k + 1), single=True)]) for s in series]
            found = self.run(body.jaxpr, body.consts, [*constants, *carry, *here], chain)
            carry, rows[k] = found[:carried], found[carried:]
        outs = len(body.jaxpr.outvars) - carried
        return [*carry, *(_rows([rows[k][i] for k in range(count)]) for i in range(outs))]


def _rows(rows: list[Array]) -> Array:
    for row in rows:
        if row.rank and row.op not in ("known", "moved", "input"):
            row.options["named"] = True
    return stack(rows, 0)
