# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of the module guest, put into the rows of a report. Nothing is judged here.

What a guest answers is hostile until it is looked at: no part of it is taken to be there or to be of the right type, and what
is not there is unknown, which never counts as pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = "seguest.pv/compliance-report/2"
PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
_WORST_FIRST = (FAIL, UNKNOWN, PASS)
_VERDICTS = {True: PASS, False: FAIL}

# Each rule by its id, in the order of the page: its heading and what it asks. All but the last are steps of the module.
RULES: dict[str, tuple[str, str]] = {
    "machine": ("Guest", "Is a Secure Execution guest on an expected machine"),
    "add": ("Requests", "Every request was added that brings a secret"),
    "verify": ("Secrets", "Every expected secret is in the store"),
    "lock": ("Locked", "The secret store is locked with what it must hold"),
    "bind": ("Queues", "Every wanted queue is bound and associated"),
    "at_boot": ("Boot", "Does the same by itself at each boot"),
    "readable": ("Readable", "All facts could be read"),
}

Json = dict[str, Any]


def report(inputs: Iterable[Mapping[str, Any]], generated_at: str) -> Json:
    """The report on a fleet, problems first.

    :param inputs: for each guest what row() takes
    :param generated_at: when, UTC
    """
    guests = [row(each) for each in inputs]
    guests.sort(key=lambda guest: (_WORST_FIRST.index(guest["verdict"]), guest["host"]))
    counts = {verdict: sum(guest["verdict"] == verdict for guest in guests) for verdict in _WORST_FIRST}
    return {
        "schema": SCHEMA,
        "generated_at": generated_at,
        # No attestation stands behind any of it.
        "self_reported": True,
        "attested": False,
        "rules": [{"id": rule, "heading": heading, "asks": asks} for rule, (heading, asks) in RULES.items()],
        "counts": {"guests": len(guests), **counts},
        "guests": guests,
    }


def row(given: Mapping[str, Any]) -> Json:
    """One guest's row.

    :param given: ``host``; ``answer``, the result of the module guest in check mode, with all facts; ``boot_id``, that which
        the guest has now, where the answer is an older one that was kept
    """
    answer = mapping(given.get("answer"))
    facts = mapping(mapping(answer.get("ansible_facts")).get("ansible_secure_execution"))
    steps = [rule for step in items(answer.get("steps")) for rule in _step(mapping(step))]
    reason = _unusable(given, answer, facts, steps)
    rules = [*steps, _readable(facts)]
    if reason:
        facts, answer = {}, {}
        asked = {rule["id"] for rule in rules}
        rules = [_rule(rule, UNKNOWN, reason) for rule in RULES if rule in asked]
    verdicts = {rule["verdict"] for rule in rules}
    return {
        "host": str(given.get("host")),
        "verdict": next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        "reason": reason,
        "boot_id": text(facts.get("boot_id")),
        "gathered_at": text(facts.get("gathered_at")),
        "rules": rules,
        "secrets": _secrets(answer),
        "entries": [_entry(mapping(entry)) for entry in items(answer.get("entries"))],
        "queues": _queues(facts, answer),
        "problems": [
            {key: text(mapping(problem).get(key)) for key in ("code", "detail", "hint")}
            for problem in items(facts.get("problems"))
        ],
    }


def _unusable(given: Mapping[str, Any], answer: Json, facts: Json, steps: list[Json]) -> str | None:
    """Why nothing can be concluded from an answer."""
    if answer.get("unreachable"):
        return "The guest could not be reached."
    if not steps:
        code = text(mapping(answer.get("error")).get("code"))
        said = text(answer.get("msg")) or "It said nothing."
        return f"The guest gave no answer that can be used. {said}{f' [{code}]' if code else ''}"
    if answer.get("failed") and all(rule["verdict"] == PASS for rule in steps):
        return "The guest failed, and said of no step that it is wrong."
    now, then = given.get("boot_id"), text(facts.get("boot_id"))
    if then is None or ("boot_id" in given and text(now) is None):
        return "Whether the answer is of this boot cannot be known."
    if "boot_id" in given and str(now).strip() != then:
        return "The answer is of another boot: the guest was started again since."
    return None


def _step(step: Json) -> list[Json]:
    """A step's verdict, as the module gives it."""
    rule, right, code = text(step.get("step")), step.get("right"), text(step.get("code"))
    if rule not in RULES or rule == "readable":
        return []
    verdict = _VERDICTS[right] if isinstance(right, bool) else UNKNOWN
    detail = text(step.get("detail")) or "No reason was given."
    return [_rule(rule, verdict, f"{detail} [{code}]" if code else detail)]


def _readable(facts: Json) -> Json:
    problems = facts.get("problems")
    if not isinstance(problems, list):
        return _rule("readable", UNKNOWN, "Whether there were problems is not known.")
    codes = ", ".join(text(mapping(problem).get("code")) or "no code" for problem in problems)
    return _rule("readable", UNKNOWN if problems else PASS, f"Not readable: {codes}." if problems else "No problem.")


def _rule(rule: str, verdict: str, detail: str) -> Json:
    return {"id": rule, "verdict": verdict, "detail": detail}


def _secrets(answer: Json) -> list[Json]:
    """The secrets that were asked for, then what else is in the store."""
    wanted = [mapping(request) for request in items(answer.get("requests"))]
    asked = [
        {
            "name": _called(request),
            "id": text(request.get("id")),
            "status": "found" if request.get("evidence") else "missing",
            "evidence": text(request.get("evidence")),
        }
        for request in wanted
    ]
    known = {secret["id"] for secret in asked}
    others = [mapping(secret) for secret in items(answer.get("secrets"))]
    return asked + [
        {"name": text(secret.get("name")), "id": text(secret.get("id")), "status": "other", "evidence": None}
        for secret in others
        if text(secret.get("id")) not in known
    ]


def _entry(entry: Json) -> Json:
    wants = text(entry.get("name")) or text(entry.get("secretid")) or text(entry.get("mode")) or "unknown"
    status = text(entry.get("status"))
    return {
        "wants": wants,
        "status": status,
        "verdict": PASS if status == "served" else FAIL if status else UNKNOWN,
        "reason": text(entry.get("reason")),
        "apqn": text(entry.get("apqn")),
    }


def _queues(facts: Json, answer: Json) -> list[Json]:
    """What the guest holds, each with the name of the secret whose index it is associated with."""
    requests = [mapping(request) for request in items(answer.get("requests"))]
    names = {index: _called(request) for request in requests if isinstance(index := request.get("index"), int)}
    entries = [mapping(entry) for entry in items(answer.get("entries"))]
    serving = {text(entry.get("apqn")): at for at, entry in enumerate(entries) if entry.get("status") == "served"}
    queues = []
    for queue in (mapping(each) for each in items(mapping(facts.get("ap")).get("queues"))):
        index = queue.get("secret_index")
        place = {key: number if isinstance(number := queue.get(key), int) else None for key in ("card", "domain")}
        queues.append({
            "apqn": str(queue.get("apqn")),
            **place,
            "mode": str(queue.get("mode")),
            "usable": queue.get("usable") is True,
            "bind": str(queue.get("bind")),
            "associate": str(queue.get("associate")),
            "mkvp": text(queue.get("mkvp")),
            "secret": names.get(index) if isinstance(index, int) else None,
            "entry": serving.get(text(queue.get("apqn"))),
        })  # fmt: skip
    return queues


def _called(request: Json) -> str | None:
    return text(request.get("name")) or text(request.get("label"))


def mapping(value: Any) -> Json:
    """The value if it is a dictionary, else an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return list(value) if isinstance(value, (list, tuple)) else []


def text(value: Any) -> str | None:
    """The value if it is a text, else None."""
    return str(value) if isinstance(value, str) else None
