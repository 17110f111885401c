"""What `pullback check` works on: an object of a file, with its example inputs or those that the options describe."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np

from pullback.errors import DomainProblem, NameProblem, SyntaxProblem
from pullback.limits import demand
from pullback.referencing import referenced

LONGEST_VALUE: Final = 200  # characters of a value
MOST_ENTRIES: Final = 10**6
SMALLEST: Final = 3  # of the sizes that symbols stand for; each symbol has one of its own


def loaded(
    reference: str,
    shapes: Mapping[str, str] | None = None,
    integers: Mapping[str, tuple[str, str]] | None = None,
    values: Mapping[str, Any] | None = None,
) -> tuple[Any, Any]:
    """The object and example inputs behind `FILE.py::Name` or `FILE.py::forward,backward`; the file is run.

    The inputs are `Name_inputs` or `inputs` of the file (a sequence, a dictionary, or a function that returns one).
    With `shapes` they are random arrays of float64 instead, beside them `integers` (name -> shape and range) and the
    `values` of what is no array. Raises `PullbackError` where something is missing.
    """
    obj, given = referenced(reference, pairs=True)
    if shapes is not None:
        return obj, {**_drawn(obj, shapes, integers or {}), **(values or {})}
    for option, asked in (("--integers", integers), ("--set", values)):
        if asked:
            raise DomainProblem(f"{option} goes with --shapes", hint='--shapes "x: N D"')
    if given is None:
        path, _, name = reference.partition("::")
        raise DomainProblem(
            f"{path} has no example of the inputs",
            hint=f'{name.split(",")[0]}_inputs = [...] in the file, or --shapes "x: N D" and --set eps=1e-5',
        )
    return obj, given


def _drawn(obj: Any, shapes: Mapping[str, str], integers: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Random arrays whose symbols are sizes that differ."""
    sizes: dict[str, int] = {}
    rng = np.random.default_rng(0)

    def size(entry: str) -> int:
        return int(entry) if entry.isdigit() else sizes.setdefault(entry, SMALLEST + len(sizes))

    def shape(entry: str) -> list[int]:
        found = [size(part) for part in entry.replace(",", " ").split()]
        demand(prod(found), MOST_ENTRIES, "entries of one array", hint="letters for the sizes: x: N D")
        return found

    made: dict[str, Any] = {name: rng.normal(size=shape(entry)) for name, entry in shapes.items()}
    for name, (entry, end) in integers.items():
        if name in made:
            raise NameProblem(f"{name} is given twice", hint="integers in --integers alone")
        made[name] = rng.integers(0, max(1, size(end)), size=shape(entry))
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(obj, type):
        return {name: torch.from_numpy(np.array(x)) for name, x in made.items()}
    return made


def values_of(settings: Sequence[str]) -> dict[str, Any]:
    """`eps=1e-5`, `causal=True`, `stride=(2, 2)` as a dictionary: Python's literals, nothing is evaluated.

    >>> values_of(["eps=1e-5", "causal=True"])
    {'eps': 1e-05, 'causal': True}
    """
    found: dict[str, Any] = {}
    for text in settings:
        name, sign, written = (part.strip() for part in text.partition("="))
        if not sign or not name.isidentifier():
            raise SyntaxProblem(f"`{text}` sets nothing", hint="--set eps=1e-5")
        if name in found:
            raise NameProblem(f"{name} is set twice")
        try:
            if len(written) > LONGEST_VALUE:
                raise ValueError
            found[name] = ast.literal_eval(written)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            shown = written if len(written) <= LONGEST_VALUE else f"{written[:20]}…"
            raise SyntaxProblem(
                f"`{shown}` is no value for {name}", hint="a number, True, None, 'text', (2, 2)"
            ) from None
    return found
