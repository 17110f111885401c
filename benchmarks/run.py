"""Every claim about speed, measured in one run: `python benchmarks/run.py [--json FILE] [--strict]`.

What is compared is measured in turns (A, B, A, B, …) and reported as medians, so that a busy machine
slows both sides. Claims about ratios hold anywhere; claims in seconds are for an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

import pullback
from pullback.derivation import derive_program
from pullback.reading import read_program

LINEAR = "Y = X @ W"
BANK = Path(__file__).resolve().parents[1] / "tests" / "data" / "bank" / "cases.json"
SHAPES = {"X": "N D", "W": "D M"}


@dataclass(frozen=True)
class Row:
    """One claim: `measured` must not exceed `limit`; without a limit the row informs only."""

    claim: str
    measured: float
    unit: str
    limit: float | None = None
    detail: str = ""

    @property
    def passed(self) -> bool | None:
        return None if self.limit is None else self.measured <= self.limit


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(first: Callable[[], object], second: Callable[[], object], rounds: int) -> list[float]:
    """The median times of two actions; who goes first alternates, and one untimed round comes before."""
    pair = (first, second)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(-1, rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            spent = seconds(pair[which])
            if turn >= 0:
                times[which].append(spent)
    return [statistics.median(column) for column in times]


# ---- deriving ------------------------------------------------------------------------------


def deriving() -> Iterator[Row]:
    def steps() -> object:
        return derive_program(read_program(LINEAR, shapes=SHAPES)).sections

    def checked() -> object:
        return pullback.derive(LINEAR, SHAPES).report

    plain, with_check = interleaved(steps, checked, rounds=30)
    yield Row(f"read and derive `{LINEAR}` with all steps", plain * 1e3, "ms", 5)
    yield Row(
        f"the same with the exact check of every step: `derive({LINEAR!r})`", with_check * 1e3, "ms", 50
    )


def chain(layers: int) -> tuple[str, dict[str, str]]:
    """Y1 = X @ W1; Y2 = Y1 @ W2; …: a chain of linear layers."""
    lines = [f"Y{k} = {f'Y{k - 1}' if k > 1 else 'X'} @ W{k}" for k in range(1, layers + 1)]
    return "\n".join(lines), {"X": "N D", **{f"W{k}": "D D" for k in range(1, layers + 1)}}


def derived(program: str, shapes: dict[str, str]) -> object:
    return derive_program(read_program(program, shapes=shapes))


def chains() -> Iterator[Row]:
    per_layer: dict[int, float] = {}
    for layers, rounds in ((10, 10), (100, 5), (1000, 1)):
        program, shapes = chain(layers)
        times = [seconds(partial(derived, program, shapes)) for _ in range(rounds + 1)]
        per_layer[layers] = (
            statistics.median(times[1:]) / layers
        )  # the first round finds no memory of its own yet
        yield Row(f"derive a chain of {layers:,} linear layers, a layer", per_layer[layers] * 1e3, "ms")
    yield Row("time a layer at L = 1,000 over that at L = 100", per_layer[1000] / per_layer[100], "×", 1.5)
    yield Row("time a layer at L = 100 over that at L = 10", per_layer[100] / per_layer[10], "×", 1.5)


# ---- starting ------------------------------------------------------------------------------


def starting() -> Iterator[Row]:
    """Byte code is there, as it is after an installation; the untimed round writes it."""
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(pullback.__file__).resolve().parents[1])
        environment = {**os.environ, "PYTHONPATH": source, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield started(environment)


def started(environment: dict[str, str]) -> Row:
    def process(*arguments: str) -> Callable[[], object]:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

    entry = "import sys; from pullback.cli import main; sys.exit(main())"
    bare, cold = interleaved(process("-c", "pass"), process("-c", entry, "derive", LINEAR), rounds=11)
    detail = f"{cold:.3f} s against {bare:.3f} s"
    return Row(f"`pullback derive {LINEAR!r}` above `python -c pass`", cold - bare, "s", 0.25, detail)


# ---- running -------------------------------------------------------------------------------


def running(n: int = 64, d: int = 4096) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape, dtype=np.float32) for shape in ((n, d), (d, d), (n, d)))
    backward = pullback.derive(LINEAR, SHAPES).compile()
    inputs = {"X": x, "W": w}

    def emitted() -> object:
        return backward(inputs, dy)

    def by_hand() -> object:
        return {"X": dy @ w.T, "W": x.T @ dy}

    first, second = emitted(), by_hand()
    for name in inputs:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)  # type: ignore[index]
    ours, hand = interleaved(emitted, by_hand, rounds=41)
    detail = f"{ours * 1e3:.2f} ms against {hand * 1e3:.2f} ms"
    claim = f"emitted backward at N = {n}, D = M = {d:,}, float32, over two products by hand"
    yield Row(claim, ours / hand, "×", 1.02, detail)


# ---- the bank ------------------------------------------------------------------------------


def bank() -> Iterator[Row]:
    """Every gradient of the bank of real programs: to derive, and to derive and check."""
    cases = [c for c in json.loads(BANK.read_text("utf-8")) if c["kind"] == "grad" and c["program"]]
    derived: dict[str, float] = {}
    checked: dict[str, float] = {}
    for case in cases:
        integers = {name: (entry["shape"], entry["range"]) for name, entry in case["integers"].items()}
        start = time.perf_counter()
        try:
            derivation = pullback.derive(
                case["program"], case["shapes"], wrt=case["wrt"], integers=integers, assume=case["assume"]
            )
            derived[case["id"]] = time.perf_counter() - start
            assert derivation.report is not None
        except pullback.PullbackError:
            continue
        checked[case["id"]] = time.perf_counter() - start
    yield Row(f"gradients of the bank that fail, of {len(cases)}", len(cases) - len(checked), "", 0)
    for what, times, limit in (("derive", derived, 1), ("derive and check", checked, 5)):
        slowest = max(times, key=times.__getitem__)
        yield Row(f"the slowest gradient of the bank to {what}", times[slowest], "s", limit, slowest)
        yield Row(f"all gradients of the bank to {what}", sum(times.values()), "s")


# ---- reporting -----------------------------------------------------------------------------

GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "deriving": deriving,
    "chains": chains,
    "starting": starting,
    "running": running,
    "bank": bank,
}
VERDICT = {True: "pass", False: "FAIL", None: ""}


def table(rows: list[Row]) -> str:
    width = max(len(row.claim) for row in rows)
    lines = [f"{'claim':<{width}}  {'measured':>12}  {'limit':>9}  {'':4}  detail", "-" * (width + 42)]
    for row in rows:
        measured = f"{row.measured:.3g} {row.unit}"
        limit = "" if row.limit is None else f"{row.limit:g} {row.unit}"
        verdict = VERDICT[row.passed]
        lines.append(f"{row.claim:<{width}}  {measured:>12}  {limit:>9}  {verdict:4}  {row.detail}".rstrip())
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure every claim about speed.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a claim fails")
    parser.add_argument("--only", choices=GROUPS, action="append", help="a group of claims; may be repeated")
    options = parser.parse_args(argv)
    rows = [row for name in options.only or GROUPS for row in GROUPS[name]()]
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores")
    print(table(rows))
    if options.json is not None:
        report = [asdict(row) | {"passed": row.passed} for row in rows]
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    failed = any(row.passed is False for row in rows)
    return 1 if options.strict and failed else 0


if __name__ == "__main__":
    sys.exit(main())
