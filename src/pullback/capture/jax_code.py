"""A JAX function as a program: its jaxpr is walked, with symbolic sizes where JAX can trace it so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pullback.capture.arguments import Arguments, Leaf, arguments_of
from pullback.capture.captured import Captured, output_of
from pullback.capture.jax_data import Kept, Numbers
from pullback.capture.jaxprs import Walk
from pullback.capture.numpy_function import Trace, captured_by, input_of, located
from pullback.capture.session import Quotients, at_line, session
from pullback.capture.source_names import SourceNames
from pullback.errors import NameProblem, PullbackError, ShapeProblem
from pullback.expression import Num
from pullback.sizes import size_text
from pullback.tracing.jax_function import wide
from pullback.tracing.numbers import Untraceable
from pullback.tracing.numpy_pair import CODE_ERRORS

STEP = 1e-6


def capture_jax(
    f: Any,
    given: Any = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, Any] | None = None,
    output: int | str | None = None,
) -> Captured:
    """The program that a JAX function stands for; everything as for `capture_numpy`.

    What has a derivative of its own (`stop_gradient`, `custom_vjp`) is read as its forward where the two agree;
    else what `stop_gradient` holds is data, computed at each call.
    """
    walks: list[Walk] = []
    cuts = False

    def trace(arguments: Arguments, sizes: Mapping[str, int], quotients: Quotients) -> Trace:
        walks.append(Walk(SourceNames(), Kept(cuts, {leaf.name for leaf in arguments.leaves()})))
        return _traced(f, arguments, sizes, walks[-1])

    def run(*args: Any, **options: Any) -> Any:
        import jax

        with wide():
            args, options = jax.tree_util.tree_map(_as_jax, (args, options))
            return jax.tree_util.tree_map(np.asarray, f(*args, **options))

    run.__wrapped__ = f  # type: ignore[attr-defined]
    arguments = arguments_of(f, given, integers, assume)
    captured = captured_by(trace, run, arguments, output)
    if walks[-1].own_rules:
        try:
            _hold_derivative(captured, f, arguments, output)
        except Untraceable:
            if not walks[-1].holds_back:
                raise
            cuts = True
            captured = captured_by(trace, run, arguments, output)
            _hold_derivative(captured, f, arguments, output)
    return captured


def _as_jax(x: Any) -> Any:
    import jax

    return jax.numpy.asarray(x) if isinstance(x, np.ndarray) else x


def _traced(f: Any, arguments: Arguments, sizes: Mapping[str, int], walk: Walk) -> Trace:
    leaves = arguments.leaves()
    inputs = {leaf.name: input_of(leaf, sizes) for leaf in leaves}
    with session(dict(sizes), {}), wide():
        made, names = _jaxpr(f, arguments, leaves)
        try:
            outs = walk.run(made.jaxpr, made.consts, [inputs[leaf.name] for leaf in leaves])
        except ShapeProblem:
            raise
        except Untraceable as error:
            raise _placed(error, walk) from None
        except _inconclusive() as error:  # a number is needed where the size of a symbol decides
            raise Untraceable(f"a size has to be a number: {str(error).splitlines()[0]}") from error
        walk.names.finished()
    given, kept = tuple(inputs.values()), walk.kept
    outputs = dict(zip(names, outs, strict=True))
    if not kept.arrays:
        return Trace(given, outputs, sizes)
    return Trace((*given, *kept.arrays), outputs, sizes, partial(_with_data, f, arguments, kept))


def _with_data(f: Any, arguments: Arguments, kept: Kept, captured: Captured) -> Captured:
    """The program with what gives its data, which may read every argument."""
    import jax

    leaves = arguments.leaves()
    hints = [array.hint for array in kept.arrays]
    own = {hint: captured.names[hint] for hint in hints if hint in captured.names}
    names = {leaf.name: captured.names.get(leaf.name, leaf.name) for leaf in leaves}

    def data(values: Mapping[str, Any]) -> dict[str, Any]:
        missing = [name for name in names if names[name] not in values]
        if missing:
            raise NameProblem(f"the input {missing[0]} is missing", hint="what is data is computed from it")
        with wide():
            args = [_as_jax(np.asarray(values[names[leaf.name]])) for leaf in leaves]
            made = jax.make_jaxpr(_flat(f, arguments, leaves, []))(*args)
            numbers = Numbers(kept)
            numbers.run(made.jaxpr, made.consts, args)
        found = dict(zip(hints, map(np.asarray, numbers.found), strict=True))
        return {name: found[hint] for hint, name in own.items()}

    notes = (
        f"{name} is data from {kept.made_by[hint]}: no gradient flows through it"
        for hint, name in own.items()
    )
    return replace(captured, names=names, data=data, notes=(*captured.notes, *notes))


def _placed(error: Untraceable, walk: Walk) -> PullbackError:
    if type(error) is not Untraceable or not walk.names.chain:
        return error
    return at_line(error.message, walk.names.chain[-1], error.hint)


def _jaxpr(f: Any, arguments: Arguments, leaves: list[Leaf]) -> tuple[Any, list[str]]:
    """The jaxpr, and the names of the outputs."""
    import jax

    names: list[str] = []
    try:
        return jax.make_jaxpr(_flat(f, arguments, leaves, names))(*_shapes(leaves)), names
    except PullbackError:
        raise
    except (*CODE_ERRORS, jax.errors.JAXTypeError, jax.errors.JAXIndexError, *_inconclusive()) as error:
        first = str(error).splitlines()[0] if str(error) else ""
        symbols = [e for leaf in leaves for e in leaf.shape if not isinstance(e, Num)]
        if symbols and not isinstance(error, jax.errors.JAXTypeError):
            raise Untraceable(f"JAX cannot trace the function with symbolic sizes: {first}") from error
        hint = "jnp.where(condition, a, b) keeps both branches" if "bool" in str(error).lower() else ""
        raise located(
            f"the function cannot be traced: {type(error).__name__}: {first}", error, hint
        ) from error


def _flat(f: Any, arguments: Arguments, leaves: list[Leaf], names: list[str]) -> Callable[..., Any]:
    """The function on a flat list of its arguments, giving a flat list; `names` receives those of the outputs."""
    import jax

    def flat(*values: Any) -> Any:
        found = dict(zip((leaf.name for leaf in leaves), values, strict=True))
        result = arguments.call(f, lambda leaf: found[leaf.name])
        paths, _ = jax.tree_util.tree_flatten_with_path(result)
        names[:] = ["_".join(_key(part) for part in path) for path, _ in paths]
        return [value for _, value in paths]

    return flat


def _inconclusive() -> Any:
    """A comparison of symbolic sizes that JAX cannot decide; its name has not been public in every version."""
    import jax

    name = "InconclusiveDimensionOperation"
    found = getattr(jax.errors, name, None) or getattr(jax.core, name, None)
    return () if found is None else (found,)


def _key(part: Any) -> str:
    return str(getattr(part, "key", getattr(part, "idx", getattr(part, "name", part))))


def _shapes(leaves: list[Leaf]) -> list[Any]:
    """Shapes with JAX's symbolic sizes, all of one scope."""
    import jax

    texts = [", ".join(size_text(e) for e in leaf.shape) for leaf in leaves]
    scope = jax.export.SymbolicScope()
    found = []
    for leaf, text in zip(leaves, texts, strict=True):
        symbolic = any(not isinstance(e, Num) for e in leaf.shape)
        shape = (
            jax.export.symbolic_shape(text, scope=scope)
            if symbolic
            else tuple(int(n) for n in text.split(", ") if n)
        )
        described: Any = jax.ShapeDtypeStruct
        found.append(described(shape, np.int64 if leaf.whole else np.float64))
    return found


# ---- code with a derivative of its own ------------------------------------------------------


def _hold_derivative(captured: Captured, f: Any, arguments: Arguments, output: Any) -> None:
    """JAX's derivative of the code, against that of the program, along a random direction."""
    import jax

    program = captured.read()
    rng = np.random.default_rng(1)
    upstream = rng.normal(size=output_of(program, captured.values, captured.sizes).shape)
    for name in captured.wrt:
        if name in captured.parameters:
            continue
        direction = rng.normal(size=np.shape(captured.values[name]))
        sides = []
        for step in (STEP, -STEP):
            values = {**captured.values, name: captured.values[name] + step * direction}
            sides.append(np.sum(upstream * output_of(program, values, captured.sizes)))
        slope = (sides[0] - sides[1]) / (2 * STEP)

        def value(x: Any, name: str = name) -> Any:
            own = {**captured.values, name: x}
            result = arguments.call(f, lambda leaf: _as_jax(own[captured.names.get(leaf.name, leaf.name)]))
            leaves = jax.tree_util.tree_leaves(result)
            chosen = leaves[_position(result, output)]
            return jax.numpy.sum(chosen * upstream)

        with wide():
            found = np.sum(np.asarray(jax.grad(value)(jax.numpy.asarray(captured.values[name]))) * direction)
        if abs(found - slope) > 1e-4 * max(1.0, abs(slope)):
            raise Untraceable(
                f"the code gives {captured.original(name)} a derivative that is not the one of its forward",
                hint="stop_gradient, custom_jvp and custom_vjp are read where they do not change the derivative",
            )


def _position(result: Any, output: Any) -> int:
    import jax

    paths, _ = jax.tree_util.tree_flatten_with_path(result)
    names = ["_".join(_key(part) for part in path) for path, _ in paths]
    if len(names) == 1:
        return 0
    return names.index(str(output)) if str(output) in names else 0
