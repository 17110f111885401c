"""Is a claimed gradient right? Right, wrong or unknown, each with its reasons.

The truth is the derivative of the forward definitions by dual numbers. A claim is called wrong only
where real numbers confirm it, or where its shape is not that of the input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from pullback.errors import IndexProblem, PullbackError, SyntaxProblem
from pullback.evaluator import Outcome
from pullback.expression import Tensor
from pullback.verify.conditions import holds_only_if
from pullback.verify.mend import Edit, mended
from pullback.verify.setting import Lines, Setting
from pullback.verify.shapes import is_misfit, misfit, shape_witness
from pullback.verify.ties import tie_note
from pullback.verify.witness import Witness, smallest_witness, witness_at

Status = Literal["exact", "numerical", "unknown"]
_TARGET: Final = re.compile(r"\s*d([A-Za-z][A-Za-z0-9_]*)\s*(?:\[[^\]]*\])?\s*=(?!=)")
OUTSIDE: Final = "it reads an entry outside a tensor where no bracket is zero"


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """What was found about one claim. `ok` is None where it could not be decided."""

    wrt: str
    claim: str
    ok: bool | None
    status: Status
    error_bound: float = 0.0  # the probability that an "exact" is wrong
    reason: str = ""
    right: tuple[str, ...] = ()  # the derived gradient program, for a claim that is not right
    witness: Witness | None = None
    mend: Edit | None = None
    condition: str = ""  # under which a wrong claim is right
    declaration: str = ""  # of the facts that say so: "symmetric(A)"
    notes: tuple[str, ...] = ()
    target: str = ""  # what is claimed where that is no gradient: J, H, tY, tdX

    @property
    def name(self) -> str:
        """The name of what is claimed: `dW`, or that of another derivative."""
        return self.target or f"d{self.wrt}"


def split_claim(text: str) -> tuple[str, str]:
    """The input that a claim is about, from `dW = …` in its last line, and the text of the claim.

    Raises `SyntaxProblem` where the last line does not say which gradient it is.

    >>> split_claim("dW = X.T @ dY")
    ('W', 'dW = X.T @ dY')
    """
    lines = [line for line in re.split(r"[;\n]", text) if line.strip()]
    target = _TARGET.match(lines[-1]) if lines else None
    if target is None:
        raise SyntaxProblem("a claim says which gradient it is", hint='"dW = X.T @ dY"', source=text)
    return target[1], text


def judge(setting: Setting, key: str, text: str, *, mend: bool = True) -> ClaimVerdict:
    """The verdict on one claim; for a wrong one, with `mend`, the edit that makes it right is looked for.

    Raises `PullbackError` for a claim that is no text of the language, or reads unknown names.
    """
    wrt = setting.variable(key)
    verdict = _verdict(setting, wrt, text)
    if verdict.ok is not False or not mend:
        return verdict
    return replace(verdict, mend=_mended(setting, wrt, text))


def mend_of(setting: Setting, key: str, text: str) -> Edit | None:
    """The edit that makes a claim right; None where it is not wrong, or no edit was found.

    Raises `PullbackError` for a claim that is no text of the language, or reads unknown names.
    """
    wrt = setting.variable(key)
    wrong = setting.outcome(wrt, setting.read(wrt, text)).status == "different"
    return _mended(setting, wrt, text) if wrong else None


def _mended(setting: Setting, wrt: Tensor, text: str) -> Edit | None:
    return mended(setting, wrt, text, lambda *found: _accepted(setting, wrt, *found))


def _accepted(setting: Setting, wrt: Tensor, lines: Lines, outcome: Outcome) -> bool:
    """Whether a mended claim is right: everywhere, or but for the convention at kinks and ties."""
    if outcome.status == "different" or (outcome.status == "undecided" and not outcome.numerical):
        return False
    return not outcome.at_tie or outcome.where is None or tie_note(setting, wrt, lines, outcome.where)[0]


def _verdict(setting: Setting, wrt: Tensor, text: str) -> ClaimVerdict:
    try:
        lines = setting.read(wrt, text)
    except PullbackError as error:
        if not is_misfit(error):
            raise
        found = misfit(setting, wrt, text, error)
        witness = shape_witness(setting, wrt, found)
        return ClaimVerdict(
            wrt.name, text, False, "exact", 0.0, f"shape: {found.reason}", setting.right(wrt), witness
        )
    try:
        outcome = setting.outcome(wrt, lines)
    except IndexProblem:
        return ClaimVerdict(wrt.name, text, False, "exact", 0.0, OUTSIDE, setting.right(wrt))
    return _judged(setting, wrt, text, lines, outcome)


def _judged(setting: Setting, wrt: Tensor, text: str, lines: Lines, outcome: Outcome) -> ClaimVerdict:
    bound = outcome.error_bound
    if outcome.status == "different":
        return _wrong(setting, wrt, text, lines, outcome)
    if outcome.status == "equal":
        verdict = ClaimVerdict(wrt.name, text, True, "exact", bound)
    elif outcome.numerical:
        verdict = ClaimVerdict(wrt.name, text, True, "numerical", 1.0, outcome.reason)
    else:
        reason = outcome.reason or "no point was found where both sides have a value"
        return ClaimVerdict(wrt.name, text, None, "unknown", 1.0, reason, setting.right(wrt))
    if not outcome.at_tie or outcome.where is None:
        return verdict
    between, example = tie_note(setting, wrt, lines, outcome.where)
    if between:
        return replace(verdict, notes=(_convention(setting, wrt, example),))
    reason = "at ties and kinks its value does not lie between the one-sided derivatives"
    witness = smallest_witness(setting, wrt, lines, ties=True)
    return ClaimVerdict(wrt.name, text, False, "exact", 0.0, reason, setting.right(wrt), witness)


def _convention(setting: Setting, wrt: Tensor, example: str) -> str:
    note = "at ties and kinks it follows another convention than the declared one"
    if example:
        note += f": there, for instance, {example}"
    declared = setting.derived(wrt).conventions if wrt in setting.program.inputs else ()
    return note + (f" (declared: {'; '.join(declared)})" if declared else "")


def _wrong(setting: Setting, wrt: Tensor, text: str, lines: Lines, outcome: Outcome) -> ClaimVerdict:
    witness = smallest_witness(setting, wrt, lines)
    if witness is None and outcome.where is not None:
        witness = witness_at(setting, wrt, lines, outcome.where, ties=True)
    condition = holds_only_if(setting, wrt, lines)
    right = setting.right(wrt)
    found = ClaimVerdict(wrt.name, text, False, "exact", 0.0, "value: the two sides differ", right, witness)
    if condition is None:
        return found
    reason = f"value: it is right only if {condition.words}"
    return replace(found, reason=reason, condition=condition.words, declaration=condition.declaration)
