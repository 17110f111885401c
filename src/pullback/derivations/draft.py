"""From the statements of a text to its forward program: the inputs, what is defined, and the output."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pullback.derivations.declaring import INDEXED, Declaring, entries, joined
from pullback.derivations.forward_lines import followed_range, unknown_range, with_named_parts
from pullback.derivations.grammar import read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowering
from pullback.derivations.names import CALLED, LOSSES, UPSTREAM, Names
from pullback.derivations.parts import Part
from pullback.derivations.rows import Rows, is_written_out
from pullback.errors import PullbackError, SyntaxProblem
from pullback.expression import tensors
from pullback.program import Program
from pullback.reading import read_program


@dataclass(slots=True)
class Draft:
    """A text as read: the program that it is about, its statements, and what stands beside the program."""

    program: Program
    parts: list[Part]
    names: Names
    helpers: list[tuple[str, str]] = field(
        default_factory=list
    )  # forward lines that the output does not need
    defining: set[int] = field(default_factory=set)  # id() of the parts that define something
    sizes: dict[str, int] = field(default_factory=dict)
    whole: Program | None = None  # with the lines that the output does not need, the output last


class Drafting(Declaring):
    """Gathers declarations, then the forward definitions line by line."""

    def run(self) -> Draft:
        """What was found. Raises `PullbackError` where no forward program is found or it cannot be read."""
        for part in self.parts:
            self._unapplied(part)
            self._function(part)
        self._declare()
        if self.fixed:
            self._read()
        while True:
            before = len(self.lines)
            for part in self.parts:
                if part.kind == "chain" and len(part.sides) > 1 and id(part) not in self.defining:
                    self._definition(part)
            if len(self.lines) == before:
                break
        self._name_parts()
        if self.whole is None:
            what, hint = (
                "no forward definition is found in the text",
                "Y = X @ W, and the shapes X: [N, D]; W: [D, M]",
            )
            if self.problem is not None:
                what, hint = f"{what}: {self.problem.message}", self.problem.hint or hint
            raise SyntaxProblem(what, hint=hint)
        output = self._output()
        program, spare = self._pruned(output)
        if not self.names.argument and "x" in self.names.ranks:
            self.names.argument = "x"  # what ∇f is by, where nothing is said
        self.names.output = output if program.output.rank else None
        if not program.output.rank:
            self.names.losses.add(output)
        if self.opaque is not None:
            self.names.losses.add(self.opaque[0])
        return Draft(
            program, self.parts, self.names, spare, self.defining, self.sizes, self._with_spare(program)
        )

    # ---- definitions

    def _definition(self, part: Part) -> None:
        """Take a chain as a forward definition where its name is new and it reads no gradient."""
        word = self._defined_word(part)
        sizes = re.fullmatch(r"\d+", part.sides[-1][1].strip())
        if sizes is not None and (word in self.names.sizes or (word.isupper() and len(word) == 1)):
            self._sizes(part, int(sizes[0]))
            return
        mean = word.endswith("_bar") and re.search(r"mean|Σ|sum", plain(part.sides[1][1])) is not None
        adjoint = self.names.gradient(word) is not None and not mean
        if not word or word in self.names.ranks or adjoint:
            return
        if self._is_opaque(part, word):
            return
        if self.whole is not None and self.fixed:
            return
        for line in self._readings(part, word):
            used = set(re.findall(r"[A-Za-z]\w*", line)) - {word}
            if used & (self.defined_words - set(self.names.ranks)):
                continue  # it reads what another line defines, and that line reads a gradient
            found = self._read_with(line)
            if found is None:
                continue
            self.lines.append(line)
            self._known(found)
            self.defining.add(id(part))
            self.defined[word] = part
            return

    def _read_with(self, line: str) -> Program | None:
        """The forward program with one more line."""
        lines = [*self.lines, line]
        try:
            return read_program("\n".join(lines), **self._beside(lines))
        except PullbackError as problem:
            if self._range(line, problem):
                return self._read_with(line)
            self.problem = self.problem or problem
            return None

    def _name_parts(self) -> None:
        """What a later line gives a name to is read under that name."""
        lines = self.lines if self.fixed else with_named_parts(self.lines)
        if lines != self.lines:
            with suppress(PullbackError):
                self.whole = read_program("\n".join(lines), **self._beside(lines))
                self.lines = lines

    def _range(self, line: str, problem: PullbackError) -> bool:
        """Take the range of an index from the slots that it stands in, where it follows from them."""
        index = unknown_range(problem.message)
        shapes = {word: [str(e) for e in entries(shape)] for word, shape in self.given["shapes"].items()}
        size = followed_range(line, index, shapes) if index is not None else None
        ranges = self.given.setdefault("ranges", {})
        if index is None or size is None or index in ranges:
            return False
        ranges[index] = size
        return True

    def _readings(self, part: Part, word: str) -> Iterator[str]:
        """The definition in the language: as a person means it, then letter by letter."""
        first, second = self._unsquared(plain(part.sides[0][1]).strip()), part.sides[1][1]
        try:
            (tree,) = read_sides(second, self.names)
            lowering = Lowering(self.names)
            found = INDEXED.match(first)
            letters = list(re.sub(r"[^a-z]", "", found[2] or found[3])) if found and found[1] == word else []
            if is_written_out(tree, self.names):
                used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | set(letters)
                rows = Rows(self.names, used=used)
                added = [rows.fresh() for _ in range(rows.rank(tree))]
                tree, letters = rows.side(tree, added), [*letters, *added]
            low = lowering.side(tree, letters or None)
            if not lowering.jacobians and not self._reads_gradient(low.node):
                slots = f"[{', '.join(letters)}]" if letters else ""
                yield "\n".join([*low.above, f"{word}{slots} = {low.text}"])
        except PullbackError as problem:
            self.problem = self.problem or problem
        # In a sentence only what was declared is mathematics: other words are words.
        alone = part.source != "prose" or part.text.strip(" .,;") == part.whole.strip(" .,;")
        if alone and not self._mentions_gradient(second) and re.search(r"[^\x00-\x7f]|\^", second) is None:
            yield f"{first} = {second}"

    def _reads_gradient(self, node: ast.AST) -> bool:
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - set(self.names.ranks)
        return any(name[:1] == "d" and name[1:] in self.names.ranks for name in names)

    def _mentions_gradient(self, text: str) -> bool:
        words = set(re.findall(r"[A-Za-z]\w*", text))
        unknown = words - set(self.names.ranks) - self.names.sizes
        return any(w in UPSTREAM or re.match(r"d[A-Z]\w*\Z", w) or self.names.gradient(w) for w in unknown)

    def _sizes(self, part: Part, value: int) -> None:
        for _, side in part.sides[:-1]:
            self.sizes[joined(side)] = value
        part.kind = "sizes"

    def _is_opaque(self, part: Part, word: str) -> bool:
        """`L = loss(Y)`: a loss without a formula."""
        found = re.fullmatch(
            r"([A-Za-z]\w*)\s*\(\s*([A-Za-z]\w*)\s*(?:,[^()]*)?\)", plain(part.sides[1][1]).strip()
        )
        known = found is not None and found[2] in self.names.ranks
        if not known or found is None or word not in LOSSES:
            return False
        if found[1] in CALLED:
            return False  # a function of the language: the loss has a formula
        self.opaque = (word, found[2])
        self.defining.add(id(part))
        return True

    def _read(self) -> None:
        self._known(read_program("\n".join(self.lines), **self._beside(self.lines)))

    def _known(self, found: Program) -> None:
        self.whole = found
        visible = {d.tensor.name for d in found.definitions if d.source} | {t.name for t in found.inputs}
        self.names.ranks |= {word: t.rank for word, t in found.by_name.items() if word in visible}
        self.names.sizes |= set(found.sizes)

    def _beside(self, lines: Sequence[str]) -> dict[str, Any]:
        """What was declared of the names that the program uses."""
        used = set(re.findall(r"[A-Za-z]\w*", "\n".join(lines)))
        kept = {}
        for key, held in self.given.items():
            chosen = held if key == "ranges" else {word: e for word, e in held.items() if word in used}
            if chosen:
                kept[key] = chosen
        return kept

    # ---- the output

    def _output(self) -> str:
        """A loss with a formula, the argument of one without, or what is given an upstream gradient."""
        assert self.whole is not None
        tensors_of = {d.tensor.name: d.tensor for d in self.whole.definitions if d.source}
        if self.fixed:
            return self.whole.output.name
        losses = [word for word in self.defined if word in LOSSES and not tensors_of[word].rank]
        if losses:
            return losses[-1]
        if self.opaque is not None and self.opaque[1] in tensors_of:
            return self.opaque[1]
        claimed = {self._claimed(part) for part in self.parts if part.kind == "chain"}
        read = [word for word in tensors_of if word not in claimed and self._is_read(word)]
        if read:
            return read[-1]
        inner = {t.name for d in self.whole.definitions for t in tensors(d.body)}
        sinks = [word for word in tensors_of if word not in inner]
        return sinks[-1] if sinks else self.whole.output.name

    def _claimed(self, part: Part) -> str:
        first = plain(part.sides[0][1]).strip()
        second = plain(part.sides[1][1]).strip() if len(part.sides) > 1 else ""
        found = re.match(r"(?:∂|d)\w+\s*/\s*(?:∂|d)([A-Za-z]\w*)", first)
        word = found[1] if found is not None else first
        stem = re.split(r"[\[({_]", word)[0]
        if re.match(r"(?:∂|d)\w+\s*/\s*(?:∂|d)", second):
            return ""  # dY = ∂L/∂Y only names it
        row = (
            self.names.gradient(f"d{stem[1:].upper()}")
            if re.fullmatch(r"d[a-z]", stem) and "_" in first
            else None
        )
        return self.names.gradient(stem) or row or (stem if found is not None else "")

    def _is_read(self, word: str) -> bool:
        row = rf"|\bd{word.lower()}\b" if word.isupper() and word.lower() not in self.names.ranks else ""
        pattern = re.compile(
            rf"\bd{word}\b|∂\w+\s*/\s*∂{word}\b|\bd\w+\s*/\s*d{word}\b|\b{word}_bar\b|grad_{word}\b" + row
        )
        return any(
            pattern.search(re.sub(r"_\{?[a-z]+\}?", "", plain(s))) for p in self.parts for _, s in p.sides
        )

    def _with_spare(self, program: Program) -> Program | None:
        """The program with every definition, those of the output after the others."""
        assert self.whole is not None
        spare = tuple(d for d in self.whole.definitions if d not in program.definitions)
        late = {d.tensor for d in program.definitions}
        if any(late & set(tensors(d.body)) for d in spare):
            return None
        inputs = tuple(t for t in self.whole.inputs)
        return Program(
            inputs, (*spare, *program.definitions), program.source, program.inferred, program.ranges
        )

    def _pruned(self, output: str) -> tuple[Program, list[tuple[str, str]]]:
        """The program of the output alone, and the lines that it does not need."""
        assert self.whole is not None
        wanted = {self.whole.by_name[output]}
        kept = []
        for definition in reversed(self.whole.definitions):
            if definition.tensor in wanted:
                wanted |= set(tensors(definition.body))
                kept.append(definition)
        spare = [
            (d.tensor.name, line)
            for d in self.whole.definitions
            if d not in kept and d.source
            for line in self.lines
            if re.search(rf"(?m)^{d.tensor.name}(?:\[[^\]]*\])? = ", line)
        ]
        needed = {t.name for t in wanted} | set(re.findall(r"[A-Za-z]\w*", " ".join(s for _, s in spare)))
        inputs = tuple(t for t in self.whole.inputs if t.name in needed)
        whole = self.whole
        inferred = tuple(t for t in whole.inferred if t in inputs)
        source = "\n".join(self.lines) if self.fixed else "\n".join(d.source for d in kept[::-1] if d.source)
        return Program(inputs, tuple(kept[::-1]), source, inferred, whole.ranges), spare
