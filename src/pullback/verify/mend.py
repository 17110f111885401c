"""The edit that mends a wrong claim: candidates in order of cost, screened in numbers, proved exactly."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from time import monotonic
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64, Outcome, random_inputs
from pullback.expression import Bracket, Index, Tensor, walk
from pullback.reading.syntax import parse
from pullback.verify.edits import Change
from pullback.verify.edits import changes as changes_at
from pullback.verify.factors import cancelled, factor_of
from pullback.verify.paths import everywhere, missing
from pullback.verify.setting import Lines, Point, Setting
from pullback.verify.tree import Spot, binary, exchanged, name, spots, text_of
from pullback.verify.vocabulary import Known

READINGS: Final = 650  # of edited claims, all in all
LONGEST: Final = 5.0  # seconds of one search; only very large claims meet it
PAIRS: Final = 150  # of two edits at once
FEWEST: Final = 6  # readings that are made in any case
INDICES: Final = 5  # in a line with brackets, for which the whole budget holds
ENTRIES: Final = 20_000  # of the largest array of a claim for which the whole budget holds
LIGHT: Final = 1  # the cost of an edit that may be one of two
FACTOR: Final = 3  # the cost of a factor on top of another edit
TOLERANCE: Final = 1e-7
PROOFS: Final = 4  # exact checks of candidates that agree in numbers


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a claim: `before` becomes `after` in one line, so that `text` is the whole new claim."""

    before: str
    after: str
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.before}  →  {self.after}   ({self.words})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An edited claim, line by line; `line` is the first one that was changed."""

    cost: int
    line: int
    lines: tuple[str, ...]
    words: str

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def mended(
    setting: Setting, wrt: Tensor, text: str, accepted: Callable[[Lines, Outcome], bool]
) -> Edit | None:
    """The smallest edit after which the claim is right, or None.

    `accepted` says whether the outcome of the exact check counts as right.
    """
    return Search(setting, wrt, text, accepted).run()


class Search:
    """One search: what has been read so far counts against one budget."""

    def __init__(
        self, setting: Setting, wrt: Tensor, text: str, accepted: Callable[[Lines, Outcome], bool]
    ) -> None:
        self.setting = setting
        self.wrt = wrt
        self.accepted = accepted
        _, self.statements = parse(text)
        self.original = [text_of(statement) for statement in self.statements]
        self.known = Known(setting, wrt, self.original)
        self.readings = 0
        self.proofs = 0
        self.seen: set[str] = set()
        self.deadline = monotonic() + LONGEST

    def run(self) -> Edit | None:
        point = self.point
        if point is None:
            return None
        share = self.share(point)
        found = self.best(self.singles(), max(FEWEST, int(READINGS * share)))
        if found is None and share == 1:
            found = self.best(self.pairs(), self.readings + PAIRS)
        return found

    def share(self, point: Point) -> float:
        """How much of the budget there is: less where one line of many indices fills large arrays."""
        try:
            lines = self.setting.read(self.wrt, "\n".join(self.original))
        except PullbackError:
            return 1.0
        largest, most = 1, 0
        for line in lines:
            inside = {node for node in walk(line.body) if isinstance(node, Index)}
            extents = [point.forward.size(index.extent) for index in inside]
            if any(isinstance(node, Bracket) for node in walk(line.body)):
                most = max(most, len(inside))
            largest = max(largest, int(np.prod(extents, dtype=np.int64)))
        # The reader tries every read outside a tensor at several sizes: each index makes that dearer.
        return min(1.0, ENTRIES / largest, 8.0 ** (INDICES - most))

    # ---- candidates

    def singles(self) -> list[Candidate]:
        """Every single edit, the cheapest first."""
        made = [self._candidate([])]
        made += [self._candidate([(spot, change)]) for spot, change in self._changes()]
        made += self._terms()
        made += self._everywhere()
        return sorted(made, key=lambda c: (c.cost, -c.line, _usual(c.words)))

    def pairs(self) -> list[Candidate]:
        """Two light edits at places of which neither holds the other."""
        light = [(spot, change) for spot, change in self._changes() if change.cost <= LIGHT]
        made = []
        for first, second in combinations(light, 2):
            if not _nested(first[0].node, second[0].node):
                made.append(self._candidate([first, second]))
        return made

    def _changes(self) -> Iterator[tuple[Spot, Change]]:
        vocabulary = self.known.vocabulary()
        for spot in spots(self.statements):
            yield from ((spot, change) for change in changes_at(spot, vocabulary))
            yield from ((spot, change) for change in missing(spot, vocabulary))
            yield from ((spot, change) for change in self._indices(spot))

    def _candidate(self, edits: Sequence[tuple[Spot, Change]]) -> Candidate:
        """The claim with the edits made; the tree is put back afterwards."""
        for spot, change in edits:
            spot.put(change.node)
        lines = list(self.original)
        for k in {spot.statement for spot, _ in edits}:
            lines[k] = text_of(self.statements[k])
        shown = min((spot.statement for spot, _ in edits), default=len(lines) - 1)
        for spot, _ in edits:
            spot.put(spot.node)
        words = " and ".join(change.words for _, change in edits)
        cost = sum(change.cost for _, change in edits)
        return Candidate(cost, shown, tuple(lines), words)

    def _edit(self, found: Candidate) -> Edit:
        before, after = self.original[found.line], found.lines[found.line]
        if found.line == len(self.original) - 1:
            before, after = _right(before), _right(after)
        return Edit(before, after, found.words, found.text)

    def _everywhere(self) -> list[Candidate]:
        """One change wherever the same thing stands in the last line."""
        last = self.statements[-1]
        if not isinstance(last, ast.Assign | ast.Expr):
            return []
        value, made = last.value, []
        indexed = any(isinstance(node, ast.Subscript) for node in ast.walk(last))
        for side, words, cost in everywhere(value, self.known.vocabulary(), indexed):
            last.value = side
            lines = (*self.original[:-1], text_of(last))
            made.append(Candidate(cost, len(lines) - 1, lines, words))
        last.value = value
        return made

    def _terms(self) -> list[Candidate]:
        """A term of the derived gradient that the claim lacks."""
        derived = self.known.derived_side()
        last = self.statements[-1]
        if derived is None or not isinstance(last, ast.Assign | ast.Expr):
            return []
        made = []
        spot = Spot(
            last.value, lambda node: setattr(last, "value", node), len(self.statements) - 1, "root", False
        )
        for sign, term in _spread(derived):
            op: ast.operator = ast.Add() if sign > 0 else ast.Sub()
            change = Change(binary(last.value, op, term), f"the term {text_of(term)} is missing", 3)
            made.append(self._candidate([(spot, change)]))
        return made

    def _indices(self, spot: Spot) -> Iterator[Change]:
        """Another index of the same line, and brackets of two indices."""
        if not spot.indexed:
            return
        inside = self._line_indices[spot.statement]
        if spot.role == "slot" and isinstance(spot.node, ast.Name) and spot.node.id in inside:
            right = {n.id for n in ast.walk(self._value(spot.statement)) if isinstance(n, ast.Name)}
            for other in inside:
                if other != spot.node.id:
                    cost = 2 if other in right else 1
                    yield Change(name(other), f"index {other} instead of {spot.node.id}", cost)
        if spot.role == "root":
            for i, j in combinations(inside, 2):
                condition = ast.Compare(name(i), [ast.Eq()], [name(j)])
                yield Change(binary(spot.node, ast.Mult(), condition), f"the bracket ({i} == {j})", 2)
                yield Change(exchanged(spot.node, i, j), f"exchange {i} and {j}", 1)

    def _value(self, k: int) -> ast.expr:
        statement = self.statements[k]
        assert isinstance(statement, ast.Assign | ast.Expr)
        return statement.value

    @cached_property
    def _line_indices(self) -> list[list[str]]:
        known = {*self.setting.known, *self.setting.program.sizes, *self.known.own}
        target = self.setting.target(self.wrt)
        result = []
        for statement in self.statements:
            calls = {id(n.func) for n in ast.walk(statement) if isinstance(n, ast.Call)}
            names = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and id(n) not in calls]
            result.append([n for n in dict.fromkeys(names) if n not in known and n != target])
        return result

    # ---- the decision

    @cached_property
    def point(self) -> Point | None:
        """Random reals at small sizes where the gradient has a value."""
        for world in self.setting.checker.worlds():
            if world.kind != "distinct":
                continue
            for positive in (False, True):
                domain = Float64(TOLERANCE)
                values = random_inputs(
                    self.setting.inputs, world.sizes, domain, np.random.default_rng(9), positive=positive
                )
                point = Point(self.setting, domain, world.sizes, values)
                try:
                    if np.isfinite(point.true(self.wrt)).all():
                        return point
                except (PullbackError, np.linalg.LinAlgError):
                    continue
        return None

    def best(self, candidates: Sequence[Candidate], limit: int) -> Edit | None:
        """The cheapest candidate that is right, with a factor on top where one is missing."""
        with_factor: list[Candidate] = []
        for candidate in candidates:
            cheapest = min((found.cost for found in with_factor), default=None)
            late = monotonic() > self.deadline
            if late or self.readings >= limit or (cheapest is not None and cheapest < candidate.cost):
                break
            if candidate.text in self.seen:
                continue
            self.seen.add(candidate.text)
            self.readings += 1
            ratio = self.ratio(candidate)
            if ratio == 1 and candidate.cost and self.proved(candidate.text):
                return self._edit(candidate)
            if ratio is not None and ratio != 1 and "term" not in candidate.words:
                with_factor += self.scaled(candidate, ratio)
        for candidate in sorted(with_factor, key=lambda found: found.cost):
            if self.proved(candidate.text):
                return self._edit(candidate)
        return None

    def ratio(self, candidate: Candidate) -> float | None:
        """The constant c with truth = c * claim at the point, or None."""
        point = self.point
        assert point is not None
        try:
            claimed = np.asarray(self._value_of(candidate, point), dtype=float)
        except (PullbackError, np.linalg.LinAlgError):
            return None
        true = np.asarray(point.true(self.wrt), dtype=float)
        if not np.isfinite(claimed).all():
            return None
        claimed, true = np.broadcast_arrays(claimed, true)
        at = np.unravel_index(int(np.argmax(np.abs(claimed))), claimed.shape)
        if claimed[at] == 0:
            return None
        ratio = float(true[at] / claimed[at])
        close = np.abs(true - ratio * claimed) <= TOLERANCE * max(float(np.abs(true).max()), 1e-12)
        if not ratio or not close.all():
            return None
        return 1.0 if abs(ratio - 1) < TOLERANCE else ratio

    def _value_of(self, candidate: Candidate, point: Point) -> Any:
        """The claimed gradient; lines above the changed one are read and evaluated once."""
        above = self.above if candidate.line == len(self.original) - 1 else None
        if above is None:
            return point.claimed(self.setting.read(self.wrt, candidate.text))
        made, values = above
        lines = self.setting.read_below(self.wrt, candidate.lines[-1], made)
        return point.claimed(lines, values)

    @cached_property
    def above(self) -> tuple[Mapping[str, Tensor], Callable[[str], Any]] | None:
        """The tensors of all lines but the last, and their values; None where they cannot stand alone."""
        if len(self.original) == 1:
            return None if self.point is None else ({}, self.point.value)
        try:
            lines = self.setting.read_above(self.wrt, "\n".join(self.original[:-1]))
        except PullbackError:
            return None
        made = {line.tensor.name: line.tensor for line in lines}
        if any(name in self.setting.known for name in made) or self.point is None:
            return None
        return made, self.point.beyond(lines).tensor

    @cached_property
    def named(self) -> dict[str, float]:
        """The values of sizes and scalar inputs at the point."""
        assert self.point is not None
        found = {name: float(n) for name, n in self.point.sizes.items()}
        for tensor in self.setting.program.inputs:
            if not tensor.rank and not tensor.is_integer:
                found[tensor.name] = float(self.point.forward.tensor(tensor.name))
        return found

    def scaled(self, candidate: Candidate, ratio: float) -> list[Candidate]:
        """The candidate with a factor in front of its last line, where the ratio is one that has a name."""
        factor = factor_of(ratio, self.named, TOLERANCE)
        if factor is None:
            return []
        said, apply = factor[:2]
        _, statements = parse(candidate.text)
        last = statements[-1]
        assert isinstance(last, ast.Assign | ast.Expr)
        last.value = cancelled(last.value, *factor[2:]) or apply(last.value)
        lines = (*candidate.lines[:-1], text_of(last))
        words = f"{candidate.words}, and {said}" if candidate.words else said
        return [Candidate(candidate.cost + FACTOR, candidate.line, lines, words)]

    def proved(self, text: str) -> bool:
        if self.proofs >= PROOFS:
            return False
        self.proofs += 1
        try:
            lines = self.setting.read(self.wrt, text)
            return self.accepted(lines, self.setting.outcome(self.wrt, lines))
        except (PullbackError, np.linalg.LinAlgError):
            return False


def _usual(words: str) -> int:
    """Among edits of one cost: a wrong axis and a forgotten transpose before the rest."""
    return 0 if words.startswith("over axis") else 1 if words.startswith("transpose") else 2


def _nested(a: ast.expr, b: ast.expr) -> bool:
    return any(node is b for node in ast.walk(a)) or any(node is a for node in ast.walk(b))


def _right(line: str) -> str:
    """The right side of a line, or the line with its target where that is index notation."""
    statement = ast.parse(line).body[0]
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return text_of(statement.value)
    return line


def _spread(derived: ast.expr) -> list[tuple[int, ast.expr]]:
    """Its terms; those of a factor or a numerator, each with the rest of the product, count as well."""
    found = _terms_of(derived)
    for sign, term in list(found):
        match term:
            case ast.BinOp(left=a, op=ast.Mult() | ast.Div() | ast.MatMult() as op, right=b):
                found += [(sign * s, binary(t, op, b)) for s, t in _terms_of(a) if t is not a]
                if not isinstance(op, ast.Div):
                    found += [(sign * s, binary(a, op, t)) for s, t in _terms_of(b) if t is not b]
    return found


def _terms_of(node: ast.expr, sign: int = 1) -> list[tuple[int, ast.expr]]:
    match node:
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            return [*_terms_of(a, sign), *_terms_of(b, sign)]
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            return [*_terms_of(a, sign), *_terms_of(b, -sign)]
        case ast.UnaryOp(op=ast.USub(), operand=a):
            return _terms_of(a, -sign)
    return [(sign, node)]
