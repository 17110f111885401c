"""What capturing gives: a program of the language beside the code that it stands for, held against that code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullback.errors import InternalProblem
from pullback.evaluator import Float64, evaluate
from pullback.expression import Expr, Size, sizes_in
from pullback.program import Program
from pullback.reading import read_program
from pullback.sizes import evaluate_size

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Array]
Data = Callable[[Mapping[str, Any]], Mapping[str, Array]]
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Captured:
    """A program with everything that `read_program` needs beside it, and where its names come from."""

    program: str
    output: str
    shapes: Mapping[str, tuple[str | int, ...]]
    integers: Mapping[str, tuple[tuple[str | int, ...], str | int]] = field(default_factory=dict)
    assume: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)  # name in the code -> name in the program
    values: Mapping[str, Array] = field(default_factory=dict)  # example or parameter of each input
    lines: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # defined name -> file, line
    sizes: Mapping[str, int] = field(default_factory=dict)  # of the example
    wrt: tuple[str, ...] = ()  # inputs that have a gradient unless others are asked for
    parameters: tuple[str, ...] = ()  # inputs that the code itself holds, so that their values are known
    notes: tuple[str, ...] = ()  # conditions under which the program stands for the code
    bound: int = 0  # how many choices of free sizes, the freest first, the code did not allow
    data: Data | None = None  # gives the inputs that the code computes without a gradient, from the others

    def read(self) -> Program:
        """The program as equations."""
        return read_program(
            self.program,
            shapes=self.shapes,
            integers=self.integers,
            assume=self.assume,
            ranges=self.ranges,
        )

    def with_sizes(self, wanted: Mapping[str, Sequence[Expr]]) -> Captured:
        """The same with the sizes called as some inputs' shapes call them, where these names are free."""
        shapes = {**self.shapes, **{name: shape for name, (shape, _) in self.integers.items()}}
        renaming: dict[str, str] = {}
        for name, shape in wanted.items():
            for old, new in zip(shapes.get(name, ()), shape, strict=False):
                if isinstance(old, str) and old.isidentifier() and isinstance(new, Size):
                    renaming.setdefault(old, new.name)
        words = set(re.findall(r"[A-Za-z_]\w*", " ".join([self.program, *shapes, *self.sizes]))) - set(
            renaming
        )
        if len(set(renaming.values())) < len(renaming) or set(renaming.values()) & words:
            return self

        def renamed(x: Any) -> Any:
            if isinstance(x, str):
                return re.sub(r"(?<![\w.])[A-Za-z_]\w*", lambda m: renaming.get(m[0], m[0]), x)
            return tuple(map(renamed, x)) if isinstance(x, tuple | list) else x

        return replace(
            self,
            program=renamed(self.program),
            shapes={name: renamed(shape) for name, shape in self.shapes.items()},
            integers={name: renamed(entry) for name, entry in self.integers.items()},
            ranges={name: renamed(end) for name, end in self.ranges.items()},
            sizes={renamed(name): value for name, value in self.sizes.items()},
        )

    def data_for(self, values: Mapping[str, Any]) -> Mapping[str, Array]:
        """The inputs that the code computes without a gradient, for values of its own."""
        return {} if self.data is None else self.data(values)

    def original(self, name: str) -> str:
        """The code's own name for an input."""
        return next((known for known, own in self.names.items() if own == name), name)


def verify(captured: Captured, run: Run, others: Sequence[Mapping[str, Array]] = ()) -> Program:
    """The program, read; it must give what the code gives, on its example and on `others`.

    `run` calls the code: it takes a value for every input of the program, by the program's names, and gives the
    output. `others` are further values, possibly of other sizes. Raises `InternalProblem` where the two differ.
    """
    program = captured.read()
    for values in ({}, *others):
        given = {**captured.values, **values}
        given |= captured.data_for(given)
        expected = np.asarray(run(given), dtype=np.float64)
        found = output_of(program, given, captured.sizes)
        if found.shape != expected.shape:
            shapes = f"{list(found.shape)}, where the code gives {list(expected.shape)}"
            raise InternalProblem(f"the captured program gives the shape {shapes}")
        if not _agree(found, expected):
            raise InternalProblem(
                "the captured program differs from the code by "
                f"{float(np.nanmax(np.abs(found - expected))):.2g}, so that it is not used",
                hint="this is a fault of the capture; the code as a program of the language can be derived",
            )
    return program


def output_of(program: Program, values: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """The program's output in float64; sizes that an input shows are read off it."""
    solved = dict(sizes)
    pairs = [
        pair for t in program.inputs for pair in zip(t.shape, np.shape(values[t.name]), strict=True)
    ]  # fmt: skip
    solved |= {extent.name: length for extent, length in pairs if isinstance(extent, Size)}
    seen = {extent.name for extent, _ in pairs if isinstance(extent, Size)}
    for extent, length in pairs:
        hidden = sizes_in(extent) - seen
        if len(hidden) == 1:  # 2*K: the one value of K that fits
            (name,) = hidden
            fits = (n for n in range(1, length + 1) if evaluate_size(extent, {**solved, name: n}) == length)
            solved[name] = next(fits, solved.get(name, 1))
            seen.add(name)
    given: dict[str, Array] = {}
    for tensor in program.inputs:
        kind = np.int64 if tensor.is_integer else np.float64
        given[tensor.name] = np.asarray(values[tensor.name], dtype=kind)
    found: Array = np.asarray(evaluate(program.definitions, given, solved, Float64())[program.output.name])
    return found


def _agree(found: Array, expected: Array) -> bool:
    """Equal up to rounding, relative to the largest entry; what is infinite or no number is so on both sides."""
    known = np.isfinite(expected)
    if not np.array_equal(np.isnan(found), np.isnan(expected)) or not known.any():
        return bool(np.array_equal(found, expected, equal_nan=True))
    largest = max(1.0, float(np.max(np.abs(expected[known]))))
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.abs(found - expected) <= TOLERANCE * largest) | (found == expected) | ~known))
