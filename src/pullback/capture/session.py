"""One run of captured code: its sizes, the arrays that it holds itself, and where it is."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pullback.capture.arrays import Array, Kind, exact, known
from pullback.expression import Expr, num, sizes_in
from pullback.sizes import evaluate_size, size_text
from pullback.tracing.numbers import Untraceable

FOREIGN: Final = ("numpy", "scipy", "pullback", "jax", "jaxlib", "contextlib", "functools")


class Pinned(Untraceable):
    """The code needs sizes as numbers: it loops over an axis, or makes a Python number of a size."""

    def __init__(self, e: Expr, what: str) -> None:
        super().__init__(f"{what} {size_text(e)}, so that the result holds for numbers alone")
        self.sizes = tuple(sorted(sizes_in(e)))


Quotients = dict[tuple[Expr, Expr], None]  # sizes that the code divides without a rest


@dataclass
class Session:
    """One run of the code: the example's sizes, and the arrays that the code holds itself."""

    sizes: dict[str, int]
    quotients: Quotients = field(default_factory=dict)
    constants: dict[int, tuple[Any, Array]] = field(default_factory=dict)

    def length(self, e: Expr) -> int:
        return evaluate_size(e, self.sizes)

    def constant(self, x: Any) -> Array:
        """An array that the code holds itself: an input of the program without a gradient."""
        if id(x) not in self.constants:
            self.constants[id(x)] = (x, held(x, _name_of(x)))
        return self.constants[id(x)][1]


def held(x: Any, hint: str) -> Array:
    """An array of numbers as part of the program."""
    data = np.asarray(x)
    if data.dtype.kind not in "biuf":
        raise Untraceable(f"an array of the type {data.dtype} is not one of numbers")
    shape = tuple(num(n) for n in data.shape)
    if not shape or (data.size and (data == data.flat[0]).all()):
        e = exact(data.flat[0].item())
        kind: Kind = "truth" if data.dtype.kind == "b" else "integer" if data.dtype.kind in "iu" else "real"
        return known(shape, kind, lambda at: e)
    made = Array(shape, "real", "constant", options={"values": data}, hint=hint)
    if data.dtype.kind in "iu" and data.min() >= 0:
        made.kind, made.op = "integer", "input"
        made.options |= {"parameter": True, "constant": True}
        made.entry = None
    return made


def _name_of(x: Any) -> str:
    """What the code calls an array."""
    frame = user_frame()
    while frame is not None:
        for names in (frame.f_locals, frame.f_globals):
            for name, value in names.items():
                if value is x:
                    return str(name)
        frame = frame.f_back
    return "c"


def user_frame() -> Any:
    """The innermost frame of the code that is captured."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in FOREIGN:
        frame = frame.f_back
    return frame


def where() -> tuple[str, int] | None:
    frame = user_frame()
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


SESSION: ContextVar[Session] = ContextVar("session")


@contextmanager
def session(sizes: dict[str, int], quotients: Quotients) -> Iterator[Session]:
    token = SESSION.set(Session(sizes, quotients))
    try:
        yield SESSION.get()
    finally:
        SESSION.reset(token)


def at_line(message: str, place: tuple[str, int], hint: str = "") -> Untraceable:
    """A refusal that names the line of the code."""
    file, line = place
    text = linecache.getline(file, line).strip()
    shown = f": `{text}`" if text else ""
    return Untraceable(f"{os.path.basename(file)}, line {line}: {message}{shown}", hint=hint)
