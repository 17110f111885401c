"""`proofread`: a derivation that somebody wrote, line by line. And `Proofreading`, the answer in the user's hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pullback.derivations.draft import Drafting
from pullback.derivations.judging import Judging
from pullback.derivations.report import as_data, told
from pullback.derivations.statements import Judged
from pullback.errors import PullbackError, SyntaxProblem
from pullback.limits import MAX_CHARACTERS, demand
from pullback.reading.shapes import by_name


@dataclass(frozen=True, slots=True)
class Proofreading:
    """The verdicts on the lines of a derivation, in their order.

    `ok` is False where a line is wrong, None where one could not be read or decided, and True otherwise.
    Truthy only when True.
    """

    lines: tuple[Judged, ...]
    program: str

    @property
    def ok(self) -> bool | None:
        found = [line.ok for line in self.lines if line.is_judged]
        if False in found:
            return False
        return None if None in found or not found else True

    def __bool__(self) -> bool:
        return self.ok is True

    @property
    def first_wrong(self) -> Judged | None:
        """The first line that is wrong."""
        return next((line for line in self.lines if line.ok is False), None)

    @property
    def unreadable(self) -> tuple[Judged, ...]:
        """The lines that look like mathematics and were not understood."""
        return tuple(line for line in self.lines if line.kind == "unreadable")

    def explain(self) -> str:
        """Every line with its verdict; for the wrong ones why, a counterexample, and the mend."""
        return told(self.lines)

    def json(self) -> str:
        """The verdicts as JSON text."""
        data = {"ok": self.ok, "program": self.program, "lines": [as_data(line) for line in self.lines]}
        return json.dumps(data, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        counts = [sum(line.ok is ok for line in self.lines if line.is_judged) for ok in (True, False, None)]
        return f"<Proofreading {counts[0]} right, {counts[1]} wrong, {counts[2]} open>"


def proofread(
    text: str | os.PathLike[str],
    program: str | None = None,
    shapes: Mapping[str, str | Sequence[str | int]] | str | None = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, str] | None = None,
    ranges: Mapping[str, str] | None = None,
) -> Proofreading:
    """Judge a derivation line by line: each against the truth, and against the line before it.

    text: Markdown or plain text, or a path object that names a file. Mathematics is read in code blocks, in
    inline code and formulas, and in sentences; forward definitions and shapes are taken from it, unless
    `program` gives them. shapes, integers, assume, ranges: as for `derive`.
    Raises `PullbackError` where no forward program or no claim is found. A line that cannot be read is reported.

    >>> report = proofread("Y = X W with X ∈ R^{N×D}, W ∈ R^{D×M}. So dW = Xᵀ dY, and dX = dY W.")
    >>> report.ok, report.first_wrong.text, report.first_wrong.verdict.mend.after
    (False, 'dX = dY W', 'dY @ W.T')
    """
    written = text if isinstance(text, str) else _content(text)
    demand(len(written), MAX_CHARACTERS, "characters of the derivation")
    if not written.strip():
        raise SyntaxProblem("the derivation is empty", hint="Y = X @ W; dW = X.T @ dY")
    given = {
        "shapes": dict(by_name(shapes, "shapes", '{"X": "N D"}')),
        "integers": integers or {},
        "assume": assume or {},
        "ranges": ranges or {},
    }
    draft = Drafting(written, program, given).run()
    report = Proofreading(tuple(Judging(draft).run()), draft.program.source)
    if not any(line.is_judged for line in report.lines):
        raise SyntaxProblem("the text claims nothing that could be judged", hint="dW = X.T @ dY")
    return report


def _content(path: os.PathLike[str]) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise SyntaxProblem(f"{os.fspath(path)} does not hold UTF-8 text") from None
    except OSError as problem:
        raise PullbackError(f"{os.fspath(path)} cannot be read: {problem.strerror}") from None
