"""For tests of other projects: an assertion whose message says what is wrong with a backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback.checking import check
from pullback.claiming import Verdict


def assert_backward(
    obj: Any,
    inputs: Any,
    *,
    shapes: Mapping[str, str | Sequence[str | int]] | None = None,
    wrt: Sequence[int | str] | None = None,
    unknown_passes: bool = False,
) -> Verdict:
    """Raise `AssertionError` unless the backward of `obj` is right; the message is the verdict in words.

    obj, inputs, shapes, wrt: as for `pullback.check`. With `unknown_passes` a verdict that could not be reached is no
    failure. The verdict is returned.

    >>> import numpy as np
    >>> def forward(x):
    ...     return x * x
    >>> assert_backward((forward, lambda dout, x: 2 * x * dout), [np.array([1.0, 2.0])])
    <Verdict dx: right>
    """
    verdict = check(obj, inputs, shapes=shapes, wrt=wrt)
    if verdict.ok is False or (verdict.ok is None and not unknown_passes):
        raise AssertionError(
            f"the backward is {'wrong' if verdict.ok is False else 'undecided'}\n{verdict.explain()}"
        )
    return verdict
