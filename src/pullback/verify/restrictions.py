"""Values under restrictions that no fact declares: matrices diagonal or orthogonal, entries equal or of sum 0."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.evaluator.domain import Domain

# Two sides and the hypotenuse of right triangles: rational rotations.
TRIPLES: Final = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (20, 21, 29))


def restricted(
    kind: str, value: Any, shape: tuple[int, ...], domain: Domain[Any], rng: np.random.Generator
) -> Any:
    """A drawn value as the restriction has it."""
    match kind:
        case "diagonal":
            return domain.mul(value, domain.integers(np.eye(shape[0], dtype=np.int64)))
        case "orthogonal":
            return _orthogonal(shape[0], domain, rng)
        case "centred":
            return domain.sub(value, _mean(value, shape, domain))
        case "constant":
            return domain.add(domain.sub(value, value), _mean(value, shape, domain))
    return domain.mul(domain.number(Fraction(kind)), domain.integers(np.ones(shape, dtype=np.int64)))


def _mean(value: Any, shape: tuple[int, ...], domain: Domain[Any]) -> Any:
    count = domain.number(Fraction(1, max(1, int(np.prod(shape)))))
    return domain.widen(domain.mul(domain.total(value, len(shape)), count), len(shape))


def _orthogonal(size: int, domain: Domain[Any], rng: np.random.Generator) -> Any:
    """A product of rational rotations and a reflection."""
    entries = np.array([[Fraction(int(i == j)) for j in range(size)] for i in range(size)], dtype=object)
    entries[:, 0] *= int(rng.choice((-1, 1)))
    for i in range(size - 1):
        a, b, c = TRIPLES[int(rng.integers(len(TRIPLES)))]
        turn = np.array([[Fraction(int(k == m)) for m in range(size)] for k in range(size)], dtype=object)
        turn[i, i] = turn[i + 1, i + 1] = Fraction(a, c)
        turn[i, i + 1], turn[i + 1, i] = Fraction(-b, c), Fraction(b, c)
        entries = turn @ entries
    common = int(np.lcm.reduce([e.denominator for e in entries.ravel()] or [1]))
    whole = np.array([[int(e * common) for e in row] for row in entries], dtype=np.int64)
    return domain.mul(domain.integers(whole), domain.number(Fraction(1, common)))
