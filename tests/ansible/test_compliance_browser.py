# SPDX-License-Identifier: GPL-3.0-or-later
"""The compliance page in a real browser."""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

import browser
import lab
import test_compliance as rules
from test_attestation import AFFIRMED, REFUTED

NAMES = "[...document.querySelectorAll('#others tbody th')].map((cell) => cell.textContent)"


def setUpModule() -> None:
    lab.import_collection()


def fleet() -> list[dict[str, Any]]:
    """Some guests, of every kind."""
    names = ["db1.example.com", "db2.example.com", "db3.example.com"]
    guests = [rules.good(name) for name in names]
    hostile = rules.good("<script>document.title='taken'</script>")
    stranger = {"index": 2, "id": rules.secret_id("x"), "name": "<img src=x onerror=alert(1)>"}
    hostile["answer"]["secrets"].append(stranger)
    hostile["answer"]["steps"][3] = rules.step("lock", "failed", False, "uv.locked_incomplete")
    released = rules.good("app1.example.com")
    rules.facts_of(released)["ap"]["queues"][0] = rules.queue("00.0005")
    released["answer"]["steps"][3:] = [
        rules.step("lock", "would_change", False),
        rules.step("bind", "would_change", False),
    ]
    released["answer"]["entries"][0].update(status="undetermined", apqn=None)
    closed = rules.good("app2.example.com")
    closed["answer"]["steps"][1:] = [
        rules.step(name, "failed", None, "uv.not_permitted") for name in ("add", "verify", "lock")
    ]
    problem = {"code": "uv.not_permitted", "detail": "/dev/uv may not be opened.", "hint": "Use become."}
    rules.facts_of(closed)["problems"] = [problem]
    gone = {**rules.good("app3.example.com"), "answer": {"unreachable": True}}
    return [*guests, hostile, released, closed, gone]


def large_fleet() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """300 guests, of which every tenth fails and every tenth cannot be reached, and what is known beside."""
    guests = [rules.good(f"guest{at:03d}.prod-eu-west.example.com") for at in range(300)]
    names = [guest["host"] for guest in guests]
    for guest in guests:
        guest["proof"] = {"asked": True, "verdict": AFFIRMED}
    for at in range(0, 300, 10):
        guests[at]["proof"]["verdict"] = REFUTED
        guests[at]["answer"]["steps"][2:4] = [
            rules.step("verify", "failed", False, "uv.secret_missing"),
            rules.step("lock", "failed", False, "uv.locked_incomplete"),
        ]
        guests[at + 5]["answer"] = {
            "unreachable": True,
            "msg": "Failed to connect to the host via ssh: Connection timed out",
        }
    return guests, rules.about(names, group=[*names, "spare.example.com"])


@unittest.skipUnless(browser.PROGRAM, "chromium is not installed")
class InTheBrowser(unittest.TestCase):
    def setUp(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page

        self.root = Path(tempfile.mkdtemp(prefix="seguest-page-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.page = page
        self.browser = browser.Browser()
        self.addCleanup(self.browser.close)
        self.browser.size(1200, 900)
        self.show(fleet(), None)

    def show(self, guests: list[dict[str, Any]], about: dict[str, Any] | None) -> Path:
        path = self.root / "compliance.html"
        path.write_text(self.page(rules.report(*guests, about=about)))
        self.browser.open(path)
        return path

    def keep(self, name: str, content: bytes) -> None:
        """For people to look at."""
        folder = os.environ.get("SEGUEST_PICTURES")
        if folder:
            Path(folder, name).write_bytes(content)

    def test_counts_are_shown_and_nothing_complains_or_is_loaded(self) -> None:
        counts = {key: self.browser.value(f"document.getElementById('count-{key}').textContent")
                  for key in ("guests", "fail", "unknown", "pass")}  # fmt: skip
        self.assertEqual(counts, {"guests": "7", "fail": "2", "unknown": "2", "pass": "3"})
        self.assertEqual(self.browser.value("document.title"), "Secure Execution guests: compliance")
        self.assertEqual(self.browser.value("document.images.length"), 0)
        self.assertEqual(self.browser.complaints, [])

    def test_the_policy_stops_a_script_that_got_in_all_the_same(self) -> None:
        inject = "{ const s = document.createElement('script'); s.textContent = 'window.taken = 1'; document.body.append(s); }"
        self.browser.value(inject)
        self.assertEqual(self.browser.value("typeof window.taken"), "undefined")
        self.assertTrue(any("Content Security Policy" in line for line in self.browser.complaints))

    def test_pressing_a_heading_sorts_up_down_and_back(self) -> None:
        before = self.browser.value(NAMES)
        heading = "document.querySelector('#others thead th:first-child')"

        def press() -> tuple[list[str], str | None]:
            self.browser.value(f"{heading}.querySelector('button').click()")
            return self.browser.value(NAMES), self.browser.value(f"{heading}.getAttribute('aria-sort')")

        self.assertEqual(press(), (sorted(before), "ascending"))
        self.assertEqual(press(), (sorted(before, reverse=True), "descending"))
        self.assertEqual(press(), (before, None))
        self.assertEqual(self.browser.complaints, [])

    def test_the_filter_shows_what_has_the_words_and_the_verdict(self) -> None:
        shown = "[...document.querySelectorAll('tr[data-guest]')].filter((row) => row.checkVisibility()).length"

        def filtered(text: str, verdict: str) -> tuple[int, int]:
            self.browser.value(
                f"{{ const form = document.getElementById('filter'), [text, verdict] = form.elements; text.value = '{text}';"
                f" verdict.value = '{verdict}'; form.dispatchEvent(new Event('input')); }}"
            )
            details = "[...document.querySelectorAll('details.guest')].filter((one) => one.checkVisibility()).length"
            return self.browser.value(shown), self.browser.value(details)

        self.assertEqual(self.browser.value("document.getElementById('filter').checkVisibility()"), True)
        self.assertEqual(filtered("", ""), (7, 7))
        self.assertEqual(filtered("", "fail"), (2, 2))
        self.assertEqual(filtered("DB2", ""), (1, 1))
        self.assertEqual(filtered("uv.not_permitted app2", ""), (1, 1))
        self.assertEqual(filtered("app", "pass"), (0, 0))
        self.assertEqual(self.browser.complaints, [])

    def test_a_link_to_a_guest_unfolds_it(self) -> None:
        self.browser.value("document.querySelector('#passing tbody a').click()")
        # The event comes after the click is done.
        self.browser.value("new Promise((done) => setTimeout(done, 100))", wait=True)
        self.assertEqual(self.browser.value("document.querySelector(location.hash).open"), True)

    def test_a_name_is_not_broken_where_there_is_room_for_it(self) -> None:
        lines = "[...document.querySelectorAll('#others .short, #passing .short')].map((name) => name.getClientRects().length)"
        for width in (320, 390, 1280):
            self.browser.size(width, 800)
            self.assertEqual(set(self.browser.value(lines)), {1}, width)

    def test_300_guests_are_under_20_pages_on_paper(self) -> None:
        guests, about = large_fleet()
        path = self.show(guests, about)
        paper = self.browser.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
        pages = len(re.findall(rb"/Type */Page\b", base64.b64decode(paper)))
        self.assertGreater(pages, 2)
        self.assertLess(pages, 20)
        self.keep("compliance.pdf", base64.b64decode(paper))
        for width, height in ((1280, 900), (390, 844)):
            self.browser.size(width, height)
            self.browser.open(path)
            self.assertLessEqual(self.browser.value("document.documentElement.scrollWidth"), width)
            self.keep(f"compliance-300-{width}.png", self.browser.picture())

    def test_no_width_needs_sideways_scrolling(self) -> None:
        for width in (320, 390, 800, 1024, 1025, 1600):
            self.browser.size(width, 800)
            shown = self.browser.value("document.documentElement.scrollWidth")
            self.assertLessEqual(shown, width, width)

    def test_text_has_contrast_in_light_and_dark(self) -> None:
        measure = """(() => {
            const light = (rgb) => rgb.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
                .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
            const back = (node) => {
                const own = getComputedStyle(node).backgroundColor;
                return own === 'rgba(0, 0, 0, 0)' ? back(node.parentElement) : own;
            };
            return Math.min(...[...document.querySelectorAll('p, th, td, dd, dt, .badge, a, h1, h2')].map((node) => {
                const [a, b] = [light(getComputedStyle(node).color), light(back(node))];
                return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            }));
        })()"""
        for scheme in ("light", "dark"):
            self.browser.colours(scheme)
            self.assertGreaterEqual(self.browser.value(measure), 4.5, scheme)
            self.keep(f"compliance-{scheme}.png", self.browser.picture())
            self.browser.size(390, 844)
            self.keep(f"compliance-{scheme}-phone.png", self.browser.picture())
            self.browser.size(1200, 900)


if __name__ == "__main__":
    unittest.main()
