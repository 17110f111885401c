"""The check that is left where a program's own sizes are too large for every entry: along random directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pullback.derivation import Derived
from pullback.errors import LimitProblem
from pullback.evaluator import Float64, Interpreter, random_inputs
from pullback.evaluator.floats import Floats
from pullback.expression import Definition, Tensor

DIRECTIONS = 3
STEP = 1e-3


def directional_difference(
    derived: Derived, wrt: Tensor, lines: Sequence[Definition], sizes: Mapping[str, int]
) -> float | None:
    """Σ gradient * v against differences along v, relative to |gradient||v|; None where neither can be evaluated.

    Central differences of three steps, extrapolated twice: one direction costs six forward passes.
    """
    rng = np.random.default_rng(3)
    domain = Float64()
    given = derived.program.inputs + ((derived.upstream,) if derived.upstream is not None else ())
    values = random_inputs(given, sizes, domain, rng)
    try:
        with np.errstate(all="ignore"):
            forward = Interpreter(domain, sizes, values, derived.program.definitions)
            beyond = Interpreter(domain, sizes, {}, lines, forward.tensor)
            found = np.asarray(beyond.tensor(lines[-1].tensor.name))
            x = np.asarray(values[wrt.name], dtype=np.float64)
            found = np.broadcast_to(found, x.shape)
            worst = 0.0
            for _ in range(DIRECTIONS):
                v = rng.normal(size=x.shape)
                scale = float(np.linalg.norm(found) * np.linalg.norm(v)) + 1e-12
                differences = [_difference(derived, values, sizes, wrt, v, STEP / 2**k) for k in range(3)]
                worst = max(worst, abs(float((found * v).sum()) - _extrapolated(differences)) / scale)
    except LimitProblem:
        return None
    return worst if np.isfinite(worst) else None


def _difference(
    derived: Derived, values: Mapping[str, Floats], sizes: Mapping[str, int], wrt: Tensor, v: Floats, h: float
) -> float:
    """(loss(x + h v) - loss(x - h v)) / 2h."""
    program = derived.program
    losses = []
    for step in (h, -h):
        moved = {**values, wrt.name: values[wrt.name] + step * v}
        out = Interpreter(Float64(), sizes, moved, program.definitions).tensor(program.output.name)
        weight = 1.0 if derived.upstream is None else values[derived.upstream.name]
        losses.append(float(np.sum(out * weight)))
    return (losses[0] - losses[1]) / (2 * h)


def _extrapolated(differences: Sequence[float]) -> float:
    """Richardson: the errors of order h² and h⁴ cancel."""
    a, b, c = differences
    first, second = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * second - first) / 15
