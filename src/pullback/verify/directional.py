"""The check that is left where a program's own sizes are too large for every entry: along random directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from pullback.derivation import Derived
from pullback.errors import LimitProblem
from pullback.evaluator import Float64, Interpreter, random_inputs
from pullback.evaluator.derivatives import CLOSER, DOUBT, HALVES, extrapolated
from pullback.evaluator.floats import Floats
from pullback.expression import Definition, Tensor

DIRECTIONS = 3
STEP = 1e-3


def directional_difference(
    derived: Derived, wrt: Tensor, lines: Sequence[Definition], sizes: Mapping[str, int]
) -> float | None:
    """Σ gradient * v against differences along v, relative to |gradient||v|; None where neither can be evaluated.

    One direction costs six forward passes, and more only where a kink stands within the step.
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
                along = partial(_loss, derived, values, sizes, wrt, v)
                slope = _slope(along, DOUBT * scale)
                worst = max(worst, abs(float((found * v).sum()) - slope) / scale)
    except LimitProblem:
        return None
    return worst if np.isfinite(worst) else None


def _loss(
    derived: Derived,
    values: Mapping[str, Floats],
    sizes: Mapping[str, int],
    wrt: Tensor,
    direction: Floats,
    t: float,
) -> float:
    """The loss where the input stands at x + t v."""
    program = derived.program
    moved = {**values, wrt.name: values[wrt.name] + t * direction}
    out = Interpreter(Float64(), sizes, moved, program.definitions).tensor(program.output.name)
    weight = 1.0 if derived.upstream is None else values[derived.upstream.name]
    return float(np.sum(out * weight))


def _slope(loss: Callable[[float], float], allowed: float) -> float:
    """The derivative of `loss` at 0 by differences, by a smaller step where a kink stands within the larger."""
    best, doubt = 0.0, np.inf
    for step in (STEP / k for k in CLOSER):
        around = np.array([[[loss(sign * step * half) for sign in (1, -1)] for half in HALVES]])
        slopes, spreads = extrapolated(around, step)
        if spreads[0] < doubt or not np.isfinite(doubt):
            best, doubt = float(slopes[0]), float(spreads[0])
        if doubt <= allowed:
            break
    return best
