"""From the statements of a text to its forward program: the inputs, what is defined, and the output."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pullback.derivations.document import passages
from pullback.derivations.grammar import read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowering
from pullback.derivations.names import CALLED, LOSSES, SCALARS, UPSTREAM, Names
from pullback.derivations.parts import Part, facts_in_words, parts, said_in_words, sums_to_one
from pullback.derivations.rows import Rows, is_written_out
from pullback.errors import PullbackError, SyntaxProblem
from pullback.expression import tensors
from pullback.limits import demand
from pullback.program import Program
from pullback.reading import read_program

MOST_STATEMENTS: Final = 500
_NAME: Final = re.compile(r"[A-Za-z]\w*\Z")
_INDEXED: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9]*(?:_(?:hat|bar|tilde|dot))?)(?:_\{?([a-z]+)\}?|((?:\[\s*[a-z]\s*(?:,\s*[a-z]\s*)*\])+))\Z"
)


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


class Drafting:
    """Gathers declarations, then the forward definitions line by line."""

    def __init__(self, text: str, program: str | None, given: Mapping[str, Any]) -> None:
        self.text = text
        self.found = list(passages(text))
        self.parts = parts(self.found)
        demand(len(self.parts), MOST_STATEMENTS, "statements of the derivation", hint="one layer at a time")
        self.names = Names()
        self.given = {key: dict(value) for key, value in given.items() if value}
        self.lines: list[str] = []  # of the forward program
        self.defining: set[int] = set()
        self.defined: dict[str, Part] = {}
        self.opaque: tuple[str, str] | None = None  # a loss without a formula, and its argument
        self.sizes: dict[str, int] = {}
        self.problem: PullbackError | None = None  # of the first definition that could not be read
        self.whole: Program | None = None
        self.fixed = program is not None
        if program is not None:
            self.lines = [program]

    def run(self) -> Draft:
        """What was found. Raises `PullbackError` where no forward program is found or it cannot be read."""
        for part in self.parts:
            self._unapplied(part)
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
        return Draft(program, self.parts, self.names, spare, self.defining, self.sizes)

    def _unapplied(self, part: Part) -> None:
        """`f(x) = …` defines f; its argument is what ∇f is taken by."""
        if part.kind != "chain" or len(part.sides) < 2:
            return
        line, first = part.sides[0]
        found = re.fullmatch(r"([A-Za-z]\w*)\s*\(\s*([A-Za-z]\w*)\s*(?:[,;][^()]*)?\)", plain(first).strip())
        if found is not None and found[1] not in CALLED:
            part.sides[0] = (line, found[1])
            self.names.applied[found[1]] = found[2]
            if found[1] in LOSSES and "," not in first:
                self.names.argument = self.names.argument or found[2]

    # ---- declarations

    def _declare(self) -> None:
        """Shapes and facts of what is not defined anywhere: these are inputs."""
        shapes = self.given.setdefault("shapes", {})
        self.defined_words = {
            word for part in self.parts if part.kind == "chain" and len(part.sides) > 1
            for word in [self._defined_word(part)] if word
        }  # fmt: skip
        inputs = [p for p in self.parts if p.kind == "shape" and self._is_input(p.names[0])]
        for part in inputs:
            word = _joined(part.names[0])
            if word in shapes and tuple(map(str, _entries(shapes[word]))) != part.shape:
                continue  # said again, and differently: a statement to be judged
            if part.integers:
                self.given.setdefault("integers", {}).setdefault(word, (part.shape, part.integers))
            else:
                for name in part.names:
                    shapes.setdefault(_joined(name), part.shape)
            part.kind = "declaration"
        for line, row in enumerate(self.text.split("\n"), 1):
            self._declare_in_words(line, row)
        for part in self.parts:
            if part.kind == "fact":
                self.given.setdefault("assume", {})[part.names[0]] = part.fact
            said = sums_to_one([side for _, side in part.sides]) if part.kind == "chain" else None
            if said is not None and said[0] in shapes and said[0] not in self.defined_words:
                self.given.setdefault("assume", {}).setdefault(*said)
                part.kind = "fact"
        written = set(re.findall(r"[A-Za-z]\w*", " ".join(plain(s) for p in self.parts for _, s in p.sides)))
        for word in SCALARS & written - set(shapes) - self.defined_words - set(
            self.given.get("integers", {})
        ):
            shapes[word] = ()
        argument = self.names.argument
        if argument and argument not in shapes:  # its shape is inferred: a letter as people use it
            self.names.ranks[argument] = 2 if argument.isupper() else 1
        self.names.ranks |= {word: len(_entries(shape)) for word, shape in shapes.items()}
        integers = self.given.get("integers", {})
        self.names.ranks |= {word: len(_entries(entry[0])) for word, entry in integers.items()}
        for entry in [*shapes.values(), *(shape for shape, _ in integers.values())]:
            self.names.sizes |= set(re.findall(r"[A-Za-z]\w*", " ".join(map(str, _entries(entry)))))
        self.names.sizes |= {str(entry[1]) for entry in integers.values() if str(entry[1]).isidentifier()}

    def _declare_in_words(self, line: int, row: str) -> None:
        shapes = self.given["shapes"]
        for name, dims in said_in_words(row):
            word = _joined(name)
            if self._is_input(word) and (len(word) < 4 or re.search(rf"`{re.escape(word)}\b", row)):
                shapes.setdefault(word, dims)
            elif word in self.defined_words or (word[:1] == "d" and len(word) < 5):
                said = Part("shape", line, row.strip(), "prose", names=(word,), shape=dims)
                at = next((k for k, part in enumerate(self.parts) if part.line > line), len(self.parts))
                self.parts.insert(at, said)
        for name, fact in facts_in_words(row):
            if name in shapes:
                self.given.setdefault("assume", {}).setdefault(name, fact)

    def _is_input(self, word: str) -> bool:
        word = _joined(word)
        gradient = word[:1] == "d" and (word[1:] in self.defined_words or word[1:] in self.given["shapes"])
        return _NAME.match(word) is not None and word not in self.defined_words and not gradient

    def _defined_word(self, part: Part) -> str:
        """The name that the first side of a chain is, were it new; empty for an expression."""
        first = self._unsquared(plain(part.sides[0][1]).strip())
        found = _INDEXED.match(first)
        if found is not None and not first.startswith(("d", "∂")):
            letters = re.sub(r"[^a-z]", "", found[2] or found[3])
            right = plain(part.sides[1][1])
            if found[3] or all(re.search(rf"(?:_|_\{{\w*|\[[^\]]*){letter}", right) for letter in letters):
                return found[1]
        return _joined(first) if _NAME.match(_joined(first)) else ""

    # ---- definitions

    def _unsquared(self, first: str) -> str:
        """`σ² = …` defines the square, under a name of its own."""
        found = re.fullmatch(r"([A-Za-z]\w*?)((?:_\{?[a-z]+\}?)?)(?:\^2|\^\{2\}|\*\*2)", first)
        if found is None or found[1] in self.names.ranks:
            return first
        self.names.squares[found[1]] = f"{found[1]}_sq"
        return f"{found[1]}_sq{found[2]}"

    def _definition(self, part: Part) -> None:
        """Take a chain as a forward definition where its name is new and it reads no gradient."""
        word = self._defined_word(part)
        sizes = re.fullmatch(r"\d+", part.sides[-1][1].strip())
        if sizes is not None and (word in self.names.sizes or (word.isupper() and len(word) == 1)):
            self._sizes(part, int(sizes[0]))
            return
        adjoint = self.names.gradient(word) is not None and not word.endswith("_bar")
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
            try:
                found = read_program("\n".join([*self.lines, line]), **self._beside([*self.lines, line]))
            except PullbackError as problem:
                self.problem = self.problem or problem
                continue
            self.lines.append(line)
            self._known(found)
            self.defining.add(id(part))
            self.defined[word] = part
            return

    def _readings(self, part: Part, word: str) -> Iterator[str]:
        """The definition in the language: as a person means it, then letter by letter."""
        first, second = self._unsquared(plain(part.sides[0][1]).strip()), part.sides[1][1]
        try:
            (tree,) = read_sides(second, self.names)
            lowering = Lowering(self.names)
            found = _INDEXED.match(first)
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
            self.sizes[_joined(side)] = value
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
        for key, entries in self.given.items():
            chosen = entries if key == "ranges" else {word: e for word, e in entries.items() if word in used}
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


def _joined(word: str) -> str:
    """`W_1`, `W_{1}` and `W1` are one name."""
    return re.sub(r"_\{?(\d+)\}?(?=\Z|_)", r"\1", plain(word).strip())


def _entries(shape: Any) -> list[Any]:
    return (
        [p for p in re.split(r"[\s,]+", shape.strip("[]() ")) if p] if isinstance(shape, str) else list(shape)
    )
