"""Claims that hold only under a condition: a symmetric matrix, equal sizes, a size of 1, a positive input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64, PrimeField, random_inputs
from pullback.evaluator.domain import Domain
from pullback.evaluator.floats import Floats
from pullback.evaluator.sizes import is_legal
from pullback.expression import Definition, Tensor
from pullback.sizes import same_size
from pullback.verify.setting import Point, Setting

TRIALS: Final = 4
MOST: Final = 60  # conditions that are tried
FEW: Final = 4  # sizes, or fewer, of which pairs are tried


@dataclass(frozen=True, slots=True)
class Condition:
    """A restriction in words: facts of inputs, and sizes that are 1 or equal to another."""

    words: str
    facts: Mapping[str, str]
    ones: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()
    units: tuple[str, ...] = ()  # scalars that are 1
    made: tuple[str, str] | None = None  # an input, and the kind of values it has


def conditions(setting: Setting, wrt: Tensor) -> Iterator[Condition]:
    """Restrictions under which wrong formulas are often right, the single ones first."""
    square = [t for t in setting.inputs if _is_square(t) and not t.facts & {"symmetric", "spd"}]
    for tensor in square:
        yield Condition(f"{tensor} is symmetric", {tensor.name: "symmetric"})
    real = [t for t in setting.program.inputs if not t.is_integer]
    given = [t for t in real if t is not wrt]
    for tensor in given:
        if _is_square(tensor):
            yield Condition(f"{tensor} is tril(ones)", {}, made=(tensor.name, "causal"))
            yield Condition(f"the diagonal of {tensor} is zero", {}, made=(tensor.name, "hollow"))
    for tensor in real:
        if not tensor.facts:
            yield Condition(f"{tensor} is positive", {tensor.name: "positive"})
    for tensor in given:
        if tensor.rank:
            yield Condition(f"the entries of {tensor} are 0 or 1", {}, made=(tensor.name, "mask"))
            each = "the entries" if tensor.rank == 1 else "the rows"
            yield Condition(f"{each} of {tensor} sum to 1", {}, made=(tensor.name, "rows"))
        else:
            yield Condition(f"{tensor} = 1", {}, units=(tensor.name,))
    sizes = setting.program.sizes
    for name in sizes:
        yield Condition(f"{name} = 1", {}, ones=(name,))
    if len(sizes) <= FEW:
        for a, b in combinations(sizes, 2):
            yield Condition(f"{a} = {b}", {}, equal=((b, a),))
    if len(square) > 1:
        names = " and ".join(t.name for t in square)
        yield Condition(f"{names} are symmetric", {t.name: "symmetric" for t in square})


def _made(kind: str, x: Floats, rng: np.random.Generator) -> Floats:
    """Masks, distributions, distances, for which the language has no fact; in the shape of the draws."""
    match kind:
        case "mask":
            return np.asarray(rng.integers(0, 2, size=x.shape), dtype=float)
        case "rows":
            positive = np.abs(x) + 0.1
            return np.asarray(positive / positive.sum(axis=-1, keepdims=True))
        case "hollow":
            return np.where(np.eye(x.shape[-1], dtype=bool), 0.0, x)
    return np.broadcast_to(np.tril(np.ones(x.shape[-2:])), x.shape)


def _is_square(tensor: Tensor) -> bool:
    return tensor.rank == 2 and not tensor.is_integer and same_size(*tensor.shape)


def holds_only_if(setting: Setting, wrt: Tensor, lines: Sequence[Definition]) -> str:
    """The first condition under which a wrong claim is right, in words; empty where none is found."""
    for tried, condition in enumerate(conditions(setting, wrt)):
        if tried == MOST:
            break
        if holds_under(setting, wrt, lines, condition):
            return condition.words
    return ""


def holds_under(setting: Setting, wrt: Tensor, lines: Sequence[Definition], condition: Condition) -> bool:
    """Whether both sides agree at random points that meet the condition: floats first, then exactly."""
    worlds = [dict(world.sizes) for world in setting.checker.worlds() if world.kind == "distinct"]
    assigned = [_restricted(sizes, condition) for sizes in worlds]
    legal = [sizes for sizes in assigned if is_legal(setting.extents, sizes)]
    if not legal:
        return False
    try:
        if not _agree(setting, wrt, lines, condition, legal[0], Float64(1e-7, TRIALS)):
            return False
        exact: Domain[Any] = PrimeField(TRIALS, key=11)
        if not all(_agree(setting, wrt, lines, condition, sizes, Float64(1e-7, TRIALS)) for sizes in legal):
            return False
        if condition.made is not None:
            return True
        return _agree(setting, wrt, lines, condition, legal[0], exact, silent=True)
    except (PullbackError, np.linalg.LinAlgError):
        return False


def _restricted(sizes: Mapping[str, int], condition: Condition) -> dict[str, int]:
    changed = {**sizes, **dict.fromkeys(condition.ones, 1)}
    for name, other in condition.equal:
        changed[name] = changed[other]
    return changed


def _agree(
    setting: Setting,
    wrt: Tensor,
    lines: Sequence[Definition],
    condition: Condition,
    sizes: Mapping[str, int],
    domain: Any,
    *,
    silent: bool = False,
) -> bool:
    """Agreement at random values; with `silent` a point without any value counts as agreement."""
    inputs = [_with_fact(t, condition.facts.get(t.name)) for t in setting.inputs]
    values = random_inputs(inputs, sizes, domain, np.random.default_rng(6))
    for name in condition.units:
        values[name] = domain.integers(np.array(1))
    if condition.made is not None:
        name, kind = condition.made
        values[name] = _made(kind, values[name], np.random.default_rng(7))
    differs, known = Point(setting, domain, sizes, values).compared(wrt, lines)
    return not differs.any() and (silent or bool(known.any()))


def _with_fact(tensor: Tensor, fact: str | None) -> Tensor:
    if fact is None:
        return tensor
    return Tensor(tensor.name, tensor.shape, tensor.values, tensor.facts | {fact})
