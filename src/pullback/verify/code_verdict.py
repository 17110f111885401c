"""What was found about one gradient of a hand-written backward, in words and as data."""

from __future__ import annotations

import json
import linecache
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pullback.verify.claims import ClaimVerdict
from pullback.verify.explaining import as_data, witness_lines

KINDS: Final = (
    "formula", "ties", "shape", "dtype", "count", "none", "in place", "saved", "nondeterminism", "error", "forward",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CodeVerdict(ClaimVerdict):
    """A verdict on the gradient of one input. `kind` says what is wrong: the formula, or something beside it."""

    kind: str = ""
    paste: str = ""  # code that shows a wrong gradient
    checked: str = ""  # where and how it was compared
    line: str = ""  # of the backward, in which the mend stands or the gradient is made: "FILE:LINE"


def explained(verdict: CodeVerdict) -> str:
    """One verdict as a few lines of text."""
    words = {True: f"is right ({verdict.status}).", False: "is wrong.", None: "could not be decided."}
    lines = [f"d{verdict.wrt} {words[verdict.ok]}"]
    if verdict.reason:
        lines.append(f"  {verdict.reason}")
    if verdict.right and verdict.ok is False:
        lines += [
            f"  right: {line}" if k == 0 else f"         {line}" for k, line in enumerate(verdict.right)
        ]
    if verdict.witness is not None:
        spoken = [f"  {line}" for line in witness_lines(f"d{verdict.wrt}", verdict.witness)]
        lines += [line.replace("the claim gives", "the backward gives") for line in spoken]
    if verdict.mend is not None:
        lines.append(f"  mend:  {verdict.mend}")
    if verdict.line:
        path, _, number = verdict.line.rpartition(":")
        lines.append(f"  line:  {verdict.line}  {linecache.getline(path, int(number)).strip()}".rstrip())
    if verdict.paste and verdict.ok is False:
        lines += ["  to see it:", *(f"    {line}" for line in verdict.paste.splitlines())]
    if verdict.checked and verdict.ok is not False:
        lines.append(f"  {verdict.checked}")
    lines += [f"  note:  {note}" for note in verdict.notes]
    return "\n".join(lines)


def data(verdict: CodeVerdict) -> dict[str, Any]:
    """One verdict as a dictionary that JSON can hold."""
    found = as_data(verdict)
    found.pop("claim")
    return {
        **found,
        "kind": verdict.kind or None,
        "code": verdict.paste or None,
        "checked": verdict.checked or None,
        "line": verdict.line or None,
    }


def to_json(ok: bool | None, verdicts: Sequence[CodeVerdict]) -> str:
    return json.dumps({"ok": ok, "verdicts": [data(v) for v in verdicts]}, indent=2, ensure_ascii=False)
