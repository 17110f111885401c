"""Marks of layers and of steps of time, `W^{(1)}` and `h_{t-1}`, as parts of a name: W1, hprev."""

from __future__ import annotations

import re
from typing import Final

from pullback.derivations.handwriting import GREEK

_COMMAND: Final = r"\\(?:mathbf|mathrm|boldsymbol|bm|vec|hat|bar|tilde|widehat|overline|widetilde|mathcal)\s*"
# A letter, a word, or a command: what a mark may stand at.
_BASE: Final = (
    rf"(?:{_COMMAND}\{{\\?[A-Za-z]+\}}|\\(?!partial|nabla|sum|frac)[A-Za-z]+|[A-Za-z][A-Za-z0-9]*|[α-ωΑ-Ω])"
)
_BELOW: Final = r"(?:_\{[^{}]*\}|_[A-Za-z0-9])?"
_LAYER: Final = r"(?:\d|[lLtTkK](?:\s*[-+−]\s*1)?)"
_SUPERSCRIPT: Final = re.compile(
    rf"(?P<base>{_BASE})(?P<below>{_BELOW})"
    rf"\^(?:\{{\s*[(\[]\s*(?P<a>{_LAYER})\s*[)\]]\s*(?P<also>\\top|T|⊤)?\s*\}}|[(\[](?P<b>{_LAYER})[)\]])"
)
_SMALL: Final = {"⁽": "(", "⁾": ")", **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ˡ", "0123456789l", strict=True))}
_NUMBERED: Final = rf"(?P<base>{_BASE})\^(?:\{{\s*(?P<digit>\d)\s*\}}|(?P<bare>\d)(?!\d))(?P<below>{_BELOW})"
_ON_THE_LEFT: Final = re.compile(rf"(?<![\w^{{]){_NUMBERED}\s*(?:&?\s*=(?!=)|∈|\\in\b)")
_STEP: Final = re.compile(rf"(?P<base>{_BASE})_(?:\{{\s*t\s*(?P<shift>[-+−]\s*1)?\s*\}}|t(?![\w]))")
_SHIFTED: Final = re.compile(r"_\{\s*t\s*[-+−]\s*1\s*\}")
_SEQUENCE: Final = re.compile(
    r"(?:Σ|∑|\\sum|\bsum)\s*_\{?\s*t\b|\bt\s*=\s*(?:\d|T)|ℝ\^\{?\s*T\b|\\mathbb\{R\}\^\{\s*T\b"
)


def labelled(text: str) -> str:
    """The text with the marks of layers and of time steps written into the names.

    A number in brackets above a letter is a layer: W^{(1)}, a^{[2]}, δ^{(l-1)}. A number without brackets is one
    where the text counts from 0 or 1 so (a^0, z^1), since nobody writes these as powers. `h_t` and `h_{t-1}` are
    two names where the text holds one step of time, and entries of a sequence where it sums over t.

    >>> labelled("z^{(1)} = W^{(1)} a^{(0)}; h_t = tanh(U h_{t-1})")
    'z1 = W1 a0; ht = tanh(U hprev)'
    """
    text = re.sub(r"⁽([⁰¹²³⁴⁵⁶⁷⁸⁹ˡ]+)⁾", lambda m: "^(" + "".join(_SMALL[c] for c in m[1]) + ")", text)
    text = _SUPERSCRIPT.sub(_layer, text)
    text = _numbered(text)
    if _SHIFTED.search(text) and not _SEQUENCE.search(text):
        text = _STEP.sub(lambda m: _marked(m["base"], "t" + (m["shift"] or "")), text)
    return text


def _layer(match: re.Match[str]) -> str:
    made = _marked(match["base"], match["a"] or match["b"]) + match["below"]
    return f"{made}^T" if match["also"] else made


def _numbered(text: str) -> str:
    """`w^1`, `b^2` as names where some name on a left side carries a 0 or a 1 above it."""
    found = list(_ON_THE_LEFT.finditer(text))
    if not any(_digit(match) in "01" for match in found):
        return text
    bases = {match["base"] for match in found}
    bases |= {match["base"] for match in re.finditer(_NUMBERED, text) if _digit(match) in "01"}

    def changed(match: re.Match[str]) -> str:
        known = match["base"] in bases
        return _marked(match["base"], _digit(match)) + match["below"] if known else match.group()

    return re.sub(_NUMBERED, changed, text)


def _digit(match: re.Match[str]) -> str:
    return str(match["digit"] or match["bare"])


def _marked(base: str, mark: str) -> str:
    """The name with its mark at the end, inside the braces of a command."""
    shift = re.search(r"[-+−]", mark)
    word = mark.strip() if shift is None else "next" if shift[0] == "+" else "prev"
    if base.endswith("}"):
        head, _, inner = base[:-1].rpartition("{")
        return f"{head}{{{inner.lstrip(chr(92))}{word}}}"
    if base.startswith("\\"):
        return f" {base[1:]}{word}"
    return f"{GREEK.get(base, base)}{word}"
