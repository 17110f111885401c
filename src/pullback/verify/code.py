"""Is a hand-written backward right? Per input: right, wrong or unknown, each with its reasons.

The truth is the derivative of the traced forward by dual numbers. A formula is called wrong only where the
code itself, run in floats, shows the wrong value too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from pullback.errors import DomainProblem
from pullback.evaluator.residues import P
from pullback.tracing.numbers import Undecided, Untraceable
from pullback.tracing.passes import CodeProblem, Pass
from pullback.verify.axes import separated
from pullback.verify.code_blackbox import probe_everywhere
from pullback.verify.code_compare import DIGITS, ROUNDING, WEIGHT, Entrywise, field_trial
from pullback.verify.code_intent import unsettled
from pullback.verify.code_parity import halved, leave_odd_out
from pullback.verify.code_state import DOMAIN_ERRORS, Check, distance, towards
from pullback.verify.code_structure import own_types, structure
from pullback.verify.code_ties import compare_ties
from pullback.verify.code_verdict import CodeVerdict
from pullback.verify.code_witness import show
from pullback.verify.points import (
    KINDS,
    Args,
    Template,
    draw,
    legal_sizes,
    of_both_signs,
    ordered,
    other_numbers,
    repeating,
    small,
    template,
)

TRIALS: Final = 64  # at once, in the field
PATIENCE: Final = 2  # sizes that cannot be traced before the code is given up
OTHERS: Final = 2  # sizes at which other numbers are given as arguments
ZERO: Final = 0.0  # a threshold
ITERATED: Final = (
    "numerical: the two agree at the example, and the less the farther from it, as for an iteration that has not "
    "converged there; what it converges to is compared where it does"
)
PRECISE: Final = (
    2  # points that are compared to 50 digits in any case; at others doubles do, where they agree
)
RETRIES: Final = 24  # one by one, where the code compares numbers
ENOUGH: Final = 1  # of those, at each size: one that agrees by chance is as rare as 2**-45
MOST_DEGREE: Final = 2**16  # of the rational functions that a layer computes; the error bound rests on it


def judge_code(
    code: Pass, args: Sequence[Any], dtypes: Mapping[int, Any], shapes: Mapping[str, Any] | str | None
) -> tuple[CodeVerdict, ...]:
    """One verdict for each input of `code.wrt`.

    `args` is one example, float arrays as float64; `dtypes` their own types by position. Raises `PullbackError` where
    the forward does not run on the example.
    """
    check = Check(code, repeating(template(code.names, args, shapes), code.wrt), dtypes)
    if check.made.repeats:
        said = ", ".join(code.names[p] for p in check.made.repeats)
        code.notes.append(f"{said}: along the last axis one half repeats the other, as in the example")
    try:
        code.outputs(args)
    except CodeProblem as problem:
        raise DomainProblem(f"on the example {problem}") from problem
    structure(check, list(args), check.made.sizes)
    own_types(check)
    if not any(v.kind in ("count", "error") for v in check.found.wrong.values()):
        _everywhere(check, named=shapes is not None)
    return tuple(_concluded(check, p) for p in code.wrt)


def _everywhere(check: Check, named: bool) -> None:
    if not named:
        check.made = separated(check.code, check.made)
    check.sizes = legal_sizes(check.code, check.made)
    rng = np.random.default_rng(1)
    for sizes in ordered(check.made, check.sizes):
        structure(check, draw(check.made, sizes, "generic", rng), sizes)
    try:
        _numbers(check)
        in_the_field(check)
        compare_ties(check)
    except Untraceable as problem:
        check.found.untraceable = problem.message
        check.withdraw_unshown()
        probe_everywhere(check)


def _numbers(check: Check) -> None:
    """Generic values at every size; other magnitudes at the first; then the constants of comparisons."""
    sizes = [s for s in check.sizes if small(check.made, s)] or check.sizes[:1] or [check.made.sizes]
    if not small(check.made, sizes[0]):
        raise Untraceable("the smallest sizes at which the forward runs are too large to be traced")
    plan = [(s, "generic") for s in sizes] + [(s, kind) for s in sizes[:2] for kind in KINDS[1:]]
    if small(check.made, check.made.sizes):
        plan.append(
            (check.made.sizes, "example")
        )  # boxes that overlap, points in order: drawn ones seldom do
    even = set(check.even)
    for found, at, kind, args in _looked_at(check, plan):
        if any(at[name] % 2 for name in check.even):
            continue
        check.found.has_kinks |= found.has_kinks
        check.found.thresholds |= {t for t in found.thresholds if abs(t) < 1e6}
        if found.ties & {"compare", "max", "abs"} and kind != "generic":
            continue
        for index, position in enumerate(check.code.wrt):
            if position not in check.found.wrong:
                _weigh(check, index, found, at)
                if position in check.found.wrong:
                    check.found.differs[position] = [(at, args)]
            if check.even - even:
                _numbers(check)  # at even sizes instead
                return
    _shown(check)
    _at_other_numbers(check)
    _at_both_signs(check)


def _shown(check: Check) -> None:
    """A counterexample for each wrong formula that has none."""
    for index, position in enumerate(check.code.wrt):
        verdict = check.found.wrong.get(position)
        if verdict is not None and verdict.kind == "formula" and verdict.witness is None:
            if unsettled(check, index):
                del check.found.wrong[position]
                check.found.iterated.add(position)
            else:
                show(check, index, position)


def _at_other_numbers(check: Check) -> None:
    """The numbers among the arguments are an example as well: 1 hides a factor, 0 a term."""
    made = check.made
    other = other_numbers(check.code, made) if check.open else None
    if other is not None:
        _elsewhere(check, other, f"at {_agreeing(check.code.names, made.args, other.args)}")


def _at_both_signs(check: Check) -> None:
    """Code that asks for a sign is meant for both: the numbers of the example may be positive by chance."""
    if ZERO not in check.found.thresholds:
        return
    for position, other in of_both_signs(check.made):
        if check.open:
            _elsewhere(check, other, f"where {check.code.names[position]} is positive, as in the example,")


def _elsewhere(check: Check, other: Template, said: str) -> None:
    """Points of another template; what is found wrong there alone says where the two sides agree."""
    made, known = check.made, set(check.found.wrong)
    rng = np.random.default_rng(9)
    check.made = other
    try:
        for sizes in [s for s in check.sizes if small(made, s)][:OTHERS]:
            found = towards(check, draw(other, sizes, "generic", rng), 9)
            for index, position in enumerate(check.code.wrt):
                if found is not None and position in check.open:
                    _weigh(check, index, found, sizes)
        _shown(check)
    except (Untraceable, CodeProblem):
        return  # those numbers lead where the example does not
    finally:
        check.made = made
        for position in set(check.found.wrong) - known:
            verdict = check.found.wrong[position]
            check.found.wrong[position] = replace(verdict, reason=f"{verdict.reason} ({said} the two agree)")


def _agreeing(names: Sequence[str], made: Sequence[Any], other: Sequence[Any]) -> str:
    changed = [k for k, (x, y) in enumerate(zip(made, other, strict=True)) if x is not y]
    return ", ".join(f"{names[k]} = {made[k]!r}" for k in changed)


def _looked_at(
    check: Check, plan: Sequence[tuple[dict[str, int], str]]
) -> Iterator[tuple[Entrywise, dict[str, int], str, Args]]:
    """The points of the plan that have a value. Sizes that cannot be traced are left out, if others can be."""
    rng = np.random.default_rng(3)
    refused: Untraceable | None = None
    seen = 0
    analytic = True
    for at, kind in plan:
        if seen and check.late:
            break
        if seen and kind != "generic" and analytic:
            continue  # what is analytic differs at drawn values, if it differs anywhere
        args = draw(check.made, at, kind, rng)
        try:
            found = towards(check, args, len(plan), quick=kind == "generic" and seen >= PRECISE)
        except Untraceable as problem:
            refused = refused or problem
            if not seen and plan.index((at, kind)) >= PATIENCE:
                raise
            continue
        if found is not None:
            seen += 1
            analytic &= found.analytic
            yield found, at, kind, args
    if refused is not None and not seen:
        raise refused


def _weigh(check: Check, index: int, found: Entrywise, at: dict[str, int]) -> None:
    """One gradient at one point: equal, equal but for rounded constants, or different."""
    position = check.code.wrt[index]
    claimed, true = found.claimed[index], found.true[index]
    if claimed is None:
        if any(t == t and t != 0 for t in true.flat):
            name = check.name(position)
            said = f"None: d{name} is returned as None, and the output depends on {name}"
            check.verdict(position, "none", said, None)
        return
    gap, where = distance(claimed, true, WEIGHT)
    if where is None:
        return
    odd = halved(check, index, at) if gap > ROUNDING else None
    if odd is not None:
        leave_odd_out(check, position, odd)
    elif gap > ROUNDING:
        check.verdict(position, "formula", "formula: the backward is not the derivative of the forward", None)
    else:
        check.found.agreed[position] = check.found.agreed.get(position, 0) + 1
        if gap > DIGITS:
            check.found.rounding.add(position)


def in_the_field(check: Check) -> None:
    """The same identity at random points of a finite field, for those that are not wrong."""
    rng = np.random.default_rng(5)
    for sizes in check.sizes[:3]:
        if not check.open or check.late or not small(check.made, sizes):
            return
        args = draw(check.made, sizes, "generic", rng)
        for answers in _trials(check, args):
            for position, answer in zip(check.code.wrt, answers, strict=True):
                if answer is True:
                    check.found.field_points[position] = check.found.field_points.get(position, 0) + 1
                elif answer is False:
                    check.found.field_differs.add(position)


def _trials(check: Check, args: Args) -> list[list[bool | None]]:
    try:
        try:
            return [field_trial(check.code, args, 1, check.made, TRIALS)]
        except Undecided:
            tried = []
            for seed in range(RETRIES):
                tried.append(field_trial(check.code, args, seed + 1, check.made, 1))
                if sum(all(a is not None for a in answers) for answers in tried) >= ENOUGH:
                    break
            return tried
    except (Untraceable, *DOMAIN_ERRORS):
        return []  # no exact proof; what the 50 digits say stands


def _concluded(check: Check, position: int) -> CodeVerdict:
    found = check.found
    notes = (*found.notes.get(position, []), *check.code.notes)
    if position in found.wrong:
        return replace(found.wrong[position], notes=notes)
    name = check.name(position)
    checked = f"compared at {len(check.sizes)} choices of sizes"
    if position in found.iterated:
        return CodeVerdict(
            name, "", True, "numerical", 1.0, ITERATED, notes=notes, checked="compared at the example"
        )
    if found.untraceable:
        if not found.agreed.get(position):
            return CodeVerdict(name, "", None, "unknown", 1.0, found.untraceable, notes=notes)
        reason = f"numerical: {found.untraceable}; it was run in float64 against differences of high order"
        return CodeVerdict(name, "", True, "numerical", 1.0, reason, notes=notes, checked=checked)
    if position in found.missing and not found.agreed.get(position):
        notes = (*notes, "it is returned as None, and the output does not depend on it")
        return CodeVerdict(name, "", True, "numerical", 1.0, "", notes=notes, checked=checked)
    if not found.agreed.get(position):
        return CodeVerdict(
            name, "", None, "unknown", 1.0, "no point was found where it has a value", notes=notes
        )
    if position in found.rounding:
        notes = (
            *notes,
            "constants of the code are rounded: beyond ten digits the two sides are not compared",
        )
    points = found.field_points.get(position, 0)
    if points and position not in found.field_differs:
        bound = (MOST_DEGREE / P) ** points  # one agreeing point, for degrees up to MOST_DEGREE
        return CodeVerdict(name, "", True, "exact", bound, "", notes=notes, checked=checked)
    return CodeVerdict(name, "", True, "numerical", 1.0, "", notes=notes, checked=f"{checked}, to 25 digits")
