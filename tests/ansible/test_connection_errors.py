# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest prints and Ansible itself puts into its errors."""

from __future__ import annotations

import lab

FACTS = "seguest.pv.facts"


class ConnectionErrors(lab.Lab):
    """What comes by way of Ansible's own errors."""

    def test_what_a_guest_printed_before_the_connection_ended_reaches_no_terminal(self) -> None:
        self.answering("facts", {"changed": False})
        self.inventory["all"]["hosts"] = {"target": {"ansible_connection": "ends_badly"}}
        result = self.one({FACTS: {}})
        self.assertTrue(result["unreachable"], result)
        self.assertIn(r"\x1b]0;owned\x07\x1b[2J\u202egnitset", result["msg"])
        self.assertLess(len(result["msg"]), 3000)
        self.assertNotIn("\x1b]0;owned", self.output)
