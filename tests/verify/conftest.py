"""The marker of the tests that go through the whole bank."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bank: goes through every claim of the bank")
