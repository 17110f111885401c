"""Names for values of which only the lines are known: the variable that a line of the source assigns."""

from __future__ import annotations

import ast
import linecache
import os
import sysconfig
from functools import lru_cache
from typing import Any, Final

from pullback.capture.arrays import Array

Chain = tuple[tuple[str, int], ...]  # (file, line) of each frame of the user's code, the outermost first

_LIBRARIES: Final = tuple(
    os.path.join(part, "") for part in ("jax", "jaxlib", "numpy", "pullback", "contextlib.py", "functools.py")
)
_STANDARD: Final = sysconfig.get_paths()["stdlib"]


def chain_of(equation: Any, outer: Chain) -> Chain:
    """Where the code is. Inside a function that was compiled by itself its callers are those of the call."""
    trace = equation.source_info.traceback
    if trace is None:
        return outer
    own = tuple((f.file_name, f.line_num) for f in reversed(trace.frames) if not _is_library(f.file_name))
    if not outer:
        return own
    return (*outer, own[-1]) if own and own[-1] not in outer else outer


@lru_cache(maxsize=4096)
def _is_library(file: str) -> bool:
    path = file.replace("\\", "/")
    inside = any(f"/{part.rstrip(os.sep)}/" in path for part in _LIBRARIES if part.endswith(os.sep))
    return inside or path.startswith((_STANDARD, "<frozen"))


@lru_cache(maxsize=64)
def _targets(file: str) -> dict[int, str]:
    """For each line that a statement `name = …` spans, the name."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[int, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AugAssign(target=ast.Name(id=name)):
                found.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), name))
    return found


class SourceNames:
    """Follows the walk, and names the last value of each assignment when its line is left."""

    def __init__(self) -> None:
        self.chain: Chain = ()
        self.last: Array | None = None

    def moved_to(self, chain: Chain) -> None:
        """The next value is computed here."""
        shared = 0
        for a, b in zip(self.chain, chain, strict=False):
            if a != b:
                break
            shared += 1
        for file, line in reversed(self.chain[shared:]):
            name = _targets(file).get(line)
            if (
                name
                and self.last is not None
                and not self.last.hint
                and self.last.op not in ("input", "constant")
            ):
                self.last.hint = name
        self.chain = chain

    def computed(self, array: Array) -> None:
        self.last = array

    def finished(self) -> None:
        """The walk is over."""
        self.moved_to(())
