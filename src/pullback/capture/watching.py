"""What the code's own variables are called: read off its frames while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pullback.capture.arrays import Array
from pullback.capture.session import FOREIGN
from pullback.capture.tracers import Traced
from pullback.tracing.numbers import Untraceable

_END: Final[ContextVar[float | None]] = ContextVar("end", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Code that takes so long of work to be recorded is left unread: loops over entries record each of them."""
    token = _END.set(time.thread_time() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


@contextmanager
def watching() -> Iterator[None]:
    """Arrays get the names of the variables that hold them; the first one counts."""
    previous = sys.gettrace()
    sys.settrace(_entered)
    try:
        yield
    finally:
        sys.settrace(previous)


def _entered(frame: Any, event: str, _: Any) -> Any:
    """Frames of the code itself are watched; those of libraries hold nothing that it named, and may hold much."""
    module = str(frame.f_globals.get("__name__", "")).split(".")[0]
    return None if module in FOREIGN or module in sys.stdlib_module_names else _seen


def _seen(frame: Any, event: str, _: Any) -> Any:
    end = _END.get()
    if end is not None and time.thread_time() > end:
        raise Untraceable("its loops take too long to be recorded")
    if event in ("line", "return"):
        for name, value in frame.f_locals.items():
            _name(name, value)
    return _seen


def _name(name: str, value: Any) -> None:
    if isinstance(value, Traced):
        called(value.array, name)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if isinstance(part, Traced):
                called(part.array, f"{name}_{key}" if not isinstance(key, str) else key)
    elif isinstance(value, tuple | list):
        for k, part in enumerate(value):
            if isinstance(part, Traced):
                called(part.array, f"{name}{k}")


def called(array: Array, name: str) -> None:
    if not array.hint and not name.startswith(".") and array.op != "input":
        array.hint = name
