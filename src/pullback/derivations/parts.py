"""What a passage says: a shape, a fact, a chain of equalities; and where its sides begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pullback.derivations.document import Passage
from pullback.derivations.handwriting import plain

DIMENSIONS: Final = r"[\w+*/-]+(?:\s*(?:[×·,]|\bx\b)\s*[\w+*/-]+)*"
_DECLARED: Final = re.compile(
    r"([A-Za-z]\w*(?:\s*,\s*[A-Za-z]\w*)*)\s*:\s*\[([^\]]*)\](?:\s*in\s+([\w*+-]+))?"
)
_LISTED: Final = re.compile(
    r"(?:[A-Za-z]\w*\s*:\s*[\w*+-]+(?:(?:\s+|\s*[×x]\s*)[\w*+-]+)*\s*(?:[,;]\s*|$))+\Z"
)
_SIGN: Final = r"_\s*\{?\s*(?:\+{1,2}|>=?\s*0)\s*\}?"
_INTERVAL: Final = r"[({\[]\s*-?[01]\s*,\s*1\s*[)}\]]"
_MEMBER: Final = re.compile(
    rf"^(?P<before>.*?)\s*(?:∈|\bin\b)\s*(?P<set>R(?![A-Za-z])(?:{_SIGN})?|{_INTERVAL})\s*"
    rf"(?:\^?\s*\{{(?P<a>[^{{}}]*)\}}|\^?\s*\((?P<b>[^()]*)\)|\^(?P<c>[A-Za-z0-9]+)|(?=$|_))(?P<sign>{_SIGN})?"
)
_LEADING: Final = re.compile(
    r"^\s*(?:(?:where|and|with|so|then|let|for|hence|thus|also|but|or|all)\s+)+", re.IGNORECASE
)
_SHAPE: Final = re.compile(
    rf"(?:shape\((?P<of>[^()]*(?:\([^()]*\)[^()]*)*)\)|(?P<dot>[\w.]+)\.shape)\s*=+\s*[\[(]?(?P<dims>{DIMENSIONS}|)[\])]?\Z"
)


@dataclass(slots=True)
class Part:
    """One statement: what it says, and each of its sides with the line on which it stands."""

    kind: str  # "chain", "shape", "declaration", "fact", "sizes"
    line: int
    text: str
    source: str
    sides: list[tuple[int, str]] = field(default_factory=list)
    names: tuple[str, ...] = ()
    shape: tuple[str, ...] = ()
    integers: str = ""  # the range of an integer tensor
    fact: str = ""
    condition: str = ""
    whole: str = ""  # the line that it stands in


def parts(found: Sequence[Passage]) -> list[Part]:
    """The statements of all passages; a passage that begins with `=` goes on with the one before."""
    result: list[Part] = []
    for passage in found:
        if passage.text.startswith("=") and not passage.text.startswith("=="):
            chain = next((part for part in reversed(result) if part.kind == "chain"), None)
            if chain is not None:
                chain.sides += [(passage.line, side) for side in sides_of(_REASON.sub("", passage.text))[1:]]
                continue
        result += _of_passage(passage)
    return result


def _of_passage(passage: Passage) -> Iterator[Part]:
    text = passage.text
    if passage.source == "code" and _LISTED.match(plain(text)) and "[" not in text:
        for item in re.split(r"[,;]\s*(?=[A-Za-z]\w*\s*:)", plain(text)):
            word, _, dims = item.partition(":")
            yield _declaration(passage, (word.strip(),), dimensions(dims.strip(" ,;"), spaces=True))
        return
    for match in _DECLARED.finditer(text):
        words = tuple(word.strip() for word in match[1].split(","))
        yield _declaration(passage, words, dimensions(match[2]), match[3] or "")
    text = re.sub(r"\\q?quad\b", " ", _DECLARED.sub(" ", text))
    condition = ""
    leading = re.match(r"\s*(?:if|when|whenever)\b(.*?),\s*(?:then\s+)?(.*)$", text)
    if leading is not None:
        condition, text = leading[1].strip(), leading[2]
    text = re.sub(r"[\s,]+(?:where|with|for)\s+(?=[^=;]*(?:∈|\\in\b))", " ; ", text)
    text = _BEHIND.sub(_set_apart, text)
    for piece in _pieces(text):
        yield from _of_piece(passage, _LEADING.sub("", piece), condition)


_BEHIND: Final = re.compile(r"[\s,]+(?:where|with)\s+(?=(\\?[A-Za-z]\w*)(?:_\{?\w+\}?)?\s*=(?!=))")


def _set_apart(match: re.Match[str]) -> str:
    """`… where p = softmax(x)` is a statement of its own; `… where i = j` a condition on indices."""
    slot = rf"_\{{?\w*{re.escape(match[1])}|\[[^\]]*\b{re.escape(match[1])}\b"
    return match[0] if re.search(slot, match.string[: match.start()]) else " ; "


def _of_piece(passage: Passage, piece: str, condition: str) -> Iterator[Part]:
    written = plain(piece).strip()
    fact = re.fullmatch(
        r"(symmetric|spd|invertible|positive|nonnegative|nonzero|lower_triangular)\((\w+)\)", written
    )
    if fact is not None:
        yield Part("fact", passage.line, piece, passage.source, names=(fact[2],), fact=fact[1])
        return
    shape = _SHAPE.match(written)
    if shape is not None:
        dims = dimensions(shape["dims"])
        yield Part(
            "shape",
            passage.line,
            piece,
            passage.source,
            names=(shape["of"] or shape["dot"] or "",),
            shape=dims,
        )
        return
    member = _MEMBER.match(written)
    if member is not None:
        yield from _members(passage, piece, member, condition)
        return
    if len(sides_of(written)) > 1:
        yield _chain(passage, piece, condition)
    elif passage.source == "code":
        yield Part("chain", passage.line, piece, passage.source, [(passage.line, piece)])


def _members(passage: Passage, piece: str, member: re.Match[str], condition: str) -> Iterator[Part]:
    """`x, y ∈ ℝ^n`, `y ∈ {0, 1}^N`: shapes, and what the set says of the entries."""
    dims = dimensions(member["a"] or member["b"] or member["c"] or "")
    before = re.split(r"∈|\\in\b|\bin\b", piece)[0]
    fact = _fact_of(member, "{" in re.split(r"∈|\\in\b|\bin\b", piece, maxsplit=1)[1].lstrip(" \\")[:1])
    subjects = sides_of(before)
    if len(subjects) > 1:
        yield _chain(passage, before.strip(), condition)
        subjects = subjects[-1:]
    for subject in _commas(subjects[0]):
        yield Part("shape", passage.line, piece, passage.source, names=(subject.strip(),), shape=dims)
        if fact and re.fullmatch(r"[A-Za-z]\w*", plain(subject).strip()):
            word = (plain(subject).strip(),)
            yield Part("fact", passage.line, piece, passage.source, names=word, fact=fact)


def _fact_of(member: re.Match[str], listed: bool) -> str:
    """What membership says: {0, 1} of two values, ℝ_{>0} of positive numbers."""
    numbers = re.findall(r"-?\d", member["set"]) if member["set"][0] != "R" else []
    sign = member["set"][1:] + (member["sign"] or "")
    if numbers:
        return "binary" if listed and numbers == ["0", "1"] else ""
    positive = "++" in sign or (">" in sign and "=" not in sign)
    return "positive" if positive else "nonnegative" if sign.strip() else ""


_REASON: Final = re.compile(r"[\s,(]*\b(?:since|because|using|as|by the|by|where we used)\s.*$")


def _chain(passage: Passage, text: str, condition: str) -> Part:
    text = _REASON.sub("", text)
    after = re.search(r"\s(?:if|when|whenever|where|for)\s+(.*)$", text)
    if after is not None:
        text = text[: after.start()]
        rest = after[1].strip()
        if re.search(r"=|!=|≠|<|>|≤|≥", rest) and "∈" not in rest:
            condition = condition or rest
    sides = [(passage.line, side) for side in sides_of(text)]
    return Part(
        "chain", passage.line, text.strip(), passage.source, sides, condition=condition, whole=passage.whole
    )


def _declaration(passage: Passage, names: tuple[str, ...], dims: tuple[str, ...], values: str = "") -> Part:
    return Part("shape", passage.line, passage.text, passage.source, names=names, shape=dims, integers=values)


def dimensions(text: str, *, spaces: bool = False) -> tuple[str, ...]:
    """`N × D`, `N x D`, `N, D` as its sizes."""
    pattern = r"\s*(?:[×·,]|\bx\b)\s*" + (r"|\s+" if spaces else "")
    return tuple(part.strip() for part in re.split(pattern, text.strip("()[] ")) if part.strip())


# ---- where sides and pieces end ---------------------------------------------------------------


def sides_of(text: str) -> list[str]:
    """The sides of the `=` signs that stand in no bracket."""
    return [side.strip() for side in _split(text, "=")]


def _commas(text: str) -> list[str]:
    return _split(text, ",")


def _pieces(text: str) -> list[str]:
    """Statements that commas and semicolons part; a piece without a relation goes to the next."""
    found: list[str] = []
    held = ""
    text = re.sub(r"⇒|⟹|⟺", ";", text)
    for piece in (p for half in _split(text, ";") for p in (*_commas(half), "\0")):
        if piece == "\0":
            if held.strip():
                found.append(held)
            held = ""
            continue
        held = f"{held}, {piece}" if held and re.fullmatch(r"[\w\s,\\{}^]*", held) else piece
        if re.search(r"=|∈|≡|\\in\b|\bin R\b", held):
            found.append(held)
            held = ""
    return [piece.strip() for piece in found if piece.strip()]


def _split(text: str, sign: str) -> list[str]:
    """The text between signs outside of brackets; `==`, `<=` and their like are no `=`."""
    found, depth, start = [], 0, 0
    for k, c in enumerate(text):
        depth += (c in "([{⟨") - (c in ")]}⟩")
        if c != sign or depth > 0:
            continue
        if sign == "=" and (text[k - 1 : k] in ("<", ">", "!", "=", ":") or text[k + 1 : k + 2] == "="):
            if text[k - 1 : k] != ":":
                continue
            found.append(text[start : k - 1])
        else:
            found.append(text[start:k])
        start = k + 1
    return [*found, text[start:]]
