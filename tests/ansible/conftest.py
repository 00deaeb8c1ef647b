# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks the tests that start Ansible, each for seconds, so that the others can be run alone."""

from __future__ import annotations

import lab
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is not None and issubclass(item.cls, lab.Lab):
            item.add_marker("ansible")
