"""Shapes and facts that sentences state: `X has shape N × D`, `A is symmetric`, `y is one-hot`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pullback.derivations.handwriting import plain
from pullback.derivations.parts import DIMENSIONS, dimensions

_ONE: Final = r"[(\[]?\w+(?:\s*(?:·|\bx\b)\s*\w+)+[)\]]?"  # the sizes of one tensor
_WORDS: Final = re.compile(
    r"(?P<name>(?:[A-Za-z]\w*\s*,\s*)*(?:[A-Za-z]\w*,?\s+and\s+)?[A-Za-z∂]\S*)\s+(?:(?:is|are|has|have|of|with|a|an|the|matrix|vector|itself)\s+)*"
    rf"(?:shape|size|dimensions?)\s+[(\[]?(?P<dims>{DIMENSIONS})[)\]]?"
)
# `Q, K and V with shapes N × d, M × d and M × d`
_LISTS: Final = re.compile(
    r"(?P<names>[A-Za-z]\w*(?:\s*,?\s+and\s+[A-Za-z]\w*|\s*,\s*[A-Za-z]\w*)+)\s+"
    r"(?:with|have|of|has|are of)\s+(?:the\s+)?"
    rf"(?:shapes?|sizes?|dimensions?)\s+(?P<shapes>{_ONE}(?:\s*,\s*{_ONE})*\s*,?\s+and\s+{_ONE})"
)
_SCALAR: Final = re.compile(
    r"\b(?:scalars?|numbers?)\s+(?:input\s+)?(?P<a>[A-Za-z]\w?)(?!\w)"
    r"|\b(?P<b>[A-Za-z]\w?)\s+(?:is|be|denotes)\s+a\s+(?:real\s+)?(?:scalar|number)\b(?!\s+of)"
)
_FACTS: Final = (
    (r"symmetric (?:and )?positive[- ]definite|spd|SPD", "spd"), (r"lower[- ]triangular", "lower_triangular"),
    (r"symmetric", "symmetric"), (r"invertible|nonsingular", "invertible"), (r"positive", "positive"),
    (r"non-?negative", "nonnegative"), (r"non-?zero", "nonzero"),
)  # fmt: skip
_SAID: Final = (
    re.compile(r"\b(?P<name>[A-Za-z]\w*)\s+(?:is|be|are)\s+(?:an?\s+)?(?P<dims>\w+\s*(?:·|\bx\b)\s*\w+)"),
    re.compile(rf"\b(?P<name>[A-Za-z]\w*)\s*\((?P<dims>\w+\s*(?:·|\bx\b)\s*{DIMENSIONS})\)"),
    re.compile(r"\b(?:an?|the)\s+(?P<dims>\w+\s*(?:·|\bx\b)\s*\w+)\s+matrix\s+(?P<name>[A-Z]\w*)\b"),
    re.compile(
        r"\b(?P<name>[A-Za-z]\w*)\s*:\s*\((?P<dims>[A-Za-z0-9]{1,3}(?:\s*[,·]\s*[A-Za-z0-9]{1,3})*),?\s*\)"
    ),
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
    """(name, sizes) for `X has shape N × D` and the like in a sentence; no sizes for a scalar."""
    text = re.sub(r"[`$]", "", passage_text)
    text = plain(text)
    for match in _LISTS.finditer(text):
        names = re.findall(r"[A-Za-z]\w*", match["names"].replace(" and ", " , "))
        shapes = [dimensions(dims) for dims in re.split(r"\s*(?:,|,?\s+and)\s+", match["shapes"])]
        if len(shapes) == len(names):
            yield from zip(names, shapes, strict=True)
    for pattern in (_WORDS, *_SAID):
        for match in pattern.finditer(text):
            dims = dimensions(match["dims"])
            if len(dims) > 1 or pattern in _SAID[-3:]:
                for name in re.split(r",|\band\b", match["name"]):
                    yield name.strip(" ,.;:()"), dims
    for match in _SCALAR.finditer(text):
        yield match["a"] or match["b"], ()


def facts_in_words(text: str) -> Iterator[tuple[str, str]]:
    """(name, fact) for `A is symmetric`, `A and S are symmetric`, `a symmetric matrix A`, `the one-hot label y`.

    What stands behind an "if" holds for its own sentence alone: `conditions_in_words`.
    """
    yield from ((name, fact) for name, fact, conditional in _facts(text) if not conditional)


def conditions_in_words(text: str) -> Iterator[tuple[str, str]]:
    """(name, fact) for `if A is symmetric`."""
    yield from ((name, fact) for name, fact, conditional in _facts(text) if conditional)


def _facts(text: str) -> Iterator[tuple[str, str, bool]]:
    written = plain(re.sub(r"[`$]", "", text))
    for pattern, fact in _FACTS:
        found = re.search(
            rf"({_LIST})\s*(?:∈\s*R\s*\^?\s*\{{?[^{{}},;.]*\}}?,?\s*)?\b(?:is|are|be)\s+(?:an? |both )?(?:{pattern})\b"
            rf"|\b(?:{pattern})(?: \w+)? matri(?:x|ces) ({_LIST})"
            rf"|\b([A-Za-z]\w*)\s*∈\s*R\s*\^?\s*\{{?[^{{}},;.]*\}}?,?\s*(?:an? |be )?(?:{pattern})\b",
            written,
        )
        if found is not None:
            conditional = _is_conditional(written[: found.end()])
            yield from (
                (name, fact, conditional)
                for name in re.findall(r"[A-Za-z]\w*", found[1] or found[2] or found[3])
                if name not in _NO_NAMES
            )
            return
    for match in re.finditer(_DISTRIBUTION, written):
        before = [w for w in re.findall(_SUBJECT, written[: match.start()]) if w not in _VERBS]
        after = re.findall(r"(?<![\w\\])([A-Za-z]\w?)(?!\w)", written[match.end() :])
        for name in [*before[-1:], *after[:1]]:
            yield name, "simplex", _is_conditional(written[: match.end()])


def _is_conditional(before: str) -> bool:
    """Whether an "if" stands in the sentence that these words end."""
    sentence = re.split(r"[.;:]\s", before)[-1]
    return (
        re.search(r"\b(?:if|when|whenever|unless|provided|in case|only for)\b", sentence, re.IGNORECASE)
        is not None
    )


_NO_NAMES: Final = frozenset(("and", "if", "when", "whenever", "If", "When", "Whenever"))
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
