"""What a passage says: a shape, a fact, a chain of equalities; and where its sides begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pullback.derivations.document import Passage
from pullback.derivations.handwriting import plain

_DIMENSIONS: Final = r"[\w+*/-]+(?:\s*(?:[×·,]|\bx\b)\s*[\w+*/-]+)*"
_DECLARED: Final = re.compile(
    r"([A-Za-z]\w*(?:\s*,\s*[A-Za-z]\w*)*)\s*:\s*\[([^\]]*)\](?:\s*in\s+([\w*+-]+))?"
)
_LISTED: Final = re.compile(
    r"(?:[A-Za-z]\w*\s*:\s*[\w*+-]+(?:(?:\s+|\s*[×x]\s*)[\w*+-]+)*\s*(?:[,;]\s*|$))+\Z"
)
_MEMBER: Final = re.compile(
    r"^(.*?)\s*(?:∈|\bin\b)\s*R\b\s*(?:\^?\s*\{([^{}]*)\}|\^?\s*\(([^()]*)\)|\^(\w+)|$)"
)
_LEADING: Final = re.compile(
    r"^\s*(?:(?:where|and|with|so|then|let|for|hence|thus|also|but|or|all)\s+)+", re.IGNORECASE
)
_SHAPE: Final = re.compile(
    rf"(?:shape\((?P<of>[^()]*(?:\([^()]*\)[^()]*)*)\)|(?P<dot>[\w.]+)\.shape)\s*=+\s*[\[(]?(?P<dims>{_DIMENSIONS}|)[\])]?\Z"
)
_WORDS: Final = re.compile(
    r"(?P<name>[A-Za-z∂]\S*)\s+(?:(?:is|are|has|have|of|with|a|an|the|matrix|vector|itself)\s+)*"
    rf"(?:shape|size|dimensions?)\s+[(\[]?(?P<dims>{_DIMENSIONS})[)\]]?"
)
_FACTS: Final = (
    (r"symmetric (?:and )?positive[- ]definite|spd|SPD", "spd"), (r"lower[- ]triangular", "lower_triangular"),
    (r"symmetric", "symmetric"), (r"invertible|nonsingular", "invertible"), (r"positive", "positive"),
    (r"non-?negative", "nonnegative"), (r"non-?zero", "nonzero"),
)  # fmt: skip


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
            yield _declaration(passage, (word.strip(),), _dimensions(dims.strip(" ,;"), spaces=True))
        return
    for match in _DECLARED.finditer(text):
        words = tuple(word.strip() for word in match[1].split(","))
        yield _declaration(passage, words, _dimensions(match[2]), match[3] or "")
    text = re.sub(r"\\q?quad\b", " ", _DECLARED.sub(" ", text))
    condition = ""
    leading = re.match(r"\s*(?:if|when|whenever)\b(.*?),\s*(?:then\s+)?(.*)$", text)
    if leading is not None:
        condition, text = leading[1].strip(), leading[2]
    text = re.sub(r"[\s,]+(?:where|with|for)\s+(?=[^=;]*(?:∈|\\in\b))", " ; ", text)
    for piece in _pieces(text):
        yield from _of_piece(passage, _LEADING.sub("", piece), condition)


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
        dims = _dimensions(shape["dims"])
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
        dims = _dimensions(member[2] or member[3] or member[4] or "")
        before = re.split(r"∈|\\in\b|\bin\b", piece)[0]
        subjects = sides_of(before)
        if len(subjects) > 1:
            yield _chain(passage, before.strip(), condition)
            subjects = subjects[-1:]
        for subject in _commas(subjects[0]):
            yield Part("shape", passage.line, piece, passage.source, names=(subject.strip(),), shape=dims)
        return
    if len(sides_of(written)) > 1:
        yield _chain(passage, piece, condition)
    elif passage.source == "code":
        yield Part("chain", passage.line, piece, passage.source, [(passage.line, piece)])


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


def _dimensions(text: str, *, spaces: bool = False) -> tuple[str, ...]:
    """`N × D`, `N x D`, `N, D` as its sizes."""
    pattern = r"\s*(?:[×·,]|\bx\b)\s*" + (r"|\s+" if spaces else "")
    return tuple(part.strip() for part in re.split(pattern, text.strip("()[] ")) if part.strip())


_SAID: Final = (
    re.compile(r"\b(?P<name>[A-Za-z]\w*)\s+(?:is|be|are)\s+(?:an?\s+)?(?P<dims>\w+\s*(?:·|\bx\b)\s*\w+)"),
    re.compile(rf"\b(?P<name>[A-Za-z]\w*)\s*\((?P<dims>\w+\s*(?:·|\bx\b)\s*{_DIMENSIONS})\)"),
    re.compile(r"\b(?:an?|the)\s+(?P<dims>\w+\s*(?:·|\bx\b)\s*\w+)\s+matrix\s+(?P<name>[A-Z]\w*)\b"),
    re.compile(
        r"\b(?P<name>[A-Za-z]\w*)\s+(?:is\s+|be\s+)?an?\s+\w+\s+in\s+R\s*\^\s*"
        r"\{?(?P<dims>[\w·, ]+?)\}?(?=[\s.,;]|$)"
    ),
    re.compile(
        r"\b(?P<name>[A-Za-z]\w*(?:\s*,\s*[A-Za-z]\w*)*)\s+in\s+R\s*\^\s*"
        r"\{?(?P<dims>[\w·]+(?:, ?[\w·]+(?=\}))*)\}?(?=[\s.,;]|$)"
    ),
)  # fmt: skip


def said_in_words(passage_text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name, sizes) for `X has shape N × D` and the like in a sentence."""
    text = re.sub(r"[`$]", "", passage_text)
    text = plain(text)
    for pattern in (_WORDS, *_SAID):
        for match in pattern.finditer(text):
            dims = _dimensions(match["dims"])
            if len(dims) > 1 or pattern in _SAID[-2:]:
                for name in match["name"].split(","):
                    yield name.strip(" ,.;:()"), dims


def facts_in_words(text: str) -> Iterator[tuple[str, str]]:
    """(name, fact) for `A is symmetric`, `A and S are symmetric`, `a symmetric matrix A`, `the one-hot label y`."""
    written = plain(re.sub(r"[`$]", "", text))
    for pattern, fact in _FACTS:
        found = re.search(
            rf"({_LIST})\s*(?:∈\s*R\s*\^?\s*\{{?[^{{}},;.]*\}}?,?\s*)?\b(?:is|are|be)\s+(?:an? |both )?(?:{pattern})\b"
            rf"|\b(?:{pattern})(?: \w+)? matri(?:x|ces) ({_LIST})"
            rf"|\b([A-Za-z]\w*)\s*∈\s*R\s*\^?\s*\{{?[^{{}},;.]*\}}?,?\s*(?:an? |be )?(?:{pattern})\b",
            written,
        )
        if found is not None:
            yield from (
                (name, fact)
                for name in re.findall(r"[A-Za-z]\w*", found[1] or found[2] or found[3])
                if name != "and"
            )
            return
    for found in re.finditer(_DISTRIBUTION, written):
        before = [w for w in re.findall(_SUBJECT, written[: found.start()]) if w not in _VERBS]
        after = re.findall(r"(?<![\w\\])([A-Za-z]\w?)(?!\w)", written[found.end() :])
        for name in [*before[-1:], *after[:1]]:
            yield name, "simplex"


_VERBS: Final = frozenset(("is", "are", "be", "a", "an", "the", "with", "and", "denotes"))
_SUBJECT: Final = r"(?<![\w\\^{])([A-Za-z]\w*)(?=\s*(?:∈|\)|\(|$| is| are| be| an?\b| the| denotes))"
_LIST: Final = r"(?:\b[A-Za-z]\w*(?:\s*,\s*|\s+and\s+))*\b[A-Za-z]\w*"
_DISTRIBUTION: Final = re.compile(
    r"\bone[- ]?hot\b|\b(?:probability|target|label) (?:distributions?|vectors?)\b|\bsums? to (?:one|1)\b",
    re.IGNORECASE,
)
_SUM_TO_ONE: Final = re.compile(
    r"\s*Σ\s*_?\{?\s*(\w)[^}\s]*\}?\s*(?:\^\{?\w+\}?)?\s*([A-Za-z]\w*?)_\{?(\w+)\}?\s*"
)


def sums_to_one(sides: Sequence[str]) -> tuple[str, str] | None:
    """(name, fact) for `Σ_i y_i = 1`."""
    if len(sides) != 2 or sides[1].strip() != "1":
        return None
    found = _SUM_TO_ONE.fullmatch(plain(sides[0]))
    if found is None or found[1] not in found[3] or len(found[3]) > 2:
        return None
    return found[2], "simplex" if found[3].endswith(found[1]) else "simplex(axis=0)"


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
