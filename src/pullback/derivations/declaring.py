"""What a text declares: shapes, facts, what is applied to what, and which names it defines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pullback.derivations.document import passages
from pullback.derivations.handwriting import plain
from pullback.derivations.labels import labelled
from pullback.derivations.names import ALIASES, CALLED, LOSSES, SCALARS, Names
from pullback.derivations.parts import Part, parts
from pullback.derivations.wording import facts_in_words, said_in_words, sums_to_one
from pullback.errors import PullbackError
from pullback.functions import FUNCTIONS
from pullback.limits import demand
from pullback.program import Program

MOST_STATEMENTS: Final = 500
_NAME: Final = re.compile(r"[A-Za-z]\w*\Z")
_MARKS: Final = "hat|bar|tilde|dot|sq"
INDEXED: Final = re.compile(
    rf"([A-Za-z][A-Za-z0-9]*(?:_(?:{_MARKS}))?)"
    rf"(?:_\{{?(?!(?:{_MARKS})\b)([a-z]+)\}}?|((?:\[\s*[a-z]\s*(?:,\s*[a-z]\s*)*\])+))\Z"
)


class Declaring:
    """Gathers what a text declares."""

    def __init__(self, text: str, program: str | None, given: Mapping[str, Any]) -> None:
        self.text = labelled(text)
        self.found = list(passages(self.text))
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

    def _function(self, part: Part) -> None:
        """`φ = tanh` names a function."""
        if part.kind != "chain" or len(part.sides) != 2:
            return
        first, second = (plain(side).strip() for _, side in part.sides)
        function = ALIASES.get(second, second)
        if re.fullmatch(r"[A-Za-z]\w*", first) and function in FUNCTIONS and function != first:
            self.names.functions[first] = function
            part.kind = "fact"
            part.names, part.fact = (), ""

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
            word = joined(part.names[0])
            if word in shapes and tuple(map(str, entries(shapes[word]))) != part.shape:
                continue  # said again, and differently: a statement to be judged
            if part.integers:
                self.given.setdefault("integers", {}).setdefault(word, (part.shape, part.integers))
            else:
                for name in part.names:
                    shapes.setdefault(joined(name), part.shape)
            part.kind = "declaration"
        for line, row in enumerate(self.text.split("\n"), 1):
            self._declare_in_words(line, row)
        for part in self.parts:
            if part.kind == "fact" and part.names:
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
        self.names.ranks |= {word: len(entries(shape)) for word, shape in shapes.items()}
        integers = self.given.get("integers", {})
        self.names.ranks |= {word: len(entries(entry[0])) for word, entry in integers.items()}
        for entry in [*shapes.values(), *(shape for shape, _ in integers.values())]:
            self.names.sizes |= set(re.findall(r"[A-Za-z]\w*", " ".join(map(str, entries(entry)))))
        self.names.sizes |= {str(entry[1]) for entry in integers.values() if str(entry[1]).isidentifier()}

    def _declare_in_words(self, line: int, row: str) -> None:
        shapes = self.given["shapes"]
        for name, dims in said_in_words(row):
            word = joined(name)
            if self._is_input(word) and (len(word) < 4 or re.search(rf"`{re.escape(word)}\b", row)):
                shapes.setdefault(word, dims)
            elif word in self.defined_words or (word[:1] == "d" and len(word) < 5):
                said = Part("shape", line, row.strip(), "prose", names=(word,), shape=dims)
                at = next((k for k, part in enumerate(self.parts) if part.line > line), len(self.parts))
                self.parts.insert(at, said)
        for name, fact in facts_in_words(row):
            if name in shapes and (shapes[name] or fact != "simplex"):
                self.given.setdefault("assume", {}).setdefault(name, fact)

    def _is_input(self, word: str) -> bool:
        word = joined(word)
        gradient = word[:1] == "d" and (word[1:] in self.defined_words or word[1:] in self.given["shapes"])
        return _NAME.match(word) is not None and word not in self.defined_words and not gradient

    def _defined_word(self, part: Part) -> str:
        """The name that the first side of a chain is, were it new; empty for an expression."""
        first = self._unsquared(plain(part.sides[0][1]).strip())
        found = INDEXED.match(first)
        if found is not None and not first.startswith(("d", "∂")):
            letters = re.sub(r"[^a-z]", "", found[2] or found[3])
            right = plain(part.sides[1][1])
            if found[3] or all(re.search(rf"(?:_\{{?\w*|\[[^\]]*){letter}", right) for letter in letters):
                return found[1]
        return joined(first) if _NAME.match(joined(first)) else ""

    def _unsquared(self, first: str) -> str:
        """`σ² = …` defines the square, under a name of its own."""
        found = re.fullmatch(r"([A-Za-z]\w*?)((?:_\{?[a-z]+\}?)?)(?:\^2|\^\{2\}|\*\*2)", first)
        if found is None or found[1] in self.names.ranks:
            return first
        self.names.squares[found[1]] = f"{found[1]}_sq"
        return f"{found[1]}_sq{found[2]}"


def joined(word: str) -> str:
    """`W_1`, `W_{1}` and `W1` are one name."""
    return re.sub(r"_\{?(\d+)\}?(?=\Z|_)", r"\1", plain(word).strip())


def entries(shape: Any) -> list[Any]:
    return (
        [p for p in re.split(r"[\s,]+", shape.strip("[]() ")) if p] if isinstance(shape, str) else list(shape)
    )
