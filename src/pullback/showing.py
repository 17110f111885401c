"""Pages about named layers: the program, why its gradient is what it is, the derivation, the code."""

from __future__ import annotations

import json
import textwrap
from itertools import groupby
from typing import Final, Literal

from pullback import render
from pullback.api import Derivation, derive
from pullback.catalogue import Layer, layers
from pullback.render.markdown_page import code_block, escaped
from pullback.render.names import ascii_text, latex_prose

Form = Literal["text", "latex", "markdown", "json"]
FORMS: Final = ("text", "latex", "markdown", "json")
WIDTH: Final = 100


def listing(form: Form = "text") -> str:
    """The names of all layers with their titles, group by group."""
    groups = [(group, list(rows)) for group, rows in groupby(layers(), key=lambda row: row.group)]
    match form:
        case "json":
            return json.dumps(
                [{"name": row.name, "title": row.title, "group": row.group} for row in layers()]
            )
        case "markdown":
            return "\n".join(line for group, rows in groups for line in _table(group, rows))
        case "latex":
            return "\n".join(line for group, rows in groups for line in _description(group, rows))
        case "text":
            lines = [line for group, rows in groups for line in _columns(group, rows)]
            return "\n".join([*lines, "`pullback show NAME` prints one of them.", ""])


def page(row: Layer, form: Form = "text", *, steps: render.Detail = "short", width: int = WIDTH) -> str:
    """Everything about one layer. The derivation is made and checked anew each time."""
    derivation = derive(**row.setting)
    match form:
        case "json":
            return as_json(row, derivation)
        case "markdown":
            return _markdown(row, derivation, steps)
        case "latex":
            return _latex(row, derivation, steps)
        case "text":
            return _text(row, derivation, steps, width)


def ascii_page(row: Layer, *, steps: render.Detail = "short", width: int = WIDTH) -> str:
    """The page as text in ASCII alone."""
    return _text(row, derive(**row.setting), steps, width, ascii=True)


def as_json(row: Layer, derivation: Derivation) -> str:
    """One object: the entry of the table, the derivation as `derive` gives it, and the code."""
    entry = {
        "name": row.name,
        "title": row.title,
        "group": row.group,
        "why": row.why,
        "source": row.source,
        "program": row.program,
    }
    return json.dumps(
        {"layer": entry, "derivation": json.loads(derivation.json()), "code": derivation.emit()}
    )


# ---- text -----------------------------------------------------------------------------------


def _columns(group: str, rows: list[Layer]) -> list[str]:
    width = max(len(row.name) for row in layers())
    return [group.capitalize(), *(f"    {row.name:<{width}}  {row.title}" for row in rows), ""]


def _text(row: Layer, derivation: Derivation, steps: render.Detail, width: int, ascii: bool = False) -> str:
    derived, report = derivation.derived, derivation.report
    body = render.text(derived, report, steps=steps, width=width, ascii=ascii).strip("\n")
    double, single = ("=", "-") if ascii else ("═", "─")
    opening = [row.title, double * len(row.title), "", *textwrap.wrap(row.why, width)]
    origin = ["", *textwrap.wrap(f"Source of the formula: {row.source}.", width), ""]
    code = ["", "Code", single * 4, "", textwrap.indent(derivation.emit().strip("\n"), "    "), ""]
    parts = ["\n".join([*opening, *origin]), body, "\n".join(code)]
    return "\n".join(map(ascii_text, parts) if ascii else parts)


# ---- Markdown -------------------------------------------------------------------------------


def _table(group: str, rows: list[Layer]) -> list[str]:
    lines = [f"| `{row.name}` | {escaped(row.title)} |" for row in rows]
    return [f"## {group.capitalize()}", "", "| name | layer |", "| --- | --- |", *lines, ""]


def _markdown(row: Layer, derivation: Derivation, steps: render.Detail) -> str:
    derived, report = derivation.derived, derivation.report
    body = render.markdown(derived, report, steps=steps).strip("\n")
    parts = [
        f"# {escaped(row.title)}",
        escaped(row.why),
        f"Source of the formula: {escaped(row.source)}.",
        body.replace("# ", "## ", 1),
        "## Code",
        code_block(derivation.emit().strip("\n").splitlines()),
    ]
    return "\n\n".join(parts) + "\n"


# ---- LaTeX ----------------------------------------------------------------------------------


def _description(group: str, rows: list[Layer]) -> list[str]:
    lines = [rf"\item[\texttt{{{latex_prose(row.name)}}}] {latex_prose(row.title)}" for row in rows]
    heading = rf"\subsection*{{{latex_prose(group.capitalize())}}}"
    return [heading, r"\begin{description}", *lines, r"\end{description}", ""]


def _latex(row: Layer, derivation: Derivation, steps: render.Detail) -> str:
    derived, report = derivation.derived, derivation.report
    body = render.latex(derived, report, steps=steps).strip("\n")
    code = derivation.emit().strip("\n")
    parts = [
        rf"\section*{{{latex_prose(row.title)}}}",
        latex_prose(row.why),
        f"Source of the formula: {latex_prose(row.source)}.",
        body.replace(r"\section*", r"\subsection*", 1),
        r"\subsection*{Code}",
        f"\\begin{{verbatim}}\n{code}\n\\end{{verbatim}}",
    ]
    return "\n\n".join(parts) + "\n"
