"""The state of one check of code: what is known of each input so far, and how one point is looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pullback.evaluator import Unrepresentable
from pullback.evaluator.domain import Domain
from pullback.tracing.passes import CodeProblem, Pass
from pullback.verify.code_compare import (
    ROUNDING,
    Entrywise,
    along_directions,
    entrywise,
    in_doubles,
    together,
)
from pullback.verify.code_verdict import CodeVerdict
from pullback.verify.points import Args, Sizes, Template
from pullback.verify.witness import Witness

ONCE: Final = ("with ", "at ties and kinks another convention")
MOST_SECONDS: Final = 60.0
NOISE: Final = 1e-36  # absolute: what is left of terms that cancel to nothing
VANISHING: Final = (
    1e-10  # a derivative below this is none to a backward that gives exactly 0: what an iteration forgets
)
DOMAIN_ERRORS: Final = (Unrepresentable, ZeroDivisionError, OverflowError, FloatingPointError)


@dataclass
class Findings:
    """What is known of each input so far."""

    wrong: dict[int, CodeVerdict] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=dict)
    agreed: dict[int, int] = field(default_factory=dict)  # points where the gradients are equal
    field_points: dict[int, int] = field(default_factory=dict)
    field_differs: set[int] = field(default_factory=set)
    iterated: set[int] = field(default_factory=set)  # right where the forward has converged
    differs: dict[int, list[tuple[Sizes, Args]]] = field(default_factory=dict)  # where a formula differs
    rounding: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)  # gradients that are None
    thresholds: set[float] = field(default_factory=set)
    example: tuple[Template, Entrywise | None] | None = None  # what was found at it
    untraceable: str = ""
    has_kinks: bool = False

    def note(self, position: int, text: str) -> None:
        """Once each; of sizes that were left out, and of conventions at ties, the first alone."""
        found = self.notes.setdefault(position, [])
        once = next((start for start in ONCE if text.startswith(start)), None)
        if text not in found and not (once and any(n.startswith(once) for n in found)):
            found.append(text)


@dataclass
class Check:
    """One check of one pass: the arguments as a template, and the findings."""

    code: Pass
    made: Template
    dtypes: Mapping[int, Any]
    found: Findings = field(default_factory=Findings)
    sizes: list[dict[str, int]] = field(default_factory=list)
    even: set[str] = field(default_factory=set)  # sizes that the code halves
    started: float = field(default_factory=time.thread_time)  # of work: a busy machine changes no verdict

    @property
    def late(self) -> bool:
        """Whether so much time has gone by that no further points are looked at."""
        return time.thread_time() - self.started > MOST_SECONDS

    def name(self, position: int) -> str:
        return self.code.names[position]

    def verdict(
        self, position: int, kind: str, reason: str, witness: Witness | None, paste: str = ""
    ) -> None:
        """This gradient is wrong; the first reason stays."""
        if position not in self.found.wrong:
            self.found.wrong[position] = CodeVerdict(
                self.name(position), "", False, "exact", 0.0, reason, (), witness, kind=kind, paste=paste
            )

    def withdraw_unshown(self) -> None:
        """Formulas that only the traced code shows to be wrong may well be right."""
        for position, verdict in list(self.found.wrong.items()):
            if verdict.kind == "formula" and verdict.witness is None:
                del self.found.wrong[position]

    @property
    def open(self) -> list[int]:
        return [p for p in self.code.wrt if p not in self.found.wrong and p not in self.found.iterated]


def at_point(check: Check, args: Args, upstream: Any, domain: Domain[Any] | None = None) -> Entrywise | None:
    """None where the point has no value."""
    try:
        return entrywise(check.code, args, upstream, domain)
    except (CodeProblem, *DOMAIN_ERRORS):
        return None


def agreed_at(check: Check, args: Args, upstream: Any) -> bool:
    """Whether all gradients agree at a point, looked at along one direction."""
    try:
        quick = in_doubles(check.code, args, upstream, tied=True)
        return (quick or together(check.code, args, upstream, ROUNDING)) is not None
    except (CodeProblem, *DOMAIN_ERRORS):
        return False


def towards(check: Check, args: Args, seed: int, quick: bool = False) -> Entrywise | None:
    """The same along one random direction of each input; quick: in doubles, where these agree."""
    try:
        return along_directions(check.code, args, seed, quick)
    except (CodeProblem, *DOMAIN_ERRORS):
        return None


def distance(claimed: Any, true: Any, weight: float = 1.0) -> tuple[float, tuple[int, ...] | None]:
    """The largest difference, relative to the largest entry, and where; no place where nothing has a value.

    weight: of the directions along which entries were summed.
    """
    if claimed.shape != true.shape:
        return 0.0, None
    known = [at for at in np.ndindex(*true.shape) if true[at] == true[at]]
    scale = max(
        (max(abs(true[at]), abs(claimed[at])) for at in known if claimed[at] == claimed[at]), default=0
    )
    if 0 < scale <= VANISHING * weight and all(c == 0 for c in claimed.flat):
        return 0.0, known[0]
    worst, place = 0.0, None
    for at in known:
        if claimed[at] != claimed[at]:
            continue
        off = abs(claimed[at] - true[at])
        gap = float(off / scale) if off > NOISE else 0.0
        if place is None or gap > worst:
            worst, place = gap, at
    return worst, place


def shape_witness(check: Check, position: int, sizes: Sizes, given: tuple[int, ...] | None) -> Witness:
    return Witness(dict(sizes), {}, None, None, None, given, check.made.shape(position, sizes))


def pasted(check: Check, args: Args, upstream: Sequence[Any] | None) -> str:
    try:
        given = upstream or [np.ones(np.shape(o)) for o in check.code.outputs(args)]
        text = check.code.paste(args, given)
    except CodeProblem:
        return ""
    return text if len(text) <= 1500 else ""
