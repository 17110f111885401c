"""A forward and a backward pass as the checker sees them, whatever they are written in.

Arguments are a list; float arrays in it are `ndarray`s of float64 (for a run in floats) or `Numbers` (for a run in
a domain), everything else is handed on as it is.
"""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

import numpy as np

from pullback.tracing.arrays import Numbers, numbers
from pullback.tracing.numbers import Number, World

CODE = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, np.ndarray)

Upstream = Callable[[Sequence[tuple[int, ...]]], list[Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a pass apart from its formula; `position` is the input that it concerns."""

    kind: str
    message: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class FloatRun:
    """One run of the code itself: its outputs, and one gradient for each input of `wrt` (None where it gave none)."""

    outs: tuple[Any, ...]
    grads: tuple[Any, ...]
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class ExactRun:
    """One run in a domain: outputs as dual numbers, gradients as plain ones."""

    outs: tuple[Any, ...]
    grads: tuple[Any, ...]


class CodeProblem(Exception):
    """The user's code raised; `stage` is forward or backward."""

    def __init__(self, stage: str, error: BaseException) -> None:
        self.stage = stage
        self.error = error
        super().__init__(f"the {stage} raised {type(error).__name__}: {error}")


@dataclass
class Pass(ABC):
    """Code to be checked. `names` are those of its arguments, `wrt` positions of the inputs to differentiate by."""

    label: str
    names: tuple[str, ...]
    wrt: tuple[int, ...]
    notes: list[str] = field(default_factory=list)

    checks_bounds: ClassVar[bool] = True  # whether an index outside an array raises

    @abstractmethod
    def run(self, args: Sequence[Any], upstream: Upstream, light: bool = False) -> FloatRun:
        """The code itself, in floats. Raises `CodeProblem` where it raises.

        With `light` shapes and types are enough, for code that has to be compiled before it gives values.
        """

    @abstractmethod
    def exact(self, args: Sequence[Any], upstream: Upstream, dual: World, plain: World) -> ExactRun:
        """The traced code: forward in the world of dual numbers, backward in the plain one."""

    @abstractmethod
    def gradients(self, args: Sequence[Any], upstream: Sequence[Any]) -> Sequence[Any]:
        """The gradients of `wrt`, on arrays of the code's own kind or recorded ones."""

    def exchanged(self, copied: Callable[[Any], Any]) -> Pass:
        """The same code with copies of its functions, where those are plain Python."""
        return self

    @abstractmethod
    def results(self, args: Sequence[Any]) -> list[Any]:
        """The outputs that have a gradient, on arrays of the code's own kind or recorded ones."""

    @abstractmethod
    def outputs(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The forward alone, in floats: its shapes, at least."""

    def values(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The values of the forward, in floats."""
        return self.outputs(args)

    @abstractmethod
    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        """Code that shows the gradients at a point."""


def stripped(x: Any, plain: World, seen: dict[int, Any] | None = None) -> Any:
    """Numbers without their tangents, in containers of any kind; an object that stands in two places stays one."""
    seen = {} if seen is None else seen
    if isinstance(x, Number):
        return Number(plain, x.plain())
    if isinstance(x, np.ndarray) and x.dtype == object:
        found = np.frompyfunc(lambda v: stripped(v, plain), 1, 1)(x.view(np.ndarray))
        return numbers(found)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(stripped(part, plain, seen) for part in x))
    if isinstance(x, list | tuple):
        return type(x)(stripped(part, plain, seen) for part in x)
    if type(x) is dict:
        return {key: stripped(part, plain, seen) for key, part in x.items()}
    if isinstance(x, dict) or (hasattr(x, "__dict__") and not isinstance(x, CODE)):
        return _copy_stripped(x, plain, seen)
    return x


def _copy_stripped(x: Any, plain: World, seen: dict[int, Any]) -> Any:
    if id(x) not in seen:
        seen[id(x)] = made = copy.copy(x)
        if isinstance(x, dict):
            made.update({key: stripped(part, plain, seen) for key, part in x.items()})
        for key, part in getattr(x, "__dict__", {}).items():
            vars(made)[key] = stripped(part, plain, seen)
    return seen[id(x)]


def literal(x: Any) -> str:
    """An argument as Python source."""
    if isinstance(x, np.ndarray):
        text = np.array2string(x, separator=", ", threshold=2000, floatmode="unique").replace("\n", "")
        kind = "" if x.dtype in (np.float64, np.int64) or x.dtype == bool else f", dtype=np.{x.dtype}"
        text = " ".join(text.split())
        return f"np.array({text}{kind or (', dtype=float' if x.dtype == np.float64 else '')})"
    return called(x, repr(x)) if callable(x) else repr(x)


def called(f: Any, otherwise: str) -> str:
    """A function as code of its own module says it: `Tanh.forward`, `pair[1]` for one without a name."""
    name = str(getattr(f, "__qualname__", "<>")).rpartition("<locals>.")[2]
    if "<" not in name:
        home = str(getattr(f, "__module__", "") or "").split(".")[0]
        library = {"jax": "jax.numpy", "numpy": "np"}.get(home, "")
        known = library and getattr(sys.modules.get(library.replace("np", "numpy")), name, None) is f
        return f"{library}.{name}" if known else name
    for held, value in getattr(f, "__globals__", {}).items():
        if value is f:
            return str(held)
        if isinstance(value, list | tuple) and any(part is f for part in value):
            return f"{held}[{next(k for k, part in enumerate(value) if part is f)}]"
    return otherwise


def snapshot(x: Any) -> Any:
    """A deep copy of arrays in containers, to see later whether they changed."""
    if isinstance(x, np.ndarray):
        return x.copy()
    if isinstance(x, list | tuple):
        return [snapshot(part) for part in x]
    if isinstance(x, dict):
        return {key: snapshot(part) for key, part in x.items()}
    return None


def changed(before: Any, after: Any) -> bool:
    if isinstance(before, np.ndarray):
        return before.shape != np.shape(after) or before.tobytes() != np.ascontiguousarray(after).tobytes()
    if isinstance(before, list) and isinstance(after, list | tuple):
        return len(before) != len(after) or any(changed(b, a) for b, a in zip(before, after, strict=True))
    if isinstance(before, dict) and isinstance(after, dict):
        return any(key in after and changed(part, after[key]) for key, part in before.items())
    return False


def is_real(dtype: Any) -> bool:
    """Whether a type is one of floats; those that NumPy does not know itself (bfloat16) among them."""
    return bool(dtype.kind == "f" or dtype.name.startswith(("bfloat", "float")))


def is_float_array(x: Any) -> bool:
    return isinstance(x, Numbers) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")
