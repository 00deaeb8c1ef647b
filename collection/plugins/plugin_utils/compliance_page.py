# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compliance report as one HTML page that needs nothing else and loads nothing.

Every text comes from guests or inventories, so every text goes through one function that escapes it; and the page allows
itself no style or script but its own, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping
from typing import Any

from .compliance import RULES
from .compliance_assets import SCRIPT, STYLE

_SIGNS = {"pass": "✓ pass", "fail": "✗ fail", "unknown": "? unknown"}
_STATUS = {"found": "pass", "missing": "fail"}
_ORDER = {"fail": "0", "unknown": "1", "pass": "2", None: "3"}


class Html(str):
    """Text that is HTML already."""


def page(report: Mapping[str, Any]) -> str:
    """The page, for a report as compliance.report() makes it."""
    counts, guests = report["counts"], report["guests"]
    policy = f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; base-uri 'none'; form-action 'none'"
    # As it is: what is inside them is not parsed as HTML, so nothing may be escaped there.
    style, script = Html(f"<style>{STYLE}</style>"), Html(f"<script>{SCRIPT}</script>")
    head = _tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        _tag("title", "Secure Execution guests: compliance"),
        style,
    )
    body = _tag(
        "body",
        _tag(
            "header",
            _tag("h1", "Secure Execution guests: compliance"),
            _tag("p", f"Generated {report['generated_at']}."),
            _tag(
                "p",
                _tag("strong", "Self-reported, not attested. "),
                "These are the guests' own words. A guest that was broken into can say anything; what a guest really is, "
                "only attestation proves. What could not be told is unknown, and counts as no pass.",
                cls="note",
            ),
            _counts(counts),
        ),
        _tag("main", _overview(report), *(_guest(guest) for guest in guests)),
        script,
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _counts(counts: Mapping[str, int]) -> Html:
    parts = [("guests", "guests"), ("fail", "fail"), ("unknown", "unknown"), ("pass", "pass")]
    return _tag(
        "dl",
        *(
            _tag("div", _tag("dt", word), _tag("dd", str(counts[key]), id=f"count-{key}"), cls=key)
            for key, word in parts
        ),
        cls="counts",
    )


def _overview(report: Mapping[str, Any]) -> Html:
    asked = {rule["id"] for guest in report["guests"] for rule in guest["rules"]}
    rules = [rule for rule in report["rules"] if rule["id"] in asked]
    titles = ["Name", "Verdict", *(rule["heading"] for rule in rules)]
    rows = []
    for at, guest in enumerate(report["guests"]):
        verdicts = {rule["id"]: rule["verdict"] for rule in guest["rules"]}
        link = _tag("a", guest["host"], href=f"#guest-{_anchor(guest['host'])}")
        cells = [_tag("th", link, scope="row", role="rowheader", data_label="Name", data_key=guest["host"])]
        cells.append(_verdict_cell("Verdict", guest["verdict"]))
        cells.extend(_verdict_cell(rule["heading"], verdicts.get(rule["id"])) for rule in rules)
        rows.append(_tag("tr", *cells, role="row", data_at=str(at)))
    head = _tag(
        "tr",
        *(_tag("th", _tag("button", title, type="button"), scope="col", role="columnheader") for title in titles),
        role="row",
    )
    table = _tag(
        "table",
        _tag("caption", "All guests, problems first"),
        _tag("thead", head, role="rowgroup"),
        _tag("tbody", *rows, role="rowgroup"),
        role="table",
        id="overview",
    )
    return _tag("section", table)


def _guest(guest: Mapping[str, Any]) -> Html:
    parts = [_tag("p", guest["reason"], cls="note")] if guest["reason"] else []
    parts.append(
        _table("Rules", ["Rule", "Verdict", "Why"], [
            [RULES[rule["id"]][1], _badge(rule["verdict"]), rule["detail"]] for rule in guest["rules"]
        ])
    )  # fmt: skip
    if guest["secrets"]:
        rows = [
            [s["name"] or "", _code(s["id"] or "none"), _status(s["status"]), s["evidence"] or ""]
            for s in guest["secrets"]
        ]
        parts.append(_table("Secrets", ["Name", "Id", "Status", "Known by"], rows))
    if guest["entries"]:
        rows = [
            [e["wants"], _badge(e["verdict"], e["status"]), e["apqn"] or "none", e["reason"] or ""]
            for e in guest["entries"]
        ]
        parts.append(_table("Wanted queues", ["Wanted for", "Status", "Queue", "Why"], rows))
    if guest["queues"]:
        parts.append(_map(guest["queues"]))
    if guest["problems"]:
        rows = [[p["code"] or "", p["detail"] or "", p["hint"] or ""] for p in guest["problems"]]
        parts.append(_table("What could not be read", ["Code", "What", "What to do"], rows))
    when = f"Gathered {guest['gathered_at']}, boot {guest['boot_id']}." if guest["gathered_at"] else "No usable facts."
    summary = _tag("summary", _tag("h2", guest["host"]), _badge(guest["verdict"]))
    opened = {} if guest["verdict"] == "pass" else {"open": ""}
    return _tag("details", summary, _tag("p", when), *parts, id=f"guest-{_anchor(guest['host'])}", **opened)


def _map(queues: Iterable[Mapping[str, Any]]) -> Html:
    placed = {
        (queue["card"], queue["domain"]): queue for queue in queues if None not in (queue["card"], queue["domain"])
    }
    cards, domains = sorted({place[0] for place in placed}), sorted({place[1] for place in placed})
    rows = [
        [f"card {card:02x}", *(_bound_to(placed.get((card, domain))) for domain in domains)] for card in cards
    ]  # fmt: skip
    return _table("Cards and domains", ["Card", *(f"domain {domain:04x}" for domain in domains)], rows)


def _bound_to(queue: Mapping[str, Any] | None) -> str:
    if queue is None:
        return "no queue"
    usable = "" if queue["usable"] else ", not usable"
    if queue["bind"] != "bound":
        return f"{queue['mode']}: {'free' if queue['bind'] == 'unbound' else queue['bind']}{usable}"
    whose = queue["secret"] or queue["associate"]
    return f"{queue['mode']}: {whose if queue['mode'] == 'ep11' else 'bound'}{usable}"


def _table(caption: str, titles: list[str], rows: list[list[str]]) -> Html:
    head = _tag("tr", *(_tag("th", title, scope="col", role="columnheader") for title in titles), role="row")
    body = []
    for first, *others in rows:
        cells = [_tag("th", first, scope="row", role="rowheader", data_label=titles[0])]
        cells.extend(
            _tag("td", cell, role="cell", data_label=title) for title, cell in zip(titles[1:], others, strict=True)
        )
        body.append(_tag("tr", *cells, role="row"))
    return _tag(
        "table",
        _tag("caption", caption),
        _tag("thead", head, role="rowgroup"),
        _tag("tbody", *body, role="rowgroup"),
        role="table",
    )


def _verdict_cell(title: str, verdict: str | None) -> Html:
    shown = _badge(verdict) if verdict else "not asked"
    return _tag("td", shown, role="cell", data_label=title, data_key=_ORDER[verdict])


def _status(status: str) -> str:
    """Of what nobody asked for there is no verdict: whether it may be there, the rules say."""
    return _badge(_STATUS[status], status) if status in _STATUS else status


def _badge(verdict: str, word: str | None = None) -> Html:
    sign = _SIGNS[verdict]
    return _tag("span", f"{sign[0]} {word}" if word else sign, cls=f"badge {verdict}")


def _code(value: str) -> Html:
    return _tag("code", value)


def _anchor(host: str) -> str:
    return hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _tag(name: str, *content: str, cls: str = "", **attributes: str) -> Html:
    if cls:
        attributes["class"] = cls
    given = "".join(f' {key.replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items())
    inner = "".join(part if isinstance(part, Html) else html.escape(part) for part in content)
    return Html(f"<{name}{given}>{inner}</{name}>")
