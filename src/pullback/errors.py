"""The one family of errors: where it happened, what was expected, what would mend it.

Every message a user can provoke is a `PullbackError`. `place` is a (line, column) pair, both counted
from 1; `hint` is a likely mend. Control characters of user text are escaped before they are printed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

Place = tuple[int, int]


def printable(text: str) -> str:
    """User text made safe for a terminal: control characters and lone surrogates are escaped.

    >>> printable("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class PullbackError(Exception):
    """What went wrong (`message`), at which place of the text (`where`), and a mend (`hint`)."""

    def __init__(self, message: str, *, where: Place | None = None, hint: str = "", source: str = "") -> None:
        self.message = printable(message)
        self.where = where
        self.hint = printable(hint)
        self.source = source
        super().__init__(self.message)

    def __str__(self) -> str:
        lines = [self.message]
        if self.where is not None:
            line, column = self.where
            lines[0] = f"line {line}, column {column}: {self.message}"
            lines += caret(self.source, line, column)
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)

    def at(self, where: Place, source: str = "") -> PullbackError:
        """The same error with its place filled in, where it had none."""
        if self.where is None:
            self.where = where
        if not self.source:
            self.source = source
        return self


class SyntaxProblem(PullbackError):
    """The text is not a program of the language."""


class NameProblem(PullbackError):
    """A name, function or index that is not known."""


class ShapeProblem(PullbackError):
    """Shapes that do not meet, or that cannot be inferred."""


class IndexProblem(PullbackError):
    """An index of two sizes, without a range, unbound, or read outside its tensor."""


class LimitProblem(PullbackError):
    """The input or a result is larger than what is accepted."""


class DomainProblem(PullbackError):
    """A request without a meaning, such as a gradient with respect to integers."""


class InternalProblem(PullbackError):
    """A result that failed its own check. It is never shown as an answer."""


def caret(source: str, line: int, column: int, width: int = 100) -> list[str]:
    """The line of the source with a caret under the place, cut to `width` characters around it."""
    rows = source.splitlines()
    if not 1 <= line <= len(rows):
        return []
    row = rows[line - 1]
    start = max(0, min(column - 1 - width // 2, len(row) - width))
    shown = "".join(c if c.isprintable() else "?" for c in row[start : start + width])
    return [f"    {shown}", "    " + " " * (column - 1 - start) + "^"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to a misspelt one, if any is close."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
