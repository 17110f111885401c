"""A moving bar on the terminal while a command takes longer than a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

PATIENCE = 1.0  # seconds before anything is shown
PAUSE = 0.15  # seconds from one picture to the next
WIDTH = 20
BLOCK = 5
CLEAR = "\r\x1b[K"


@contextmanager
def working(what: str, stream: TextIO, patience: float = PATIENCE, pause: float = PAUSE) -> Iterator[None]:
    """Show on `stream` that `what` goes on, and for how long; nothing where it is no terminal.

    How much is left is not known: points are drawn until a question is decided.
    """
    if not stream.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(what, stream, done, patience, pause), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, stream: TextIO, done: threading.Event, patience: float, pause: float) -> None:
    if done.wait(patience):
        return
    pictures = 0
    while True:
        stream.write(f"{CLEAR}{bar(pictures)} {what}, {patience + pictures * pause:.0f} s")
        stream.flush()
        pictures += 1
        if done.wait(pause):
            break
    stream.write(CLEAR)
    stream.flush()


def bar(picture: int) -> str:
    """A block that goes from one end to the other and back.

    >>> bar(0), bar(15), bar(16)
    ('[=====               ]', '[               =====]', '[              ===== ]')
    """
    room = WIDTH - BLOCK
    place = room - abs(picture % (2 * room) - room)
    return f"[{' ' * place}{'=' * BLOCK}{' ' * (room - place)}]"
