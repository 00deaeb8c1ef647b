# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of secret options in what Ansible shows."""

from __future__ import annotations

import importlib.util
import json
import unittest
from typing import Any
from unittest import mock

import lab

REQUEST = "seguest.pv.secret_request"
CAN_MASK = importlib.util.find_spec("ansible.module_utils.secrets") is not None
ENTRIES = [{"secret": "c2Vjb25k"}, {"secret": ["of another kind"]}, "no entry"]


def setUpModule() -> None:
    lab.import_collection()


class Registered(unittest.TestCase):
    """Which values are handed to Ansible."""

    def secrets(self, module: str, args: dict[str, Any]) -> list[str]:
        from ansible_collections.seguest.pv.plugins.plugin_utils import masking

        found: list[str] = []
        with mock.patch.object(masking, "_ansibles_own", return_value=found.extend):
            masking.register_secrets_of(module, args)
        return found

    def test_secret_options_of_the_task_and_of_its_entries_are_registered(self) -> None:
        for entries in (ENTRIES, json.dumps(ENTRIES)):
            args = {"path": "/x", "secret": "Zmlyc3Q=", "secret_key_passphrase": "third", "requests": entries}
            self.assertEqual(self.secrets("secret_request", args), ["Zmlyc3Q=", "third", "c2Vjb25k"])

    def test_what_is_no_secret_is_not_masked(self) -> None:
        self.assertEqual(self.secrets("secret_request", {"path": "/x", "secret": "", "requests": True}), [])
        self.assertEqual(self.secrets("facts", {"secret": "unknown option"}), [])


class Shown(lab.Lab):
    """What the user sees of them."""

    def test_a_secret_option_is_masked_in_every_task_that_shows_it(self) -> None:
        if not CAN_MASK:
            self.skipTest("ansible-core before 2.22 has no masking")
        self.answering("secret_request", {"changed": False, "msg": "built"})
        tasks: list[dict[str, Any]] = [
            {REQUEST: {"secret": "b25lLXNlY3JldA==", "requests": [{"secret_key_passphrase": "hunter-two"}]}},
            {"ansible.builtin.debug": {"msg": "it is b25lLXNlY3JldA== or {{ 'hunter-' ~ 'two' }}"}},
        ]
        self.assertEqual([one["status"] for one in self.play(*tasks)], ["ok", "ok"], self.output)
        self.assertIn("it is $REDACTED$ or $REDACTED$", self.output)
