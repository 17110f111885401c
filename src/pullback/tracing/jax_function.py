"""A `jax.custom_vjp` function: its rules run as they are, and traced to jaxprs that run on numbers of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pullback.errors import PullbackError
from pullback.tracing.arrays import Numbers, numbers
from pullback.tracing.jax_arguments import Arguments, Spelt
from pullback.tracing.jaxprs import run_jaxpr
from pullback.tracing.numbers import Untraceable, World, inside
from pullback.tracing.numpy_pair import CODE_ERRORS
from pullback.tracing.passes import CodeProblem, ExactRun, Fault, FloatRun, Pass, Upstream, literal, stripped
from pullback.tracing.wholes import floats_of

SLACK = 64  # rounding errors by which two orders of the same work may differ


def wide() -> AbstractContextManager[Any]:
    """float64 for a while."""
    import jax

    found: AbstractContextManager[Any] = jax.enable_x64(True)
    return found


@dataclass
class JaxFunction(Pass):
    function: Any = None
    arguments: Arguments = field(default_factory=lambda: Arguments((), ()))
    graphs: dict[Any, Any] = field(default_factory=dict)

    checks_bounds: ClassVar[bool] = False

    # ---- calling the rules

    @property
    def fixed(self) -> tuple[int, ...]:
        """Arguments that are handed to the rules as they are."""
        names = self.arguments.names
        found = {p % len(names) for p in self.function.nondiff_argnums if -len(names) <= p < len(names)}
        found |= {names.index(n) for n in getattr(self.function, "nondiff_argnames", ()) if n in names}
        return tuple(sorted(found))

    def _rules(
        self, args: Sequence[Any], douts: Sequence[Any] | None
    ) -> tuple[list[Any], list[Any], list[Fault]]:
        """Leaves of the output, the gradients of `wrt`, and faults."""
        import jax

        whole = self.arguments.packed(args)
        out, residuals = self.function.fwd(*whole)
        leaves, tree = jax.tree_util.tree_flatten(out)
        if douts is None:
            return leaves, [], []
        gradient = jax.tree_util.tree_unflatten(tree, list(douts))
        found = self.function.bwd(*(whole[p] for p in self.fixed), residuals, gradient)
        rest = [p for p in range(len(whole)) if p not in self.fixed]
        if not isinstance(found, tuple | list) or len(found) != len(rest):
            count = len(found) if isinstance(found, tuple | list) else "no tuple of gradients"
            named = ", ".join(self.arguments.names[p] for p in rest)
            said = f"bwd returns {count} for {len(rest)} ({named})"
            return leaves, [], [Fault("count", f"number of gradients: {said}")]
        given = [found[rest.index(p)] if p in rest else None for p in range(len(whole))]
        try:
            flat = self.arguments.leaves(given)
        except (TypeError, ValueError, KeyError) as error:
            said = f"the gradients have another structure than the arguments ({error})"
            return leaves, [], [Fault("count", f"number of gradients: {said}")]
        return leaves, [flat[p] for p in self.wrt], []

    def gradients(self, args: Sequence[Any], upstream: Sequence[Any]) -> Sequence[Any]:
        return self._rules(args, upstream)[1]

    def results(self, args: Sequence[Any]) -> list[Any]:
        import jax

        return jax.tree_util.tree_leaves(self._value(args))

    def _value(self, args: Sequence[Any]) -> Any:
        return self.function.fun(*self.arguments.packed(args))

    def outputs(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Zeros of the shapes of the output: to ask for values would compile the code at every size."""
        import jax

        places = _places(args)
        try:
            with wide():
                found = jax.eval_shape(
                    lambda *xs: jax.tree_util.tree_leaves(self._value(_merged(args, places, xs))),
                    *(args[p] for p in places),
                )
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error
        return tuple(np.zeros(o.shape) for o in found)

    def values(self, args: Sequence[Any]) -> tuple[Any, ...]:
        import jax

        try:
            with wide():
                return tuple(np.asarray(o) for o in jax.tree_util.tree_leaves(self._value(_given(args))))
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error

    def run(self, args: Sequence[Any], upstream: Upstream, light: bool = False) -> FloatRun:
        import jax

        with wide():
            if light:
                return self._light(args, upstream)
            try:
                leaves, _, _ = self._rules(_given(args), None)
                direct = jax.tree_util.tree_leaves(self._value(_given(args)))
            except CODE_ERRORS as error:
                raise CodeProblem("forward", error) from error
            faults = (
                []
                if _same(direct, leaves)
                else [Fault("forward", "forward: fwd and the function itself differ")]
            )
            douts = [
                jax.numpy.asarray(u, dtype=o.dtype)
                for u, o in zip(upstream([o.shape for o in leaves]), leaves, strict=True)
            ]
            found = [self._safely(_given(args), douts) for _ in range(2)]
            faults += found[0][2]
            grads = [None if g is None else np.asarray(g) for g in found[0][1]]
            if not _same(found[0][1], found[1][1]):
                faults.append(Fault("nondeterminism", "bwd gives another value when it is called again"))
            return FloatRun(tuple(np.asarray(o) for o in leaves), tuple(grads), tuple(faults))

    def _safely(self, args: Sequence[Any], douts: Sequence[Any]) -> Any:
        try:
            return self._rules(args, douts)
        except CODE_ERRORS as error:
            raise CodeProblem("backward", error) from error

    def _light(self, args: Sequence[Any], upstream: Upstream) -> FloatRun:
        """Shapes and types alone."""
        import jax

        places = _places(args)
        outs = self.outputs(args)
        faults: list[Fault] = []

        def rules(tensors: Any, douts: Any) -> Any:
            _, grads, found = self._rules(_merged(args, places, tensors), douts)
            faults.extend(found)
            return grads

        try:
            found = jax.eval_shape(rules, [args[p] for p in places], upstream([o.shape for o in outs]))
        except CODE_ERRORS as error:
            raise CodeProblem("backward", error) from error
        grads = tuple(None if g is None else np.zeros(g.shape, g.dtype) for g in found)
        return FloatRun(outs, grads, tuple(faults))

    # ---- the traced rules

    def _traced(self, args: Sequence[Any]) -> Any:
        import jax

        places = _places(args)
        shapes = [o.shape for o in self.outputs(args)]
        layout: list[tuple[int, list[bool]]] = []

        def joint(*tensors: Any) -> Any:
            leaves, grads, faults = self._rules(_merged(args, places, tensors), list(tensors[len(places) :]))
            if faults:
                raise Untraceable(faults[0].message)
            layout.append((len(leaves), [g is not None for g in grads]))
            return [*leaves, *(g for g in grads if g is not None)]

        try:
            with wide():
                made = jax.make_jaxpr(joint)(*(args[p] for p in places), *(np.ones(s) for s in shapes))
        except PullbackError:
            raise
        except CODE_ERRORS as error:
            raise Untraceable(
                f"it cannot be traced ({type(error).__name__}: {str(error).splitlines()[0]})"
            ) from error
        return made, places, layout[-1], shapes

    def exact(self, args: Sequence[Any], upstream: Upstream, dual: World, plain: World) -> ExactRun:
        key = tuple((np.shape(a), a.dtype.kind) if isinstance(a, np.ndarray) else repr(a) for a in args)
        if key not in self.graphs:
            self.graphs[key] = self._traced([_sample(a) for a in args])
        made, places, (count, present), shapes = self.graphs[key]
        given = [args[p] for p in places]
        try:
            with wide(), np.errstate(all="ignore"):
                with inside(dual):
                    douts = upstream(shapes)
                    outs = run_jaxpr(made.jaxpr, made.consts, [*given, *douts], range(count))
                with inside(plain):
                    bare = [stripped(g, plain) if isinstance(g, Numbers) else g for g in given]
                    grads = run_jaxpr(
                        made.jaxpr, made.consts, [*bare, *douts], range(count, count + sum(present))
                    )
        except PullbackError:
            raise
        except CODE_ERRORS as error:
            raise Untraceable(
                f"it cannot be run on exact numbers ({type(error).__name__}: {error})"
            ) from error
        rest = iter(grads)
        return ExactRun(
            tuple(numbers(o) for o in outs), tuple(numbers(next(rest)) if p else None for p in present)
        )

    # ---- as code

    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        lines = ["import jax, numpy as np", 'jax.config.update("jax_enable_x64", True)']
        spelt = [
            Spelt(f"jax.numpy.asarray({literal(x)})" if isinstance(x, np.ndarray) else literal(x))
            for x in args
        ]
        names = self.arguments.names
        lines += [
            f"{name} = {part!r}" for name, part in zip(names, self.arguments.packed(spelt), strict=True)
        ]
        wanted = [name for name, held in zip(names, self.arguments.holds(self.wrt), strict=True) if held]
        inner, given = f"{self.label}({', '.join(names)})", ", ".join(wanted)
        lines.append(f"out, pull = jax.vjp(lambda {given}: {inner}, {given})")
        douts = [f"jax.numpy.asarray({literal(u)})" for u in upstream]
        lines.append(f"print(pull({self._as_output(args, douts)}))")
        return "\n".join(lines)

    def _as_output(self, args: Sequence[Any], douts: Sequence[str]) -> str:
        """Upstream gradients in the structure of the output, as code."""
        import jax

        with wide():
            tree: Any = jax.tree_util.tree_structure(jax.eval_shape(lambda: self._value(_given(args))))
        if jax.tree_util.treedef_is_leaf(tree):
            return douts[0]
        if tree == jax.tree_util.tree_structure(tuple(douts)):
            return f"({', '.join(douts)}{',' * (len(douts) == 1)})"
        return f"jax.tree.unflatten(jax.tree.structure(out), [{', '.join(douts)}])"


def _places(args: Sequence[Any]) -> list[int]:
    return [p for p, a in enumerate(args) if isinstance(a, np.ndarray)]


def _merged(args: Sequence[Any], places: Sequence[int], tensors: Sequence[Any]) -> list[Any]:
    found = list(args)
    for p, x in zip(places, tensors, strict=False):
        found[p] = x
    return found


def _given(args: Sequence[Any]) -> list[Any]:
    import jax

    return [jax.numpy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]


def _sample(x: Any) -> Any:
    return floats_of(x) if isinstance(x, Numbers) else x


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """The same up to rounding: fwd may work in another order than the function."""
    return len(a) == len(b) and all(x is y or _near(x, y) for x, y in zip(a, b, strict=True))


def _near(x: Any, y: Any) -> bool:
    if x is None or y is None or np.shape(x) != np.shape(y):
        return False
    import jax

    if not jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
        return bool(np.array_equal(np.asarray(x), np.asarray(y)))
    eps = float(jax.numpy.finfo(x.dtype).eps)  # type: ignore[no-untyped-call]
    close = max(1e-9, SLACK * eps)
    left, right = (np.asarray(v).astype(np.float64) for v in (x, y))
    floor = close * float(np.abs(left[np.isfinite(left)]).max(initial=0.0))
    return bool(np.allclose(left, right, rtol=close, atol=floor, equal_nan=True))
