# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compliance report as one HTML page that needs nothing else and loads nothing.

Every text comes from guests or inventories, so the template escapes every text; and the page allows itself no style or script
but its own, by their hashes. What it looks like is in the folder `compliance_html`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from .compliance_about import DEFAULTS
from .compliance_text import Json

_FOLDER = Path(__file__).parent / "compliance_html"
# How secret_add knows that a secret is the right one, in plain words.
_PROOFS = {
    "added_now": "proved: added just now, by this request",
    "added_this_boot": "proved: this request was added in this boot",
    "id_only": "not proved: only its id is there",
}
_WORDS = {"true": "yes", "yes": "yes", "on": "yes", "1": "yes", "false": "no", "no": "no", "off": "no", "0": "no"}
# Characters up to which a name is kept on one line: on a phone, and on a screen.
_SHORT, _MEDIUM = 26, 44


def page(report: Mapping[str, Any]) -> str:
    """The page, for a report as compliance.report() makes it."""
    passing = [guest for guest in report["guests"] if guest["verdict"] == "pass"]
    others = [guest for guest in report["guests"] if guest["verdict"] != "pass"]
    return _template().render(report=report, passing=passing, others=others, rules=_rules(report))


@functools.cache
def _template() -> Template:
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(_FOLDER),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'",
        # As they are: what is inside their tags is not parsed as HTML, so nothing may be escaped there.
        style=Markup(style),  # noqa: S704 (it is a file of the collection)
        script=Markup(script),  # noqa: S704
    )
    environment.filters.update(
        anchor=_anchor, proof=_proof, proofs=_proofs, served=_served, cards=_cards, width=_width, yes_no=_yes_no
    )
    return environment.get_template("page.html.j2")


def _rules(report: Mapping[str, Any]) -> dict[str, Json]:
    return {rule["id"]: rule for rule in report["rules"]}


def _proof(secret: Mapping[str, Any]) -> str:
    """How it is known that a secret is the right one."""
    evidence = secret["evidence"]
    return _PROOFS.get(evidence, f"said: {evidence}") if evidence else ""


def _proofs(secrets: Iterable[Mapping[str, Any]]) -> str:
    """In how many cases it is known that a secret is the right one."""
    found = [secret["evidence"] for secret in secrets if secret["status"] == "found"]
    proved = sum(evidence in ("added_now", "added_this_boot") for evidence in found)
    if not found:
        return "none asked for"
    return f"{len(found)}, all proved" if proved == len(found) else f"{len(found)}, of which {proved} proved"


def _served(entries: list[Mapping[str, Any]]) -> str:
    """How many of the wanted queues there are."""
    served = sum(entry["status"] == "served" for entry in entries)
    return f"{served} of {len(entries)} served" if entries else "none asked for"


def _cards(queues: Iterable[Mapping[str, Any]]) -> Iterator[Json]:
    """The queues by card, and of one card those together that are alike and side by side.

    As long as there are queues, however they are spread: a grid of cards and domains grows with their square.
    """
    placed = [queue for queue in queues if None not in (queue["card"], queue["domain"])]
    placed.sort(key=lambda queue: (queue["card"], queue["domain"]))
    for card, of_card in groupby(placed, key=lambda queue: queue["card"]):
        yield {"card": f"{card:02x}", "runs": list(_runs(of_card))}
    others = [queue for queue in queues if None in (queue["card"], queue["domain"])]
    if others:
        runs = [{"first": queue["apqn"], "last": queue["apqn"], "count": 1, "state": _state(queue)} for queue in others]
        yield {"card": "unknown", "runs": runs}


def _runs(queues: Iterable[Mapping[str, Any]]) -> Iterator[Json]:
    run: Json | None = None
    for queue in queues:
        state, domain = _state(queue), queue["domain"]
        if run and run["state"] == state and domain == run["end"] + 1:
            run.update(end=domain, last=f"{domain:04x}", count=run["count"] + 1)
            continue
        if run:
            yield run
        run = {"first": f"{domain:04x}", "last": f"{domain:04x}", "end": domain, "count": 1, "state": state}
    if run:
        yield run


def _state(queue: Mapping[str, Any]) -> str:
    usable = "" if queue["usable"] else ", not usable"
    if queue["bind"] != "bound":
        return f"{queue['mode']}: {'free' if queue['bind'] == 'unbound' else queue['bind']}{usable}"
    whose = queue["secret"] or queue["associate"]
    return f"{queue['mode']}: {whose if queue['mode'] == 'ep11' else 'bound'}{usable}"


def _yes_no(asks: Mapping[str, Any], option: str) -> str:
    """An option of the policy in words; the module's own default, where none was given."""
    given: str | None = asks[option]
    if given is not None:
        return _WORDS.get(given.lower(), given)
    default = DEFAULTS[option]
    return f"{_WORDS[default]} (not set)" if default else "not set"


def _width(name: str) -> str:
    """The class of a name, by which it is kept on one line where there is room."""
    return "name short" if len(name) <= _SHORT else "name medium" if len(name) <= _MEDIUM else "name"


def _anchor(host: str) -> str:
    return hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
