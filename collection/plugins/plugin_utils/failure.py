# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that the controller itself finds, in the form the compiled modules use."""

from __future__ import annotations

from typing import Any


class Failure(Exception):
    """Ends the task; ``code`` is stable, so playbooks can test it.

    :param final: that no earlier task of a play can still mend it
    """

    def __init__(self, code: str, detail: str, hint: str | None = None, *, final: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.final = final

    def warning(self) -> str:
        """The same as a warning."""
        return f"{self.detail}{f' {self.hint}' if self.hint else ''} [{self.code}]"

    def result(self) -> dict[str, Any]:
        """The task's result."""
        return {
            "changed": False,
            "failed": True,
            "msg": self.detail,
            "error": {"code": self.code, "detail": self.detail, "hint": self.hint},
        }
