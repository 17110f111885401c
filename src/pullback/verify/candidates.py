"""Edited claims in order of their cost: one edit, the same edit everywhere, two edits."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from pullback.verify.edits import Change, Vocabulary
from pullback.verify.edits import changes as changes_at
from pullback.verify.forgotten import forgotten
from pullback.verify.paths import everywhere, missing
from pullback.verify.setting import Setting
from pullback.verify.slots import slot_changes
from pullback.verify.tree import Spot, additive_terms, binary, exchanged, name, path_to, spots, text_of
from pullback.verify.vocabulary import Known

LIGHT: Final = 2  # the cost of an edit that may be one of two
PAIRS: Final = 16_000  # of two edits at once
MOST_LIGHT: Final = 400  # edits that may be one of two


@dataclass(frozen=True, slots=True)
class Candidate:
    """A claim with edits; none is made in the tree but while it is looked at."""

    cost: int
    edits: tuple[tuple[Spot, Change], ...]
    words: str

    @property
    def line(self) -> int:
        """The first line that is changed, or -1."""
        return min((spot.statement for spot, _ in self.edits), default=-1)

    def make(self) -> None:
        for spot, change in self.edits:
            spot.put(change.node)

    def undo(self) -> None:
        for spot, _ in self.edits:
            spot.put(spot.node)


class Candidates:
    """What one claim may become."""

    def __init__(self, setting: Setting, known: Known, statements: Sequence[ast.stmt]) -> None:
        self.setting = setting
        self.known = known
        self.statements = statements
        self.places = list(spots(statements))
        self._paths: dict[int, frozenset[int]] = {}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self.known.vocabulary()

    def singles(self) -> list[Candidate]:
        """The claim itself, and every single edit, the cheapest first."""
        made = [Candidate(0, (), "")]
        made += [Candidate(change.cost, ((spot, change),), change.words) for spot, change in self._changes]
        made += [Candidate(c.cost, ((self.root, c),), c.words) for c in (*self._terms(), *self._everywhere())]
        return sorted(made, key=lambda c: (c.cost, -c.line, _usual(c.words), _odd(c)))

    def pairs(self) -> list[Candidate]:
        """Two light edits at places of which neither holds the other, the cheapest first."""
        light = sorted((e for e in self._changes if e[1].cost <= LIGHT), key=lambda e: e[1].cost)
        inside = [{id(part) for part in ast.walk(spot.node)} for spot, _ in light]
        kinds = [change.words.split(maxsplit=1)[0] for _, change in light]
        ranked = []
        for first, second in combinations(range(min(len(light), MOST_LIGHT)), 2):
            a, b = light[first], light[second]
            if id(a[0].node) not in inside[second] and id(b[0].node) not in inside[first]:
                # Two edits of one kind are likelier than two of different kinds.
                ranked.append((a[1].cost + b[1].cost, kinds[first] != kinds[second], first, second))
        ranked.sort()
        return [
            Candidate(cost, (light[a], light[b]), f"{light[a][1].words} and {light[b][1].words}")
            for cost, _, a, b in ranked[:PAIRS]
        ]

    def touched(self, candidate: Candidate) -> Mapping[int, frozenset[int]]:
        """The nodes of each line that an edit changes: those above the places."""
        found: dict[int, frozenset[int]] = {}
        for spot, _ in candidate.edits:
            key = id(spot.node)
            if key not in self._paths:
                self._paths[key] = frozenset(path_to(self.statements[spot.statement], spot.node))
            found[spot.statement] = found.get(spot.statement, frozenset()) | self._paths[key]
        return found

    # ---- single edits

    @cached_property
    def _changes(self) -> list[tuple[Spot, Change]]:
        known, found = self.vocabulary, []
        for spot in self.places:
            here = [*changes_at(spot, known), *missing(spot, known), *forgotten(spot, known)]
            here += [*self._indices(spot), *slot_changes(spot, self._line_indices[spot.statement], known)]
            seen: set[str] = set()
            for change in sorted(here, key=lambda c: c.cost):
                text = text_of(change.node)
                if text not in seen:
                    seen.add(text)
                    found.append((spot, change))
        return found

    @cached_property
    def root(self) -> Spot:
        return next(s for s in self.places if s.role == "root" and s.statement == len(self.statements) - 1)

    def _everywhere(self) -> Iterator[Change]:
        """One change wherever the same thing stands in the last line."""
        for side, words, cost in everywhere(self.root.node, self.vocabulary, self.root.indexed):
            yield Change(side, words, cost)

    def _terms(self) -> Iterator[Change]:
        """A term of the derived gradient that the claim lacks."""
        derived = self.known.derived_side()
        if derived is None:
            return
        for sign, term in _spread(derived):
            op: ast.operator = ast.Add() if sign > 0 else ast.Sub()
            yield Change(binary(self.root.node, op, term), f"the term {text_of(term)} is missing", 3)

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
        target = self.setting.target(self.known.wrt)
        result = []
        for statement in self.statements:
            calls = {id(n.func) for n in ast.walk(statement) if isinstance(n, ast.Call)}
            names = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and id(n) not in calls]
            result.append([n for n in dict.fromkeys(names) if n not in known and n != target])
        return result


def _odd(candidate: Candidate) -> bool:
    """A factor beside a matrix that is transposed: it is written beside a vector where it can be."""
    puts = candidate.words.startswith(("the factor", "the derivative"))
    return puts and any(isinstance(spot.node, ast.Attribute | ast.UnaryOp) for spot, _ in candidate.edits)


def _usual(words: str) -> int:
    """Among edits of one cost: a wrong axis and a forgotten transpose before the rest."""
    return 0 if words.startswith("over axis") else 1 if words.startswith("transpose") else 2


def _spread(derived: ast.expr) -> list[tuple[int, ast.expr]]:
    """Its terms; those of a factor or a numerator, each with the rest of the product, count as well."""
    found = additive_terms(derived)
    for sign, term in list(found):
        match term:
            case ast.BinOp(left=a, op=ast.Mult() | ast.Div() | ast.MatMult() as op, right=b):
                found += [(sign * s, binary(t, op, b)) for s, t in additive_terms(a) if t is not a]
                if not isinstance(op, ast.Div):
                    found += [(sign * s, binary(a, op, t)) for s, t in additive_terms(b) if t is not b]
    return found
