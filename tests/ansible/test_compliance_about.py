# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says beside the guests' answers, and why a guest gave none that counts."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import unittest
from typing import Any
from unittest import mock

import lab
import test_compliance as rules
import yaml
from test_compliance import about, good, report


def setUpModule() -> None:
    lab.import_collection()


def page(made: dict[str, Any]) -> str:
    from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page as make

    return make(made)


def seen(made: dict[str, Any]) -> str:
    """The page without its tags and its style and script."""
    body = page(made).split("<body>")[1].split("<script>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


class Reasons(unittest.TestCase):
    def cause(self, answer: Any, **more: Any) -> tuple[str | None, str]:
        guest = report({"host": "guest1", "answer": answer, **more})["guests"][0]
        self.assertEqual(guest["verdict"], "unknown")
        return guest["cause"], guest["reason"]

    def test_a_guest_that_is_not_reached_says_what_ansible_said(self) -> None:
        cause, reason = self.cause({"unreachable": True, "msg": "Failed to connect to the host via ssh: timed out"})
        self.assertEqual(cause, "unreachable")
        self.assertIn("timed out", reason)

    def test_no_sudo_is_known_by_what_was_printed(self) -> None:
        for said in (
            "guest on the target gave no result. It printed on standard error: 'sudo: a password is required'",
            "It printed on standard error: '/bin/sh: 1: sudo: not found'",
            "It printed on standard error: 'bash: line 1: sudo: command not found'",
            "Missing sudo password",
            "Task failed: Incorrect sudo password",
            "'op is not in the sudoers file.'",
            "Sorry, user op is not allowed to execute '/bin/sh' as root on guest1.",
            "Timeout (12s) waiting for privilege escalation prompt: ",
            "sudo: a terminal is required to read the password",
        ):
            with self.subTest(said):
                cause, reason = self.cause({"failed": True, "msg": said, "error": {"code": "module.no_result"}})
                self.assertEqual(cause, "no_sudo")
                self.assertIn(said, reason)
                self.assertIn("No sudo", reason)
        self.assertEqual(self.cause({"failed": True, "msg": "The disk is full."})[0], "no_answer")

    def test_an_answer_of_another_boot_says_of_when_it_is(self) -> None:
        cause, reason = self.cause(good()["answer"], boot_id=rules.BOOT.replace("1", "2"))
        self.assertEqual(cause, "other_boot")
        self.assertIn("2026-01-01T00:00:00Z", reason)

    def test_a_boot_that_could_not_be_asked_for_says_what_was_printed(self) -> None:
        cause, reason = self.cause(good()["answer"], boot_id="", boot_said="sudo: a password is required")
        self.assertEqual(cause, "no_sudo")
        cause, reason = self.cause(good()["answer"], boot_id=None, boot_said="cat: no such file")
        self.assertEqual((cause, "cat: no such file" in reason), ("boot_unknown", True))

    def test_where_no_answer_was_kept_it_says_so(self) -> None:
        self.assertEqual(self.cause({}, boot_id=rules.BOOT)[0], "not_kept")

    def test_the_reason_of_each_fail_and_unknown_is_in_the_guests_row(self) -> None:
        failed = good("failed")
        failed["answer"]["steps"][2] = {
            **rules.step("verify", "failed", False, "uv.secret_missing"),
            "detail": "No two.",
        }
        gone = {"host": "gone", "answer": {"unreachable": True, "msg": "No route to host"}}
        made = page(report(failed, gone))
        rows = dict(re.findall(r'<tr role="row" data-at="\d+" data-verdict="(\w+)".*?>(.*?)</tr>', made, re.DOTALL))
        self.assertIn("No two. [uv.secret_missing]", rows["fail"])
        self.assertIn("No route to host", rows["unknown"])


class NotAsked(unittest.TestCase):
    def test_guests_that_were_not_asked_are_named_and_do_not_pass(self) -> None:
        made = report(good("one"), about=about(["one"], group=["one", "two", "three"]))
        self.assertEqual(made["not_asked"], ["three", "two"])
        self.assertEqual(made["counts"], {"guests": 1, "fail": 0, "unknown": 0, "pass": 1})
        self.assertIn('<dd id="count-not-asked">2</dd>', page(made))
        self.assertIn("Not asked", seen(made).split("three")[0])

    def test_a_guest_that_was_asked_and_left_no_answer_is_unknown(self) -> None:
        made = report(good("one"), about=about(["one", "lost"]))
        self.assertEqual(
            [(guest["host"], guest["verdict"]) for guest in made["guests"]], [("lost", "unknown"), ("one", "pass")]
        )
        self.assertEqual((made["guests"][0]["cause"], made["not_asked"]), ("no_answer", []))

    def test_no_guest_at_all_is_no_pass(self) -> None:
        made = report(about=about([], group=["one"]))
        self.assertEqual(made["counts"], {"guests": 0, "fail": 0, "unknown": 0, "pass": 0})
        self.assertIn("No guest was asked.", seen(made))


class Policies(unittest.TestCase):
    def test_guests_that_differ_only_in_their_own_name_share_one_policy(self) -> None:
        names = ["guest1", "guest10", "guest1.example.com"]
        made = report(*(good(name) for name in names), about=about(names))
        (policy,) = made["policies"]
        self.assertEqual(policy["asks"]["secrets"], ["cluster key", "key of <inventory_hostname>"])
        self.assertEqual(policy["asks"]["queues"][1]["name"], "key of <inventory_hostname>")
        self.assertEqual(policy["guests"], sorted(names))
        self.assertIn("All guests", seen(made))

    def test_each_distinct_policy_is_shown_once_with_its_guests(self) -> None:
        names = [f"guest{at}" for at in range(6)]
        known = about(names)
        known["policies"][4]["asks"].update(lock=False, exclusive="yes", host_key_hashes=["0xab"], proved_only=True)
        del known["policies"][5]
        made = report(*(good(name) for name in names), about=known)
        self.assertEqual([each["guests"] for each in made["policies"]], [names[:4], ["guest4"], ["guest5"]])
        asks = made["policies"][1]["asks"]
        self.assertEqual((asks["lock"], asks["exclusive"], asks["proved_only"]), ("false", "yes", "true"))
        self.assertIsNone(made["policies"][2]["asks"])
        shown = seen(made)
        self.assertIn("4 guests", shown)
        self.assertIn("Store locked yes (not set)", shown)
        self.assertIn("Store locked no ", shown)
        self.assertIn("Machines, by host key hash 0xab", shown)
        self.assertIn("It is not known what was asked.", shown)

    def test_a_policy_of_any_form_is_shown(self) -> None:
        odd: list[Any] = [None, [], "x", {"secrets": 1, "queues": "x"}, {"queues": [1, {"mkvp": 10**30, "mode": [1]}]}]
        for asks in odd:
            known = about(["one"], policies=[{"host": "one", "asks": asks}, 1, None])
            self.assertIn("Queues", seen(report(good("one"), about=known)))
        known = about(["one"], policies=[{"host": "one", "asks": {"queues": '[{"mode": "accel"}]', "lock": "no"}}])
        self.assertEqual(report(good("one"), about=known)["policies"][0]["asks"]["queues"], [{"mode": "accel"}])
        mkvp = {"queues": [{"mkvp": int(rules.KEY, 16)}]}
        known = about(["one"], policies=[{"host": "one", "asks": mkvp}])
        self.assertEqual(
            report(good("one"), about=known)["policies"][0]["asks"]["queues"], [{"mkvp": f"0x{rules.KEY}"}]
        )

    def test_policies_are_of_bounded_number(self) -> None:
        names = [f"guest{at}" for at in range(80)]
        known = about(names)
        for at, policy in enumerate(known["policies"]):
            policy["asks"]["strict"] = f"{at}"
        made = report(*(good(name) for name in names), about=known)
        self.assertEqual((len(made["policies"]), made["more_policies"]), (50, 30))
        self.assertIn("and 30 more policies", seen(made))

    def test_the_defaults_are_the_modules(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_about import DEFAULTS

        text = (lab.REPOSITORY / "collection/plugins/modules/guest.py").read_text()
        options = yaml.safe_load(text.split('r"""')[1].split('"""')[0])["options"]
        module = {name: options[name].get("default") for name in DEFAULTS}
        self.assertEqual(
            {name: None if value is None else str(value).lower() for name, value in module.items()}, DEFAULTS
        )


class Documents(unittest.TestCase):
    def looked(self, **dates: Any) -> Any:
        known = about(["one"])
        known["documents"]["requests"][0]["host_keys"][0].update(dates)
        made = report(good("one"), about=known)
        return made, made["documents"]["found"][0]["warning"]

    def test_a_warning_comes_before_a_document_or_a_list_ends(self) -> None:
        for date, warning in (
            ("2026-02-02T00:00:00Z", None),
            ("2026-02-01T00:00:00Z", "expires in 30 days."),
            ("2026-01-03T12:00:00Z", "expires in 1 day."),
            ("2026-01-02T00:00:00Z", "has expired."),
            ("soon", "its expiry cannot be determined."),
        ):
            for key, what in (("not_after", "The document"), ("crl_next_update", "A revocation list")):
                with self.subTest(date=date, key=key):
                    made, found = self.looked(**{key: date})
                    sign = ":" if date == "soon" else ""
                    self.assertEqual(found, f"{what}{sign} {warning}" if warning else None)
                    self.assertIn(date, seen(made))
                    self.assertEqual("See the host key documents." in seen(made), warning is not None)
                    self.assertEqual(made["counts"]["pass"], 1)

    def test_what_could_not_be_checked_is_said(self) -> None:
        failed = {"failed": True, "msg": "1 of 1 requests failed.", "requests": [
            {"failed": True, "error": {"code": "hkd.expired", "detail": "HKD-1.crt expired."}, "host_keys": []}
        ]}  # fmt: skip
        for result, said in (
            (failed, "HKD-1.crt expired."),
            ({"failed": True, "msg": "No binary."}, "No binary."),
            ({"unreachable": True, "msg": "No route."}, "No route."),
            ({}, "Not checked in this run"),
            ({"skipped": True}, "Not checked in this run"),
            (None, "Not checked in this run"),
            ([1], "Not checked in this run"),
            ({"requests": [1, None, {"host_keys": [1, {"file": {}}]}]}, "unknown"),
        ):
            with self.subTest(said):
                self.assertIn(said, seen(report(good("one"), about=about(["one"], documents=result))))

    def test_a_document_of_many_sets_is_there_once(self) -> None:
        known = about(["one"])
        known["documents"]["requests"] *= 3
        self.assertEqual(len(report(good("one"), about=known)["documents"]["found"]), 1)


class Run(unittest.TestCase):
    def test_it_says_who_made_it_where_and_with_what(self) -> None:
        from ansible.release import __version__

        with mock.patch.dict("os.environ"):
            for name in ("SUDO_USER", "USER", "LOGNAME", "LNAME", "USERNAME"):
                os.environ.pop(name, None)
            made = report(good("one"))
            expected = getpass.getuser()
        version = yaml.safe_load((lab.REPOSITORY / "collection/galaxy.yml").read_text())["version"]
        self.assertEqual(
            made["run"],
            {"user": expected, "controller": socket.gethostname(), "ansible_core": __version__, "collection": version,
             "limit": None, "inventory": [], "kept": False},
        )  # fmt: skip
        self.assertIn(f"by {expected} on {socket.gethostname()}, with seguest.pv {version}", seen(made))

    def test_sudo_and_awx_do_not_hide_who_it_was(self) -> None:
        with mock.patch.dict("os.environ", {"SUDO_USER": "alice"}):
            self.assertIn("sudo by alice", report(good("one"))["run"]["user"])
        made = report(good("one"), about={"run": {"user": "bob", "limit": "one", "inventory": ["/i"], "kept": True}})
        self.assertEqual((made["run"]["user"], made["run"]["limit"], made["run"]["inventory"]), ("bob", "one", ["/i"]))
        for said in ("Limited to: one.", "Inventory: /i.", "The answers are those of an earlier run"):
            self.assertIn(said, seen(made))


class Template(unittest.TestCase):
    def test_what_is_missing_in_a_report_is_an_error_and_no_gap(self) -> None:
        from ansible.errors import AnsibleFilterError

        from ansible_collections.seguest.pv.plugins.filter.compliance import FilterModule

        filters = FilterModule().filters()
        made = filters["compliance_report"]([good("one")], "2026-01-02T00:00:00Z", about(["one"]))
        self.assertIn("one", filters["compliance_page"](made))

        def without(value: Any, path: list[Any]) -> Any:
            into = json.loads(json.dumps(value))
            at = into
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
            return into

        for path in (["run"], ["run", "user"], ["guests", 0, "secrets"], ["guests", 0, "rules", 0, "detail"], ["not_asked"],
                     ["policies", 0, "asks", "lock"], ["documents", "found", 0, "warning"]):  # fmt: skip
            with self.subTest(path), self.assertRaises(AnsibleFilterError):
                filters["compliance_page"](without(made, path))
        wrongs: tuple[Any, ...] = ("x", [1], [{}])
        for wrong in wrongs:
            with self.assertRaises(AnsibleFilterError):
                filters["compliance_report"](wrong, "2026-01-02T00:00:00Z")

    def test_each_proof_is_in_plain_words(self) -> None:
        given = good()
        for evidence, words in (
            ("added_now", "proved: added just now, by this request"),
            ("added_this_boot", "proved: this request was added in this boot"),
            ("id_only", "not proved: only its id is there"),
            ("new_kind", "said: new_kind"),
        ):
            given["answer"]["requests"][0]["evidence"] = evidence
            self.assertIn(words, seen(report(given)))
        given["answer"]["requests"][0]["evidence"] = "id_only"
        self.assertIn("2, of which 1 proved", seen(report(given)))

    def test_what_is_for_paper_is_in_the_page(self) -> None:
        self.assertIn("@media print", page(report(good())))
        self.assertIn("details[open] > summary::before", page(report(good())))


if __name__ == "__main__":
    unittest.main()
