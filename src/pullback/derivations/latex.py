"""LaTeX as people write it, in the plain spelling that the grammar reads: first macros, then commands."""

from __future__ import annotations

import re
from typing import Final

ONES: Final = "𝟙"  # a vector of ones, or an indicator where a condition follows
_WRAPPERS: Final = frozenset(
    ("mathbf", "mathrm", "boldsymbol", "bm", "operatorname", "mathbb", "mathit", "boxed", "mathcal", "vec", "mathsf",
     "textbf", "textrm", "textit", "mathtt", "texttt", "underline", "mathds", "pmb", "ensuremath", "mathop", "mathfrak",
     "mathscr", "smash", "mathbin", "underbrace", "overbrace")
)  # fmt: skip
_MARKED: Final = {"bar": "bar", "overline": "bar", "hat": "hat", "widehat": "hat", "tilde": "tilde",
                  "widetilde": "tilde", "dot": "dot"}  # fmt: skip
_DROPPED: Final = frozenset(("tag", "label", "eqref", "ref", "cite", "hspace", "vspace", "phantom", "color"))
_SECOND: Final = frozenset(
    ("overset", "stackrel", "underset", "textcolor")
)  # of two arguments the second is meant
_FRACTIONS: Final = frozenset(("frac", "tfrac", "dfrac", "cfrac"))
_FUNCTIONS: Final = frozenset(
    (
        "log",
        "exp",
        "tanh",
        "softmax",
        "max",
        "min",
        "sin",
        "cos",
        "det",
        "ln",
        "tr",
        "diag",
        "sqrt",
        "cosh",
        "sinh",
    )
)
_GREEK: Final = frozenset(
    ("gamma", "beta", "alpha", "sigma", "mu", "eta", "theta", "rho", "tau", "phi", "psi", "omega", "Delta", "kappa",
     "nu", "xi", "pi", "chi", "zeta", "Phi", "Psi", "Omega", "Gamma", "Theta", "Lambda", "Sigma")
)  # fmt: skip
_COMMANDS: Final = {
    "partial": "∂", "sum": "Σ", "cdot": "·", "times": "·", "odot": "∘", "circ": "∘", "otimes": "⊗", "top": "T",
    "intercal": "T", "leq": "<=", "le": "<=", "geq": ">=", "ge": ">=", "neq": "!=", "ne": "!=", "in": "∈",
    "nabla": "∇", "delta": "δ", "ell": "l", "lVert": "||", "rVert": "||", "Vert": "||", "lvert": "|", "rvert": "|",
    "vert": "|", "epsilon": "ε", "varepsilon": "ε", "lambda": "λ", "varphi": "φ", "vartheta": "θ", "prime": "'",
    "langle": "inner(", "rangle": ")", "colon": ":", "equiv": "≡", "coloneqq": ":=", "triangleq": "=", "hadamard": "∘",
    "bullet": "·", "ast": "*", "top ": "T", "lbrace": "(", "rbrace": ")", "lbrack": "[", "rbrack": "]", "mid": "|",
    "dagger": "T",
}  # fmt: skip
_SILENT: Final = frozenset(
    ("left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg", "biggl", "biggr", "Biggl", "Biggr",
     "displaystyle", "textstyle", "limits", "nolimits", "quad", "qquad", "Rightarrow", "implies", "therefore", "rm",
     "bf", "it", "cal", "nonumber", "notag", "hfill", "mathstrut", "middle", "iff", "Longrightarrow", "scriptstyle")
)  # fmt: skip
_CONDITIONS: Final = frozenset(("if", "otherwise", "for", "when", "else"))
_NEGATIONS: Final = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "=": "!=", "==": "!=", "!=": "=="}
_RELATION: Final = re.compile(r">=|<=|!=|==|>|<|=")
_CONJUNCTIONS: Final = re.compile(
    r"\s*,?\s*(?:and|so|where|with|hence|thus|then|therefore|also|or|but)\b\s*,?\s*"
)


def from_latex(text: str) -> str:
    """Fractions, marks, sums, Greek letters, cases and the common signs; anything else stays, and is refused later."""
    text = spaced(text)
    text = re.sub(r"\\begin\{cases\}(.*?)\\end\{cases\}", cases_written, text, flags=re.DOTALL)
    text = expanded(text).replace(r"\|", "||").replace(r"\{", "(").replace(r"\}", ")")
    text = re.sub(r"\^\s*\{?\s*\\prime\s*\}?", "'", text)
    text = re.sub(r"\\(?:left|right)\s*\.", " ", text)
    return re.sub(r"\\([A-Za-z]+)", _command, text)


def spaced(text: str) -> str:
    """Without the commands for space, and without the arguments that only lay the formula out."""
    text = re.sub(r"\\[,;:!> ]|\\\\|~|\\q?quad\b", " ", text)
    return re.sub(r"\\(?:tag|label)\*?\s*\{[^{}]*\}|\\(?:nonumber|notag)\b", " ", text)


def unboxed(text: str) -> str:
    """A formula without its box, its layout and its remarks: sides and statements can be told apart."""
    text = re.sub(
        r"\\(?:implies|Rightarrow|Longrightarrow|iff|Leftrightarrow)(?![A-Za-z])", " ; ", spaced(text)
    )
    text = re.sub(r"\\langle(?![A-Za-z])", " inner(", re.sub(r"\\rangle(?![A-Za-z])", ")", text))
    text = re.sub(r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\s*(\.?)", " ", text)
    for word in ("boxed", "underbrace", "overbrace"):
        text = _each(text, word, lambda content: content)
    text = _each(text, "text", _remark)
    return text


def _each(text: str, word: str, function: object) -> str:
    """The text with every `\\word{…}` replaced by what the function makes of its content."""
    assert callable(function)
    at = 0
    while (found := re.compile(rf"\\{word}\s*(?=\{{)").search(text, at)) is not None:
        content, end = argument(text, found.end())
        if word in ("underbrace", "overbrace"):
            below = re.compile(r"\s*[_^]\s*(?=\{)").match(text, end)
            end = argument(text, below.end())[1] if below is not None else end
        made = str(function(content))
        text = f"{text[: found.start()]}{made}{text[end:]}"
        at = found.start() + len(made) if word == "text" else found.start()
    return text


def _remark(content: str) -> str:
    """`\\text{…}`: a name stays, a conjunction parts two statements, a condition is one, and a remark goes."""
    words = content.strip(" ,.:;")
    if (
        re.fullmatch(r"[A-Za-z]\w*", words)
        and not _CONJUNCTIONS.fullmatch(words)
        and words not in ("if", "otherwise", "for", "when", "else")
    ):
        return rf"\text{{{content}}}"
    if _CONJUNCTIONS.fullmatch(content):
        return " ; "
    if re.match(r"\s*(?:if|for|when|otherwise|else)\b", content):
        return f" {content.strip()} "
    return " "


def argument(text: str, at: int) -> tuple[str, int]:
    """The argument that begins at a place, a group in braces or one sign, and where it ends."""
    while at < len(text) and text[at] == " ":
        at += 1
    if at >= len(text):
        return "", at
    if text[at] == "\\":
        found = re.compile(r"\\(?:[A-Za-z]+|.)").match(text, at)
        end = found.end() if found is not None else at + 1
        return text[at:end], end
    if text[at] != "{":
        return text[at], at + 1
    depth = 0
    for k in range(at, len(text)):
        depth += (text[k] == "{") - (text[k] == "}")
        if not depth:
            return text[at + 1 : k], k + 1
    return text[at + 1 :], len(text)


def expanded(text: str) -> str:
    """The text with every macro that takes arguments written out, the inner ones as well."""
    found: list[str] = []
    at = 0
    for match in re.finditer(r"\\([A-Za-z]+)\*?", text):
        if match.start() < at:
            continue
        word = match[1]
        taken = 2 if word in _FRACTIONS or word in _SECOND else 1
        if word not in (*_FRACTIONS, *_SECOND, *_WRAPPERS, *_MARKED, *_DROPPED, "sqrt", "text"):
            continue
        found.append(text[at : match.start()])
        at = match.end()
        if word == "sqrt" and text[at : at + 1] == "[":
            continue
        arguments = []
        for _ in range(taken):
            content, at = argument(text, at)
            arguments.append(content)
        found.append(_macro(word, [expanded(part) for part in arguments]))
    return "".join([*found, text[at:]])


def _macro(word: str, arguments: list[str]) -> str:
    first = arguments[0].strip()
    if word in _FRACTIONS:
        top, bottom = first, arguments[1].strip()
        derivative = r"(?:\\partial|∂|\\mathrm\s*d|d(?=[ A-Za-z\\^]))"
        if re.fullmatch(r"\\partial|∂|\\mathrm\s*d|d", top) and re.match(derivative, bottom):
            return f" {top} / {bottom} "
        if re.match(derivative, top) and re.match(derivative, bottom):
            return f"({top} / {bottom})"
        return f"(({top}) / ({bottom}))"
    if word in _SECOND:
        return arguments[1]
    if word in _DROPPED:
        return " "
    if word == "sqrt":
        return f" sqrt({first})"
    if word in _MARKED:
        return f"{first}_{_MARKED[word]}" if re.fullmatch(r"\\?[A-Za-z]+\d?", first) else first
    if word == "text":
        return _remark(first) if _remark(first) != rf"\text{{{first}}}" else f" {first}"
    if first in ("1", "{1}"):
        return ONES
    return f" {first}" if len(first) > 1 and first.isalpha() else first


def _command(match: re.Match[str]) -> str:
    word = match.group(1)
    if word in _COMMANDS:
        return _COMMANDS[word]
    if word in _SILENT:
        return " "
    return f" {word}" if word in _GREEK or word in _FUNCTIONS else match.group()


def cases_written(match: re.Match[str]) -> str:
    """`{ a if c, b otherwise` as a * [c] + b * [not c]."""
    rows = [row.strip() for row in re.split(r"\\\\|\n", match.group(1)) if row.strip()]
    found: list[tuple[str, str]] = []
    for row in rows:
        value, _, condition = row.partition("&")
        condition = re.sub(r"\\(?:text|mathrm|mbox|textrm)\s*\{([^{}]*)\}", r" \1 ", condition)
        found.append(
            (
                value.strip(" ,"),
                re.sub(r"^\s*(?:,|if|for|when|where)*\s*", "", condition.strip()).strip(" ,."),
            )
        )
    conditions = [c for _, c in found]
    last = conditions[-1] if conditions else ""
    if len(found) == 2 and re.match(r"(?:otherwise|else)\b", last):
        relation = _RELATION.findall(from_latex(conditions[0]))
        if len(relation) == 1:
            conditions[1] = from_latex(conditions[0]).replace(relation[0], _NEGATIONS[relation[0]])
    terms = [f"({v}) * [{c}]" for (v, _), c in zip(found, conditions, strict=True) if v != "0"]
    return f"({' + '.join(terms)})" if terms else "0"
