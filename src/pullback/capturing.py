"""Which reader real code goes to: one row a kind of code. Each gives a `Captured` program, held against its code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pullback.capture.captured import Captured
from pullback.capture.jax_code import capture_jax
from pullback.capture.numpy_function import capture_numpy
from pullback.capture.torch_code import capture_each, capture_torch
from pullback.errors import DomainProblem, PullbackError

KINDS = 'a program, as "Y = X @ W", a NumPy-style function with shapes, or a torch.nn.Module with an example'


def capture(
    obj: Any,
    given: Any = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, Any] | None = None,
    output: int | str | None = None,
) -> Captured:
    """The program that stands for an object of real code.

    given: shapes by name, or an example of the arguments (a tuple, or a dictionary by name); integers and assume are
    as those of `derive`; output: which one, of several.
    Raises `DomainProblem` for an object of no known kind, and `PullbackError` for code that cannot be read.
    """
    parts = (
        given.values()
        if isinstance(given, Mapping)
        else given
        if isinstance(given, tuple | list)
        else (given,)
    )
    if _is_of("torch", *parts) or _is_module(obj):
        return capture_torch(obj, given, output)
    if callable(obj) and (_is_of("jax", *parts) or uses(obj, "jax")):
        return capture_jax(obj, given, integers=integers, assume=assume, output=output)
    if callable(obj):
        return capture_numpy(obj, given, integers=integers, assume=assume, output=output)
    raise DomainProblem(f"{type(obj).__name__} is nothing that can be derived", hint=KINDS)


def capture_outputs(
    obj: Any, given: Sequence[Any], outputs: Sequence[int], like: Captured
) -> Iterator[Captured | PullbackError]:
    """The programs of several outputs of a function, or why there is none, one after another.

    like: the program of code that this code runs as well: it allows no more choices of free sizes than that.
    """
    if _is_of("torch", *given):
        yield from capture_each(obj, given, outputs, like.bound)
        return
    for output in outputs:
        try:
            yield capture(obj, given, output=output if len(outputs) > 1 else None)
        except PullbackError as error:
            yield error


def uses(f: Any, library: str) -> bool:
    """Whether a function names a module or an object of a library, or calls one that does."""
    if sys.modules.get(library) is None:
        return False
    seen: set[int] = set()
    waiting = [f]
    while waiting:
        g = waiting.pop()
        homes = (_module(g), type(g).__module__)
        if any(home.split(".")[0] in (library, f"{library}lib") for home in homes):
            return True
        g = inspect.unwrap(g) if callable(g) else g
        if not isinstance(g, FunctionType | MethodType | type):
            g = getattr(type(g), "__call__", g)  # noqa: B004
        g = getattr(g, "__func__", g)
        if not isinstance(g, FunctionType) or id(g) in seen:
            continue
        seen.add(id(g))
        names = [n for code in _codes(g.__code__) for n in code.co_names]
        waiting += [g.__globals__[n] for n in names if n in g.__globals__]
        waiting += [cell.cell_contents for cell in g.__closure__ or ()]
    return False


def _codes(code: CodeType) -> list[CodeType]:
    """A function's code, and that of the functions inside it."""
    inner = [c for part in code.co_consts if isinstance(part, CodeType) for c in _codes(part)]
    return [code, *inner]


def _module(x: Any) -> str:
    if isinstance(x, ModuleType):
        return x.__name__
    return str(getattr(x, "__module__", None) or type(x).__module__)


def _is_module(obj: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def _is_of(library: str, *parts: Any) -> bool:
    """Whether any part is an array of the library, where it is imported at all."""
    module = sys.modules.get(library)
    kind = {"torch": "Tensor", "jax": "Array"}[library]
    return module is not None and any(isinstance(part, getattr(module, kind)) for part in parts)
