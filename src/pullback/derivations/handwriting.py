"""How people write mathematics in plain text: Unicode, a little LaTeX, and tokens of it all."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from pullback.derivations.latex import ONES, from_latex
from pullback.errors import LimitProblem, SyntaxProblem

LONGEST: Final = 2_000  # characters of one line of a derivation
MOST_TOKENS: Final = 500  # of one line: trees of that depth are walked by recursion

_SUPERSCRIPTS: Final = dict(
    zip(
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀᴮᴰᴱᴳᴴᴷᴸᴹᴺᴾᴿⱽᵇᶜᵈᵉᶠᵍʰᵏˡᵐⁿᵖʳˢᵗᵛˣ",
        "0123456789-+TBDEGHKLMNPRVbcdefghklmnprstv·",
        strict=True,
    )
)
_SUBSCRIPTS: Final = dict(zip("₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789aehijklmnoprstuvx", strict=True))
_SIGNS: Final = {
    "−": "-", "–": "-", "—": "-", "×": "·", "⋅": "·", "•": "·", "∙": "·", "÷": "/", "⊙": "∘", "○": "∘", "◦": "∘",
    "½": "(1/2)", "¼": "(1/4)",
    "≠": "!=", "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=", "⊤": "^T ", "∑": "Σ", "‖": "||", "∥": "||", "√": " sqrt ",
    "≔": "=", "≡": "=", "≜": "=", "ℝ": "R", "′": "'", "ℓ": "l", "⟨": "inner(", "⟩": ")",
    "\u00a0": " ", "⟹": " ", "⇒": " ", "∴": " ",
}  # fmt: skip
_MARKS: Final = {"\u0304": "_bar", "\u0305": "_bar", "\u0302": "_hat", "\u0303": "_tilde", "\u0307": "_dot"}
GREEK: Final = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "ϵ": "eps", "ζ": "zeta", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lam", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "Γ": "Gamma",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<string>\"[^\"]*\"|'[a-z, >.-]*->[a-z, ]*')|(?P<sum>Σ|sum(?=_))"
    r"|(?P<name>[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*)"
    r"|(?P<sub>_\{[^{}]*\}|_[A-Za-z0-9]+)|(?P<sup>\^\{[^{}]*\}|\^-?\d+|\^-T|\^[A-Za-z])"
    r"|(?P<method>\.[a-z]+(?=\())"
    r"|(?P<op>\*\*|\|\||:=|==|!=|<=|>=|//|\.T\b|\.\*|[-+*/@%=<>()\[\]{},:|'∂∇∘⊗·∈δ^])"
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # "number", "string", "sum", "name", "sub", "sup", "method", "op" or "end"
    text: str
    spaced: bool  # whether white space stands before it


def plain(text: str) -> str:
    """The text with Unicode signs and simple LaTeX in the spelling that `tokens` knows.

    >>> plain("∂L/∂Wᵢⱼ = Σₖ gₖ x̄²")
    '∂L/∂W_{ij} = Σ_{k} g_{k} x_bar^{2}'
    """
    text = from_latex(text) if "\\" in text else text
    text = re.sub(r"\b(?:np|numpy|torch|jnp)\.(?=[a-z])", "", text).replace("^⊤", "^T").replace("^{⊤}", "^T")
    text = re.sub(f"[{''.join(_SUPERSCRIPTS)}]+", _superscript, text)
    text = re.sub(f"[{''.join(_SUBSCRIPTS)}]+", _subscript, text)
    text = "".join(unicodedata.normalize("NFKC", c) if "𝐀" <= c <= "𝟿" and c != ONES else c for c in text)
    text = "".join(_decomposed(c) for c in text)
    text = "".join(_SIGNS.get(c, _MARKS.get(c, c)) for c in text.replace(ONES, " ONES "))
    # δ alone is Kronecker's; as a part of a name it is a letter.
    text = re.sub(r"δ(?=\s*(?:_|\[|\())", "\0", text)
    text = re.sub(rf"\^(?=[{''.join(GREEK)}])", "^ ", text)  # a name of several letters is no single sign
    return "".join(GREEK.get(c, c) for c in text).replace("\0", "δ")


def _decomposed(c: str) -> str:
    """A letter with a bar, a hat or a tilde as the letter and its mark."""
    parts = unicodedata.normalize("NFD", c)
    return parts if len(parts) == 2 and parts[1] in _MARKS else c


def _superscript(match: re.Match[str]) -> str:
    return "^{" + "".join(_SUPERSCRIPTS[c] for c in match.group()) + "}"


def _subscript(match: re.Match[str]) -> str:
    return "_{" + "".join(_SUBSCRIPTS[c] for c in match.group()) + "}"


def tokens(text: str) -> list[Token]:
    """The tokens of one line. Raises `SyntaxProblem` at a sign that has no meaning here."""
    if len(text) > LONGEST:
        raise LimitProblem(f"a line of {len(text):,} characters where at most {LONGEST:,} are accepted")
    written = plain(text)
    found: list[Token] = []
    at, spaced = 0, False
    while at < len(written):
        match = _TOKEN.match(written, at)
        if match is None:
            raise SyntaxProblem(f"{written[at]!r} has no meaning here", hint="W^T, Σ_k, ∂L/∂W, W_ij, W[i,j]")
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match.group(), spaced))
        spaced, at = kind == "space", match.end()
    if len(found) > MOST_TOKENS:
        what = f"a line of {len(found)} signs and names where at most {MOST_TOKENS} are accepted"
        raise LimitProblem(what, hint="name a part on a line of its own")
    found.append(Token("end", "", spaced))
    return found


class Cursor:
    """A place in the tokens of a line, and what may be asked of it."""

    def __init__(self, found: list[Token]) -> None:
        self.tokens = found
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> str:
        """The operator that stands here, if it is one of these."""
        if self.next.kind == "op" and self.next.text in texts:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def demand(self, text: str) -> None:
        if not self.take(text):
            raise SyntaxProblem(f"`{text}` is expected before `{self.next.text or 'the end of the line'}`")

    def finished(self) -> None:
        if self.next.kind != "end":
            raise SyntaxProblem(f"`{self.next.text}` stands where the line should end")
