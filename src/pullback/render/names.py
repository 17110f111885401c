"""Names and prose in LaTeX: every label goes through here."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

GREEK: Final = frozenset(
    """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau
    upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega""".split()  # noqa: SIM905
)
ACCENTS: Final = {"hat": "hat", "bar": "bar", "tilde": "tilde", "dot": "dot", "vec": "vec"}

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    **{c: f"\\{c}" for c in "{}$&#%_"},
}
_SIGNS: Final = {
    "Σ": r"\sum", "∂": r"\partial", "δ": r"\delta", "≠": r"\ne", "≤": r"\le", "≥": r"\ge", "×": r"\times",
    "·": r"\cdot", "π": r"\pi", "→": r"\to", "−": "-", "≈": r"\approx", "ᵀ": r"^{\top}", "∘": r"\circ",
    "⊙": r"\odot", "⁻": "^{-}", "Π": r"\prod", "∈": r"\in", "✓": r"\surd",
    "√": r"\surd", "ε": r"\varepsilon",
    **{c: f"^{{{k}}}" for k, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip
_PUNCTUATION: Final = {"—": "---", "–": "--", "…": "...", "’": "'", "‘": "`", "“": "``", "”": "''"}

_DOLLARS: Final = re.compile(r"(?<!\\)\$([^$]*)\$")


@lru_cache(maxsize=4096)
def latex_name(name: str) -> str:
    """A name as mathematics: digits and what follows `_` go below, Greek names become letters.

    >>> [latex_name(n) for n in ("W1", "x_hat", "dW1", "mu", "logits", "W_out")]
    ['W_{1}', '\\\\hat{x}', 'dW_{1}', '\\\\mu', '\\\\mathit{logits}', 'W_{\\\\mathrm{out}}']
    """
    stem, *rest = [part for part in _plain(name).split("_") if part] or ["\\_"]
    letter, digits = _split_digits(stem)
    below = [digits] if digits else []
    accents = []
    for part in rest:
        if part in ACCENTS:
            accents.append(ACCENTS[part])
        else:
            below.append(part if part.isdigit() or len(part) == 1 else rf"\mathrm{{{part}}}")
    gradient, core = _letter(letter)
    for accent in accents:
        core = rf"\{accent}{{{core}}}"
    return gradient + core + (f"_{{{','.join(below)}}}" if below else "")


def is_compound(latex: str) -> bool:
    """Whether a name already carries a subscript, so that another one needs parentheses."""
    return "_{" in latex


def _plain(name: str) -> str:
    """The name in ASCII: Greek letters by their names, any other sign by its code."""
    return "".join(
        c if c.isascii() else _spelt(c) for c in name if c.isascii() is False or c.isalnum() or c == "_"
    )


def _spelt(c: str) -> str:
    words = unicodedata.name(c, "").split()
    if words[:1] == ["GREEK"] and words[-1].lower() in GREEK:
        word = words[-1].lower()
        return word if "SMALL" in words else word.capitalize()
    base = unicodedata.normalize("NFKD", c)[0]
    return base if base.isascii() and base.isalnum() else f"U{ord(c):x}"


def _split_digits(stem: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)(\d*)", stem)
    assert found is not None
    return (found[1], found[2]) if found[1] else (stem, "")


def _letter(word: str) -> tuple[str, str]:
    """A leading `d` of a gradient's name, and the letter or word itself."""
    if word in GREEK:
        return "", f"\\{word}"
    if len(word) <= 1:
        return "", word
    if word[0] == "d" and (len(word) == 2 or word[1:] in GREEK):
        return "d", _letter(word[1:])[1]
    return "", rf"\mathit{{{word}}}" if word.isalnum() else word


def latex_prose(text: str) -> str:
    r"""A sentence in text mode: nothing in it is read as a command.

    >>> latex_prose("zero unless k ≠ j, 50 % of it")
    'zero unless k $\\ne$ j, 50 \\% of it'
    """
    return "".join(_prose_sign(c) for c in text)


def math_text(text: str) -> str:
    r"""Words within a formula; signs stand outside the text, so that no `$` ends the formula early.

    >>> math_text("zero unless k ≠ j")
    '\\text{zero unless k }\\ne\\text{ j}'
    """
    parts = _DOLLARS.split(latex_prose(text))
    shown = (part if k % 2 else rf"\text{{{part}}}" for k, part in enumerate(parts))
    return "".join(part for part in shown if part != r"\text{}") or r"\text{}"


def _prose_sign(c: str) -> str:
    if c in _SIGNS:
        return f"${_SIGNS[c]}$"
    for table in (_SPECIAL, _PUNCTUATION):
        if c in table:
            return table[c]
    if c.isascii():
        return c if c.isprintable() else " "
    base = unicodedata.normalize("NFKD", c)[0]
    return base if base.isascii() and base.isprintable() else "?"


_ASCII: Final = {
    "Σ": "sum", "∂": "d ", "δ": "delta", "≠": "!=", "≤": "<=", "≥": ">=", "×": "x",
    "·": "*", "π": "pi", "→": "->",
    "−": "-", "≈": "~", "ᵀ": ".T", "∘": "*", "⊙": "*",
    "—": "-", "–": "-", "…": "...", "’": "'", "Π": "prod", "∈": "in",
    "✓": "ok", "✗": "x", "√": "sqrt", "─": "-", "│": "|", "┌": "/", "└": "\\", "┐": "\\", "┘": "/",
    "⎡": "[", "⎢": "[", "⎣": "[", "⎤": "]", "⎥": "]", "⎦": "]", "⁻": "-",
    **{c: f"^{k}" for k, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip


def ascii_text(text: str) -> str:
    """The same text in ASCII alone; what has no spelling becomes its code.

    >>> ascii_text("∂Y/∂W, N×M")
    'd Y/d W, NxM'
    """
    return "".join(c if c.isascii() else _ascii_sign(c) for c in text)


def _ascii_sign(c: str) -> str:
    if c in _ASCII:
        return _ASCII[c]
    base = unicodedata.normalize("NFKD", c)
    return base if base.isascii() else f"\\u{ord(c):04x}"
