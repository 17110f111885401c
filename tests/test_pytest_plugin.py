"""The marker `pullback`: a right backward passes, a wrong one fails with the verdict, misuse is told."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "src"
pytest_plugins = ["pytester"]
TESTS = """
import numpy as np
import pytest

INPUTS = [np.ones((2, 3)), np.ones((3, 4))]

def forward(x, w):
    return x @ w

def backward(dy, x, w):
    return dy @ w.T, x.T @ dy

def doubled(dy, x, w):
    return dy @ w.T, 2 * x.T @ dy

@pytest.fixture
def pair():
    return forward, backward

@pytest.mark.pullback
def test_right(pair):
    return pair, INPUTS

@pytest.mark.pullback(wrt=["x"])
def test_one_input():
    return (forward, lambda dy, x, w: dy @ w.T), INPUTS

@pytest.mark.pullback
def test_wrong():
    return (forward, doubled), INPUTS

@pytest.mark.pullback
def test_nothing():
    pass

@pytest.mark.pullback
def test_no_pair():
    return 3, INPUTS

@pytest.mark.pullback(size=3)
def test_option():
    pass

def test_without_a_mark():
    assert True
"""
TOLD = [
    "dw is wrong.",
    "*right: Y = x @ w",
    "*dw = x.T @ dY",
    "*mend: *x.T @ dy*without the factor 2*",
    "*to see it:",
    "a test marked `pullback` returns (obj, inputs)*",
    "*this one returned NoneType",
    "it cannot be checked: *is no pair*",
    "pullback marks take shapes, wrt, unknown_passes by name, not 'size'",
]


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A run of its own, with this plugin and no other."""
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def test_marked_tests_are_checked(alone: pytest.Pytester) -> None:
    alone.makepyfile(TESTS)
    result = alone.runpytest_subprocess("-p", "pullback.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, failed=4)
    result.stdout.fnmatch_lines_random(TOLD)


def test_the_marker_is_known(alone: pytest.Pytester) -> None:
    result = alone.runpytest_subprocess("-p", "pullback.pytest_plugin", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.pullback(shapes=None*"])
