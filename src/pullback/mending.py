"""The right backward for a forward that somebody wrote: read it as a program, derive, and write the code anew."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pullback.api import Derivation, derive
from pullback.capture.captured import Captured
from pullback.checking import named_arguments
from pullback.emit.function_source import Slot
from pullback.emit.jax_source import jax_source
from pullback.emit.module_source import demand_name
from pullback.emit.pair_source import pair_source
from pullback.emit.torch_source import torch_instead
from pullback.errors import DomainProblem
from pullback.libraries import kind_of_backward
from pullback.tracing.torch_context import undivided

LARGEST = 256  # entries of an array that is written into the code


def mended(obj: Any, inputs: Any, *, wrt: Sequence[int | str] | None = None) -> str:
    """The code of `obj` with the derived backward pass: same names, same arguments in the same order.

    obj and inputs are as those of `check`: a pair (forward, backward) of NumPy-style functions, a
    `torch.autograd.Function` or a `jax.custom_vjp` function, and one example of the arguments. Arguments that are no
    arrays keep the value that they have there. Where a pair or a JAX function has several outputs, the first is meant.
    Raises `PullbackError` for an object of another kind, for a Function with several outputs, and where the forward
    cannot be read as a program.

    >>> def forward(x, w):
    ...     return np.tanh(x) * w
    >>> def backward(dout, x, w):
    ...     return dout * w, dout * np.tanh(x)
    >>> source = mended((forward, backward), [np.ones(3), np.ones(3)])
    >>> [line.strip() for line in source.splitlines() if "dw = dout" in line]
    ['dw = dout * t']
    """
    match kind_of_backward(obj):
        case "pair":
            return _pair(obj[0], obj[1], inputs, wrt)
        case "function":
            return _function(obj, inputs, wrt)
        case "rule":
            return _rules(obj, inputs, wrt)
        case "layer":
            hint = "a pair of functions says what its forward reads"
            raise DomainProblem("the right backward of a layer object is not written", hint=hint)


def _pair(forward: Any, backward: Any, inputs: Any, wrt: Sequence[int | str] | None) -> str:
    names, given = named_arguments(forward, inputs)
    derivation, slots = _read(forward, names, given, wrt)
    own = [getattr(f, "__name__", other) for f, other in ((forward, "forward"), (backward, "backward"))]
    return pair_source(derivation.derived, own[0], own[1], slots).text


def _function(function: Any, inputs: Any, wrt: Sequence[int | str] | None) -> str:
    import torch

    separate = function.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
    names, given = named_arguments(function.forward, inputs, 0 if separate else 1)

    def forward(*args: Any) -> Any:
        with undivided():
            return function.forward(*args) if separate else function.forward(_Context(), *args)

    found = forward(*given)
    if isinstance(found, tuple | list) and len(found) > 1:
        raise DomainProblem(
            f"the forward gives {len(found)} outputs, and a Function is written for one",
            hint="pullback check says the right formula of each input",
        )
    derivation, slots = _read(forward, names, given, wrt)
    text = torch_instead(derivation.derived, function.__name__, slots).text
    kind = next(str(x.dtype) for x in given if isinstance(x, torch.Tensor) and x.is_floating_point())
    return _with_held(text, derivation, slots, lambda x: _tensor(x, kind))


def _rules(function: Any, inputs: Any, wrt: Sequence[int | str] | None) -> str:
    names, given = named_arguments(function.fun, inputs)
    derivation, slots = _read(function.fun, names, given, wrt)
    name = getattr(function, "__name__", "program")
    demand_name(name, derivation.derived)
    return jax_source(derivation.derived, name, slots).text


def _with_held(text: str, derivation: Derivation, slots: Sequence[Slot], spelt: Callable[[Any], str]) -> str:
    """The code with the arrays that the forward makes for itself, such as a causal mask, above it.

    Raises `DomainProblem` where one of them is too large to be written down, or depends on the arguments.
    """
    captured = derivation.captured
    given = {slot.tensor for slot in slots}
    held = [t for t in derivation.program.inputs if t not in given]
    if captured is None or not held:
        return text
    changing = _changing(captured)
    for t in held:
        if t.name in changing:
            raise DomainProblem(
                f"the forward computes {t.name} without a gradient", hint=f"{t.name} as an argument"
            )
    large = [t.name for t in held if captured.values[t.name].size > LARGEST]
    if large:
        size = captured.values[large[0]].size
        raise DomainProblem(
            f"the forward makes an array of {size} entries for itself", hint=f"{large[0]} as an argument"
        )
    lines = [f"{t.name} = {spelt(captured.values[t.name])}" for t in held]
    whole = text.splitlines(keepends=True)
    at = next(k for k, line in enumerate(whole) if line.startswith(("class ", "def ", "@")))
    return "".join([*whole[:at], *(f"{line}\n" for line in lines), "\n\n", *whole[at:]])


def _changing(captured: Captured) -> set[str]:
    """The arrays that the code computes without a gradient, and not from the sizes alone."""
    rng = np.random.default_rng(0)
    values = captured.values
    data = captured.data_for(values)
    moved = {
        name: rng.normal(size=x.shape) if np.asarray(x).dtype.kind == "f" else np.zeros_like(x)
        for name, x in values.items()
        if name not in data
    }
    again = captured.data_for({**values, **moved})
    return {name for name, x in data.items() if not np.array_equal(x, again[name], equal_nan=True)}


def _tensor(x: Any, kind: str) -> str:
    own = {"b": "torch.bool", "i": "torch.int64"}.get(np.asarray(x).dtype.kind, kind)
    return f"torch.tensor({np.asarray(x).tolist()}, dtype={own})"


class _Context:
    """Takes whatever a forward saves, and forgets it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def _read(
    run: Callable[..., Any],
    names: Sequence[str],
    given: Sequence[Any],
    wrt: Sequence[int | str] | None,
) -> tuple[Derivation, list[Slot]]:
    """The derivation of the forward as a function of its arrays, and its parameters in order."""
    arrays = {
        name: x for name, x in zip(names, given, strict=True) if hasattr(x, "shape") and hasattr(x, "dtype")
    }
    if not arrays:
        raise DomainProblem(
            "there is no array among the arguments", hint="an example with an array of floats"
        )
    chosen = [names[entry] if isinstance(entry, int) else entry for entry in wrt] if wrt is not None else None
    several = isinstance(_called(run, names, given, arrays), tuple | list)
    derivation = derive(
        _of_arrays(run, names, given, list(arrays)), _plain(arrays), wrt=chosen, output=0 if several else None
    )
    captured = derivation.captured
    known = {} if captured is None else captured.names
    by_name = derivation.program.by_name
    slots = []
    for name, x in zip(names, given, strict=True):
        tensor = by_name.get(known.get(name, name)) if name in arrays else None
        slots.append(Slot(name, tensor, "" if name in arrays else repr(x)))
    return derivation, slots


def _called(
    run: Callable[..., Any], names: Sequence[str], given: Sequence[Any], arrays: Mapping[str, Any]
) -> Any:
    return run(*(arrays.get(name, x) for name, x in zip(names, given, strict=True)))


def _plain(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(x) if not hasattr(x, "detach") else x for name, x in arrays.items()}


def _of_arrays(
    run: Callable[..., Any], names: Sequence[str], given: Sequence[Any], arrays: Sequence[str]
) -> Callable[..., Any]:
    """The forward as a function of its arrays alone; their names are those of its parameters."""

    def forward(*args: Any, **named: Any) -> Any:
        by_name = {**dict(zip(arrays, args, strict=False)), **named}
        return run(*(by_name.get(name, x) for name, x in zip(names, given, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in arrays])  # type: ignore[attr-defined]
    return forward
