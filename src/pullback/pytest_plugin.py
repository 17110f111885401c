"""The pytest plugin: a test marked `@pytest.mark.pullback` returns `(obj, inputs)`, and its backward is checked.

A failure is the verdict in words. Keyword arguments of the marker are those of `pullback.check`, and `unknown_passes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pullback.errors import PullbackError
from pullback.later import Later

# Every test run of an environment loads this file: the library itself waits for a marked test.
assertions: Any = Later("pullback.testing.assertions")
OPTIONS = ("shapes", "wrt", "unknown_passes")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for `--strict-markers`."""
    config.addinivalue_line(
        "markers",
        "pullback(shapes=None, wrt=None, unknown_passes=False): the test returns (obj, inputs), "
        "and pullback.check judges the backward of obj",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a marked test and check what it returns; other tests are left alone."""
    marker = pyfuncitem.get_closest_marker("pullback")
    if marker is None:
        return None
    wrong = [name for name in marker.kwargs if name not in OPTIONS]
    if wrong or marker.args:
        told = f"pullback marks take {', '.join(OPTIONS)} by name"
        pytest.fail(f"{told}, not {wrong[0] if wrong else marker.args[0]!r}", pytrace=False)
    wanted = pyfuncitem._fixtureinfo.argnames
    returned = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted})
    _judge(returned, marker.kwargs)
    return True


def _judge(returned: Any, options: Mapping[str, Any]) -> None:
    if not isinstance(returned, tuple) or len(returned) != 2:
        pytest.fail(
            "a test marked `pullback` returns (obj, inputs), such as\n"
            "    return (forward, backward), [x, w]\n"
            f"and this one returned {type(returned).__name__}",
            pytrace=False,
        )
    try:
        assertions.assert_backward(returned[0], returned[1], **options)
    except AssertionError as problem:
        pytest.fail(str(problem), pytrace=False)
    except PullbackError as problem:
        pytest.fail(f"it cannot be checked: {problem}", pytrace=False)
