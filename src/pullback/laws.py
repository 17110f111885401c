"""`accumulates`: whether parts of a batch add up to it. And `Accumulation`, the answer in the user's hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pullback.errors import PullbackError, SyntaxProblem
from pullback.reading import read_program
from pullback.verify.accumulation import EQUAL, RULES, UNEQUAL, Law, Parted
from pullback.verify.witness import number, number_text


@dataclass(frozen=True, slots=True)
class Accumulation:
    """Whether a rule of combining is right: `ok` is True, False, or None where it could not be decided."""

    ok: bool | None
    status: str  # "exact", "numerical" or "unknown"
    batch: str
    rule: str
    condition: str = ""  # under which a wrong rule is right
    mend: str = ""  # the rule that is right
    reason: str = ""
    witness: Parted | None = None

    def __bool__(self) -> bool:
        return self.ok is True

    def explain(self) -> str:
        """The verdict in words: why, the smallest counterexample, the weights that mend it."""
        return "\n".join(_told(self))

    def json(self) -> str:
        """The verdict as JSON text."""
        found = self.witness
        data = {
            "law": "accumulation",
            "ok": self.ok,
            "status": self.status,
            "batch": self.batch,
            "rule": self.rule,
            "condition": self.condition or None,
            "mend": self.mend or None,
            "reason": self.reason or None,
            "witness": None if found is None else _data(found),
        }
        return json.dumps(data, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        return f"<Accumulation {self.rule} over {self.batch}: {_VERDICTS[self.ok]}>"


def accumulates(
    program: str,
    batch: str,
    rule: str = "mean",
    shapes: Mapping[str, str | Sequence[str | int]] | str | None = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, str] | None = None,
    ranges: Mapping[str, str] | None = None,
) -> Accumulation:
    """Whether loss and gradients of a batch are those of its parts, combined by a rule.

    program: a scalar loss. batch: the size that is split, an axis of the inputs that differ from part to part.
    rule: "mean" (every part counts the same), "sum", "size" (a part's share of the batch), or a scalar
    expression, such as "sum(m)" (a part's share of that count). The rest is as for `derive`.
    Raises `PullbackError` for a program without a scalar loss, or an input that cannot be split.

    >>> loss = "L = sum(m * (X @ w - y)**2) / sum(m)"
    >>> shapes = {"X": "B D", "w": "D", "y": "B", "m": "B"}
    >>> verdict = accumulates(loss, "B", "mean", shapes)
    >>> verdict.ok, verdict.mend
    (False, 'sum(m)')
    >>> bool(accumulates(loss, "B", "sum(m)", shapes))
    True
    """
    read = read_program(program, shapes=shapes, integers=integers, assume=assume, ranges=ranges)
    law = Law(read, batch)
    if rule not in RULES:
        if not rule.strip():
            raise SyntaxProblem(
                "a rule says how parts are combined", hint='"mean", "sum", "size", or "sum(m)"'
            )
        law.count(rule)
    right, exact = law.holds(rule, UNEQUAL)
    if right is None:
        reason = "no point was found where the loss has a value"
        return Accumulation(None, "unknown", batch, rule, reason=reason)
    status = "exact" if exact else "numerical"
    if right:
        return Accumulation(True, status, batch, rule)
    mend = _mend(law, rule)
    reason = ""
    if not mend:
        none = "no weights of the parts give the gradient of the batch: the loss couples its rows"
        reason = (
            none if law.is_coupled() else "weights that make it right would depend on the values of the parts"
        )
        beside = {"integers": integers, "assume": assume, "ranges": ranges}
        reason = _apart(law, rule, shapes, beside) or reason
    condition = _condition(law, rule, mend)
    return Accumulation(False, status, batch, rule, condition, mend, reason, law.witness(rule))


def _apart(law: Law, rule: str, shapes: Any, beside: Mapping[str, Any]) -> str:
    """Whether the rule is right but for terms that no input of the batch reaches."""
    alone, rest = law.shared()
    if not alone or isinstance(shapes, str):
        return ""
    words = set(re.findall(r"[A-Za-z]\w*", rest))
    kept = {
        key: {name: entry for name, entry in (entries or {}).items() if name in words} or None
        for key, entries in {**beside, "shapes": shapes}.items()
    }
    try:
        right = Law(read_program(rest, **kept), law.batch).holds(rule, UNEQUAL)[0]
    except PullbackError:
        return ""
    if not right:
        return ""
    return f"the term {' + '.join(alone)} counts once in the batch, and in every part: add it once, outside the parts"


def _mend(law: Law, rule: str) -> str:
    """The first rule that is right."""
    for other in (*RULES, *law.denominators()):
        if other != rule and law.holds(other, UNEQUAL)[0]:
            return other
    return ""


def _condition(law: Law, rule: str, mend: str) -> str:
    """What must be equal in all parts for the rule to be right: its weights are then those of the mend."""
    if mend not in ("", "mean", "sum"):
        count = law.batch if mend == "size" else mend
        if rule == "mean":
            return f"all parts have the same {count}"
        if rule != "sum":
            other = law.batch if rule == "size" else rule
            return f"the {count} of the parts is in proportion to their {other}"
    return f"all parts have the same {law.batch}" if law.holds(rule, EQUAL)[0] else ""


# ---- words ----------------------------------------------------------------------------------

_VERDICTS = {True: "right", False: "wrong", None: "unknown"}


def _named(law: Accumulation, rule: str) -> str:
    match rule:
        case "mean":
            return "the plain mean over the parts"
        case "sum":
            return "the sum over the parts"
        case "size":
            return f"the mean weighted by each part's {law.batch}"
    return f"the mean weighted by each part's {rule}"


def _told(law: Accumulation) -> list[str]:
    said = f"loss and gradients of the batch are {_named(law, law.rule)}"
    match law.ok:
        case True:
            return [f"{said}: right ({law.status})."]
        case None:
            return [f"{said}: could not be decided.", f"  {law.reason}"]
    lines = [f"{said}: wrong."]
    if law.condition:
        lines.append(f"  it is right only if {law.condition}")
    if law.reason:
        lines.append(f"  {law.reason}")
    if law.witness is not None:
        lines += _witness_lines(law, law.witness)
    if law.mend:
        count = law.batch if law.mend == "size" else law.mend
        share = {"mean": "1/K for K parts", "sum": "1"}.get(
            law.mend, f"its {count} / the {count} of the batch"
        )
        lines.append(f"  mend:  {_named(law, law.mend)}; the weight of a part is {share}")
    return lines


def _witness_lines(law: Accumulation, found: Parted) -> list[str]:
    sizes = ", ".join(f"{name} = {n}" for name, n in found.sizes.items() if name != law.batch)
    split = " + ".join(map(str, found.parts))
    lines = [f"  for example with {law.batch} = {split}{', ' if sizes else ''}{sizes}:"]
    lines += [f"    {name} = {value}" for name, value in found.inputs.items()]
    each = ", ".join(_text(x) for x in found.each)
    weights = ", ".join(_text(x) for x in found.weights)
    lines.append(f"    {found.entry} of the batch is {_text(found.whole)}; of the parts {each}")
    lines.append(f"    with weights {weights} these give {_text(found.combined)}")
    return lines


def _text(x: Any) -> str:
    value = number(x)
    return f"{value:g}" if isinstance(value, float) and value == round(value, 3) else number_text(value)


def _data(found: Parted) -> dict[str, Any]:
    def plain(x: Any) -> int | float | str:
        value = number(x)
        if isinstance(value, Fraction):
            return int(value) if value.denominator == 1 else str(value)
        return value

    return {
        "sizes": dict(found.sizes),
        "parts": list(found.parts),
        "inputs": dict(found.inputs),
        "entry": found.entry,
        "whole": plain(found.whole),
        "each": [plain(x) for x in found.each],
        "weights": [plain(x) for x in found.weights],
        "combined": plain(found.combined),
    }
