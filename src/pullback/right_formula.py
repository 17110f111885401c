"""The right formula for a wrong backward: the forward is read into a program of the language, derived and checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from pullback.capture.captured import Captured
from pullback.capturing import capture
from pullback.derivation import derive_program
from pullback.errors import PullbackError
from pullback.formula import gradient_program
from pullback.tracing.jax_function import JaxFunction, wide
from pullback.tracing.numpy_pair import NumpyPair, copied
from pullback.tracing.passes import Pass
from pullback.tracing.torch_context import Context
from pullback.tracing.torch_function import TorchFunction
from pullback.verify.results import check_gradient_of

LONGEST = 60  # lines of a program that is shown beside a verdict


def read_forward(code: Pass, args: Sequence[Any]) -> Captured | None:
    """The forward as a program of its arguments; None where it cannot be read, or gives several outputs."""
    forward = _forward(code, args)
    if forward is None:
        return None
    try:
        with floats_of(code):
            return capture(forward, examples(code, args))
    except PullbackError:
        return None


def right_formulas(captured: Captured, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For some inputs the lines of the forward and of the right gradient; without those that cannot be derived."""
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
    """float64 also where the framework has it switched off."""
    return wide() if isinstance(code, JaxFunction) else nullcontext()


def _forward(code: Pass, args: Sequence[Any]) -> Callable[..., Any] | None:
    """The forward as a function of its arguments that gives the output alone; None where there are several."""
    match code:
        case TorchFunction():
            separate = code.function.setup_context is not _default_setup()

            def value(*given: Any) -> Any:
                head = () if separate else (Context(tuple(p in code.wrt for p in range(len(given)))),)
                return code.function.forward(*head, *given)

        case NumpyPair():

            def value(*given: Any) -> Any:
                out, _, _ = code.split(code.forward(*map(copied, given)), len(given))
                return out

        case JaxFunction() if all(tree is None for tree in code.arguments.trees):
            value = code.function.fun

        case _:
            return None
    if len(code.outputs(args)) != 1:
        return None
    return by_name(value, code.names, code.label)


def by_name(value: Callable[..., Any], names: Sequence[str], label: str) -> Callable[..., Any]:
    """A function of positional arguments as one whose parameters have these names."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def named(*given: Any, **keywords: Any) -> Any:
        bound = signature.bind(*given, **keywords)
        return value(*(bound.arguments[name] for name in names))

    named.__signature__ = signature  # type: ignore[attr-defined]
    named.__name__ = label
    return named


def _default_setup() -> Any:
    import torch

    return torch.autograd.function._SingleLevelFunction.setup_context


def examples(code: Pass, args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments as arrays of the kind that the code computes with."""
    if isinstance(code, JaxFunction):
        import jax

        return tuple(jax.numpy.asarray(x) if isinstance(x, np.ndarray) else x for x in args)
    if not isinstance(code, TorchFunction):
        return tuple(args)
    import torch

    return tuple(torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x for x in args)
