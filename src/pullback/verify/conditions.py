"""Claims that hold only under a condition: a symmetric matrix, equal sizes, a size of 1, a positive input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64, HighPrecision, PrimeField, random_inputs
from pullback.evaluator.domain import Domain
from pullback.evaluator.sizes import is_legal
from pullback.expression import Definition, Tensor, clash
from pullback.sizes import same_size
from pullback.verify.restrictions import restricted
from pullback.verify.setting import Point, Setting
from pullback.verify.witness import shape_at

TRIALS: Final = 4
MOST: Final = 100  # conditions that are tried
VALUES: Final = ("1", "2", "0", "-1", "1/2")  # of a scalar
FEW: Final = 4  # sizes, or fewer, of which pairs are tried


@dataclass(frozen=True, slots=True)
class Condition:
    """A restriction in words: facts of inputs, and sizes that are 1 or equal to another."""

    words: str
    facts: Mapping[str, str]
    ones: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()
    special: tuple[tuple[str, str], ...] = ()  # tensors under a restriction that is no fact, or of one value

    @property
    def declaration(self) -> str:
        """The facts as a program declares them."""
        return "; ".join(f"{fact}({name})" for name, fact in self.facts.items())


def conditions(setting: Setting, wrt: Tensor) -> Iterator[Condition]:
    """Restrictions under which wrong formulas are often right, the single ones first."""
    square = [t for t in setting.inputs if _is_square(t) and not t.facts & {"symmetric", "spd"}]
    real = [t for t in setting.program.inputs if not t.is_integer]
    given = [t for t in real if t is not wrt]
    for tensor in square:
        yield Condition(f"{tensor} is symmetric", {tensor.name: "symmetric"})
    yield from _together([t for t in square if t in given], "symmetric")
    for tensor in given:
        if _is_square(tensor):
            yield from _matrices(tensor)
    for tensor in real:
        if not tensor.facts:
            yield Condition(f"{tensor} is positive", {tensor.name: "positive"})
    for tensor in given:
        yield from _entries(tensor) if tensor.rank else _values(tensor)
    yield from _sizes(setting.program.sizes)
    yield from _together(square, "symmetric")
    yield from _together([t for t in real if not t.facts], "positive")
    for tensor in setting.inputs:
        if tensor.rank == 1 and not tensor.is_integer and not tensor.facts:
            yield Condition(f"the entries of {tensor} sum to 0", {}, special=((tensor.name, "centred"),))


def _together(tensors: Sequence[Tensor], fact: str) -> Iterator[Condition]:
    """One fact of two tensors, and of all."""
    pairs = list(combinations(tensors, 2)) if len(tensors) <= FEW else []
    for chosen in [*pairs, *([tuple(tensors)] if len(tensors) > 2 else [])]:
        names = " and ".join(t.name for t in chosen)
        yield Condition(f"{names} are {fact}", {t.name: fact for t in chosen})


def _matrices(tensor: Tensor) -> Iterator[Condition]:
    positive = f"{tensor} is lower triangular with a positive diagonal"
    yield Condition(positive, {tensor.name: "lower_triangular"})
    yield Condition(f"the diagonal of {tensor} is zero", {tensor.name: "zero_diagonal"})
    if not tensor.facts:
        yield Condition(f"{tensor} is diagonal", {}, special=((tensor.name, "diagonal"),))
        yield Condition(f"{tensor} is orthogonal", {}, special=((tensor.name, "orthogonal"),))


def _entries(tensor: Tensor) -> Iterator[Condition]:
    yield Condition(f"the entries of {tensor} are 0 or 1", {tensor.name: "binary"})
    each = "the entries" if tensor.rank == 1 else "the rows"
    yield Condition(f"{each} of {tensor} sum to 1", {tensor.name: "simplex"})
    if tensor.rank == 2:
        yield Condition(f"the columns of {tensor} sum to 1", {tensor.name: "simplex(axis=0)"})
    if not tensor.facts:
        yield Condition(f"the entries of {tensor} are all equal", {}, special=((tensor.name, "constant"),))
        yield Condition(f"every entry of {tensor} is 1", {}, special=((tensor.name, "1"),))


def _values(tensor: Tensor) -> Iterator[Condition]:
    for value in VALUES if not tensor.facts else ("1", "2", "1/2"):
        yield Condition(f"{tensor} = {value}", {}, special=((tensor.name, value),))


def _sizes(sizes: Sequence[str]) -> Iterator[Condition]:
    for name in sizes:
        yield Condition(f"{name} = 1", {}, ones=(name,))
    if len(sizes) <= FEW:
        for a, b in combinations(sizes, 2):
            yield Condition(f"{a} = {b}", {}, equal=((b, a),))


def _is_square(tensor: Tensor) -> bool:
    return tensor.rank == 2 and not tensor.is_integer and same_size(*tensor.shape)


def holds_only_if(setting: Setting, wrt: Tensor, lines: Sequence[Definition]) -> Condition | None:
    """The first condition under which a wrong claim is right."""
    for tried, condition in enumerate(conditions(setting, wrt)):
        if tried == MOST:
            break
        if holds_under(setting, wrt, lines, condition):
            return condition
    return None


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
        if not all(_agree(setting, wrt, lines, condition, sizes, Float64(1e-7, TRIALS)) for sizes in legal):
            return False
        # A mask of -1e30 stands for one of -∞: equal in floats, and nowhere else.
        if "lower_triangular" in condition.facts.values():
            return True
        # Nothing is positive modulo a prime: there many digits decide.
        positive = "positive" in condition.facts.values()
        exact: Domain[Any] = HighPrecision() if positive else PrimeField(TRIALS, key=11)
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
    rng = np.random.default_rng(8)
    shapes = {tensor.name: tensor.shape for tensor in setting.inputs}
    for name, kind in condition.special:
        values[name] = restricted(kind, values[name], shape_at(shapes[name], sizes), domain, rng)
    differs, known = Point(setting, domain, sizes, values).compared(wrt, lines)
    return not differs.any() and (silent or bool(known.any()))


def _with_fact(tensor: Tensor, fact: str | None) -> Tensor:
    if fact is None:
        return tensor
    facts = frozenset((fact,))
    return Tensor(
        tensor.name,
        tensor.shape,
        tensor.values,
        facts if clash(tensor.facts | facts) else tensor.facts | facts,
    )
