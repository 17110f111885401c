"""Each line of a derivation judged: against the truth, and against the side before it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pullback.derivations.doubts import as_vector, doubtful
from pullback.derivations.draft import Draft
from pullback.derivations.grammar import read_condition, read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowered, Lowering
from pullback.derivations.measures import measured_as
from pullback.derivations.names import UPSTREAM
from pullback.derivations.parts import Part
from pullback.derivations.setting import LEFT, LineSetting
from pullback.errors import IndexProblem, NameProblem, PullbackError, SyntaxProblem
from pullback.expression import ONE, Expr, Index, Size, add, walk
from pullback.reading.shapes import parse_shape, size_expression
from pullback.sizes import normal_size, same_size, shape_text, size_text
from pullback.verify.claims import ClaimVerdict, judge
from pullback.verify.shapes import is_misfit, shape_of, shape_words
from pullback.verify.tree import binary, text_of

_MEASURED: Final = re.compile(r"(size|numel|entries|bytes)\((.*)\)")
MENDED: Final = 12  # wrong lines for which an edit is looked for
LONGEST_HINT: Final = 120  # characters that are shown beside a line


@dataclass(frozen=True, slots=True)
class Judged:
    """One side of one line: `ok` is True, False, or None where it could not be read or decided."""

    line: int
    text: str
    kind: str  # "definition", "gradient", "jacobian", "equality", "shape" or "unreadable"
    ok: bool | None
    read: str = ""  # the side in the language
    reason: str = ""
    verdict: ClaimVerdict | None = None
    follows: bool | None = None  # whether it equals the side before, where that was asked

    @property
    def is_judged(self) -> bool:
        return self.kind not in ("definition", "notation")


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


@dataclass(slots=True)
class Judging:
    """Walks over the statements of a draft in their order."""

    draft: Draft
    mended: int = 0  # wrong lines so far
    setting: LineSetting = field(init=False)
    lowering: Lowering = field(init=False)
    helpers: dict[str, str] = field(default_factory=dict)  # name -> its lines
    before: dict[str, str] = field(default_factory=dict)  # what was last said of a target
    said: dict[str, str] = field(default_factory=dict)  # gradient -> the line that last defined it

    def __post_init__(self) -> None:
        self.setting = LineSetting(self.draft.program)
        self.lowering = Lowering(self.draft.names)
        self.helpers |= dict(self.draft.helpers)

    @property
    def given(self) -> str:
        """The name of the upstream gradient."""
        return "" if self.setting.upstream is None else self.setting.upstream.name

    def run(self) -> list[Judged]:
        found: list[Judged] = []
        for part in self.draft.parts:
            match part.kind:
                case "chain":
                    found += self.chain(part)
                case "shape":
                    found += [self.shape(part, subject) for subject in part.names]
        return [judged for judged in found if judged.kind != "prose"]

    # ---- chains

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
            target = self.target(text, part.condition)
        except PullbackError as problem:
            return [*made, self.unreadable(part, line, part.text, problem)]
        previous = text
        for at, side in rest:
            shown = f"{previous} = {side}" if at == line else f"= {side}"
            judged = self.side(
                part, target, at, f"{shown} if {part.condition}" if part.condition else shown, side
            )
            made.append(judged)
            previous = side if at == line and judged.ok is not None else text
        return made

    def is_new(self, text: str) -> bool:
        """Whether a first side is a name that nothing is known of: the line defines it."""
        word = plain(text).strip()
        names = self.draft.names
        if not re.fullmatch(r"[A-Za-z]\w*", word) or word in names.ranks or word in self.helpers:
            return False
        if word in names.sizes:
            raise NameProblem(
                f"`{word}` is a size here, and is defined", hint="another letter for one of them"
            )
        return word in UPSTREAM or names.meaning(word) is None

    def helper(self, part: Part) -> list[Judged]:
        """A definition on the way back, such as `D = rowsum(dO * O)`."""
        (line, text), (_, second), *rest = part.sides
        word = plain(text).strip()
        (tree,) = read_sides(second, self.draft.names)
        low = self.lowering.side(tree)
        self.setting.knows(self.lowering.jacobians)
        lines = "\n".join([*low.above, f"{word} = {low.text}"])
        shape = self.setting.side("\n".join([*self.needed(lines), lines]))[-1].tensor.shape
        self.helpers[word] = lines
        self.draft.names.ranks[word] = len(shape)
        made = [Judged(line, f"{text} = {second}", "definition", True, low.text)]
        if rest:
            made += self.chain(replace(part, sides=[(line, text), *rest]))
        return made

    def needed(self, text: str) -> list[str]:
        """The helper lines that a text reads, each after those that it reads itself."""
        found: dict[str, None] = {}

        def visit(read: str) -> None:
            for word in re.findall(r"[A-Za-z]\w*", read):
                lines = self.helpers.get(word)
                if lines is not None and lines != read and lines not in found:
                    visit(lines)
                    found[lines] = None

        visit(text)
        return list(found)

    def target(self, text: str, condition: str) -> Target:
        (tree,) = read_sides(text, self.draft.names)
        low = self.lowering.side(tree)
        self.setting.knows(self.lowering.jacobians)
        node = low.node
        bracket = read_condition(condition, self.draft.names) if condition else None
        base, slots = (node.value, _slots(node)) if isinstance(node, ast.Subscript) else (node, [])
        word = base.id if isinstance(base, ast.Name) else ""
        letters = [slot.id for slot in slots if isinstance(slot, ast.Name)]
        plain_slots = len(set(letters)) == len(slots) and not any(map(self.lowering.is_known, letters))
        whole = (
            not slots or len(slots) == len(self.setting.known[word].shape)
            if word in self.setting.known
            else False
        )
        known = word in self.setting.sources or word in self.setting.jacobians or word == self.given
        if known and plain_slots and whole and bracket is None and not low.above:
            head = f"{word}[{', '.join(letters)}] = " if letters else ""
            kind = "jacobian" if word in self.setting.jacobians else "gradient"
            return Target(kind, word, head, letters or None, low.text)
        return self.equality(low, bracket)

    def equality(self, low: Lowered, bracket: ast.expr | None) -> Target:
        free = self.lowering.indices(low.node)
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
            low = self.lowering.side(as_vector(tree, self.rank_of(target)), target.left or [])
            self.setting.knows(self.lowering.jacobians)
        except IndexProblem as problem:
            reason = _said(problem)
            return Judged(line, shown, target.kind, False, "", f"index: {reason}")
        except PullbackError as problem:
            return self.unreadable(part, line, shown, problem)
        if low.text == target.written:
            return Judged(line, shown, "notation", True, low.text)
        claim = self.claim(target, low)
        try:
            judged = self.judged(target, line, shown, low, claim)
        except PullbackError as problem:
            return self.unreadable(part, line, shown, problem)
        key = f"{target.key}{target.head}"
        previous = self.before.get(key)
        if previous is not None and judged.ok is not None and judged.ok is False:
            judged = replace(judged, follows=self.equal(target, previous, claim))
        if judged.ok is False and target.kind == "gradient":
            judged = self.as_said(target, judged, claim)
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
        tensor = self.setting.wrt if target.kind == "equality" else self.setting.known.get(target.key)
        return 0 if tensor is None or target.head else tensor.rank

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

    # ---- shapes

    def shape(self, part: Part, subject: str) -> Judged:
        """`X^T dY ∈ R^{D×M}`."""
        shown = f"{subject} has the shape ({', '.join(part.shape)})"
        try:
            (tree,) = read_sides(subject, self.draft.names)
            low = self.lowering.side(tree)
            self.setting.knows(self.lowering.jacobians)
            stated = parse_shape(part.shape)
            lines = "\n".join(low.above)
            above = [*self.needed(f"{lines}\n{low.text}"), *low.above]
            found = shape_of(self.setting, above, low.node)
            if found is None:
                self.setting.side("\n".join([*above, f"value_of_left = {low.text}"]))
                return self.unreadable(part, part.line, shown, SyntaxProblem("its shape is not known"))
        except PullbackError as problem:
            if is_misfit(problem):
                return Judged(part.line, shown, "shape", False, "", f"shape: {problem.message}")
            return self.unreadable(part, part.line, shown, problem)
        unknown = {n.name for e in stated for n in walk(e) if isinstance(n, Size)} - set(
            self.draft.program.sizes
        )
        if _same(stated, found):
            return Judged(part.line, shown, "shape", True, low.text)
        hint = f" ({', '.join(sorted(unknown))} is no size of the program)" if unknown else ""
        reason = f"shape: {subject} is {shape_words(found)}, not {shape_text(stated) or 'a scalar'}{hint}"
        return Judged(part.line, shown, "shape", False, low.text, reason)

    def measure(self, part: Part, word: str, subject: str) -> Judged:
        """`size(∂Y/∂X) = N*M*N*D`, `bytes(∂Y/∂X) = 256 GiB`."""
        shown = " = ".join(side for _, side in part.sides)
        try:
            (tree,) = read_sides(subject, self.draft.names)
            low = self.lowering.side(tree)
            self.setting.knows(self.lowering.jacobians)
            found = shape_of(self.setting, [*self.needed(low.text), *low.above], low.node)
            if found is None or len(part.sides) < 2:
                raise SyntaxProblem("its size is not known")
            wrong, note = measured_as(found, word == "bytes", part.sides[1][1], self.draft.sizes)
        except PullbackError as problem:
            return self.unreadable(part, part.line, shown, problem)
        return Judged(part.line, shown, "size", not wrong, low.text, wrong or note)

    # ---- what cannot be read

    def unreadable(self, part: Part, line: int, text: str, problem: PullbackError) -> Judged:
        """A line that looks like mathematics and is not understood; a sentence that is none is left out."""
        if part.source == "prose" and not self.is_about_the_program(text):
            return Judged(line, text, "prose", None)
        return Judged(line, text, "unreadable", None, "", _said(problem))

    def is_about_the_program(self, text: str) -> bool:
        """Whether a name of the program, a gradient or a derivative stands in a fragment of prose."""
        written = plain(text)
        names = self.draft.names
        words = re.findall(r"[A-Za-z]\w*", written)
        words += [word.split("_")[0] for word in words]
        return "∂" in written or any(w in names.ranks or names.gradient(w) is not None for w in words)


def _slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _said(problem: PullbackError) -> str:
    hint = problem.hint if len(problem.hint) <= LONGEST_HINT else ""
    return f"{problem.message} (try: {hint})" if hint else problem.message


def _size(text: str) -> Expr | None:
    try:
        return size_expression(ast.parse(text, mode="eval").body, Size)
    except (PullbackError, SyntaxError):
        return None


def _same(stated: Sequence[Expr], found: Sequence[Expr]) -> bool:
    """Equal, or a vector written as a column."""
    one = [e for e in stated if not same_size(e, ONE)]
    other = [e for e in found if not same_size(e, ONE)]
    if len(stated) == len(found):
        return all(same_size(m, n) for m, n in zip(stated, found, strict=True))
    return max(len(stated), len(found)) == 2 and len(one) == len(other) == 1 and same_size(one[0], other[0])
