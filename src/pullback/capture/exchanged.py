"""The modules and built-in functions that captured NumPy code sees instead of its own."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

import numpy as np

from pullback.capture.numpy_calls import FUNCTIONS
from pullback.capture.numpy_creation import CREATED
from pullback.capture.numpy_elementwise import UFUNCS
from pullback.capture.session import Pinned
from pullback.capture.tracers import Dim, Traced, lifted, wrapped
from pullback.tracing.creation import Copies


def _holds_traced(args: Any) -> bool:
    return any(
        isinstance(x, Traced | Dim) or (isinstance(x, tuple | list) and _holds_traced(x)) for x in args
    )


class _Exchanged(ModuleType):
    """A module whose functions record where an argument is traced."""

    def __init__(self, module: ModuleType, made: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        super().__init__(module.__name__)
        self._module, self._made, self._known = module, made, known

    def __getattr__(self, name: str) -> Any:
        if name in self._made:
            return self._made[name]
        found = getattr(self._module, name)
        if name in self._known and callable(found):
            return _either(found, self._known[name])
        if isinstance(found, ModuleType) and found.__name__.split(".")[0] in ("numpy", "scipy"):
            return _Exchanged(found, {}, _KNOWN)
        return found


def _either(plain: Callable[..., Any], recording: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        chosen = recording if _holds_traced(args) or _holds_traced(options.values()) else plain
        return chosen(*args, **options)

    return call


def _each(name: str) -> Callable[..., Any]:
    return lambda *xs, **_: wrapped(UFUNCS[name](*map(lifted, xs)))


_KNOWN: Final[dict[str, Callable[..., Any]]] = {**{name: _each(name) for name in UFUNCS}, **FUNCTIONS}
_MATH: Final = {
    **{name: _each(name) for name in (
        "exp", "log", "sqrt", "log1p", "expm1", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "erfc", "log2",
        "log10", "fabs",
    )},
    "pow": _each("power"), "prod": CREATED["prod"],
}  # fmt: skip


def _length(x: Any) -> Any:
    return x.shape[0] if isinstance(x, Traced) else len(x)


def _range(*bounds: Any) -> range:
    for bound in bounds:
        if isinstance(bound, Dim):
            raise Pinned(bound.e, "the code loops over a range of size")
    return range(*bounds)


_NAMES: Final[dict[str, Any]] = {"len": _length, "range": _range}


def recording(f: Any) -> Any:
    """A copy of a function, and of those that it calls, whose NumPy, SciPy and `math` record."""
    modules: dict[Any, Any] = {np: _Exchanged(np, CREATED, _KNOWN), math: _Exchanged(math, {}, _MATH)}
    for name, module in list(sys.modules.items()):
        if name in ("numpy.linalg", "scipy", "scipy.special", "scipy.linalg"):
            modules[module] = _Exchanged(module, {}, _KNOWN)
    functions: dict[Any, Any] = {getattr(np, name): made for name, made in CREATED.items()}
    functions |= {
        getattr(math, name): _either(getattr(math, name), made)
        for name, made in _MATH.items()
        if hasattr(math, name)
    }
    for name in ("scipy.special", "scipy.linalg"):
        if name in sys.modules:
            held = sys.modules[name]
            functions |= {
                getattr(held, key): _either(getattr(held, key), made)
                for key, made in _KNOWN.items()
                if hasattr(held, key)
            }
    return Copies(modules, functions, _NAMES).of(f)
