"""Every formula that is printed is typeset by a real engine. Set PULLBACK_KATEX to a node_modules folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from derived_fixtures import MIXED, PROGRAMS, REPORT, derived, formulas

from pullback.render import as_data, latex, markdown
from pullback.render.latex_source import latex_text
from pullback.render.names import latex_name, latex_prose

MODULES = os.environ.get("PULLBACK_KATEX", "")
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.katex,
    pytest.mark.skipif(
        not (NODE and MODULES and (Path(MODULES) / "katex").is_dir()), reason="node or katex is not here"
    ),
]
TYPESET = """
const katex = require(process.argv[1] + '/katex');
const formulas = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const bad = [];
for (const f of formulas) {
  try { katex.renderToString(f, {throwOnError: true, strict: 'error', displayMode: true}); }
  catch (e) { bad.push([f, String(e)]); }
}
process.stdout.write(JSON.stringify(bad));
"""
SIZES = {"N": 2, "D": 2, "M": 3, "F": 2, "G": 2, "H": 4, "R": 2, "V": 3}
BACKSLASH = chr(92)


def refused(found: list[str]) -> list[list[str]]:
    """The formulas that KaTeX refuses, with its reason."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, "-e", TYPESET, MODULES],
        input=json.dumps(found),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: list[list[str]] = json.loads(done.stdout)
    return answer


def in_latex(text: str) -> list[str]:
    return re.findall(r"\\\[\n(.*?)\n\\\]", text, re.S) + re.findall(r"\\\((.*?)\\\)", text)


def in_markdown(text: str) -> list[str]:
    without_code = re.sub(r"```.*?```", "", text, flags=re.S)
    blocks = re.findall(r"\$\$\n(.*?)\n\$\$", without_code, re.S)
    rest = re.sub(r"\$\$.*?\$\$", "", without_code, flags=re.S)
    return blocks + re.findall(r"(?<!\\)\$([^$\n]+)\$", rest)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_formula_of_a_derivation_is_typeset(name: str) -> None:
    found = derived(name)
    lines = formulas(found)
    shown = in_latex(latex(found, REPORT, lines, sizes=SIZES))
    shown += in_markdown(markdown(found, MIXED, lines, sizes=SIZES))
    for section in as_data(found, REPORT, lines)["sections"]:
        shown += [side["latex"] for step in section["steps"] for side in (step["before"], step["after"])]
    assert len(shown) > 20
    assert refused(shown) == []


def test_the_test_sees_a_bad_formula() -> None:
    (bad,) = refused([r"\frac{1}{2}", r"\frac{1}{"])
    assert bad[0] == r"\frac{1}{"


LINES = (
    "dS = P * (dP - sum(P * dP, axis=1, keepdims=True))",
    "dX = 2 * X / N - 1e-05 * X**-2",
    "z = where(X > 0, dY, 0) + einsum('ij,jk->ik', X, W)",
    "y = x_hat[:, None] * W1[1:, ::2] // 3 % 2",
    "a = (-x) ** 2 + -x ** 2 + (x + y) @ z.T + (x @ y).T ** 2",
    "k = kron(eye(N), A.T @ A) + diag(s) - outer(p, p) + inv(A @ B) + norm(x, axis=0)",
    "X: [N, 2*D]",
    "f = lambda q: {1: q}",
    "u = " + " + ".join(["x"] * 900),
    "not % python $ {",
    "dW_out1[i,j] = dY[n,j] * X[n,i] * (i == j)",
)
NAMES = (
    "W1",
    "x_hat",
    "dW1",
    "mu",
    "_",
    "__a",
    "a_b_c",
    "W_1_2",
    "μ",
    "naïve",
    "变量",
    "d",
    "dx_hat",
    "dmu",
    "x1y2",
)


def test_lines_and_names_of_all_kinds() -> None:
    ranks = {"X": 2, "P": 2, "dP": 2, "dY": 2, "W": 2, "x": 1}
    prose = [
        rf"\text{{{latex_prose(t)}}}"
        for t in ("50 % of {a}_b^c & #1 $x$ ~ \\ <>|", "Σ ∂ ≠ × ᵀ x² — … 变 \x1b")
    ]
    assert refused([latex_text(line, ranks) for line in LINES] + [latex_name(n) for n in NAMES] + prose) == []
