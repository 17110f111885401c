"""Central differences in float64, which share nothing with the exact check: by entries, or along random directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from pullback.derivation import Derived
from pullback.errors import LimitProblem
from pullback.evaluator import Checker, Float64, Interpreter, numeric_gradients, random_inputs
from pullback.evaluator.derivatives import CLOSER, DOUBT, HALVES, extrapolated
from pullback.evaluator.floats import Floats
from pullback.evaluator.sizes import assignments
from pullback.expression import Definition, Tensor
from pullback.sizes import evaluate_size

DIRECTIONS = 3
STEP = 1e-3
LARGEST_CENTRAL = 256  # entries that are moved one by one; more are moved along a few directions
SMALLEST_SCALE = 1e-5  # below this the rounding of the differences themselves is all that is left


def by_differences(
    derived: Derived, wrt: Tensor, lines: Sequence[Definition], checker: Checker
) -> float | None:
    """Central differences, entry by entry where these are few enough."""
    try:
        sizes = checker.worlds()[0].sizes
        entries = math.prod(evaluate_size(extent, sizes) for extent in wrt.shape)
        if entries <= LARGEST_CENTRAL:
            return central_difference(derived, wrt, lines, sizes)
    except LimitProblem:
        extents = {extent for tensor in derived.program.by_name.values() for extent in tensor.shape}
        sizes = next(assignments(extents), {})
    return directional_difference(derived, wrt, lines, sizes)


def central_difference(
    derived: Derived, wrt: Tensor, lines: Sequence[Definition], sizes: Mapping[str, int]
) -> float | None:
    """The largest difference from central differences in float64, relative to the largest entry."""
    rng = np.random.default_rng(3)
    domain = Float64()
    inputs = list(derived.program.inputs)
    if derived.upstream is not None:
        inputs.append(derived.upstream)
    values: dict[str, Any] = random_inputs(inputs, sizes, domain, rng)
    given = values.get(derived.upstream.name) if derived.upstream is not None else None
    definitions = derived.program.definitions
    numeric = numeric_gradients(definitions, values, sizes, [wrt], derived.program.output, given)[wrt.name]
    with np.errstate(all="ignore"):
        forward = Interpreter(domain, sizes, values, definitions)
        beyond = Interpreter(domain, sizes, {}, lines, forward.tensor)
        found = np.broadcast_to(np.asarray(beyond.tensor(lines[-1].tensor.name)), numeric.shape)
    return largest_difference(found, numeric)


def largest_difference(found: Any, numeric: Any) -> float | None:
    """Relative to the largest entry of the second, over the entries that both have; None where there is none."""
    both = np.isfinite(found) & np.isfinite(numeric)
    if not both.any():
        return None
    scale = max(float(np.abs(numeric[both]).max()), SMALLEST_SCALE)
    return float(np.abs(found - numeric)[both].max()) / scale


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
