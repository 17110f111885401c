"""How many units in the last place the stable forms lose, over the exponent range of float64.

    python benchmarks/stability.py [points]

Each row compares compiled code with a reference of 50 digits at 8,000 points: half of them spread over every
exponent of float64, half over the range where the function bends. An error is in ULP of the reference; beside
it stands the error divided by 1 + condition number, which is what any algorithm can be held to, since the
inputs themselves are rounded.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mpmath
import numpy as np
from numpy.typing import NDArray

from pullback import derive
from pullback.emit import run_source
from pullback.emit.numpy_spelling import HELPERS, NEEDS

POINTS: Final = 8_000
mp = mpmath.mp.clone()
mp.dps = 50
Array = NDArray[np.float64]
Reference = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """One function of one number, or of rows of numbers: what runs, the true value, the points."""

    name: str
    run: Callable[[Array], Array]
    true: Reference  # of one point, or of one row: the entries of the result
    points: Callable[[np.random.Generator, int], Array]


@dataclass(frozen=True)
class Found:
    """The worst errors of one row."""

    ulp: float  # where the condition number is at most 2
    relative: float  # largest error in ULP / (1 + condition number)
    wrong: int  # NaN or infinite, where the value is a float64


def helper(name: str) -> Callable[..., Array]:
    """A function that emitted code brings with it, or NumPy's own of that name."""
    if name not in HELPERS:
        found: Callable[..., Array] = getattr(np, name)
        return found
    return run_source("\n".join(HELPERS[part] for part in (*NEEDS.get(name, ()), name)), name)


def gradient(program: str, shape: str = "N") -> Callable[[Array], Array]:
    """The compiled gradient of a program by X, for an upstream gradient of ones."""
    derivation = derive(program, {"X": shape})
    backward, rank = derivation.compile(), derivation.program.output.rank
    return lambda x: backward({"X": x}, np.ones(x.shape[:rank]) if rank else None)["X"]


# ---- points -------------------------------------------------------------------------------------


def everywhere(rng: np.random.Generator, count: int) -> Array:
    """Signs and exponents of float64 from 1e-300 to 1e300, and as many points between -800 and 800."""
    half = count // 2
    wide = rng.choice([-1.0, 1.0], half) * 10.0 ** rng.uniform(-300, 300, half)
    return np.concatenate([wide, rng.uniform(-800, 800, count - half)])


def above_minus_one(rng: np.random.Generator, count: int) -> Array:
    x = np.abs(everywhere(rng, count))
    return np.where(rng.random(count) < 0.3, np.maximum(-x / (1 + x), np.nextafter(-1, 0)), x)


def angles(rng: np.random.Generator, count: int) -> Array:
    return rng.choice([-1.0, 1.0], count) * 10.0 ** rng.uniform(-150, 0.5, count)


def rows(rng: np.random.Generator, count: int) -> Array:
    return everywhere(rng, count).reshape(-1, 4)


def bending_rows(rng: np.random.Generator, count: int) -> Array:
    return rng.uniform(-800, 800, (count // 4, 4)) * 10.0 ** rng.uniform(-3, 0, (count // 4, 1))


# ---- references ---------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x))


def logsumexp(x: Sequence[Any]) -> Any:
    m = max(x)
    others = list(x)
    others.remove(m)
    return m + mp.log1p(mp.fsum(mp.exp(v - m) for v in others))


def softmax(x: Sequence[Any]) -> list[Any]:
    m = max(x)
    e = [mp.exp(v - m) for v in x]
    return [v / mp.fsum(e) for v in e]


def log_softmax(x: Sequence[Any]) -> list[Any]:
    m = max(x)
    others = list(x)
    others.remove(m)
    rest = mp.log1p(mp.fsum(mp.exp(v - m) for v in others))
    return [v - m - rest for v in x]


def norm(x: Sequence[Any]) -> Any:
    return mp.sqrt(mp.fsum(v * v for v in x))


def slope(x: Any) -> Any:
    """The derivative of sigmoid."""
    return sigmoid(x) * sigmoid(-x)


INDEX: Final = "Z[n] = exp(X[n,c])\nY[n] = log(Z[n])"
TABLE: Final = (
    Row("sigmoid(x)", helper("sigmoid"), sigmoid, everywhere),
    Row("softplus(x)", helper("softplus"), softplus, everywhere),
    Row("expm1(x)", helper("expm1"), mp.expm1, everywhere),
    Row("log1p(x)", helper("log1p"), mp.log1p, above_minus_one),
    Row("2 sin(x/2)²", lambda x: 2 * np.sin(0.5 * x) ** 2, lambda x: 2 * mp.sin(x / 2) ** 2, angles),
    Row("logsumexp(x), wide", lambda x: helper("logsumexp")(x, axis=1), logsumexp, rows),
    Row("logsumexp(x)", lambda x: helper("logsumexp")(x, axis=1), logsumexp, bending_rows),
    Row("softmax(x), wide", helper("softmax"), softmax, rows),
    Row("softmax(x)", helper("softmax"), softmax, bending_rows),
    Row("log_softmax(x)", helper("log_softmax"), log_softmax, bending_rows),
    Row("norm(x), wide", lambda x: helper("norm")(x, axis=1), norm, rows),
    Row("∂ log(1 + exp(x))", gradient("Y = log(1 + exp(X))"), sigmoid, everywhere),
    Row("∂ log(sigmoid(x))", gradient("Y = log(sigmoid(X))"), lambda x: sigmoid(-x), everywhere),
    Row("∂ 1/(1 + exp(-x))", gradient("Y = 1 / (1 + exp(-X))"), slope, everywhere),
    Row("∂ 1 - sigmoid(x)", gradient("Y = 1 - sigmoid(X)"), lambda x: -slope(x), everywhere),
    Row("∂ exp(x)/(1 + exp(x))", gradient("Y = exp(X) / (1 + exp(X))"), slope, everywhere),
    Row("∂ log(1 + x)", gradient("Y = log(1 + X)"), lambda x: 1 / (1 + x), above_minus_one),
    Row("∂ exp(x) - x", gradient("Y = exp(X) - X"), mp.expm1, everywhere),
    Row("∂ x - sin(x)", gradient("Y = X - sin(X)"), lambda x: 2 * mp.sin(x / 2) ** 2, angles),
    Row("∂ tanh(x)", gradient("Y = tanh(X)"), lambda x: 4 * slope(2 * x), everywhere),
    Row("∂ sqrt(x²)", gradient("Y = sqrt(X**2)"), mp.sign, everywhere),
    Row("∂ log Σ exp(x), wide", gradient("Y = log(sum(exp(X), axis=1))", "N D"), softmax, rows),
    Row("∂ log Σ exp(x)", gradient("Y = log(sum(exp(X), axis=1))", "N D"), softmax, bending_rows),
    Row("∂ Z = Σ exp(x); log(Z)", gradient(INDEX, "N D"), softmax, bending_rows),
    Row("∂ norm(x), wide", gradient("f = norm(X, axis=1)", "N D"), lambda x: [v / norm(x) for v in x], rows),
)


# ---- errors -------------------------------------------------------------------------------------


def measured(row: Row, count: int) -> Found:
    """The worst errors at `count` points."""
    x = row.points(np.random.default_rng(7), count)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.asarray(row.run(x))
    worst, relative, wrong = 0.0, 0.0, 0
    for point, value in zip(x, found, strict=True):
        for true, condition, got in _entries(row, point, np.atleast_1d(value)):
            if abs(true) > mp.mpf(float(np.finfo(float).max)):
                continue
            if not np.isfinite(got):
                wrong += 1
                continue
            error = float(abs(mp.mpf(float(got)) - true) / mp.mpf(float(np.spacing(abs(float(true))))))
            relative = max(relative, error / (1 + condition))
            if condition <= 2:
                worst = max(worst, error)
    return Found(worst, relative, wrong)


def _entries(row: Row, point: Array | np.float64, value: Array) -> list[tuple[Any, float, float]]:
    """(true value, condition number, computed value) for each entry of one result."""
    exact = [mp.mpf(float(v)) for v in np.atleast_1d(point)]
    true = _flat(row.true(exact if np.ndim(point) else exact[0]))
    step = mp.mpf(10) ** -20
    condition = [mp.mpf(0)] * len(true)
    for k in range(len(exact)):
        moved = [v * (1 + step) if j == k else v for j, v in enumerate(exact)]
        other = _flat(row.true(moved if np.ndim(point) else moved[0]))
        triples = zip(condition, true, other, strict=True)
        condition = [c + abs(b - a) / step / abs(a) if a else c for c, a, b in triples]
    bounded = (float(min(c, mp.mpf(1e300))) for c in condition)
    return [(a, c, float(v)) for a, c, v in zip(true, bounded, value, strict=True)]


def _flat(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list) else [x]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="ULP errors of the stable forms")
    parser.add_argument("points", nargs="?", type=int, default=POINTS)
    count = parser.parse_args(arguments).points
    print(f"{'form':26} {'ULP, condition ≤ 2':>20} {'ULP / (1 + condition)':>23} {'NaN or ∞':>10}")
    for row in TABLE:
        found = measured(row, count)
        print(f"{row.name:26} {found.ulp:20.2f} {found.relative:23.2f} {found.wrong:10}")


if __name__ == "__main__":
    main()
