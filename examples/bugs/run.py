"""Gradient bugs of real projects: what `torch.autograd.gradcheck` says with its defaults, and what Pullback says.

Run with `python examples/bugs/run.py`; `--short` prints the table alone. The exit code is 1 where a wrong
backward is not called wrong or a mended one not right.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import torch
from bugs import Bug, bugs
from torch.autograd.gradcheck import GradcheckError

import pullback

WORDS = {True: "right", False: "wrong", None: "unknown"}


def gradcheck(bug: Bug) -> str:
    """gradcheck's verdict on the wrong backward."""
    inputs = [x.detach().clone().requires_grad_(x.requires_grad) if _is_tensor(x) else x for x in bug.inputs]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "passes" if torch.autograd.gradcheck(bug.wrong.apply, inputs) else "fails"
    except GradcheckError:
        return "fails"
    except RuntimeError:
        return "raises"


def _is_tensor(x: Any) -> bool:
    return isinstance(x, torch.Tensor)


def judged(bug: Bug) -> tuple[pullback.Verdict, pullback.Verdict, float]:
    """Pullback's verdicts on the wrong and on the mended backward, and the seconds for both."""
    start = time.perf_counter()
    wrong, mended = (pullback.check(f, list(bug.inputs)) for f in (bug.wrong, bug.mended))
    return wrong, mended, time.perf_counter() - start


def reason(verdict: pullback.Verdict) -> str:
    """The first line that says what is wrong."""
    lines = verdict.explain().splitlines()
    at = next((k for k, line in enumerate(lines) if line.endswith("is wrong.")), None)
    return "" if at is None else f"{lines[at].removesuffix(' is wrong.')}: {lines[at + 1].strip()}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="the table alone")
    options = parser.parse_args(argv)
    print(f"{'bug':44} {'gradcheck':9}  {'pullback':8}  {'mended':7} seconds  reported in")
    missed = 0
    for bug in bugs():
        wrong, mended, seconds = judged(bug)
        missed += wrong.ok is not False or mended.ok is not True
        found = f"{gradcheck(bug):9}  {WORDS[wrong.ok]:8}  {WORDS[mended.ok]:7} {seconds:7.1f}"
        print(f"{bug.what:44} {found}  {bug.reported}")
        if not options.short:
            print(f"    {reason(wrong)}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
