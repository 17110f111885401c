"""Are the derived gradients as short and as cheap as the published ones? One counter for both.

For every published formula of the bank: operations with all sizes 64 and tokens, derived beside published.
A formula holds where it costs no more operations and reads no longer than 1.3 times the published one.

    python benchmarks/forms.py [--all] [--json FILE] [CASE ...]
"""

from __future__ import annotations

import argparse
import ast
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pullback.cost import operations, tokens
from pullback.derivation import derive_program
from pullback.formula import gradient_program
from pullback.program import Program
from pullback.reading import read_program
from pullback.sizes import evaluate_size

BANK = Path(__file__).resolve().parents[1] / "tests" / "data" / "bank" / "cases.json"
SIZE = 64
LONGEST = 1.3


@dataclass(frozen=True)
class Row:
    """One gradient: derived beside published. `operations` is None where there is no matrix form."""

    case: str
    wrt: str
    derived: str
    published: str
    operations: int | None
    published_operations: int
    tokens: int
    published_tokens: int

    @property
    def cheap(self) -> bool:
        return self.operations is not None and self.operations <= self.published_operations

    @property
    def short(self) -> bool:
        return self.tokens <= LONGEST * self.published_tokens


def published_program(case: dict[str, Any], wrt: str) -> str:
    """The published formula with those of its named intermediates that it uses."""
    lines = [*(case["claim_definitions"] or "").splitlines(), f"d{wrt} = {case['claims'][wrt]}"]
    kept: list[str] = [lines[-1]]
    used = names(lines[-1])
    for line in reversed(lines[:-1]):
        if line.split("=")[0].strip() in used:
            kept.insert(0, line)
            used |= names(line)
    return "\n".join(kept)


def names(line: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(line.strip())) if isinstance(node, ast.Name)}


def read(case: dict[str, Any]) -> Program:
    integers = {name: (tuple(t["shape"]), t["range"]) for name, t in case["integers"].items()}
    shapes = {name: tuple(shape) for name, shape in case["shapes"].items()}
    return read_program(
        case["program"], shapes=shapes, integers=integers, assume=case["assume"], ranges=case["ranges"]
    )


def rows(case: dict[str, Any]) -> list[Row]:
    program = read(case)
    sizes = dict.fromkeys(program.sizes, SIZE)
    shapes = {t.name: tuple(evaluate_size(e, sizes) for e in t.shape) for t in program.by_name.values()}
    shapes[f"d{program.output.name}"] = shapes[program.output.name]
    derived = derive_program(program, case["wrt"])
    found = []
    for wrt in case["claims"]:
        statements = gradient_program(derived, [wrt])
        text = "\n".join(str(statement) for statement in statements)
        other = published_program(case, wrt)
        matrix = all(statement.is_matrix for statement in statements)
        cost = operations(text, shapes, sizes) if matrix else None
        bound = operations(other, shapes, sizes)
        found.append(Row(case["id"], wrt, text, other, cost, bound, tokens(text), tokens(other)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="identifiers of cases; all by default")
    parser.add_argument("--all", action="store_true", help="print the formulas that hold as well")
    parser.add_argument("--json", type=Path, help="write the rows to a file")
    options = parser.parse_args()
    cases = [
        c for c in json.loads(BANK.read_text("utf-8")) if c["kind"] == "grad" and c["program"] and c["claims"]
    ]
    chosen = [c for c in cases if not options.cases or c["id"] in options.cases]
    table = [row for case in chosen for row in rows(case)]
    for row in table:
        if options.all or not (row.cheap and row.short):
            marks = ("" if row.cheap else " operations") + ("" if row.short else " tokens")
            print(f"{row.case}.{row.wrt}:{marks or ' holds'}")
            cost = "no matrix form" if row.operations is None else f"{row.operations:,}"
            print(
                f"  operations {cost} / {row.published_operations:,}, tokens {row.tokens} / {row.published_tokens}"
            )
            print("  derived    " + row.derived.replace("\n", "; "))
            print("  published  " + row.published.replace("\n", "; "))
    good = sum(row.cheap and row.short for row in table)
    cheap, short = sum(row.cheap for row in table), sum(row.short for row in table)
    print(
        f"{good} of {len(table)} hold: {cheap} cost no more operations, {short} read no longer than {LONGEST} ×"
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in table], indent=1), "utf-8")


if __name__ == "__main__":
    main()
