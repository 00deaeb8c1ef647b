# SPDX-License-Identifier: GPL-3.0-or-later
"""What a target prints, as the controller reads it."""

from __future__ import annotations

import json
import unittest
from typing import Any

import lab

MARK = "seguest.pv-0123456789abcdef"


def setUpModule() -> None:
    lab.import_collection()


class TargetOutput(unittest.TestCase):
    def setUp(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import failure, target_output

        self.output = target_output
        self.Failure = failure.Failure

    def result(self, printed: Any, status: int = 0, keys: tuple[str, ...] = ("secrets",)) -> dict[str, Any]:
        text = printed if isinstance(printed, str) else json.dumps(printed)
        stdout = f"greeting\n{MARK} begin\n{text}\n\n{MARK} end {status}\n"
        result: dict[str, Any] = self.output.module_result(stdout, "", MARK, "facts", keys)
        return result

    def refused(self, *args: Any, **options: Any) -> str:
        with self.assertRaises(self.Failure) as caught:
            self.result(*args, **options)
        self.assertEqual(caught.exception.code, "module.no_result")
        return str(caught.exception.detail)

    def test_common_results_and_the_modules_own_pass(self) -> None:
        printed = {
            "changed": True,
            "failed": True,
            "msg": "m",
            "warnings": ["w"],
            "diff": [{"before": "a\n", "after": "b\n", "before_header": "h", "after_header": "h"}],
            "error": {"code": "uv.x", "detail": "d", "hint": "h", "uv_rc": 1},
            "invocation": {"module_args": {"name": None}},
            "predicted": "partial",
            "secrets": [{"index": 0}],
        }
        self.assertEqual(self.result(printed), printed)

    def test_keys_that_are_more_than_data_to_ansible_are_dropped(self) -> None:
        hostile = {
            "add_host": {"host_name": "x", "host_vars": {"ansible_connection": "local"}},
            "add_group": "g",
            "ansible_facts": {"ansible_connection": "local"},
            "ansible_stats": {"data": {}},
            "exception": "x",
            "rc": 1,
            "skipped": True,
            "results": [],
            "_ansible_no_log": True,
            "_ansible_delegated_vars": {},
            "deprecations": [],
        }
        self.assertEqual(self.result({"changed": False, **hostile}), {"changed": False})

    def test_tags_that_a_fact_cache_would_obey_are_dropped_at_any_depth(self) -> None:
        trusted = {"__ansible_type": "_AnsibleTaggedStr", "value": "{{ x }}", "tags": [{"__ansible_type": "Trusted"}]}
        result = self.result({"changed": False, "secrets": [{"name": trusted, "_ansible_x": 1}]})
        self.assertEqual(result["secrets"], [{"name": {"value": "{{ x }}", "tags": [{}]}}])

    def test_only_the_one_fact_of_facts_passes(self) -> None:
        facts = {"ansible_secure_execution": {"role": "guest"}, "ansible_connection": "local", "x": 1}
        result = self.result({"changed": False, "ansible_facts": facts}, keys=("ansible_facts",))
        self.assertEqual(result["ansible_facts"], {"ansible_secure_execution": {"role": "guest"}})

    def test_facts_that_are_no_object_become_none(self) -> None:
        result = self.result({"changed": False, "ansible_facts": "ansible_secure_execution"}, keys=("ansible_facts",))
        self.assertEqual(result["ansible_facts"], {})

    def test_control_characters_do_not_reach_the_terminal(self) -> None:
        result = self.result({"changed": False, "msg": "a\x1b[2J\u202eb\n\tc", "warnings": ["\x07"]})
        self.assertEqual(result["msg"], "a\\x1b[2J\\u202eb\n\tc")
        self.assertEqual(result["warnings"], ["\\x07"])

    def test_what_turns_text_around_or_shows_nothing_is_written_out(self) -> None:
        for character in "\u200b\u200d\u200e\u200f\u061c\u202e\u2060\u2066\ufeff\u00ad\u3164\ufe0f\U000e0041\U0001d173":
            with self.subTest(ascii(character)):
                result = self.result({"changed": False, "msg": f"a{character}b"})
                self.assertEqual(result["msg"], f"a{ascii(character)[1:-1]}b")
        self.assertEqual(self.result({"changed": False, "msg": "Zürich, 東京"})["msg"], "Zürich, 東京")

    def test_half_of_a_surrogate_pair_is_made_printable(self) -> None:
        result = self.result('{"changed": false, "msg": "\\ud800"}')
        self.assertEqual(result["msg"].encode(), b"\\ud800")

    def test_results_of_the_wrong_type_are_refused(self) -> None:
        wrong = {
            "changed": "no",
            "failed": 0,
            "msg": {},
            "warnings": [{"a": 1}],
            "diff": [{"before": 1}],
            "error": "x",
            "invocation": {"other": 1},
            "predicted": [],
        }
        for key, value in wrong.items():
            with self.subTest(key):
                self.assertIn(f"`{key}`", self.refused({"changed": False, key: value}))

    def test_what_is_not_one_json_object_is_refused(self) -> None:
        for printed in (
            "",
            "[]",
            "null",
            "{} {}",
            '{"changed": false',
            '{"changed": false, "secrets": NaN}',
            '{"changed": false, "secrets": 1e999}',
            '{"changed": false, "secrets": [-1e999]}',
            "Segfault",
            '{"msg": "x"}',
        ):
            with self.subTest(printed):
                self.refused(printed)

    def test_deep_nesting_is_refused(self) -> None:
        for depth in (40, 200_000):
            with self.subTest(depth):
                nested = '{"changed": false, "secrets": ' + "[" * depth + "]" * depth + "}"
                self.assertIn("nested", self.refused(nested))

    def test_more_than_the_limit_is_refused_and_not_repeated(self) -> None:
        detail = self.refused({"changed": False, "secrets": "x" * self.output.LIMIT})
        self.assertLess(len(detail), 500)

    def test_what_is_quoted_of_a_bad_answer_is_short_and_printable(self) -> None:
        detail = self.refused("\x1b]0;title\x07" + "x" * 5000)
        self.assertNotIn("\x1b", detail)
        self.assertLess(len(detail), 600)

    def test_death_by_signal_is_named(self) -> None:
        self.assertIn("SIGSEGV", self.refused({"changed": True}, status=139))

    def test_any_exit_status_but_0_and_1_is_refused(self) -> None:
        for status in (2, 126, 127, 255):
            with self.subTest(status):
                self.assertIn(f"exit status {status}", self.refused({"changed": True}, status=status))

    def test_exit_status_1_is_a_failure_whatever_the_result_says(self) -> None:
        self.assertIs(self.result({"changed": False, "failed": False}, status=1)["failed"], True)

    def test_a_result_without_an_end_is_refused(self) -> None:
        with self.assertRaises(self.Failure):
            self.output.module_result(f'{MARK} begin\n{{"changed": false}}\n', "", MARK, "facts", ())

    def test_another_tasks_mark_is_no_answer(self) -> None:
        self.assertEqual(self.output.answer("seguest.pv-ffff missing Linux s390x\n", MARK), ("", ""))
        self.assertEqual(self.output.answer(f"x\n{MARK} missing Linux s390x\n", MARK), ("missing", "Linux s390x"))


if __name__ == "__main__":
    unittest.main()
