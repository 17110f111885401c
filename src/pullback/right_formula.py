"""The right formula for a wrong backward: the forward is read into a program of the language, derived and checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from pullback.capture.captured import Captured
from pullback.capture.exchanged import recording
from pullback.capturing import capture
from pullback.derivation import derive_program
from pullback.errors import PullbackError
from pullback.formula import gradient_program
from pullback.tracing.jax_function import JaxFunction, wide
from pullback.tracing.numpy_pair import NumpyPair
from pullback.tracing.passes import CodeProblem, Pass
from pullback.tracing.torch_function import TorchFunction
from pullback.verify.results import check_gradient_of

UNROLLED = 8  # lines of a program for sizes of the example alone: a loop that is written out tells little
LONGEST = 60  # lines of a program that is shown beside a verdict


def read_forward(code: Pass, args: Sequence[Any]) -> Captured | None:
    """The forward as a program of its arguments; None where it cannot be read.

    Of several outputs the program gives their sum weighed with the upstream gradients, which are arguments as well.
    """
    try:
        with floats_of(code):
            found = capture(*_forward(code, args))
    except (PullbackError, CodeProblem):
        return None
    unrolled = any(note.endswith(" alone") for note in found.notes)
    return None if unrolled and len(found.program.splitlines()) > UNROLLED else found


def upstream_names(code: Pass, args: Sequence[Any]) -> tuple[str, ...]:
    """What the backward calls the upstream gradients, where those names are free."""
    match code:
        case NumpyPair():
            backward, first, places = code.written, 0, [0]
        case TorchFunction():
            backward, first, places = code.function.backward, 1, code.upstream_places(args)
        case JaxFunction():
            backward, places = code.function.bwd, [0]
            first = len(inspect.signature(backward).parameters) - 1
        case _:
            return ()
    parameters = list(inspect.signature(backward).parameters.values())[first:]
    plain = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL and p.name.strip("_")]
    count = len(code.outputs(args))
    if not isinstance(code, TorchFunction) and count > 1:  # a tuple of them, or a tree
        plain, places = [f"{(plain or ['upstream'])[0]}{k}" for k in range(count)], list(range(count))
    found = []
    for k in places:
        name = plain[k] if k < len(plain) else f"upstream{k}" if len(places) > 1 else "upstream"
        found.append(name if name not in code.names else f"{name}_upstream")
    return tuple(found)


def upstream_examples(code: Pass, args: Sequence[Any]) -> list[Any]:
    """Upstream gradients at a point of no special kind."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=np.shape(o)) for o in code.outputs(args)]


def right_formulas(captured: Captured, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For some inputs the lines of the forward and of the right gradient; without those that cannot be derived."""
    if len(captured.program.splitlines()) >= LONGEST:
        return {}
    try:
        wanted = {name: captured.names.get(name, name) for name in names}
        derived = derive_program(captured.read(), list(wanted.values()))
        found = {}
        for name, own in wanted.items():
            if check_gradient_of(derived, own).status in ("exact", "numerical"):
                lines = (*captured.program.splitlines(), *map(str, gradient_program(derived, [own])))
                found[name] = tuple(lines) if len(lines) <= LONGEST else ()
        return found
    except PullbackError:
        return {}


def floats_of(code: Pass) -> AbstractContextManager[Any]:
    """float64 also where JAX has it switched off."""
    return wide() if isinstance(code, JaxFunction) else nullcontext()


def _forward(code: Pass, args: Sequence[Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The forward as a function that gives one tensor, with an example of its arguments."""
    recorded = code.exchanged(recording)
    if len(code.outputs(args)) == 1:
        return by_name(
            lambda *given: code.results(given)[0],
            code.names,
            code.label,
            lambda *given: recorded.results(given)[0],
        ), examples(code, args)

    def weighed(made: Pass) -> Callable[..., Any]:
        def total(*given: Any) -> Any:
            outs, upstream = made.results(given[: len(args)]), given[len(args) :]
            return sum((o * u).sum() for o, u in zip(outs, upstream, strict=True))

        return total

    given = examples(code, (*args, *upstream_examples(code, args)))
    names = (*code.names, *upstream_names(code, args))
    return by_name(weighed(code), names, code.label, weighed(recorded)), given


def by_name(
    value: Callable[..., Any], names: Sequence[str], label: str, traced: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """A function of positional arguments as one whose parameters have these names.

    traced: the same made of copies that record, for code whose functions stand behind an object.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def named(*given: Any, **keywords: Any) -> Any:
        bound = signature.bind(*given, **keywords)
        return value(*(bound.arguments[name] for name in names))

    named.__signature__ = signature  # type: ignore[attr-defined]
    named.__name__ = label
    if traced is not None:
        named.traced = by_name(traced, names, label)  # type: ignore[attr-defined]
    return named


def examples(code: Pass, args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments as arrays of the kind that the code computes with."""
    if isinstance(code, JaxFunction):
        import jax

        return tuple(jax.numpy.asarray(x) if isinstance(x, np.ndarray) else x for x in args)
    if not isinstance(code, TorchFunction):
        return tuple(args)
    import torch

    return tuple(torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x for x in args)
