"""A layer object with methods `forward` and `backward`, as networks written from scratch have them.

Its state is the cache, and every run works on a copy of the object. Arrays of floats that it holds, and whose gradient
it holds after a backward (`W` and `dW`, `params["W"]` and `grads["W"]`), are inputs like the arguments; those of the
layers inside a network as well.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any, Final

import numpy as np

from pullback.tracing.arrays import numbers
from pullback.tracing.creation import Copies, exchanging
from pullback.tracing.held import Path, is_foreign, is_own, reached, replaced, spelt, walked
from pullback.tracing.numpy_pair import CODE_ERRORS, NumpyPair
from pullback.tracing.passes import FloatRun, Pass, Upstream, literal

SPELLINGS: Final = ("{}", "d{}", "d_{}", "grad_{}", "{}_grad", "{}grad")
HOLDERS: Final = {"params": "grads", "parameters": "gradients", "weights": "grads"}
BOXES: Final = {"data": "grad", "value": "grad", "val": "grad"}  # of an object that is a parameter


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter that a layer holds: its name, where it is, and where its gradient is."""

    name: str
    path: Path
    gradient: Path

    def value(self, layer: Any) -> Any:
        return reached(layer, self.path)


def is_layer(obj: Any) -> bool:
    """Whether an object, or a class, has methods `forward` and `backward`."""
    return all(callable(getattr(obj, name, None)) for name in ("forward", "backward"))


def _is_real(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _arrays(layer: Any) -> Iterator[Path]:
    """Arrays that may be parameters; of lists those that are said to hold parameters."""
    for path, value in walked(layer):
        if _is_real(value) and (isinstance(path[-1], str) or path[-2] in HOLDERS):
            yield path


def _gradient_path(after: Any, path: Path) -> Path | None:
    """Where the gradient of a parameter is after a backward: beside it, or in a container beside it."""
    last, own = path[-1], path[:-1]
    names: list[str | int] = [s.format(last) for s in SPELLINGS] if isinstance(last, str) else [last]
    options: list[Path] = [(*own, name) for name in names[1:]]
    options += [(*own, "grads", name) for name in names]
    if own and isinstance(last, str):
        options += [(*own, BOXES[last])] if last in BOXES else []
    if own:
        outer, holder = own[:-1], str(own[-1])
        options += [(*outer, name) for name in names[1:]]
        options += [(*outer, HOLDERS[holder], name) for name in names if holder in HOLDERS]
    return next(
        (option for option in options if isinstance(reached(after, option), np.ndarray | np.generic)), None
    )


def _name(path: Path) -> str:
    """`W`, `params_0`, `layers_2_W`."""
    last = path[-1]
    if not isinstance(last, str):
        return "_".join(map(str, path))
    return "_".join(str(part) for part in (*(p for p in path[:-1] if p not in HOLDERS), last))


def held_parameters(
    layer: Any, methods: tuple[str, str], inputs: Sequence[Any], taken: Sequence[str]
) -> list[Held]:
    """The parameters of a layer, found by one run on an example."""
    forward, backward = functions(layer, methods, len(inputs), ())
    try:
        with np.errstate(all="ignore"):
            out, state = forward(*inputs)
            ones = [np.ones(np.shape(o)) for o in (out if isinstance(out, tuple) else (out,))]
            backward(tuple(ones) if isinstance(out, tuple) else ones[0], state)
    except CODE_ERRORS:
        return []  # the check itself says what fails
    found: list[Held] = []
    for path in sorted(_arrays(layer), key=len):  # of arrays that stand in two places the outer place
        gradient, value = _gradient_path(state[0], path), reached(layer, path)
        name = _name(path)
        known = name in taken or any(other.value(layer) is value or other.name == name for other in found)
        if gradient is not None and not known:
            found.append(Held(name, path, gradient))
    return found


def functions(
    layer: Any, methods: tuple[str, str], count: int, held: Sequence[Held]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The methods as functions: forward(*arguments, *parameters) -> (out, state), backward(dout, state)."""

    def forward(*given: Any) -> Any:
        made = copy.deepcopy(layer)
        new: list[tuple[Any, Any]] = []
        for parameter, value in zip(held, given[count:], strict=True):
            new.append((parameter.value(made), value))
            before = reached(made, parameter.gradient)
            if isinstance(before, np.ndarray):  # code that adds to what is there begins at zero
                new.append((before, np.zeros_like(value)))
        replaced(made, new)
        inner = NumpyPair("", (), (), [], getattr(made, methods[0]), getattr(made, methods[1]))
        arguments = given[:count]
        out, cached, cache = inner.split(inner.forward(*arguments), count)
        return out, (made, inner.rest(cached, cache, arguments))

    def backward(dout: Any, state: Any) -> Any:
        made, rest = state
        found = getattr(made, methods[1])(dout, *rest)
        if isinstance(found, dict) and not held:
            return found
        own = [found] if not isinstance(found, tuple | list) else list(found)
        return (*own, *(reached(made, parameter.gradient) for parameter in held))

    return forward, backward


@dataclass
class LayerPair(NumpyPair):
    """Methods of an object. The last arguments are the parameters that it holds."""

    layer: Any = None
    methods: tuple[str, str] = ("forward", "backward")
    held: Sequence[Held] = ()

    @property
    def written(self) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self.layer, self.methods[1])
        return found

    def run(self, args: Sequence[Any], upstream: Upstream, light: bool = False) -> FloatRun:
        found = NumpyPair.run(self, args, upstream, light)
        first = len(self.names) - len(self.held)
        # A second backward may well add to the gradients that the layer keeps.
        kept = [f for f in found.faults if f.kind != "nondeterminism" or (f.position or 0) < first]
        return replace(found, faults=tuple(kept))

    def exchanged(self, copied: Callable[[Any], Any]) -> Pass:
        return self

    def on_numbers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        made = _on_numbers(copy.deepcopy(self.layer), exchanging(), {})
        return functions(made, self.methods, len(self.names) - len(self.held), self.held)

    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        count = len(self.names) - len(self.held)
        lines = ["import numpy as np"]
        lines += [f"{n} = {literal(a)}" for n, a in zip(self.names[:count], args, strict=False)]
        for parameter, value in zip(self.held, args[count:], strict=True):
            own = parameter.value(self.layer)
            places = [spelt(self.layer, path) for path, x in walked(self.layer) if x is own]
            lines.append(" = ".join([*places, literal(value)]))
        douts = [literal(u) if u.shape else repr(float(u)) for u in upstream]
        dout = douts[0] if len(douts) == 1 else f"({', '.join(douts)})"
        lines.append(f"out = layer.{self.methods[0]}({', '.join(self.names[:count])})")
        lines.append(f"print(layer.{self.methods[1]}({dout}))")
        return "\n".join([*lines, *(f"print({spelt(self.layer, h.gradient)})" for h in self.held)])


def layer_pair(
    layer: Any,
    methods: tuple[str, str],
    names: tuple[str, ...],
    held: Sequence[Held],
    wrt: tuple[int, ...],
) -> LayerPair:
    """The layer as a pair of functions of its arguments and of the parameters that it holds."""
    forward, backward = functions(layer, methods, len(names) - len(held), held)
    label = type(layer).__name__
    return LayerPair(label, names, wrt, [], forward, backward, layer, methods, held)


def _on_numbers(x: Any, copies: Copies, seen: dict[int, Any]) -> Any:
    """An object whose arrays of floats can hold numbers, and whose methods create such arrays."""
    if id(x) in seen:
        return seen[id(x)]
    if _is_real(x):
        seen[id(x)] = made = numbers(x)
        return made
    if isinstance(x, dict):
        x.update({key: _on_numbers(part, copies, seen) for key, part in x.items()})
    elif isinstance(x, list):
        x[:] = [_on_numbers(part, copies, seen) for part in x]
    elif type(x) is tuple:
        return tuple(_on_numbers(part, copies, seen) for part in x)
    elif isinstance(x, FunctionType | MethodType):
        return copies.of(x)
    elif is_own(x):
        seen[id(x)] = x
        x.__class__ = _class_of(type(x), copies)
        for name, part in list(vars(x).items()):
            vars(x)[name] = _on_numbers(part, copies, seen)
    return x


def _class_of(kind: type, copies: Copies) -> type:
    """A subclass whose functions are copies with another `numpy`."""
    rows: Mapping[str, Any] = {
        name: value
        for base in reversed(kind.__mro__)
        if not is_foreign(base)
        for name, value in vars(base).items()
    }
    made: dict[str, Any] = {"__module__": kind.__module__}
    for name, value in rows.items():
        if isinstance(value, FunctionType):
            made[name] = copies.of(value)
        elif isinstance(value, staticmethod | classmethod):
            made[name] = type(value)(copies.of(value.__func__))
        elif isinstance(value, property) and value.fget is not None:
            made[name] = property(copies.of(value.fget), value.fset, value.fdel)
    return type(kind.__name__, (kind,), made)
