"""What stands beside the chains of a derivation: definitions on the way back, shapes, sizes, and what is unread."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pullback.derivations.draft import Draft
from pullback.derivations.grammar import read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowering
from pullback.derivations.measures import measured_as
from pullback.derivations.names import UPSTREAM
from pullback.derivations.parts import Part
from pullback.derivations.rows import Rows, is_written_out
from pullback.derivations.setting import LineSetting
from pullback.errors import NameProblem, PullbackError, SyntaxProblem
from pullback.expression import ONE, Expr, Size, walk
from pullback.reading.shapes import parse_shape
from pullback.sizes import same_size, shape_text
from pullback.verify.claims import ClaimVerdict
from pullback.verify.shapes import is_misfit, shape_of, shape_words

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


_ENTRY: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9]*)(?:_\{?([a-z]{1,3})\}?|\[\s*([a-z])\s*(?:,\s*([a-z])\s*)?\])"
)


def _defined(written: str) -> tuple[str, list[str]]:
    """The name and the indices of a left side: `D_i` is D with i."""
    found = _ENTRY.fullmatch(written)
    if found is None:
        return written, []
    return found[1], list(found[2] or "".join(filter(None, found.groups()[2:])))


@dataclass(slots=True)
class Statements(ABC):
    """What a draft says beside its chains."""

    draft: Draft
    setting: LineSetting = field(init=False)
    lowering: Lowering = field(init=False)
    helpers: dict[str, str] = field(default_factory=dict)  # name -> its lines

    def __post_init__(self) -> None:
        self.setting = LineSetting(self.draft.program)
        self.lowering = Lowering(self.draft.names)
        self.helpers |= dict(self.draft.helpers)

    def is_new(self, text: str) -> bool:
        """Whether a first side is a name that nothing is known of: the line defines it."""
        word, letters = _defined(plain(text).strip())
        names = self.draft.names
        if word[:1] == "d" and word[1:] in names.losses:
            return False  # the differential of a loss
        if letters and names.meaning(f"{word}_{letters[0]}") is not None:
            return False
        if not re.fullmatch(r"[A-Za-z]\w*", word) or word in names.ranks or word in self.helpers:
            return False
        if word in names.sizes:
            raise NameProblem(
                f"`{word}` is a size here, and is defined", hint="another letter for one of them"
            )
        return word in UPSTREAM or names.meaning(word) is None

    def helper(self, part: Part) -> list[Judged]:
        """A definition on the way back, such as `D = rowsum(dO * O)` or `D_i = do_i^T o_i`."""
        (line, text), (_, second), *rest = part.sides
        word, letters = _defined(plain(text).strip())
        (tree,) = read_sides(second, self.draft.names)
        if is_written_out(tree, self.draft.names):
            rows = Rows(
                self.draft.names,
                used={n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | set(letters),
            )
            added = [rows.fresh() for _ in range(rows.rank(tree))]
            tree, letters = rows.side(tree, added), [*letters, *added]
        low = self.lowering.side(tree, letters or None)
        self.setting.knows(self.lowering.jacobians)
        slots = f"[{', '.join(letters)}]" if letters else ""
        lines = "\n".join([*low.above, f"{word}{slots} = {low.text}"])
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

    @abstractmethod
    def chain(self, part: Part) -> list[Judged]:
        """The verdicts on a chain of equalities."""

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
        return Judged(line, text, "unreadable", None, "", said(problem))

    def is_about_the_program(self, text: str) -> bool:
        """Whether a name of the program, a gradient or a derivative stands in a fragment of prose."""
        written = plain(text)
        names = self.draft.names
        words = re.findall(r"[A-Za-z]\w*", written)
        words += [word.split("_")[0] for word in words]
        return "∂" in written or any(w in names.ranks or names.gradient(w) is not None for w in words)


def said(problem: PullbackError) -> str:
    hint = problem.hint if len(problem.hint) <= LONGEST_HINT else ""
    return f"{problem.message} (try: {hint})" if hint else problem.message


def _same(stated: Sequence[Expr], found: Sequence[Expr]) -> bool:
    """Equal, or a vector written as a column."""
    one = [e for e in stated if not same_size(e, ONE)]
    other = [e for e in found if not same_size(e, ONE)]
    if len(stated) == len(found):
        return all(same_size(m, n) for m, n in zip(stated, found, strict=True))
    return max(len(stated), len(found)) == 2 and len(one) == len(other) == 1 and same_size(one[0], other[0])
