# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes every result to a file, one JSON object a line, for the tests to read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: recorder
type: aggregate
short_description: Write every result to a file
description: One JSON object a line, to the file that E(RECORDER_FILE) names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recorder"

    def _record(self, status: str, result: Any) -> None:
        line = {"status": status, "task": result.task.name, "host": result.host.name, "result": result.result}
        with Path(os.environ["RECORDER_FILE"]).open("a", encoding="utf-8") as file:
            print(json.dumps(line, default=str), file=file)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._record("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002  Ansible calls it so
        self._record("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record("unreachable", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._record("skipped", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._record("item_ok", result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._record("item_failed", result)
