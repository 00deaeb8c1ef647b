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


def good(host: str = "guest1") -> dict[str, Any]:
    """A guest that is as expected."""
    return {
        "host": host,
        "unreachable": False,
        "boot_id": BOOT,
        "facts": {
            "role": "guest", "boot_id": BOOT, "gathered_at": "2026-01-01T00:00:00Z", "problems": [],
            "ultravisor": {"host_key_hashes": ["aa", "bb"]},
            "secrets": {
                "total": 2, "complete": True, "locked": True, "locked_source": "record",
                "list": [{"index": at, "id": secret_id(name), "name": None} for at, name in enumerate(("one", "two"))],
            },
            "ap": {
                "cards": [{"card": 0, "generation": 8, "serialnr": "93AADFK719460083", "mode": "ep11"}],
                "queues": [
                    queue("00.0005", "bound", 0), queue("00.0006", "bound", 1), queue("01.0005", "bound", mode="accel"),
                    queue("01.0006"),
                ],
            },
        },
        "expected": {
            "secrets": ["one", {"name": "two"}],
            "queues": [
                {"name": "one", "mode": "ep11", "mkvp": f"0x{KEY.upper()}", "mingen": "cex8"},
                {"name": "two", "mode": "EP11", "mkvp": KEY + KEY}, {"mode": "accel"},
            ],
            "host_key_hashes": ["0xBB"],
        },
    }  # fmt: skip


def report(*inputs: dict[str, Any]) -> dict[str, Any]:
    from ansible_collections.seguest.pv.plugins.plugin_utils.compliance import report as make

    made = make(inputs, "2026-01-02T00:00:00Z")
    jsonschema.validate(made, SCHEMA)
    return made


def verdicts(given: dict[str, Any]) -> dict[str, str]:
    return {rule["id"]: rule["verdict"] for rule in report(given)["guests"][0]["rules"]}


class Verdicts(unittest.TestCase):
    def changed(self, given: dict[str, Any], **expected: str) -> None:
        """Only these rules are not passed."""
        found = {rule: verdict for rule, verdict in verdicts(given).items() if verdict != "pass"}
        self.assertEqual(found, expected)

    def test_a_guest_as_expected_passes_every_rule(self) -> None:
        self.assertEqual(len(verdicts(good())), 8)
        self.changed(good())
        self.assertEqual([entry["apqn"] for entry in report(good())["guests"][0]["entries"]],
                         ["00.0005", "00.0006", "01.0005"])  # fmt: skip

    def test_what_is_not_known_is_unknown_in_every_rule_and_never_passes(self) -> None:
        unusable: tuple[tuple[str, dict[str, Any]], ...] = (
            ("reached", {"unreachable": True}),
            ("no facts", {"facts": None}),
            ("no facts", {"facts": {}}),
            ("another boot", {"boot_id": BOOT.replace("1", "2")}),
            ("cannot be told", {"boot_id": None}),
        )
        for why, change in unusable:
            with self.subTest(change):
                given = {**good(), **change}
                self.assertEqual(set(verdicts(given).values()), {"unknown"})
                guest = report(given)["guests"][0]
                self.assertEqual(guest["verdict"], "unknown")
                self.assertIn(why, guest["reason"])
                self.assertNotIn("found", [secret["status"] for secret in guest["secrets"]])

    def test_each_part_that_is_null_makes_its_rules_unknown(self) -> None:
        for path, rules in (
            (("role",), ("role",)),
            (("ultravisor",), ("host_key",)),
            (("ultravisor", "host_key_hashes"), ("host_key",)),
            (("secrets", "locked"), ("locked",)),
            (("problems",), ("readable",)),
            (("ap",), ("queues", "no_other_queues")),
            (("ap", "queues"), ("queues", "no_other_queues")),
        ):
            with self.subTest(path):
                given = good()
                part = given["facts"]
                for key in path[:-1]:
                    part = part[key]
                part[path[-1]] = None
                self.changed(given, **dict.fromkeys(rules, "unknown"))

    def test_a_store_that_cannot_be_listed_leaves_secrets_and_their_queues_unknown(self) -> None:
        given = good()
        given["facts"]["secrets"]["list"] = None
        rules = verdicts(given)
        unknown = ("secrets", "no_other_secrets", "queues", "no_other_queues")
        self.assertEqual({rule for rule, verdict in rules.items() if verdict != "pass"}, set(unknown))
        self.assertEqual({rules[rule] for rule in unknown}, {"unknown"})

    def test_a_missing_secret_fails_only_where_the_list_is_complete(self) -> None:
        given = good()
        given["facts"]["secrets"].update(total=1, list=given["facts"]["secrets"]["list"][:1])
        given["expected"]["queues"] = given["expected"]["queues"][:1]
        self.assertEqual((verdicts(given)["secrets"], verdicts(given)["no_other_secrets"]), ("fail", "pass"))
        given["facts"]["secrets"].update(total=2, complete=False)
        self.assertEqual((verdicts(given)["secrets"], verdicts(given)["no_other_secrets"]), ("unknown", "unknown"))
        # A list that contradicts its own number is not complete, whatever it says.
        given["facts"]["secrets"].update(total=3, complete=True)
        self.assertEqual(verdicts(given)["secrets"], "unknown")

    def test_faults_are_found(self) -> None:
        def edit(**change: Any) -> dict[str, Any]:
            given = good()
            for key, value in change.items():
                part = given["facts"] if key in given["facts"] else given["facts"]["secrets"]
                part[key] = value
            return given

        self.changed(edit(role="host"), role="fail")
        self.changed(edit(locked=False), locked="fail")
        self.changed(edit(ultravisor={"host_key_hashes": ["cc"]}), host_key="fail")
        self.changed(edit(problems=[{"code": "uv.not_permitted", "detail": "d", "hint": "h"}]), readable="unknown")
        extra = good()
        extra["facts"]["secrets"]["list"].append({"index": 2, "id": secret_id("evil"), "name": "evil"})
        extra["facts"]["secrets"]["total"] = 3
        self.changed(extra, no_other_secrets="fail")

    def test_a_queue_serves_only_with_the_right_secret_key_card_and_state(self) -> None:
        changes: tuple[dict[str, Any], ...] = (
            {"secret_index": 1, "associate": "associated 1"}, {"mkvp": "0x" + "00" * 16}, {"usable": False},
            {"associate": "association pending", "secret_index": 0},
        )  # fmt: skip
        for change in changes:
            with self.subTest(change):
                given = good()
                given["facts"]["ap"]["queues"][0].update(change)
                self.changed(given, queues="fail", no_other_queues="fail")
        released = good()
        released["facts"]["ap"]["queues"][0] = queue("00.0005")
        self.changed(released, queues="fail")
        old = good()
        old["facts"]["ap"]["cards"][0]["generation"] = 7
        self.changed(old, queues="fail", no_other_queues="fail")

    def test_a_queue_whose_state_or_key_cannot_be_read_leaves_it_unknown(self) -> None:
        given = good()
        given["facts"]["ap"]["queues"][0]["mkvp"] = None
        self.assertEqual(verdicts(given)["queues"], "unknown")
        given = good()
        given["facts"]["ap"]["queues"][0] = queue("00.0005", "unknown")
        self.assertEqual((verdicts(given)["queues"], verdicts(given)["no_other_queues"]), ("unknown", "unknown"))

    def test_entries_share_no_queue_and_none_is_left_out_that_can_be_served(self) -> None:
        given = good()
        # The first can have either, the second only the one that comes first.
        given["facts"]["ap"]["queues"][1].update(secret_index=0, associate="associated 0")
        entry = {"name": "one", "mode": "ep11", "mkvp": KEY}
        given["expected"]["queues"] = [entry, {**entry, "apqn": "00.0005"}, {"mode": "accel"}]
        self.changed(given)
        given["expected"]["queues"].append(entry)
        self.changed(given, queues="fail")

    def test_facts_of_any_form_are_judged_without_an_error(self) -> None:
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
        for part in good()["facts"]:
            if part == "boot_id":
                continue
            for value in hostile:
                with self.subTest(part=part, value=value):
                    given = good()
                    given["facts"][part] = copy.deepcopy(value)
                    harmless = part == "gathered_at" or (part, value) == ("problems", [])
                    self.assertEqual(report(given)["guests"][0]["verdict"] == "pass", harmless)

    def test_what_is_expected_is_a_list_or_an_error_that_names_the_variable(self) -> None:
        given = good()
        given["expected"]["host_key_hashes"] = "0xcc, 0xdd"
        self.changed(given, host_key="fail")
        given["expected"]["host_key_hashes"] = "0xcc,BB"
        self.changed(given)
        for key, wrong in (
            ("secrets", "one"), ("secrets", [1]), ("queues", "accel"), ("queues", ["accel"]), ("queues", {"mode": "accel"}),
            ("host_key_hashes", 187), ("host_key_hashes", [187]), ("host_key_hashes", ""), ("host_key_hashes", " , "),
            ("secrets", None),
        ):  # fmt: skip
            given = good()
            given["expected"][key] = wrong
            with (
                self.subTest(key=key, wrong=wrong),
                self.assertRaisesRegex(ValueError, f"compliance_{key} must be a list"),
            ):
                verdicts(given)

    def test_whether_a_lock_is_wanted_is_a_boolean_or_its_word_or_an_error(self) -> None:
        open_guest = good()
        open_guest["facts"]["secrets"]["locked"] = False
        for word, fails in (
            (True, True),
            ("yes", True),
            ("True", True),
            (False, False),
            ("no", False),
            ("false", False),
        ):
            open_guest["expected"]["locked"] = word
            with self.subTest(word=word):
                self.changed(open_guest, **({"locked": "fail"} if fails else {}))
        open_guest["expected"]["locked"] = "ture"
        with self.assertRaisesRegex(ValueError, "compliance_locked must be true or false"):
            verdicts(open_guest)

    def test_problems_come_first(self) -> None:
        failed, unknown = good("b"), {**good("a"), "unreachable": True}
        failed["facts"]["role"] = "none"
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

        facts = spoil(given["facts"])
        facts.update(boot_id=BOOT, problems=[{"code": self.HOSTILE, "detail": self.HOSTILE, "hint": self.HOSTILE}])
        given.update(facts=facts, expected={**given["expected"], "secrets": [self.HOSTILE]})
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
        self.assertTrue(policy[1].startswith("default-src &#x27;none&#x27;;"), policy[1])
        self.assertNotIn("unsafe", policy[1])
        for forbidden in ("http://", "https://", "style=", "src=", "url("):
            self.assertNotIn(forbidden, page)

    def test_headings_are_marked_and_verdicts_are_words(self) -> None:
        page = self.page(good(), {**good("x"), "unreachable": True})
        self.assertNotRegex(page, r"<th(?![^>]*scope=)[ >]")
        self.assertIn("✓ pass", page)
        self.assertIn("? unknown", page)
        self.assertIn("Self-reported, not attested", page)


if __name__ == "__main__":
    unittest.main()
