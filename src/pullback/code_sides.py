"""The program of a forward, and that of forward and backward together, brought to the same sizes, arrays and order."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pullback.capture.captured import Captured
from pullback.errors import PullbackError

Key = tuple[str, str] | int  # a size of one of the two programs, or a number


def same_sizes(
    forward: Captured, both: Captured, arguments: Sequence[str]
) -> tuple[Captured, dict[str, str]] | None:
    """The forward at the sizes that both allow, and what the other program's sizes are called there.

    A wrong backward may run at fewer sizes than its forward: one size for two, or the number of the example. None
    where the two do not meet.
    """
    classes: dict[Key, Key] = {}
    for name in arguments:
        ours, theirs = both.names.get(name), forward.names.get(name)
        if ours is None or theirs is None:
            continue
        for a, b in zip(_shape(both, ours), _shape(forward, theirs), strict=False):
            if _is_plain(a) and _is_plain(b):
                _join(classes, _key("both", a), _key("forward", b))
    own, other = _called(classes, "forward"), _called(classes, "both")
    if own is None or other is None:
        return None
    if any(name.isdigit() for name in (*own.values(), *other.values())):
        own = {**{name: str(n) for name, n in forward.sizes.items()}, **own}
        other = {**{name: str(n) for name, n in both.sizes.items()}, **other}
    return _resized(forward, own), other


def _shape(captured: Captured, name: str) -> tuple[Any, ...]:
    return tuple(captured.shapes.get(name) or captured.integers.get(name, ((), 0))[0])


def _is_plain(size: Any) -> bool:
    return isinstance(size, int) or size.isidentifier()


def _key(side: str, size: Any) -> Key:
    return size if isinstance(size, int) else (side, size)


def _root(classes: dict[Key, Key], key: Key) -> Key:
    while classes.setdefault(key, key) != key:
        key = classes[key]
    return key


def _join(classes: dict[Key, Key], a: Key, b: Key) -> None:
    """One class for two sizes; a number stands for it, else a size of the forward."""
    one, two = sorted((_root(classes, a), _root(classes, b)), key=_rank)
    classes[two] = one


def _rank(key: Key) -> tuple[int, str]:
    return (0, "") if isinstance(key, int) else (1 if key[0] == "forward" else 2, key[1])


def _called(classes: dict[Key, Key], side: str) -> dict[str, str] | None:
    """What stands for each size of one side; None where that would be two numbers."""
    if any(isinstance(key, int) and _root(classes, key) != key for key in list(classes)):
        return None
    named = [key for key in list(classes) if not isinstance(key, int) and key[0] == side]
    roots = {key[1]: _root(classes, key) for key in named}
    return {name: str(root) if isinstance(root, int) else root[1] for name, root in roots.items()}


def _resized(captured: Captured, sizes: Mapping[str, str]) -> Captured:
    """The program with some sizes called otherwise, or with numbers in their place."""
    changed = {name: new for name, new in sizes.items() if new != name}
    if not changed:
        return captured

    def renamed(x: Any) -> Any:
        return sized(x, changed)

    return replace(
        captured,
        program=str(renamed(captured.program)),
        shapes={name: renamed(shape) for name, shape in captured.shapes.items()},
        integers={name: renamed(entry) for name, entry in captured.integers.items()},
        ranges={name: str(renamed(end)) for name, end in captured.ranges.items()},
        sizes={new: captured.sizes[name] for name, new in sizes.items() if not new.isdigit()},
    )


def sized(x: Any, sizes: Mapping[str, str]) -> Any:
    """Shapes, ranges and lines with other names of their sizes, or with numbers in their place."""
    if isinstance(x, tuple | list):
        return tuple(sized(part, sizes) for part in x)
    if not isinstance(x, str):
        return x
    found = re.sub(r"(?<![\w.])[A-Za-z_]\w*", lambda word: sizes.get(word[0], word[0]), x)
    return int(found) if found.isdigit() else found


# ---- arrays that the code holds -------------------------------------------------------------


def held_alike(
    forward: Captured, both: Captured, arguments: Sequence[str], held: Sequence[str]
) -> dict[str, str]:
    """Arrays that the code makes for itself and that are one array of the forward, also for other arguments."""
    found: dict[str, str] = {}
    given = {forward.names.get(name) for name in arguments}
    theirs = [name for name in forward.values if name not in given]
    for name in held:
        for other in theirs:
            if _equal(both.values.get(name), forward.values[other]) and _move_alike(
                both, name, forward, other
            ):
                found[name] = other
                break
    return found


def _equal(a: Any, b: Any) -> bool:
    return a is not None and np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=False))


def _move_alike(both: Captured, name: str, forward: Captured, other: str) -> bool:
    """Whether the two are equal for the example the other way round as well, where the code computes them."""
    found = []
    for captured, array in ((both, name), (forward, other)):
        turned = {n: np.flip(x) for n, x in captured.values.items()}
        try:
            computed = captured.data_for(turned)
        except PullbackError:
            return False
        found.append(computed.get(array, captured.values[array]))
    return _equal(*found)


def is_identity(x: Any) -> bool:
    """Whether an array is an identity matrix of at least two rows."""
    shape = np.shape(x)
    return len(shape) == 2 and shape[0] == shape[1] > 1 and bool(np.array_equal(x, np.eye(shape[0])))


# ---- lines ----------------------------------------------------------------------------------


def in_order(own: Sequence[str], extra: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines of a program with further ones, each as soon as what it reads stands there; the output stays last.

    Second: the lines that read the output.
    """
    defined = {defined_by(line) for line in (*own, *extra)}
    placed: list[str] = []
    waiting = list(extra)

    def fill() -> None:
        ready = waiting
        while ready:
            there = {defined_by(line) for line in placed}
            ready = [line for line in waiting if _read_by(line) & defined <= there]
            placed.extend(ready)
            waiting[:] = [line for line in waiting if line not in ready]

    for line in own[:-1]:
        fill()
        placed.append(line)
    fill()
    return [*placed, *own[-1:]], waiting


def defined_by(line: str | ast.stmt) -> str:
    """The name that a line defines or declares."""
    statement = ast.parse(line).body[0] if isinstance(line, str) else line
    match statement:
        case ast.Assign(targets=[ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name))]):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def _read_by(line: str) -> set[str]:
    names = {node.id for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)}
    return names - {defined_by(line)}
