# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection whose every command looks like a lost connection; see DOCUMENTATION."""

from __future__ import annotations

from typing import NoReturn

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: ends_badly
author: The seguest project
short_description: Fail as ssh does after a command that ends with 255
description:
  - What the command printed stands in the error as it is. This is for tests.
extends_documentation_fragment:
  - connection_pipelining
"""


class Connection(ConnectionBase):
    """Runs nothing."""

    transport = "ends_badly"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> NoReturn:
        """Say what a hostile guest would."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        raise AnsibleConnectionFailure("Failed to connect: \x1b]0;owned\x07\x1b[2J\u202egnitset" + "x" * 100_000)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Never called."""

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Never called."""

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False
