"""Verdicts in words: the line with the verdict, the reason, the right formula, the witness, the mend."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from pullback.verify.claims import ClaimVerdict
from pullback.verify.witness import Number, Witness, number_text

TARGET: Final = "[^\\W\\d]\\w*"  # of a claim that may use a name of the author's choice
WIDEST: Final = 60  # characters of an input that are still shown


def explained(verdict: ClaimVerdict) -> str:
    """One verdict as a few lines of text."""
    lines = [f"{_shown(verdict)} {_said(verdict)}"]
    if verdict.reason and verdict.ok is not True:
        declared = f"; if so, declare {verdict.declaration}" if verdict.declaration else ""
        lines.append(f"  {verdict.reason}{declared}")
    if verdict.right and verdict.ok is not True:
        first, *rest = verdict.right
        lines.append(f"  right: {first}")
        lines += [f"         {line}" for line in rest]
    if verdict.witness is not None:
        lines += [f"  {line}" for line in witness_lines(verdict.name, verdict.witness)]
    if verdict.mend is not None:
        lines.append(f"  mend:  {verdict.mend}")
    lines += [f"  note:  {note}" for note in verdict.notes]
    return "\n".join(lines)


def _shown(verdict: ClaimVerdict) -> str:
    """The claim as one line, its target in front."""
    written = (line.split("#")[0].strip() for line in verdict.claim.replace(";", "\n").splitlines())
    lines = [line for line in written if line]
    target = verdict.name
    last = lines[-1] if lines else ""
    own = re.match(rf"({TARGET if verdict.target else target})\s*(\[[^\]]*\]\s*)?=(?!=)", last)
    return "; ".join([*lines[:-1], last if own else f"{target} = {last}"])


def _said(verdict: ClaimVerdict) -> str:
    match verdict.ok, verdict.status:
        case True, "exact" if verdict.error_bound > 0:
            return f"is right (exact, error probability below {_bound(verdict.error_bound)})."
        case True, "exact":
            return "is right (exact)."
        case True, _:
            return "is right (numerical: equal to 30 digits at random points)."
        case False, _:
            return "is wrong."
    return "could not be decided."


def _bound(x: float) -> str:
    return f"{x:.0e}" if x > 1e-300 else "1e-300"


def witness_lines(name: str, witness: Witness) -> list[str]:
    """The smallest counterexample, as a reader would check it by hand."""
    sizes = ", ".join(f"{size} = {n}" for size, n in witness.sizes.items())
    example = f"for example with {sizes}" if sizes else "for example"
    if witness.entry is None:
        return [f"{example}: {_shapes(name, witness)}"]
    lines = [f"{example}:"]
    for tensor, value in witness.inputs.items():
        text = nested_text(value)
        lines.append(f"  {tensor} = {text}" if len(text) <= WIDEST else f"  {tensor} = {text[:WIDEST]}…")
    spot = f"{name}[{','.join(map(str, witness.entry))}]" if witness.entry else name
    counted = " (indices count from 0)" if witness.entry else ""
    assert witness.claimed is not None
    assert witness.true is not None
    lines.append(
        f"  {spot} is {number_text(witness.true)}, the claim gives {number_text(witness.claimed)}{counted}"
    )
    return lines


def _shapes(name: str, witness: Witness) -> str:
    true = _shape(witness.true_shape)
    if witness.claimed_shape is None:
        return f"{name} is {true}, the claim has no value"
    return f"{name} is {true}, the claim gives {_shape(witness.claimed_shape)}"


def _shape(shape: Sequence[int]) -> str:
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    return "×".join(map(str, shape)) or "a scalar"


def nested_text(value: Any) -> str:
    """Nested lists as `[1 2; 3 4]` is written in Python: `[[1, 2], [3, 4]]`."""
    return str(value)


# ---- as data --------------------------------------------------------------------------------


def as_data(verdict: ClaimVerdict) -> dict[str, Any]:
    """One verdict as a dictionary that JSON can hold; exact fractions are texts such as "1/3"."""
    return {
        "wrt": verdict.wrt,
        "target": verdict.name,
        "claim": verdict.claim,
        "ok": verdict.ok,
        "status": verdict.status,
        "error_bound": verdict.error_bound,
        "reason": verdict.reason or None,
        "condition": verdict.condition or None,
        "declaration": verdict.declaration or None,
        "right": list(verdict.right),
        "witness": None if verdict.witness is None else witness_data(verdict.witness),
        "mend": None
        if verdict.mend is None
        else {
            "before": verdict.mend.before,
            "after": verdict.mend.after,
            "words": verdict.mend.words,
            "text": verdict.mend.text,
        },
        "notes": list(verdict.notes),
    }


def witness_data(witness: Witness) -> dict[str, Any]:
    return {
        "sizes": dict(witness.sizes),
        "inputs": dict(witness.inputs),
        "entry": None if witness.entry is None else list(witness.entry),
        "claimed": _number(witness.claimed),
        "true": _number(witness.true),
        "claimed_shape": None if witness.claimed_shape is None else list(witness.claimed_shape),
        "true_shape": list(witness.true_shape),
    }


def _number(x: Number | None) -> int | float | str | None:
    if isinstance(x, Fraction):
        return int(x) if x.denominator == 1 else str(x)
    return x


def to_json(ok: bool | None, verdicts: Sequence[ClaimVerdict]) -> str:
    """The verdicts as JSON text: `{"ok": …, "verdicts": [{"wrt": …, "ok": …, …}, …]}`."""
    data: Mapping[str, Any] = {"ok": ok, "verdicts": [as_data(verdict) for verdict in verdicts]}
    return json.dumps(data, indent=2, ensure_ascii=False)
