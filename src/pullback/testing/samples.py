"""A random program with everything that stands beside it, sizes and values to run it with, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.api import Derivation, derive
from pullback.evaluator import Float64, random_inputs
from pullback.evaluator.sizes import assignments, extents_in, literals_in
from pullback.expression import Tensor
from pullback.program import Program
from pullback.reading import read_program


@dataclass(frozen=True, slots=True)
class Sample:
    """A program and what `derive` takes beside it.

    `rational` programs hold field operations and comparisons of indices, nothing else.
    """

    source: str
    shapes: Mapping[str, str]
    integers: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    assume: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, str] = field(default_factory=dict)
    rational: bool = False
    seed: int | None = None

    @property
    def beside(self) -> dict[str, Any]:
        """The keyword arguments of `derive` and `read_program`."""
        return {
            "shapes": dict(self.shapes),
            "integers": dict(self.integers),
            "assume": dict(self.assume),
            "ranges": dict(self.ranges),
        }

    def read(self) -> Program:
        return read_program(self.source, **self.beside)

    def derive(self) -> Derivation:
        return derive(self.source, **self.beside)


def reproduce(sample: Sample) -> str:
    """A script to paste that derives the sample's program.

    >>> print(reproduce(Sample("Y = A @ X", {"A": "N N", "X": "N"}, seed=3)))
    # seed 3
    from pullback import derive
    <BLANKLINE>
    derivation = derive(
        '''
    Y = A @ X
    ''',
        shapes={'A': 'N N', 'X': 'N'},
    )
    print(derivation)
    """
    given = [f"    {name}={dict(value)!r}," for name, value in sample.beside.items() if value]
    lines = [
        "from pullback import derive",
        "",
        "derivation = derive(",
        f"    '''\n{sample.source}\n''',",
        *given,
        ")",
        "print(derivation)",
    ]
    if sample.seed is not None:
        lines.insert(0, f"# seed {sample.seed}")
    return "\n".join(lines)


def small_sizes(program: Program, which: int = 0) -> dict[str, int]:
    """Small sizes, different where that is legal; `which` counts on to other choices."""
    extents = extents_in(program.definitions, program.inputs, ())
    literals = literals_in(definition.body for definition in program.definitions)
    found: dict[str, int] = {}
    for k, sizes in enumerate(assignments(extents, literals)):
        found = sizes
        if k == which:
            break
    return found


def random_values(
    program: Program, sizes: Mapping[str, int], seed: int = 0, *, also: tuple[Tensor, ...] = ()
) -> dict[str, Any]:
    """float64 arrays for the inputs (int64 for integer tensors) that keep to the declared facts."""
    rng = np.random.default_rng(seed)
    return random_inputs((*program.inputs, *also), sizes, Float64(), rng)
