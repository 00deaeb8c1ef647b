# SPDX-License-Identifier: GPL-3.0-or-later
"""From facts to verdicts, and to the page."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import unittest
from html.parser import HTMLParser
from typing import Any

import jsonschema
import lab

BOOT = "6f1c2a52-0000-4000-8000-000000000001"
KEY = "db3c3b3c3f097dd55ec7eb0e7fdbcb93"
SCHEMA = json.loads((lab.REPOSITORY / "collection/docs/compliance-report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def setUpModule() -> None:
    lab.import_collection()


def secret_id(name: str) -> str:
    return "0x" + hashlib.sha256(name.encode()).hexdigest()


def queue(
    apqn: str, bind: str = "unbound", index: int | None = None, mode: str = "ep11", **more: Any
) -> dict[str, Any]:
    associate = f"associated {index}" if index is not None else "unassociated" if bind == "bound" else "-"
    return {
        "apqn": apqn, "card": int(apqn[:2], 16), "domain": int(apqn[3:], 16), "mode": mode, "usable": True, "bind": bind,
        "associate": associate, "secret_index": index, "mkvp": f"0x{KEY}" if bind == "bound" and mode == "ep11" else None,
        **more,
    }  # fmt: skip


def step(step: str, state: str = "unchanged", right: bool | None = True, code: str | None = None) -> dict[str, Any]:
    return {"step": step, "state": state, "right": right, "code": code, "detail": f"What the module says of {step}."}


def good(host: str = "guest1") -> dict[str, Any]:
    """A guest that is as wanted, as the module answers."""
    facts = {
        "role": "guest", "boot_id": BOOT, "gathered_at": "2026-01-01T00:00:00Z", "problems": [],
        "ap": {"queues": [
            queue("00.0005", "bound", 0), queue("00.0006", "bound", 1), queue("01.0005", "bound", mode="accel"),
            queue("01.0006"),
        ]},
    }  # fmt: skip
    requests = [
        {
            "name": name,
            "label": None,
            "id": secret_id(name),
            "index": at,
            "evidence": "added_this_boot",
            "changed": False,
        }
        for at, name in enumerate(("one", "two"))
    ]
    served = [("one", "ep11", "00.0005"), ("two", "ep11", "00.0006"), (None, "accel", "01.0005")]
    return {
        "host": host,
        "answer": {
            "changed": False,
            "steps": [step(name) for name in ("machine", "add", "verify", "lock", "bind")],
            "requests": requests,
            "secrets": [{"index": each["index"], "id": each["id"], "name": None} for each in requests],
            "entries": [
                {"name": name, "mode": mode, "secretid": name and secret_id(name), "status": "served", "reason": None,
                 "apqn": apqn}
                for name, mode, apqn in served
            ],
            "ansible_facts": {"ansible_secure_execution": facts},
        },
    }  # fmt: skip


def facts_of(given: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = given["answer"]["ansible_facts"]["ansible_secure_execution"]
    return facts


def about(names: list[str], **more: Any) -> dict[str, Any]:
    """What the playbook knows beside the answers: two secrets and two queues for each, the second its own."""
    policies = []
    for name in names:
        wanted = ("cluster key", f"key of {name}")
        queues = [{"name": secret, "mode": "ep11", "mkvp": f"0x{KEY}"} for secret in wanted]
        asks = {"secrets": [{"name": secret, "label": secret} for secret in wanted], "queues": queues, "lock": None}
        policies.append({"host": name, "asks": asks})
    document = {
        "file": "/etc/seguest/HKD-8561-0123456.crt", "hash": f"0x{'ab' * 32}", "serial": "0123456",
        "not_after": "2027-01-01T00:00:00Z", "crl_next_update": "2026-06-01T00:00:00Z",
    }  # fmt: skip
    documents = {"changed": False, "requests": [{"failed": False, "error": None, "host_keys": [document]}]}
    return {"group": names, "asked": names, "policies": policies, "documents": documents, "run": {}, **more}


def report(*inputs: dict[str, Any], about: dict[str, Any] | None = None) -> dict[str, Any]:
    from ansible_collections.seguest.pv.plugins.plugin_utils.compliance import report as make

    made = make(inputs, "2026-01-02T00:00:00Z", about)
    VALIDATOR.validate(made)
    return made


def verdicts(given: dict[str, Any]) -> dict[str, str]:
    return {rule["id"]: rule["verdict"] for rule in report(given)["guests"][0]["rules"]}


class Rows(unittest.TestCase):
    def test_each_step_of_the_module_is_a_rule_with_its_own_sentence_and_code(self) -> None:
        given = good()
        given["answer"]["steps"][3:] = [
            step("lock", "failed", None, "uv.list_incomplete"),
            step("bind", "would_change", False),
            step("at_boot", "would_change", False),
        ]
        guest = report(given)["guests"][0]
        self.assertEqual(
            {rule["id"]: rule["verdict"] for rule in guest["rules"]},
            {"machine": "pass", "add": "pass", "verify": "pass", "lock": "unknown", "bind": "fail", "at_boot": "fail",
             "readable": "pass"},
        )  # fmt: skip
        self.assertEqual(guest["rules"][3]["detail"], "What the module says of lock. [uv.list_incomplete]")
        self.assertEqual(guest["rules"][4]["detail"], "What the module says of bind.")
        self.assertEqual(guest["verdict"], "fail")

    def test_a_guest_as_it_is_to_be_passes_every_rule(self) -> None:
        self.assertEqual(set(verdicts(good()).values()), {"pass"})
        self.assertEqual(len(verdicts(good())), 6)
        guest = report(good())["guests"][0]
        self.assertEqual([entry["apqn"] for entry in guest["entries"]], ["00.0005", "00.0006", "01.0005"])
        self.assertEqual([each["secret"] for each in guest["queues"]], ["one", "two", None, None])
        self.assertEqual([each["entry"] for each in guest["queues"]], [0, 1, 2, None])

    def test_what_gives_no_answer_is_unknown_in_every_rule_and_never_passes(self) -> None:
        refused = {"failed": True, "msg": "No rights.", "error": {"code": "uv.not_permitted"}}
        for why, change in (
            ("reached", {"answer": {**good()["answer"], "unreachable": True}}),
            ("No rights. [uv.not_permitted]", {"answer": refused}),
            ("reported no step as wrong", {"answer": {**good()["answer"], "failed": True}}),
            ("There was no message.", {"answer": {}}),
            ("There was no message.", {"answer": None}),
            ("another boot", {"boot_id": BOOT.replace("1", "2")}),
            ("cannot be known", {"boot_id": None}),
        ):
            with self.subTest(why):
                guest = report({**good(), **change})["guests"][0]
                self.assertEqual({rule["verdict"] for rule in guest["rules"]}, {"unknown"})
                self.assertEqual(guest["verdict"], "unknown")
                self.assertIn(why, guest["reason"])
                self.assertEqual((guest["secrets"], guest["entries"], guest["queues"]), ([], [], []))

    def test_an_answer_that_was_kept_counts_in_its_own_boot(self) -> None:
        self.assertEqual(report({**good(), "boot_id": f"{BOOT}\n"})["guests"][0]["verdict"], "pass")

    def test_an_answer_without_facts_says_nothing_of_its_boot(self) -> None:
        given = good()
        del given["answer"]["ansible_facts"]
        self.assertEqual(report(given)["guests"][0]["verdict"], "unknown")

    def test_what_could_not_be_read_makes_a_guest_unknown(self) -> None:
        given = good()
        facts_of(given)["problems"] = [{"code": "uv.not_permitted", "detail": "d", "hint": "h"}]
        self.assertEqual(verdicts(given)["readable"], "unknown")
        self.assertEqual(report(given)["guests"][0]["verdict"], "unknown")

    def test_secrets_are_told_with_how_they_are_known_and_what_else_is_there(self) -> None:
        given = good()
        given["answer"]["requests"][1]["evidence"] = None
        given["answer"]["secrets"][1] = {"index": 1, "id": secret_id("stranger"), "name": "stranger"}
        secrets = report(given)["guests"][0]["secrets"]
        self.assertEqual([secret["status"] for secret in secrets], ["found", "missing", "other"])
        self.assertEqual([secret["name"] for secret in secrets], ["one", "two", "stranger"])
        self.assertEqual(secrets[0]["evidence"], "added_this_boot")

    def test_answers_of_any_form_are_taken_without_an_error_and_pass_nothing(self) -> None:
        hostile: tuple[Any, ...] = (
            None,
            1,
            True,
            "x",
            [],
            {},
            [None, 1, "x", [], {}],
            {"list": [{}], "queues": [{}, 1]},
        )
        for part in good()["answer"]:
            for value in hostile:
                with self.subTest(part=part, value=value):
                    given = good()
                    given["answer"][part] = copy.deepcopy(value)
                    # These are shown, and no verdict hangs on them.
                    shown = part in ("changed", "requests", "secrets", "entries")
                    self.assertEqual(report(given)["guests"][0]["verdict"] == "pass", shown)
        for part, key in (
            ("requests", "index"),
            ("requests", "id"),
            ("secrets", "id"),
            ("entries", "apqn"),
            ("entries", "status"),
        ):
            for value in hostile:
                with self.subTest(part=part, key=key, value=value):
                    given = good()
                    given["answer"][part][0][key] = copy.deepcopy(value)
                    self.assertEqual(len(report(given)["guests"]), 1)
        no_verdicts: tuple[Any, ...] = (1, "true", [True], {}, "pass")
        for right in no_verdicts:
            with self.subTest(right=right):
                given = good()
                given["answer"]["steps"][1]["right"] = right
                self.assertEqual(verdicts(given)["add"], "unknown")

    def test_problems_come_first(self) -> None:
        failed, unknown = good("b"), {**good("a"), "answer": {"unreachable": True}}
        failed["answer"]["steps"][0] = step("machine", "failed", False, "uv.other_machine")
        made = report(good("c"), unknown, failed, good("0"))
        self.assertEqual([guest["host"] for guest in made["guests"]], ["b", "a", "0", "c"])
        self.assertEqual(made["counts"], {"guests": 4, "fail": 1, "unknown": 1, "pass": 2})


class Page(unittest.TestCase):
    HOSTILE = "<script>alert(1)</script>\"'&"

    def page(self, *inputs: dict[str, Any]) -> str:
        from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page

        return page(report(*inputs))

    def test_no_text_of_a_guest_is_taken_for_html(self) -> None:
        given = good(self.HOSTILE)

        def spoil(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: spoil(one) for key, one in value.items()}
            if isinstance(value, list):
                return [spoil(one) for one in value]
            return value + self.HOSTILE if isinstance(value, str) else value

        given["answer"] = spoil(given["answer"])
        # Names of steps are known ones or none.
        given["answer"]["steps"] = [{**step("bind"), "detail": self.HOSTILE, "code": self.HOSTILE}]
        problem = {"code": self.HOSTILE, "detail": self.HOSTILE, "hint": self.HOSTILE}
        facts_of(given).update(boot_id=BOOT, problems=[problem])
        tags: list[tuple[str, dict[str, str | None]]] = []

        class Reader(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                tags.append((tag, dict(attrs)))

        Reader().feed(self.page(given))
        names = [tag for tag, _ in tags]
        self.assertEqual((names.count("script"), names.count("style")), (1, 1))
        self.assertEqual([key for _, attributes in tags for key in attributes if key.startswith("on")], [])
        self.assertGreater(self.page(given).count("&lt;script&gt;"), 5)

    def test_the_page_allows_itself_nothing_but_its_own_style_and_script(self) -> None:
        page = self.page(good())
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        self.assertTrue(policy[1].startswith("default-src &#39;none&#39;;"), policy[1])
        self.assertNotIn("unsafe", policy[1])
        for forbidden in ("http://", "https://", "style=", "src=", "url("):
            self.assertNotIn(forbidden, page)

    def test_headings_are_marked_and_verdicts_are_words(self) -> None:
        page = self.page(good(), {**good("x"), "answer": {"unreachable": True}})
        self.assertNotRegex(page, r"<th(?![^>]*scope=)[ >]")
        self.assertIn("✓ pass", page)
        self.assertIn("? unknown", page)
        self.assertIn("Self-reported, not attested", page)


if __name__ == "__main__":
    unittest.main()
