"""What an object holds: arrays in its attributes, in dictionaries and lists, and in objects inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from pullback.tracing.creation import FOREIGN

Path = tuple[str | int, ...]
DEEPEST: Final = 8  # objects inside objects


def is_foreign(kind: type) -> bool:
    """Whether a class belongs to Python or to a library rather than to the user's code."""
    return kind.__module__.split(".")[0] in FOREIGN


def is_own(x: Any) -> bool:
    """Whether this is an object of a class of the user's code."""
    if isinstance(x, type | ModuleType | FunctionType | MethodType | BuiltinFunctionType | np.ndarray):
        return False
    return hasattr(x, "__dict__") and not is_foreign(type(x))


def _parts(x: Any) -> list[tuple[str | int, Any]]:
    if isinstance(x, dict):
        return [(key, part) for key, part in x.items() if isinstance(key, str | int)]
    if isinstance(x, list) or type(x) is tuple:
        return list(enumerate(x))
    return list(vars(x).items()) if is_own(x) else []


def walked(x: Any, path: Path = (), seen: frozenset[int] = frozenset()) -> Iterator[tuple[Path, Any]]:
    """Everything that an object holds and that holds nothing itself, with the place; no object stands inside itself."""
    parts = _parts(x)
    if not parts and path:
        yield path, x
    if id(x) in seen or len(path) > DEEPEST:
        return
    for key, part in parts:
        yield from walked(part, (*path, key), seen | {id(x)})


def reached(x: Any, path: Path) -> Any:
    """What an object holds there; None where nothing is."""
    key: Any
    for key in path:
        try:
            x = x[key] if isinstance(x, dict | list | tuple) else vars(x)[str(key)]
        except (LookupError, TypeError):
            return None
    return x


def replaced(x: Any, new: Sequence[tuple[Any, Any]], seen: set[int] | None = None) -> Any:
    """The same object with other arrays in the places of some, wherever they stand."""
    found = next((value for old, value in new if x is old), None)
    if found is not None:
        return found
    seen = set() if seen is None else seen
    if id(x) in seen:
        return x
    seen.add(id(x))
    if type(x) is tuple:
        parts = tuple(replaced(part, new, seen) for part in x)
        return x if all(a is b for a, b in zip(x, parts, strict=True)) else parts
    for key, part in _parts(x):
        made = replaced(part, new, seen)
        if made is part:
            continue
        if isinstance(x, dict | list):
            x[key] = made  # type: ignore[index]
        else:
            vars(x)[str(key)] = made
    return x


def spelt(x: Any, path: Path) -> str:
    """A place as code on `layer`: `layer.layers[0].W`, `layer.params['W']`."""
    text, before = "layer", ""
    for key in path:
        absent = x is None and (not isinstance(key, str) or before.startswith("grad"))
        text += f"[{key!r}]" if absent or isinstance(x, dict | list | tuple) else f".{key}"
        x, before = reached(x, (key,)) if x is not None else None, str(key)
    return text
