"""The bar stands on a terminal only, and is gone when the work is done."""

from __future__ import annotations

from io import StringIO

import pytest

from pullback.progress import CLEAR, working


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_long_work_shows_a_bar_that_goes_away() -> None:
    terminal = Terminal()
    with working("check of layer", terminal, patience=0, pause=0.001):
        for _ in range(10_000_000):
            if "check of layer, 0 s" in terminal.getvalue():
                break
    assert "[=====               ] check of layer, 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith(CLEAR)


def test_short_work_shows_nothing() -> None:
    terminal = Terminal()
    with working("check", terminal, patience=3600):
        pass
    assert terminal.getvalue() == ""


def test_nothing_is_shown_in_a_file() -> None:
    file = StringIO()
    with working("check", file, patience=0):
        pass
    assert file.getvalue() == ""


def test_an_error_ends_the_bar() -> None:
    terminal = Terminal()
    with pytest.raises(ValueError, match="no"), working("check", terminal, patience=0, pause=0.001):
        raise ValueError("no")
    assert terminal.getvalue() in ("",) or terminal.getvalue().endswith(CLEAR)
