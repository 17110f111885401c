"""Points at which every definition has a value in the exact domain.

Half of the residues have no square root, so that a program with n roots has a value at one random point in 2ⁿ.
Points are selected stage by stage instead: those that pass the first roots are kept, and only what no definition
has read yet is drawn anew for the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pullback.errors import LimitProblem
from pullback.evaluator.domain import BoolArray, Domain, IntArray
from pullback.evaluator.draw import random_inputs
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField
from pullback.expression import Definition, Tensor, tensors

POINTS = (128, 1024)  # at once; many only where few leave less than half of what is wanted


def selected(
    definitions: Sequence[Definition],
    inputs: Sequence[Tensor],
    sizes: Mapping[str, int],
    key: int,
    wanted: int,
) -> Interpreter[Any] | None:
    """An interpreter at up to `wanted` independent points where every definition has a value, or None."""
    best: Interpreter[Any] | None = None
    for points in POINTS:
        try:
            with np.errstate(all="ignore"):
                found = _selected(definitions, inputs, sizes, PrimeField(points, key=key), wanted)
        except LimitProblem:
            break
        best = found or best
        if found is not None and 2 * found.domain.batch >= wanted:
            break
    return best


def _selected(
    definitions: Sequence[Definition],
    inputs: Sequence[Tensor],
    sizes: Mapping[str, int],
    domain: PrimeField,
    wanted: int,
) -> Interpreter[Any] | None:
    rng = np.random.default_rng([domain.key, 3])
    values = random_inputs(inputs, sizes, domain, rng)
    interpreter = Interpreter(domain, sizes, values, definitions)
    ancestors = np.arange(domain.batch)
    read: set[str] = set()
    for definition in definitions:
        read |= {tensor.name for tensor in tensors(definition.body)}
        if definition.tensor.is_integer:
            continue
        alive = with_value(domain, interpreter.tensor(definition.tensor.name), definition.tensor.rank)
        if alive.all():
            continue
        if not alive.any():
            return None
        chosen = np.resize(np.flatnonzero(alive), domain.batch)
        ancestors = ancestors[chosen]
        unread = random_inputs([t for t in inputs if t.name not in read], sizes, domain, rng)
        values = _taken(domain, inputs, values, chosen) | {
            t.name: unread[t.name] for t in inputs if t.name in unread and not t.is_integer
        }
        done = [d.tensor for d in definitions if d.tensor.name in interpreter.tensors]
        evaluated = _taken(domain, done, interpreter.tensors, chosen)
        interpreter = Interpreter(domain, sizes, evaluated | values, definitions)
    # One point for each ancestor: those that share one are not independent.
    first = np.sort(np.unique(ancestors, return_index=True)[1])[:wanted]
    few = PrimeField(first.size, key=domain.key)
    return Interpreter(few, sizes, _taken(domain, inputs, values, first), definitions)


def with_value(domain: Domain[Any], value: Any, rank: int) -> BoolArray:
    """The points at which every entry of a tensor of that rank has a value."""
    known = domain.difference(value, value)[1]
    shape = known.shape[known.ndim - rank :] if rank else ()
    every = np.broadcast_to(known, (domain.batch, *shape))
    return np.asarray(every.reshape(domain.batch, -1).all(axis=1))


def _taken(
    domain: PrimeField, tensors: Sequence[Tensor], values: Mapping[str, Any], chosen: IntArray
) -> dict[str, Any]:
    """The values at the chosen points; integers, and what does not depend on the draw, are the same at all."""

    def at(tensor: Tensor) -> Any:
        def rows(x: Any) -> Any:
            return x[chosen] if x.ndim > tensor.rank and x.shape[0] == domain.batch else x

        return values[tensor.name] if tensor.is_integer else domain.restructure(values[tensor.name], rows)

    return {tensor.name: at(tensor) for tensor in tensors}
