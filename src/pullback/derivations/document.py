"""Where the mathematics of a text stands: code blocks, inline code, displayed formulas, and fragments of prose."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pullback.derivations.latex import cases_written, unboxed
from pullback.derivations.names import CALLED

SKIPPED: Final = frozenset(
    ("bash", "sh", "shell", "console", "json", "yaml", "toml", "html", "c", "cpp", "cuda", "diff")
)
_STATEMENT: Final = re.compile(
    r"(import|from|def|return|class|if|for|while|with|print|assert|raise|try|pass|@)\b|>>>|\"\"\""
)
_RELATION: Final = re.compile(r"(?<![<>!])=|∈|≡|≔|\\in\b|\\equiv\b")
_DECLARATION: Final = re.compile(
    r"\b[A-Za-z]\w*(?:\s*,\s*[A-Za-z]\w*)*\s*:\s*\[[^\]]*\](?:\s*in\s+[A-Za-z]\w*)?"
)
_WORD: Final = re.compile(r"[A-Za-z][a-z'’]+(?:-[a-z]+)*\Z|[A-Z]{2,}s?\Z")
_SHORT: Final = frozenset(
    ("ad", "al", "am", "an", "as", "at", "be", "by", "co", "do", "eg", "et", "ex", "go", "he", "id", "ie", "if",
     "in", "is", "it", "me", "my", "no", "of", "oh", "ok", "on", "or", "pp", "re", "so", "st", "th", "to", "up",
     "us", "vs", "we")
)  # fmt: skip
_OPERATOR: Final = re.compile(r"[-+*/@=·∘⊙⊗×∈<>≤≥≠−∑Σ≡]$")
_OPENING: Final = re.compile(r"^[-+*/@=·∘⊙⊗×∈<>≤≥≠−≡]")
_DISPLAY: Final = re.compile(
    r"\$\$|\\\[|\\\]|\\(?:begin|end)\{(?:equation|align|aligned|alignat|gather|gathered|split|multline|eqnarray|"
    r"displaymath|math|flalign|dmath)\*?\}(?:\{\d\})?"
)
_LEFT: Final = re.compile(r"(?m)^\s*(?:[-*]\s+|\d+\.\s+)?(?:\(?[a-z]\)\s+)?([A-Za-z]\w*)\s*=(?!=)")
_GRADIENT: Final = re.compile(r"d[A-Z]|d(?!o\Z)[a-z]\Z")
_CONDITIONS: Final = frozenset(("if", "when", "whenever", "where", "for"))
_LISTED: Final = re.compile(r"\s*(?:#{1,6}\s+|>\s*|[-*+•]\s+|\(?\d{1,3}[.)]\s+|\([a-z]\)\s+)*")
_NUMBERED: Final = re.compile(r"\s*(?:\\tag\{\w+\}|\(\d+[a-z]?\))\s*$")
_ARROWS: Final = re.compile(r"^\s*(?:⇒|⟹|=>|→|∴|⟺|<=>|\\Rightarrow|\\implies)\s*")


@dataclass(frozen=True, slots=True)
class Passage:
    """One line, or a part of one, that may be mathematics."""

    line: int
    text: str
    source: str  # "code", "inline" or "prose"
    whole: str  # the line that it stands in


def passages(text: str) -> Iterator[Passage]:
    """Every passage of a text in its order. Prose without a relation sign is left out."""
    fence, language = "", ""
    held, first = "", 0
    shown = Displays()
    known = frozenset(_LEFT.findall(text))
    for number, row in enumerate(_joined_cases(text).split("\n"), 1):
        mark = re.match(r"\s*(```+|~~~+)\s*(\w*)", row)
        if mark is not None and (not fence or mark[1].startswith(fence)):
            fence, language = ("", "") if fence else (mark[1], mark[2].lower())
            continue
        if fence and language in SKIPPED:
            continue
        if not fence and shown.takes(row):
            for prose in shown.row(number, row):
                yield from _prose(number, prose, known)
            yield from shown.finished()
            continue
        inside = bool(fence) or re.match(r"(?: {4}|\t)\s*[^\s*+-]", row) is not None
        if not inside:
            yield from _prose(number, row, known)
            continue
        written = f"{held} {_code(row).strip()}" if held else _code(row)
        first = first if held else number
        held = written if _is_open(written) and len(written) < 2_000 else ""
        if written.strip() and not held and not _STATEMENT.match(written.strip()):
            yield Passage(first, written.strip(), "code", row.strip())
    yield from shown.finished(at_end=True)
    if held.strip():
        yield Passage(first, held.strip(), "code", held.strip())


def _joined_cases(text: str) -> str:
    """Every `cases` written as a sum of brackets, with as many lines as before."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")

    def joined(match: re.Match[str]) -> str:
        return cases_written(match) + "\n" * match.group().count("\n")

    return re.sub(r"\\begin\{cases\}(.*?)\\end\{cases\}", joined, text, flags=re.DOTALL)


class Displays:
    """Displayed formulas: where one begins and ends, and what is still open in it."""

    def __init__(self) -> None:
        self.dollars = False
        self.depth = 0  # of brackets and environments
        self.held: list[Passage] = []

    @property
    def is_open(self) -> bool:
        return self.dollars or self.depth > 0

    def takes(self, row: str) -> bool:
        """Whether a row lies in a display, or one begins or ends on it."""
        return self.is_open or _DISPLAY.search(row) is not None

    def row(self, number: int, row: str) -> list[str]:
        """Take what is displayed on a row; what else stands on it is given back."""
        prose, at = [], 0
        for match in [*_DISPLAY.finditer(row), None]:
            end = len(row) if match is None else match.start()
            piece = row[at:end]
            if self.is_open:
                self._take(number, piece, row)
            elif piece.strip():
                prose.append(piece)
            if match is None:
                break
            at = match.end()
            self._toggle(match.group())
        return prose

    def _toggle(self, mark: str) -> None:
        if mark == "$$":
            self.dollars = not self.dollars
        elif mark.startswith(("\\[", "\\begin")):
            self.depth += 1
        else:
            self.depth = max(0, self.depth - 1)

    def _take(self, number: int, piece: str, row: str) -> None:
        for part in re.split(r"\\\\(?:\[[^\]]*\])?", piece):
            plain_row = _NUMBERED.sub("", _ARROWS.sub("", re.sub(r"(?<!\\)&", " ", part)))
            written = " ".join(unboxed(plain_row).split()).rstrip(" .,;")
            if not written:
                continue
            last = self.held[-1] if self.held else None
            goes_on = re.match(r"[-+·∘⊙*/)]|\\(?:cdot|odot|times|circ)\b", written) is not None
            if last is not None and (goes_on or _is_open(last.text)):
                self.held[-1] = Passage(last.line, f"{last.text} {written}", last.source, last.whole)
            else:
                self.held.append(Passage(number, written, "code", row.strip()))

    def finished(self, *, at_end: bool = False) -> Iterator[Passage]:
        """What nothing can be added to any more."""
        if not self.is_open or at_end:
            yield from self.held
            self.held = []


def _code(row: str) -> str:
    """A line of code without its comment, its arrow and its number."""
    row = re.sub(r"(?<!\\)#.*|//\s.*", "", row)
    return " ".join(_NUMBERED.sub("", _ARROWS.sub("", row.strip())).split()).rstrip(" .,;")


def _is_open(text: str) -> bool:
    """Whether a line goes on below: a bracket is open, or an operator stands at its end."""
    depth = sum(text.count(c) for c in "([{") - sum(text.count(c) for c in ")]}")
    return depth > 0 or re.search(r"(?:[-+*/@=·∘]|\\)\s*$", text) is not None


def _prose(number: int, row: str, known: Collection[str]) -> Iterator[Passage]:
    """Inline code and formulas first, then what else on the line looks like mathematics."""
    whole = row.strip()
    if whole.startswith("|") and whole.endswith("|") and whole.count("|") > 2:
        for cell in whole.strip("|").split("|"):
            yield from _prose(number, cell, known)
        return
    row = _NUMBERED.sub("", _ARROWS.sub("", _LISTED.sub("", row, count=1)))
    row = re.sub(r"(?<!\S)(\*\*|__|\*|_)(?=\S)(.+?)(?<=\S)\1(?=[\s.,;:)]|$)", r"\2", row)
    for match in _DECLARATION.finditer(row):
        yield Passage(number, match.group(), "prose", whole)
    row = _DECLARATION.sub(" ; ", row)
    left = []
    for part in re.split(r"(`+[^`]+`+|\$[^$]+\$)", row):
        if part[:1] in ("`", "$") and part[-1:] == part[:1]:
            inner = part.strip("`$").strip()
            inner = unboxed(inner).strip() if "\\" in inner else inner
            if _RELATION.search(inner) and not inner.startswith("="):
                yield Passage(number, inner.rstrip(" .,;"), "inline", whole)
                left.append(" ; ")
            else:
                left.append(f" {inner} ")
        else:
            left.append(part)
    for fragment in _fragments("".join(left), known):
        yield Passage(number, fragment, "prose", whole)


def _fragments(row: str, known: Collection[str]) -> Iterator[str]:
    """The longest runs of mathematics between ordinary words, where they hold a relation."""
    words = row.split()
    run: list[str] = []
    for k, word in enumerate([*words, "."]):
        end = k == len(words)
        before = words[k - 1] if k else ""
        after = words[k + 1] if k + 1 < len(words) else ""
        if not end and not _is_prose(word, before, after, known):
            run.append(word)
            if (word[-1] in ".;:" and not word.endswith("..")) or word == ";":
                yield from _closed(run)
                run = []
            continue
        if not end and run and word.lower() in _CONDITIONS:
            run.append(word.lower())
            continue
        yield from _closed(run)
        run = [word.lower()] if not end and word.lower() in ("if", "when", "whenever") else []


def _closed(run: list[str]) -> Iterator[str]:
    while run and (run[-1] in _CONDITIONS or run[-1] in ",;:."):
        run = run[:-1]
    while run and run[0] in ("where", "for"):
        run = run[1:]
    text = " ".join(run).rstrip(" .,;:")
    if _RELATION.search(text) and len(text) > 2:
        yield text


def _is_prose(word: str, before: str, after: str, known: Collection[str]) -> bool:
    """An ordinary word, unless an operator stands beside it."""
    bare = word.strip(',.;:!?()"“”')
    if bare.lower() in _CONDITIONS or not bare:
        return bool(bare)
    if bare in ("a", "A", "I"):
        return word == bare and len(after) > 2 and _WORD.match(after.strip(",.;:")) is not None
    if _WORD.match(bare) is None or bare in CALLED or bare in known or _GRADIENT.match(bare):
        return False
    if re.fullmatch(r"[A-Z]{2,4}", bare) or (len(bare) == 2 and bare.lower() not in _SHORT):
        return False  # XW, QK, Ax
    return not (_OPENING.match(after) and word == bare) and not (_OPERATOR.search(before) and len(before) < 3)
