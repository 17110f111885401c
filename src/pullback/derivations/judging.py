"""Each line of a derivation judged: against the truth, and against the side before it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pullback.derivations.differentials import GRADIENT, DifferentialSetting, all_moved, moved_by
from pullback.derivations.doubts import as_vector, as_zeros, doubtful
from pullback.derivations.grammar import read_condition, read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowered
from pullback.derivations.parts import Part
from pullback.derivations.rows import Rows, is_written_out
from pullback.derivations.setting import LEFT
from pullback.derivations.statements import Judged, Statements, said
from pullback.derivations.wording import conditions_in_words
from pullback.errors import IndexProblem, PullbackError, SyntaxProblem
from pullback.expression import ONE, Expr, Index, Size, add, walk
from pullback.reading.shapes import size_expression
from pullback.sizes import normal_size, same_size, size_text
from pullback.verify.claims import judge
from pullback.verify.tree import binary, text_of

_MEASURED: Final = re.compile(r"(size|numel|entries|bytes)\((.*)\)")
MENDED: Final = 12  # wrong lines for which an edit is looked for
LONGEST_HINT: Final = 120  # characters that are shown beside a line


@dataclass(slots=True)
class Target:
    """What the sides of a chain are compared with, and how a side is written as a claim about it."""

    kind: str
    key: str  # the name of the tensor that a claim is about
    head: str  # what stands before a side: empty, or `dW[i, j] = `
    left: list[str] | None  # the indices on the left
    written: str = ""  # the left side in the language
    prefix: tuple[str, ...] = ()
    condition: ast.expr | None = None
    rows: Rows | None = None  # how sides are written out, where they hold rows by one index
    letters: list[str] = field(default_factory=list)  # of the axes that a side has


@dataclass(slots=True)
class Judging(Statements):
    """Walks over the statements of a draft in their order."""

    mended: int = 0  # wrong lines so far
    before: dict[str, str] = field(default_factory=dict)  # what was last said of a target
    columns: bool = False  # whether `v_j` is read as column j
    saw_rows: bool = False
    moved: set[str] | None = None
    said: dict[str, str] = field(default_factory=dict)  # gradient -> the line that last defined it

    @property
    def given(self) -> str:
        """The name of the upstream gradient."""
        return "" if self.setting.upstream is None else self.setting.upstream.name

    def run(self) -> list[Judged]:
        found: list[Judged] = []
        done: set[int] = set()
        for part in self.draft.parts:
            match part.kind:
                case "chain" if id(part) not in done:
                    found += self.with_later(part, done)
                case "shape":
                    found += [self.shape(part, subject) for subject in part.names]
        return [judged for judged in found if judged.kind != "prose"]

    # ---- chains

    def with_later(self, part: Part, done: set[int]) -> list[Judged]:
        """A chain, after what it reads and a later line defines."""
        judged = self.either(part)
        unknown = {
            w for j in judged if j.kind == "unreadable" for w in re.findall(r"`(\w+)` is not known", j.reason)
        }
        for later in self.draft.parts:
            if later.kind == "chain" and later is not part and len(later.sides) > 1 and id(later) not in done:
                word = plain(later.sides[0][1]).strip()
                if word in unknown and self.is_new(later.sides[0][1]):
                    done.add(id(later))
                    return [*self.chain(later), *self.with_later(part, done)]
        return judged

    def either(self, part: Part) -> list[Judged]:
        """A chain with vectors as rows, or as columns where only that is right."""
        self.saw_rows = False
        made = self.chain(part)
        if not self.saw_rows or all(judged.ok is not False for judged in made):
            return made
        self.columns = True
        again = self.chain(part)
        self.columns = False
        if not again or any(judged.ok is not True for judged in again):
            return made
        return [replace(judged, reason="it is right where the vectors are columns") for judged in again]

    def chain(self, part: Part) -> list[Judged]:
        """The first side says what the line is about; each other side is a claim about it."""
        line, text = part.sides[0]
        measured = _MEASURED.fullmatch(text.strip())
        if measured is not None and measured[1] not in self.draft.names.ranks:
            return [self.measure(part, measured[1], measured[2])]
        if len(part.sides) == 1:
            problem = SyntaxProblem("no relation is found on this line", hint="dW = X.T @ dY")
            return [self.unreadable(part, line, text, problem)]
        rest = part.sides[1:]
        made: list[Judged] = []
        try:
            if id(part) in self.draft.defining:
                made.append(Judged(line, f"{text} = {rest[0][1]}", "definition", True))
                rest = rest[1:]
                if not rest:
                    return made
            elif self.is_new(text):
                return self.helper(part)
        except PullbackError as problem:
            return [*made, self.unreadable(part, line, part.text, problem)]
        trees = [tree for tree in (self.tree(side) for _, side in (part.sides[0], *rest)) if tree is not None]
        loss = next(iter(self.draft.names.losses), "")
        whole = self.draft.whole or self.setting.program
        moving = moved_by(whole, loss, text, self.apart(part), self.moving_inputs)
        if moving:
            return [*made, *self.along(moving, part, rest, trees)]
        judged = self.sides(part, rest, trees)
        if any(j.ok is False and j.kind == "equality" for j in judged):
            moving = all_moved(whole, self.apart(part, 0))
            again = self.along(moving, part, rest, trees) if moving else []
            if again and all(j.ok for j in again):
                return [*made, *(replace(j, reason="as a relation of differentials") for j in again)]
        return [*made, *judged]

    def along(
        self, moving: set[str], part: Part, rest: Sequence[tuple[int, str]], trees: Sequence[ast.expr]
    ) -> list[Judged]:
        """The sides of a chain, where dX is the differential of X."""
        loss = next(iter(self.draft.names.losses), "")
        kept, ranks = self.setting, dict(self.draft.names.ranks)
        self.setting = DifferentialSetting(self.draft.whole or kept.program, moving, loss)
        self.draft.names.prefix = GRADIENT
        self.draft.names.ranks |= {loss: 0} if self.setting.loss else {}
        self.draft.names.ranks |= {word: t.rank for word, t in self.setting.gradients.items()}
        try:
            return self.sides(part, rest, trees)
        finally:
            self.setting, self.draft.names.prefix, self.draft.names.ranks = kept, "d", ranks

    def apart(self, part: Part, first: int = 1) -> list[ast.expr]:
        """The sides of a chain, with G told apart from a differential."""
        self.draft.names.prefix = GRADIENT
        trees = [self.tree(side) for _, side in part.sides[first:]]
        self.draft.names.prefix = "d"
        return [tree for tree in trees if tree is not None]

    @property
    def moving_inputs(self) -> set[str]:
        """The inputs whose differentials the text reads anywhere."""
        if self.moved is None:
            whole = self.draft.whole or self.draft.program
            loss = next(iter(self.draft.names.losses), "")
            chains = [part for part in self.draft.parts if part.kind == "chain" and len(part.sides) > 1]
            each = (moved_by(whole, loss, part.sides[0][1], self.apart(part)) for part in chains)
            self.moved = set().union(*each)
        return self.moved

    def tree(self, text: str) -> ast.expr | None:
        """The tree of a side, where it can be read."""
        try:
            (tree,) = read_sides(text, self.draft.names)
        except (PullbackError, ValueError):
            return None
        return tree

    def sides(self, part: Part, rest: Sequence[tuple[int, str]], trees: Sequence[ast.expr]) -> list[Judged]:
        """The verdict on every side but the first."""
        line, text = part.sides[0]
        made: list[Judged] = []
        try:
            target = self.target(text, part.condition, trees)
        except PullbackError as problem:
            return [self.unreadable(part, line, part.text, problem)]
        previous = text
        for at, side in rest:
            shown = f"{previous} = {side}" if at == line else f"= {side}"
            judged = self.side(
                part, target, at, f"{shown} if {part.condition}" if part.condition else shown, side
            )
            made.append(judged)
            previous = side if at == line and judged.ok is not None else text
        return made

    def target(self, text: str, condition: str, trees: Sequence[ast.expr]) -> Target:
        (tree,) = read_sides(text, self.draft.names)
        rows = self.rows(trees)
        letters: list[str] = []
        if rows is not None:
            tree, letters = rows.left(tree)
        low = self.lowering.side(tree)
        self.setting.knows(self.lowering.jacobians)
        node = low.node
        bracket = read_condition(condition, self.draft.names) if condition else None
        base, slots = (node.value, _slots(node)) if isinstance(node, ast.Subscript) else (node, [])
        word = base.id if isinstance(base, ast.Name) else ""
        slotted = [slot.id for slot in slots if isinstance(slot, ast.Name)]
        plain_slots = len(set(slotted)) == len(slots) and not any(map(self.lowering.is_known, slotted))
        whole = (
            not slots or len(slots) == len(self.setting.known[word].shape)
            if word in self.setting.known
            else False
        )
        known = word in self.setting.sources or word in self.setting.jacobians or word == self.given
        if known and plain_slots and whole and bracket is None and not low.above:
            head = f"{word}[{', '.join(slotted)}] = " if slotted else ""
            kind = "jacobian" if word in self.setting.jacobians else "gradient"
            kind = "differential" if isinstance(self.setting, DifferentialSetting) else kind
            return Target(kind, word, head, slotted or None, low.text, rows=rows, letters=letters)
        return replace(self.equality(low, bracket), rows=rows, letters=letters)

    def rows(self, trees: Sequence[ast.expr]) -> Rows | None:
        """How the sides are written out, where one holds a row by its index."""
        names = self.draft.names
        if not any(is_written_out(tree, names) for tree in trees):
            return None
        self.saw_rows = True
        words = {n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}
        return Rows(names, self.columns, words)

    def equality(self, low: Lowered, bracket: ast.expr | None) -> Target:
        free = [i for i in self.lowering.indices(low.node) if i not in self.lowering.bound]
        free += [i for i in (self.lowering.indices(bracket) if bracket is not None else []) if i not in free]
        node = low.node if bracket is None else binary(low.node, ast.Mult(), bracket)
        slots = f"[{', '.join(free)}]" if free else ""
        body = f"value_of_left{slots} = {text_of(node)}"
        above = [*low.above, body]
        lines = self.setting.side("\n".join([*self.needed("\n".join(above)), *above]))
        self.setting.equality(lines)
        head = f"d{LEFT}[{', '.join(free)}] = " if free else ""
        return Target("equality", f"d{LEFT}", head, free or None, low.text, tuple(above), bracket)

    def side(self, part: Part, target: Target, line: int, shown: str, text: str) -> Judged:
        """The verdict on one side."""
        try:
            (tree,) = read_sides(text, self.draft.names)
            if target.rows is not None:
                tree = target.rows.side(tree, target.letters)
            else:
                tree = as_zeros(as_vector(tree, self.rank_of(target)), self.shape_of(target))
            low = self.lowering.side(tree, target.left or [])
            self.setting.knows(self.lowering.jacobians)
        except IndexProblem as problem:
            reason = said(problem)
            return Judged(line, shown, target.kind, False, "", f"index: {reason}")
        except PullbackError as problem:
            return self.unreadable(part, line, shown, problem)
        if low.text == target.written:
            return Judged(
                line, shown, "equality" if target.kind == "equality" else "notation", True, low.text
            )
        claim = self.claim(target, low)
        try:
            judged = self.judged(target, line, shown, low, claim)
        except PullbackError as problem:
            return self.unreadable(part, line, shown, problem)
        key = f"{target.kind} {target.key}{target.head}"
        previous = self.before.get(key)
        if previous is not None and judged.ok is not None and judged.ok is False:
            judged = replace(judged, follows=self.equal(target, previous, claim))
        if judged.ok is False and target.kind == "gradient":
            judged = self.as_said(target, judged, claim)
        if judged.ok is False:
            judged = under_condition(part, judged)
        if judged.ok is not None and target.kind != "equality":
            self.before[key] = claim
        if target.kind == "gradient":
            self.said[target.key] = claim if target.head else f"{target.key} = {low.text}"
        return judged

    def as_said(self, target: Target, judged: Judged, claim: str) -> Judged:
        """A line that is right with the gradients as earlier lines have them, though these are others."""
        read = set(re.findall(r"[A-Za-z]\w*", claim)) & set(self.said) - {target.key}
        if not read:
            return judged
        above = [self.said[word] for word in self.said if word in read]
        lines = "\n".join([*self.needed("\n".join(above)), *above, claim])
        try:
            verdict = judge(self.setting, self.setting.about(target.key).name, lines, mend=False)
        except PullbackError:
            return judged
        if not verdict.ok:
            return judged
        note = f"it is right with {' and '.join(sorted(read))} as said above, not with the true one"
        return replace(judged, ok=True, reason=note, verdict=None, follows=None)

    def rank_of(self, target: Target) -> int:
        """The axes of what the sides of a chain are."""
        return len(self.shape_of(target))

    def shape_of(self, target: Target) -> tuple[Expr, ...]:
        tensor = self.setting.wrt if target.kind == "equality" else self.setting.known.get(target.key)
        return () if tensor is None or target.head else tensor.shape

    def claim(self, target: Target, low: Lowered) -> str:
        node = low.node
        if target.condition is not None:
            node = binary(node, ast.Mult(), target.condition)
        body = f"{target.head}{text_of(node)}"
        return "\n".join([*self.needed("\n".join([*low.above, body])), *low.above, body])

    def judged(self, target: Target, line: int, shown: str, low: Lowered, claim: str) -> Judged:
        setting = self.setting
        if target.kind == "equality":
            above = "\n".join(target.prefix)
            wrt = setting.equality(setting.side("\n".join([*self.needed(above), above])))
        else:
            if target.key == self.given:
                what = f"{target.key} is given from outside: nothing in the text says what it is"
                return Judged(line, shown, target.kind, None, low.text, what)
            wrt = setting.about(target.key)
        verdict = judge(setting, wrt.name, claim, mend=self.mended < MENDED)
        self.mended += verdict.ok is False
        if verdict.ok:
            wrong_end = self.wrong_end(wrt.name, claim, low)
            if wrong_end:
                return Judged(line, shown, target.kind, False, low.text, wrong_end)
        doubt = doubtful(setting, target.key, low.node) if verdict.ok is False else ""
        if doubt:
            return Judged(line, shown, target.kind, None, low.text, doubt)
        reason = verdict.reason if verdict.ok is not True else ""
        return Judged(line, shown, target.kind, verdict.ok, low.text, reason, verdict)

    def wrong_end(self, key: str, claim: str, low: Lowered) -> str:
        """A sum that was said to run to another size than its index has."""
        if not low.ends:
            return ""
        lines = self.setting.read(self.setting.variable(key), claim)
        inside = {node.name: node for line in lines for node in walk(line.body) if isinstance(node, Index)}
        for index, end in low.ends.items():
            stated = _size(end)
            extent = inside[index].extent if index in inside else None
            if stated is None or extent is None:
                continue
            if not any(same_size(extent, end_at) for end_at in (stated, normal_size(add(stated, ONE)))):
                return f"range: the sum over {index} is written up to {end}, and {index} counts {size_text(extent)}"
        return ""

    def equal(self, target: Target, previous: str, claim: str) -> bool | None:
        """Whether two claims about one target are the same."""
        try:
            wrt = self.setting.variable(self.setting.wrt.name) if self.setting.wrt is not None else None
            if wrt is None:
                return None
            first = self.setting.read(wrt, previous)
            second = self.setting.read(wrt, claim)
            about = self.setting.equality(first)
            outcome = self.setting.outcome(about, second)
        except PullbackError:
            return None
        return {"equal": True, "different": False}.get(outcome.status)


def under_condition(part: Part, judged: Judged) -> Judged:
    """A line that is right where the sentence that it stands in says "if A is symmetric"."""
    declared = "" if judged.verdict is None else judged.verdict.declaration
    for word, fact in conditions_in_words(part.whole):
        if declared == f"{fact}({word})":
            return replace(
                judged, ok=True, reason=f"where {word} is {fact}, as said", verdict=None, follows=None
            )
    return judged


def _slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _size(text: str) -> Expr | None:
    try:
        return size_expression(ast.parse(text, mode="eval").body, Size)
    except (PullbackError, SyntaxError):
        return None
