"""While NumPy code is traced, arrays that it creates can hold numbers: `zeros`, `array` and their like.

NumPy hands `zeros(shape)` to no override, and `dx[i] = number` must not fail afterwards. So a copy of the user's
function is run whose globals hold another `numpy`; the user's function and NumPy itself are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from pullback.tracing.arrays import Numbers, numbers
from pullback.tracing.numbers import Number


def _is_real(dtype: Any) -> bool:
    return dtype is None or np.dtype(dtype).kind in "fO"


def _holds_numbers(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(_holds_numbers(part) for part in x)
    return isinstance(x, Numbers | Number) or (isinstance(x, np.ndarray) and x.dtype == object)


def _created(original: Callable[..., Any]) -> Callable[..., Any]:
    """zeros, ones and empty: of real numbers unless another type is asked for."""

    def create(shape: Any, dtype: Any = None, **options: Any) -> Any:
        made = original(shape, np.float64 if dtype is None or _is_real(dtype) else dtype, **options)
        if not _is_real(dtype):
            return made
        return numbers(np.zeros_like(made) if original is np.empty else made)

    return create


def _filled(original: Callable[..., Any]) -> Callable[..., Any]:
    def create(shape: Any, fill_value: Any, dtype: Any = None, **options: Any) -> Any:
        if _holds_numbers(fill_value):
            return numbers(np.broadcast_to(np.asarray(fill_value, dtype=object), shape))
        made = original(shape, fill_value, dtype, **options)
        return numbers(made) if made.dtype.kind == "f" else made

    return create


def _converted(original: Callable[..., Any], copies: bool) -> Callable[..., Any]:
    """array, asarray and their like, which would turn numbers into floats."""

    def convert(x: Any, dtype: Any = None, *args: Any, **options: Any) -> Any:
        if not _holds_numbers(x):
            return original(x, dtype, *args, **options)
        if not isinstance(x, np.ndarray):
            x = np.array(_unpacked(x), dtype=object) if isinstance(x, list | tuple) else numbers(x)
        found = x.view(Numbers)
        if dtype is not None and not _is_real(dtype):
            return found.astype(dtype)
        return found.copy() if copies and options.get("copy", True) else found

    return convert


def _unpacked(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_unpacked(part) for part in x]
    return x.tolist() if isinstance(x, np.ndarray) else x


def _like(original: Callable[..., Any], value: int) -> Callable[..., Any]:
    """zeros_like and ones_like, also of plain float arrays."""

    def create(x: Any, dtype: Any = None, **options: Any) -> Any:
        kind = x.dtype if dtype is None and isinstance(x, np.ndarray) else dtype
        if kind is not None and not _is_real(kind):
            return original(x, dtype, **options)
        found = np.full(np.shape(x), value, dtype=object)
        return found.view(Numbers)

    return create


EXCHANGED: Final[dict[str, Callable[..., Any]]] = {
    "zeros": _created(np.zeros),
    "ones": _created(np.ones),
    "empty": _created(np.empty),
    "full": _filled(np.full),
    "array": _converted(np.array, copies=True),
    "asarray": _converted(np.asarray, copies=False),
    "asanyarray": _converted(np.asanyarray, copies=False),
    "ascontiguousarray": _converted(np.ascontiguousarray, copies=False),
    "zeros_like": _like(np.zeros_like, 0),
    "ones_like": _like(np.ones_like, 1),
    "empty_like": _like(np.empty_like, 0),
}
_BY_FUNCTION: Final = {getattr(np, name): f for name, f in EXCHANGED.items()}


class _NumPy(ModuleType):
    """The module `numpy` with some functions exchanged."""

    def __getattr__(self, name: str) -> Any:
        return EXCHANGED[name] if name in EXCHANGED else getattr(np, name)


_NUMPY: Final = _NumPy("numpy")
FOREIGN: Final = ("numpy", "scipy", "builtins", "math", "functools", "itertools", "pullback", "torch", "jax")


def retargeted(f: Any) -> Any:
    """The same function, and those of its module that it calls, with `numpy` exchanged.

    The user's functions are left as they are: copies with other globals are made.
    """
    return exchanging().of(f)


def exchanging() -> Copies:
    """What makes copies of functions whose `numpy` creates arrays that can hold numbers."""
    return Copies({np: _NUMPY}, _BY_FUNCTION)


class Copies:
    """Copies of functions in which some modules, functions and built-in names are others."""

    def __init__(
        self,
        modules: Mapping[Any, Any],
        functions: Mapping[Any, Any],
        names: Mapping[str, Any] | None = None,
    ) -> None:
        self.modules, self.exchanged, self.names = modules, functions, names or {}
        self.globals: dict[int, dict[str, Any]] = {}
        self.functions: dict[int, Any] = {}

    def of(self, x: Any) -> Any:
        if isinstance(x, ModuleType):
            return self.modules.get(x, x)
        if callable(x) and isinstance(x, Hashable) and x in self.exchanged:
            return self.exchanged[x]
        if isinstance(x, MethodType):
            return MethodType(self.of(x.__func__), x.__self__)
        if isinstance(x, FunctionType):
            return self.function(x)
        return x

    def function(self, f: FunctionType) -> Any:
        if (f.__module__ or "").split(".")[0] in FOREIGN:
            return f
        if id(f) not in self.functions:
            cells = tuple(CellType() for _ in f.__closure__ or ())
            made = FunctionType(f.__code__, self.namespace(f), f.__name__, f.__defaults__, cells or None)
            made.__kwdefaults__ = f.__kwdefaults__
            self.functions[id(f)] = made
            for new, old in zip(cells, f.__closure__ or (), strict=True):
                new.cell_contents = self.of(old.cell_contents)
        return self.functions[id(f)]

    def namespace(self, f: FunctionType) -> dict[str, Any]:
        original = f.__globals__
        if id(original) not in self.globals:
            copied: dict[str, Any] = dict(original)
            self.globals[id(original)] = copied
            copied.update(self.names)
            for name, value in original.items():
                copied[name] = self.of(value)
        return self.globals[id(original)]
