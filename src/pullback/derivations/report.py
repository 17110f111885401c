"""The verdicts on a derivation in words, and as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pullback.derivations.differentials import GRADIENT
from pullback.derivations.setting import LEFT
from pullback.derivations.statements import Judged
from pullback.verify.explaining import as_data as claim_data
from pullback.verify.explaining import witness_lines

_MARKS: Final = {True: "right", False: "WRONG", None: "open"}
_WORDS: Final = {"definition": "given", "notation": "given", "unreadable": "unread"}
WIDTH: Final = 72


def told(lines: Sequence[Judged]) -> str:
    """Every line with its verdict, the reasons below the wrong ones, and a summary."""
    wrong = next((line for line in lines if line.ok is False), None)
    text = []
    for line in lines:
        mark = _WORDS.get(line.kind) or _MARKS[line.ok]
        text.append(f"{line.line:4}  {mark:6}  {_cut(line.text)}")
        text += [f"              {row}" for row in reasons(line)]
    text.append(summary(lines, wrong))
    return "\n".join(text)


def reasons(line: Judged) -> list[str]:
    """Why a line is wrong or open: one reason, the counterexample, the mend."""
    if line.ok is True:
        notes = line.verdict.notes if line.verdict is not None else (line.reason,) if line.reason else ()
        return [f"note: {note}" for note in notes]
    found = (
        [line.reason.replace("value: the two sides differ", "the two sides differ")] if line.reason else []
    )
    if line.follows is True:
        found.append("it follows from what was said before, which is wrong already")
    elif line.follows is False:
        found.append("it does not follow from what was said before")
    verdict = line.verdict
    if verdict is None:
        return found
    if verdict.right:
        found += [f"right: {verdict.right[0]}", *(f"       {row}" for row in verdict.right[1:])]
    if verdict.witness is not None:
        found += [_sides(row) for row in witness_lines(verdict.name, verdict.witness)]
    if verdict.mend is not None and re.search(r"\bpart\d+\b", str(verdict.mend)) is None:  # a name of ours
        found.append(f"mend:  {_sides(str(verdict.mend))}")
    return found


def _sides(text: str) -> str:
    """The left side of an equality under that name."""
    text = re.sub(r"\bd2(\w+?)_by_d(\w+?)_d(\w+)", r"∂²\1/∂\2∂\3", text)
    text = re.sub(r"\bd(\w+)_by_d(\w+)", r"∂\1/∂\2", text)
    text = re.sub(rf"\b{GRADIENT}(\w+)", r"∂L/∂\1", text)
    text = text.replace(f"d{LEFT} is", "the left side is").replace(f"d{LEFT}[", "at [")
    return text.replace(f"d{LEFT}", "the left side")


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def summary(lines: Sequence[Judged], wrong: Judged | None) -> str:
    judged = [line for line in lines if line.is_judged]
    right = sum(line.ok is True for line in judged)
    said = f"{right} of {len(judged)} statements are right"
    unread = sum(line.kind == "unreadable" for line in judged)
    left_open = sum(line.ok is None for line in judged) - unread
    if left_open:
        said += f", {left_open} left open"
    if unread:
        said += f", {unread} could not be read"
    if wrong is not None:
        said += f"; the first wrong one stands in line {wrong.line}"
    return f"{said}."


def as_data(line: Judged) -> dict[str, Any]:
    """One line as a dictionary that JSON can hold."""
    return {
        "line": line.line,
        "text": line.text,
        "kind": line.kind,
        "ok": line.ok,
        "read": line.read or None,
        "reason": line.reason or None,
        "follows": line.follows,
        "verdict": None if line.verdict is None else claim_data(line.verdict),
    }
