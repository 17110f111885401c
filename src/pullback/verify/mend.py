"""The edit that mends a wrong claim: candidates in order of cost, screened in numbers, proved exactly."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from time import thread_time
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64, Outcome, random_inputs
from pullback.expression import Bracket, Index, Tensor, walk
from pullback.reading.syntax import parse
from pullback.verify.candidates import Candidate, Candidates
from pullback.verify.factors import cancelled, factor_of
from pullback.verify.residual import Atom, lacking, same_array
from pullback.verify.screening import Screen, Unscreened
from pullback.verify.setting import Lines, Point, Setting
from pullback.verify.tidy import tidied
from pullback.verify.tree import Spot, expression, text_of
from pullback.verify.vocabulary import Known
from pullback.verify.whole import derived_lines

READINGS: Final = 500  # of edited claims that could not be screened
LONGEST: Final = 2.0  # seconds of one search; only large claims meet it
FEWEST: Final = 6  # readings that are made in any case
INDICES: Final = 5  # in a line with brackets, for which all readings are made
ENTRIES: Final = 20_000  # of the largest array of a claim for which all readings are made
WHOLE: Final = 9  # the cost of a line as it was derived
FACTOR: Final = 3  # the cost of a factor on top of another edit
TOLERANCE: Final = 1e-7
DRAWS: Final = (9, 10, 11, 12)  # of a point
TINY: Final = 1e-8  # what may be rounding of a zero
ENOUGH: Final = 0.3  # the share of entries of a gradient that are not zero
PROOFS: Final = 4  # exact checks of candidates that agree in numbers
FAULTS: Final = (ValueError, IndexError, TypeError, ArithmeticError, MemoryError, np.linalg.LinAlgError)


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
class Found:
    """A candidate that agrees with the truth in numbers, line by line."""

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
    """One search: what cannot be screened and what is proved counts against budgets."""

    def __init__(
        self, setting: Setting, wrt: Tensor, text: str, accepted: Callable[[Lines, Outcome], bool]
    ) -> None:
        self.setting = setting
        self.wrt = wrt
        self.accepted = accepted
        _, self.statements = parse(text)
        self.original = [text_of(statement) for statement in self.statements]
        self.candidates = Candidates(setting, Known(setting, wrt, self.original), self.statements)
        self.point: Point | None = None
        self.others: list[Point] | None = None
        self.readings = 0
        self.proofs = 0
        self.proved_not: set[str] = set()
        self.deadline = thread_time() + LONGEST

    def run(self) -> Edit | None:
        if not self.settle():
            return None
        found = self.best(self.candidates.singles())
        if found is None and self.screens:
            found = self.best(self.lacking())
            if found is None and thread_time() < self.deadline:
                found = self.best(self.candidates.pairs())
        return found or self.as_derived()

    def as_derived(self) -> Edit | None:
        """The last line as it was derived, where that is near."""
        root, known = self.candidates.root, self.candidates.known
        at = len(self.original) - 1
        self.proofs = 0
        for text in derived_lines(self.setting, self.wrt, known, self.statements[-1], indexed=root.indexed):
            found = Found(WHOLE, at, (*self.original[:-1], text), "as derived")
            if self.proved(found.text):
                return self._edit(found)
        return None

    def lacking(self) -> Iterator[Candidate]:
        """What the difference from the truth says is missing."""
        root = self.candidates.root
        if root.indexed:
            return
        try:
            with np.errstate(all="ignore"):
                self.screen.value({})
                yield from self._lacking(root)
        except (Unscreened, *FAULTS):
            return

    def _lacking(self, root: Spot) -> Iterator[Candidate]:
        screen = self.screen

        def value(node: ast.expr) -> Any:
            return np.asarray(screen.node(node), dtype=float)

        atoms: list[Atom] = []
        for text in self.candidates.known.atoms(screen.names):
            with suppress(Unscreened, *FAULTS):
                found = value(expression(text))
                if np.isfinite(found).all() and not any(same_array(found, atom.value) for atom in atoms):
                    atoms.append(Atom(text, found))
        for change in lacking(root.node, self.true, value, atoms, self.named):
            yield Candidate(change.cost, ((root, change),), change.words)

    # ---- the point

    def points(self) -> Iterator[tuple[float, Point]]:
        """Random reals at small sizes where the gradient has a value, and its share of entries that are not zero."""
        for world in self.setting.checker.worlds():
            for positive, seed in product((False, True), DRAWS) if world.kind == "distinct" else ():
                domain, rng = Float64(TOLERANCE), np.random.default_rng(seed)
                values = random_inputs(self.setting.inputs, world.sizes, domain, rng, positive=positive)
                point = Point(self.setting, domain, world.sizes, values)
                try:
                    true = np.asarray(point.true(self.wrt))
                except (PullbackError, np.linalg.LinAlgError):
                    break
                if np.isfinite(true).all():
                    yield float(np.mean(np.abs(true) > TINY)), point

    def settle(self) -> bool:
        """Choose a point where the claim as written is not the truth; False where there is none."""
        fair: list[Point] = []
        for share, point in self.points():
            self.point = point
            for word in ("screen", "screens", "true", "largest", "named"):
                self.__dict__.pop(word, None)
            if self.ratio(Candidate(0, (), "")) != 1:
                if share > ENOUGH:
                    return True
                fair.append(point)
        if fair:
            self.point = fair[0]
            for word in ("screen", "screens", "true", "largest", "named"):
                self.__dict__.pop(word, None)
        return bool(fair)

    @cached_property
    def screen(self) -> Screen:
        point = self.point
        assert point is not None
        held: dict[str, Any] = {}

        def known(word: str) -> Any:
            if word not in held:
                is_known = word in self.setting.known
                held[word] = np.asarray(point.value(word)) if is_known else None
            return held[word]

        ranges = {
            index: point.forward.size(size) for index, size in dict(self.setting.program.ranges).items()
        }
        screen = Screen(self.statements, known, point.sizes, np.shape(self.true), ranges)
        with np.errstate(all="ignore"):
            try:
                screen.warm()
            except Unscreened:
                screen.keeping = False
        return screen

    @cached_property
    def screens(self) -> bool:
        """Whether the claim as written means something to the screen."""
        try:
            with np.errstate(all="ignore"):
                self.screen.value({})
        except Unscreened:
            return False
        except FAULTS:
            return True
        return True

    @cached_property
    def true(self) -> Any:
        assert self.point is not None
        true = np.asarray(self.point.true(self.wrt), dtype=float)
        shape = [self.point.forward.size(extent) for extent in self.wrt.shape]
        return np.broadcast_to(true, shape)

    @cached_property
    def largest(self) -> float:
        return max(float(np.abs(self.true).max(initial=0.0)), 1e-12)

    # ---- the decision

    def best(self, candidates: Iterable[Candidate]) -> Edit | None:
        """The cheapest candidate that is right, with a factor on top where one is missing."""
        with_factor: list[Found] = []
        for candidate in candidates:
            cheapest = min((found.cost for found in with_factor), default=None)
            if thread_time() > self.deadline or (cheapest is not None and cheapest < candidate.cost):
                break
            ratio = self.ratio(candidate)
            if ratio is None:
                continue
            found = self.found(candidate)
            if ratio == 1:
                proved = self.first_proved(found) if candidate.cost else None
                if proved is not None:
                    return self._edit(proved)
            elif "term" not in candidate.words:
                with_factor += self.scaled(found, ratio)
        for found in sorted(with_factor, key=lambda found: found.cost):
            proved = self.first_proved(found)
            if proved is not None:
                return self._edit(proved)
        return None

    def first_proved(self, found: Found) -> Found | None:
        """The candidate as a person would write it, or as it is; None where neither is right."""
        plain = replace(found, lines=tuple(_plain(line, self.named) for line in found.lines))
        if plain.lines != found.lines and plain.text != "\n".join(self.original) and self.proved(plain.text):
            return plain
        return found if self.proved(found.text) else None

    def ratio(self, candidate: Candidate) -> float | None:
        """The constant c with truth = c * claim at the point, or None."""
        with np.errstate(all="ignore"):
            claimed = self.value(candidate)
        if claimed is None:
            return None
        claimed = np.asarray(claimed, dtype=float)
        true = self.true
        if claimed.shape != true.shape:
            if claimed.ndim > true.ndim:
                return None
            try:
                claimed = np.broadcast_to(claimed, true.shape)
            except ValueError:
                return None
        flat = claimed.ravel()
        at = int(np.argmax(np.abs(flat)))
        if not flat[at] or not np.isfinite(flat[at]):
            return None
        ratio = float(true.ravel()[at] / flat[at])
        if not ratio or not (np.abs(true - ratio * claimed) <= TOLERANCE * self.largest).all():
            return None
        return 1.0 if abs(ratio - 1) < TOLERANCE else ratio

    def value(self, candidate: Candidate) -> Any:
        """The claimed gradient of an edited claim at the point, or None."""
        touched = self.candidates.touched(candidate)
        candidate.make()
        try:
            return self.screen.value(touched)
        except Unscreened:
            pass
        except FAULTS:
            return None
        finally:
            candidate.undo()
        if candidate.edits and (self.screens or self.readings >= self.allowed):
            return None
        self.readings += 1
        assert self.point is not None
        try:
            return self.point.claimed(self.setting.read(self.wrt, self.found(candidate).text))
        except (PullbackError, np.linalg.LinAlgError):
            return None

    @cached_property
    def allowed(self) -> int:
        """How many readings: fewer where one line of many indices fills large arrays."""
        assert self.point is not None
        try:
            lines = self.setting.read(self.wrt, "\n".join(self.original))
        except PullbackError:
            return READINGS
        largest, most = 1, 0
        for line in lines:
            inside = {node for node in walk(line.body) if isinstance(node, Index)}
            extents = [self.point.forward.size(index.extent) for index in inside]
            if any(isinstance(node, Bracket) for node in walk(line.body)):
                most = max(most, len(inside))
            largest = max(largest, int(np.prod(extents, dtype=np.int64)))
        # The reader tries every read outside a tensor at several sizes: each index makes that dearer.
        return max(FEWEST, int(READINGS * min(1.0, ENTRIES / largest, 8.0 ** (INDICES - most))))

    def found(self, candidate: Candidate) -> Found:
        """The edited claim as text."""
        candidate.make()
        lines = list(self.original)
        for k in {spot.statement for spot, _ in candidate.edits}:
            lines[k] = text_of(self.statements[k])
        candidate.undo()
        line = candidate.line if candidate.edits else len(lines) - 1
        return Found(candidate.cost, line, tuple(lines), candidate.words)

    def _edit(self, found: Found) -> Edit:
        before, after = self.original[found.line], found.lines[found.line]
        if found.line == len(self.original) - 1:
            before, after = _right(before), _right(after)
        return Edit(before, after, found.words, found.text)

    @cached_property
    def named(self) -> Mapping[str, float]:
        """The values of sizes and scalar inputs at the point."""
        assert self.point is not None
        found = {name: float(n) for name, n in self.point.sizes.items()}
        for tensor in self.setting.program.inputs:
            if not tensor.rank and not tensor.is_integer:
                found[tensor.name] = float(self.point.forward.tensor(tensor.name))
        return found

    def scaled(self, found: Found, ratio: float) -> list[Found]:
        """The candidate with a factor in front of its last line, where the ratio is one that has a name."""
        factor = factor_of(ratio, self.named, TOLERANCE)
        if factor is None:
            return []
        said, apply = factor[:2]
        _, statements = parse(found.text)
        last = statements[-1]
        assert isinstance(last, ast.Assign | ast.Expr)
        last.value = cancelled(last.value, *factor[2:]) or apply(last.value)
        lines = (*found.lines[:-1], text_of(last))
        words = f"{found.words}, and {said}" if found.words else said
        return [Found(found.cost + FACTOR, found.line, lines, words)]

    @property
    def elsewhere(self) -> list[Point]:
        """More points, at which what is equal by chance is not."""
        if self.others is None:
            found = (point for _, point in self.points() if point is not self.point)
            self.others = list(islice(found, 2))
        return self.others

    def proved(self, text: str) -> bool:
        if self.proofs >= PROOFS or text in self.proved_not:
            return False
        try:
            lines = self.setting.read(self.wrt, text)
            if not all(point.agrees(self.wrt, lines) for point in self.elsewhere):
                return False
            self.proofs += 1
            if self.accepted(lines, self.setting.outcome(self.wrt, lines)):
                return True
        except (PullbackError, np.linalg.LinAlgError):
            pass
        self.proved_not.add(text)
        return False


def _plain(line: str, scalars: Mapping[str, float]) -> str:
    """A line with its right side in its plain form."""
    statement = ast.parse(line).body[0]
    assert isinstance(statement, ast.Assign | ast.Expr)
    statement.value = tidied(statement.value, scalars)
    return text_of(statement)


def _right(line: str) -> str:
    """The right side of a line, or the line with its target where that is index notation."""
    statement = ast.parse(line).body[0]
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return text_of(statement.value)
    return line
