"""The claims of the bank as rows: (case, which, setting, input, claim)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pullback.reading import read_program
from pullback.verify.setting import Setting

CASES = Path(__file__).resolve().parents[1] / "data" / "bank" / "cases.json"

# Formulas that hold only under a fact that the case does not declare: (case, input) -> the fact.
UNDECLARED = {
    ("fa_causal", "Q"): {"Mk": "lower_triangular"},
    ("fa_causal", "K"): {"Mk": "lower_triangular"},
    ("kl_logits_forward", "z"): {"p": "simplex"},
    ("softmax_reg_l2", "W"): {"T": "simplex"},
    ("gp_mll_hyper", "s2"): {"D2": "symmetric"},
    ("gp_mll_hyper", "l"): {"D2": "symmetric"},
    ("gp_mll_hyper", "nz"): {"D2": "symmetric"},
    ("matfac_masked", "U"): {"Mk": "binary"},
    ("matfac_masked", "V"): {"Mk": "binary"},
    ("sne_asym", "Y"): {"P": "zero_diagonal"},
}


@dataclass(frozen=True)
class Row:
    case: str
    which: str  # "right" or "wrong"
    notation: str
    wrt: str
    text: str

    def __str__(self) -> str:
        return f"{self.case}-{self.which}-{self.wrt}-{self.text[-40:]}"


@cache
def cases() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(CASES.read_text("utf-8")) if case["kind"] == "grad"}


def rows(group: str | None = None) -> Iterator[Row]:
    for name, case in cases().items():
        if group is not None and case["group"] != group:
            continue
        above = (case.get("claim_definitions") or "").strip()
        above = f"{above}\n" if above else ""
        whole = "program" if case.get("program") else "index_program"
        for wrt, text in (case.get("claims") or {}).items():
            yield Row(name, "right", whole, wrt, above + text)
        for wrt, text in (case.get("index_claims") or {}).items():
            # The definitions are in the words of the matrix program, and stand above claims that use them.
            uses = above and any(line.split("=")[0].strip() + "[" in text for line in above.splitlines())
            index = whole if uses or not case.get("index_program") else "index_program"
            yield Row(name, "right", index, wrt, above + text if uses else text)
        for wrong in case.get("wrong_claims") or []:
            index = wrong.get("lang") == "index" and case.get("index_program")
            text = wrong["claim"]
            plain = index and not (above and any(d.split("=")[0].strip() in text for d in above.splitlines()))
            notation = "index_program" if plain else whole
            yield Row(name, "wrong", notation, wrong["wrt"], text if plain else above + text)


@cache
def setting(case: str, notation: str, declared: tuple[tuple[str, str], ...] = ()) -> Setting:
    """The program of a case, read once for all its claims, with further facts declared."""
    found = cases()[case]
    integers = {name: (entry["shape"], entry["range"]) for name, entry in found["integers"].items()}
    program = read_program(
        found[notation],
        shapes=found["shapes"],
        integers=integers or None,
        assume={name: f"{found['assume'].get(name, '')} {fact}" for name, fact in declared}
        | {name: fact for name, fact in found["assume"].items() if name not in dict(declared)},
        ranges=found["ranges"] or None,
    )
    return Setting(program)


def published(case: str) -> set[str]:
    """The formulas of the matrix program, with their definitions."""
    return {
        row.text for row in rows() if row.case == case and row.which == "right" and row.notation == "program"
    }
