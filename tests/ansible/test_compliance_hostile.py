# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a guest says is its own row: of bounded size, with nothing hidden in it, and no end of the others' report."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc
import unittest
from collections.abc import Iterator
from typing import Any

import lab
import test_compliance as rules
from test_compliance import facts_of, good, report, step

HOSTILE: tuple[Any, ...] = (None, True, "x", [], [None, 1, "x", [], {}], {"list": [{}]}, 10**30)


def setUpModule() -> None:
    lab.import_collection()


def page(*inputs: dict[str, Any], about: dict[str, Any] | None = None) -> str:
    from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page as make

    return make(report(*inputs, about=about))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in an answer there is something."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    into = copy.deepcopy(value)
    at = into
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return into


class Shapes(unittest.TestCase):
    def test_no_part_of_an_answer_of_another_shape_ends_the_report(self) -> None:
        answer = good()["answer"]
        facts_of({"answer": answer})["problems"] = [{"code": "uv.x", "detail": "d", "hint": "h"}]
        for path in places(answer):
            for value in HOSTILE:
                with self.subTest(path=path, value=value):
                    made = page({"host": "bad", "answer": put(answer, path, copy.deepcopy(value))}, good("fine"))
                    self.assertIn(">fine<", made)
                    self.assertIn(">bad<", made)

    def test_what_nobody_thought_of_is_that_guests_row(self) -> None:
        class Odd(dict[str, Any]):
            def get(self, *_: Any) -> Any:
                raise RecursionError

        made = report({"host": "bad", "answer": Odd()}, good("fine"))
        rows = {guest["host"]: guest for guest in made["guests"]}
        self.assertEqual((rows["bad"]["verdict"], rows["bad"]["cause"]), ("unknown", "unreadable"))
        self.assertEqual(rows["fine"]["verdict"], "pass")

    def test_a_step_that_is_there_twice_has_the_worse_verdict(self) -> None:
        given = good()
        given["answer"]["steps"] += [step("lock", "failed", False), step("lock")]
        self.assertEqual(rules.verdicts(given)["lock"], "fail")

    def test_no_name_of_a_host_ends_the_report(self) -> None:
        for name in HOSTILE:
            self.assertEqual(report({**good(), "host": name})["counts"]["guests"], 1)


class Size(unittest.TestCase):
    def much(self, **parts: Any) -> dict[str, Any]:
        given = good()
        ap = parts.pop("queues", None)
        if ap is not None:
            facts_of(given)["ap"]["queues"] = ap
        given["answer"].update(parts)
        return given

    def test_a_page_is_linear_in_queues_however_they_are_spread(self) -> None:
        def diagonal(count: int) -> list[dict[str, Any]]:
            return [{**rules.queue("00.0005"), "card": at, "domain": at, "apqn": f"{at:04x}"} for at in range(count)]

        sizes, began = [], time.process_time()
        for count in (0, 750, 1500):
            tracemalloc.start()
            sizes.append(len(page(self.much(queues=diagonal(count)))))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        self.assertLess(sizes[2], 3_000_000)
        self.assertLess(sizes[2] - sizes[1], 1.2 * (sizes[1] - sizes[0]))
        self.assertLess(peak, 32_000_000)
        self.assertLess(time.process_time() - began, 20)

    def test_queues_side_by_side_that_are_alike_are_one_entry(self) -> None:
        queues = [rules.queue(f"{card:02x}.{domain:04x}") for card in range(4) for domain in range(85)]
        queues[10]["bind"] = "bound"
        made = page(self.much(queues=queues))
        self.assertIn("<b>0000 to 0054</b> ep11: free", made)
        self.assertIn("<b>0000 to 0009</b> ep11: free</li><li><b>000a</b> ep11: -</li><li><b>000b to 0054</b>", made)

    def test_what_one_guest_says_is_cut_and_the_row_says_so(self) -> None:
        many = 20_000
        long = "x" * 100_000
        request = {"name": long, "id": long, "index": 0, "evidence": long}
        parts = {
            "requests": [request] * many,
            "secrets": [{"id": f"0x{at:064x}", "name": long} for at in range(many)],
            "entries": [{"name": long, "status": long, "apqn": long, "reason": long}] * many,
            "steps": [{**step("bind", "failed", False, long), "detail": long}] * many,
            "queues": [{}] * many,
        }
        for part, value in parts.items():
            with self.subTest(part):
                given = self.much(**{part: value})
                made = report(given)
                self.assertLess(len(json.dumps(made)), 700_000)
                self.assertLess(len(page(given)), 700_000)
                if part != "steps":
                    self.assertGreater(made["guests"][0]["more"]["secrets" if part == "requests" else part], 15_000)
                    self.assertIn("more", page(given))
        given = good()
        facts_of(given)["problems"] = [{"code": long, "detail": long, "hint": long}] * many
        self.assertLess(len(page(given)), 200_000)
        self.assertIn("and 19995 more", page(given))
        failed = {"host": "bad", "answer": {"failed": True, "msg": long, "error": {"code": long}}}
        self.assertLess(len(page(failed)), 50_000)
        self.assertIn("more characters", page(failed))

    def test_94_kB_of_facts_are_no_page_of_megabytes(self) -> None:
        nested = json.loads("[" * 200 + "]" * 200)
        queues = [{"mode": nested, "bind": nested, "associate": nested, "apqn": nested}] * 60
        self.assertLess(len(page(self.much(queues=queues))), 50_000)

    def test_1000_guests_take_seconds(self) -> None:
        names = [f"guest{at:04d}" for at in range(1000)]
        began = time.process_time()
        made = page(*(good(name) for name in names), about=rules.about(names))
        self.assertLess(time.process_time() - began, 15)
        self.assertLess(len(made), 8_000_000)


class Visible(unittest.TestCase):
    def test_what_cannot_be_seen_or_changes_what_is_seen_is_written_out(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_text import text

        for hidden, shown in (
            ("\u202etxt.exe", "\\u202etxt.exe"),
            ("a\u200bb\u200d\ufeff\u2060\u00ad", "a\\u200bb\\u200d\\ufeff\\u2060\\xad"),
            ("\x1b[2Ja\x07\x9b", "\\x1b[2Ja\\x07\\x9b"),
            ("\u2066\u2069\u061c\u200f", "\\u2066\\u2069\\u061c\\u200f"),
            ("\u3164\u2800\ufe0f\U000e0041\U000e0101", "\\u3164\\u2800\\ufe0f\\U000e0041\\U000e0101"),
            ("\ud800", "\\ud800"),
            ("a\xa0b", "a\\xa0b"),
            ("e" + "\u0301" * 5, "e\u0301\u0301\\u0301\\u0301\\u0301"),
            ("one\r\n\ttwo", "one two"),
            ("plain ключ 鍵 ü", "plain ключ 鍵 ü"),
        ):
            with self.subTest(shown):
                self.assertEqual(text(hidden), shown)

    def test_nothing_hidden_is_left_anywhere_in_report_and_page(self) -> None:
        hidden = "\u202e\u200b\x1b[2J"

        def spoil(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: spoil(one) for key, one in value.items()}
            if isinstance(value, list):
                return [spoil(one) for one in value]
            return value + hidden if isinstance(value, str) else value

        given = good(f"guest{hidden}")
        answer = spoil(given["answer"])
        for before, after in zip(given["answer"]["steps"], answer["steps"], strict=True):
            after["step"] = before["step"]
        failed = {"host": "failed", "answer": {"failed": True, "msg": hidden, "error": {"code": hidden}}}
        more = spoil(rules.about(["one"]))
        more["documents"]["requests"][0].update(failed=True, error={"detail": hidden})
        made = report({**given, "answer": answer}, failed, about=more)
        for shown in (json.dumps(made, ensure_ascii=False), page({**given, "answer": answer}, failed, about=more)):
            for character in hidden[:3]:
                self.assertNotIn(character, shown)
        self.assertIn("\\u202e", page(failed))


if __name__ == "__main__":
    unittest.main()
