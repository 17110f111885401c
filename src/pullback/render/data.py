"""A derivation as JSON. The schema is described in docs/output.md, and `VERSION` counts its changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pullback.derivation import Derived, Jacobian, Report
from pullback.expression import Equation, Tensor
from pullback.formula import backward_program
from pullback.forwarded import Forwarded
from pullback.notation import show, show_equation
from pullback.render.contents import line_of, ranks
from pullback.render.costs import BYTES_OF_FLOAT32, demand_shapes, entries_at, share_at, symbols_of
from pullback.render.latex_expression import Counting
from pullback.render.mathematics import MathForm
from pullback.render.remarks import counts_from_zero
from pullback.rewriting import Line, MatrixLine, Section, ShapeLine, Step
from pullback.sizes import shape_text, size_text

VERSION: Final = 1


def to_json(
    derived: Derived,
    report: Report | None,
    formulas: Mapping[str, Sequence[str]],
    *,
    sizes: Mapping[str, int] | None = None,
    indent: int | None = 2,
) -> str:
    """The whole derivation, every step included, as a JSON text."""
    return json.dumps(as_data(derived, report, formulas, sizes=sizes), indent=indent, ensure_ascii=False)


def as_data(
    derived: Derived,
    report: Report | None,
    formulas: Mapping[str, Sequence[str]],
    *,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The same as dictionaries, lists, strings and numbers."""
    demand_shapes(derived, sizes or {})
    form = MathForm(Counting(not counts_from_zero(derived)), dict(ranks(derived)))
    program = derived.program
    inferred = {tensor.name for tensor in program.inferred}
    costs = list(derived.jacobians)
    return {
        "version": VERSION,
        "kind": "derivation",
        "program": [d.source for d in program.definitions if d.source],
        "inputs": [{**_tensor(t), "inferred": t.name in inferred} for t in program.inputs],
        "output": _tensor(program.output),
        "upstream": derived.upstream.name if derived.upstream is not None else None,
        "wrt": [tensor.name for tensor in derived.wrt],
        "gradients": [_gradient(derived, t, formulas.get(t.name, ()), form) for t in derived.wrt],
        "backward": _lines(derived, [str(line) for line in backward_program(derived)], form),
        "rewrites": [_step(step, form) for step in derived.rewrites],
        "sections": [
            _section(section, costs[k] if k < len(costs) else None, form, sizes or {})
            for k, section in enumerate(derived.sections)
        ],
        "conventions": list(derived.conventions),
        "report": _report(report),
    }


def forwarded_data(
    forwarded: Forwarded, report: Report | None, formulas: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """A Jacobian, Hessian or product with a direction: `results` stand in the place of the gradients."""
    derived = forwarded.derived
    data = as_data(derived, report, {})
    form = MathForm(Counting(not counts_from_zero(derived)), dict(ranks(derived)))
    results = [
        {
            "of": result.key,
            "name": result.tensor.name,
            "shape": [size_text(size) for size in result.tensor.shape],
            **_lines(derived, formulas[result.key], form),
        }
        for result in forwarded.results
    ]
    left_out = ("upstream", "wrt", "gradients", "backward")
    return {
        **{key: entry for key, entry in data.items() if key not in left_out},
        "kind": forwarded.kind,
        "directions": dict(forwarded.directions),
        "results": results,
        "notes": list(forwarded.notes),
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": [size_text(size) for size in tensor.shape],
        "integers_below": size_text(tensor.values) if tensor.values is not None else None,
        "facts": sorted(tensor.facts),
    }


def _gradient(derived: Derived, tensor: Tensor, lines: Sequence[str], form: MathForm) -> dict[str, Any]:
    return {
        "of": tensor.name,
        "name": f"d{tensor.name}",
        "shape": [size_text(size) for size in tensor.shape],
        **_lines(derived, lines, form),
    }


def _lines(derived: Derived, lines: Sequence[str], form: MathForm) -> dict[str, list[str]]:
    made = {definition.tensor.name: definition for definition in derived.backward}
    return {"lines": list(lines), "latex": [form.line(line_of(line, made)) for line in lines]}


def _section(
    section: Section, jacobian: Jacobian | None, form: MathForm, sizes: Mapping[str, int]
) -> dict[str, Any]:
    definition = section.definition
    return {
        "through": definition.tensor.name,
        "source": definition.source,
        "operand": section.operand.name,
        "steps": [_step(step, form) for step in section.steps],
        "jacobian": _jacobian(jacobian, sizes) if jacobian is not None else None,
    }


def _step(step: Step, form: MathForm) -> dict[str, Any]:
    return {
        "rule": step.rule,
        "before": {"text": line_text(step.before), "latex": form.line(step.before)},
        "after": {"text": line_text(step.after), "latex": form.line(step.after)},
        "note": step.note,
        "status": step.status,
    }


def line_text(line: Line) -> str:
    """One line of a derivation as text."""
    match line:
        case Equation():
            return show_equation(line)
        case MatrixLine():
            return str(line)
        case ShapeLine(factors, result, _):
            product = "".join(f"({shape_text(factor)})" for factor in factors)
            return f"{product} = {shape_text(result)}" if product else shape_text(result)


def _jacobian(jacobian: Jacobian, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Symbols always; numbers where every size has a value."""
    known = bool(sizes) and set(symbols_of(jacobian)) <= set(sizes)
    entries = entries_at(jacobian, sizes) if known else None
    share = share_at(jacobian, sizes) if known else None
    return {
        "shape": [size_text(size) for size in jacobian.shape],
        "entries": size_text(jacobian.entries),
        "share": show(jacobian.share) if jacobian.share is not None else None,
        "entries_at_sizes": entries,
        "share_at_sizes": float(share) if share is not None else None,
        "bytes_float32_at_sizes": BYTES_OF_FLOAT32 * entries if entries is not None else None,
        "formed": False,
    }


def _report(report: Report | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "exact": report.exact,
        "numerical": report.numerical,
        "unknown": report.unknown,
        "error_bound": report.error_bound,
        "central_difference": report.central,
        "trials": [dict(trial) for trial in report.trials],
    }
