# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what guests say of themselves, and what is expected of them, to verdicts. Pure functions.

What cannot be told is unknown and never counts as pass. Facts come from guests, so no part of them is taken to be there
or to be of the right type.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .compliance_queues import served

SCHEMA = "seguest.pv/compliance-report/1"
PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
_WORST_FIRST = (FAIL, UNKNOWN, PASS)
_ID = re.compile(r"0x[0-9a-f]{64}")

# Each rule by its id, in the order of the page: its heading and what it asks.
RULES: dict[str, tuple[str, str]] = {
    "role": ("Guest", "Is a Secure Execution guest"),
    "readable": ("Readable", "All facts could be read"),
    "host_key": ("Machine", "Runs on an expected machine"),
    "secrets": ("Secrets", "Has every expected secret"),
    "no_other_secrets": ("No other secrets", "Has no other secret"),
    "locked": ("Locked", "Secret store is locked"),
    "queues": ("Queues", "Every wanted queue is bound and associated"),
    "no_other_queues": ("No other queues", "Holds no other queue"),
}

Json = dict[str, Any]


def report(inputs: Iterable[Mapping[str, Any]], generated_at: str) -> Json:
    """The report on a fleet, problems first.

    :param inputs: for each guest what judge() takes
    :param generated_at: when, UTC
    """
    guests = [judge(each) for each in inputs]
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


def judge(given: Mapping[str, Any]) -> Json:
    """The verdicts on one guest.

    :raises ValueError: if what is expected is not of the kind that it must be
    :param given: ``host``; ``facts``, those of the module facts or None; ``boot_id``, that which the guest has now, or
        None; ``unreachable``; ``expected`` with ``secrets`` (names, ids, or dictionaries of either), ``queues`` (entries
        of ap_bind), ``locked`` and ``host_key_hashes``
    """
    facts, expected = mapping(given.get("facts")), mapping(given.get("expected"))
    reason = _unusable(given, facts)
    if reason:
        facts = {}
    store = _store(facts)
    wanted = {_id_of(secret): _name_of(secret) for secret in wanted_list(expected, "secrets")}
    entries = [mapping(entry) for entry in wanted_list(expected, "queues")]
    queues = served(mapping(facts.get("ap")), store, entries)
    rules = [
        _role(facts),
        _readable(facts),
        *_host_key(facts, wanted_list(expected, "host_key_hashes")),
        *_secrets(facts, store, wanted),
        *([_locked(facts)] if wanted_lock(expected) else []),
        *_queues(queues),
    ]
    if reason:
        rules = [{**rule, "verdict": UNKNOWN, "detail": reason} for rule in rules]
    verdicts = {rule["verdict"] for rule in rules}
    return {
        "host": str(given.get("host")),
        "verdict": next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        "reason": reason,
        "boot_id": text(facts.get("boot_id")),
        "gathered_at": text(facts.get("gathered_at")),
        "rules": rules,
        "secrets": _secret_list(store, wanted, facts),
        "entries": queues["entries"],
        "queues": [{**queue, "secret": wanted.get(queue["secret_id"] or "")} for queue in queues["queues"]],
        "problems": [
            {key: text(mapping(problem).get(key)) for key in ("code", "detail", "hint")}
            for problem in items(facts.get("problems"))
        ],
    }


def _unusable(given: Mapping[str, Any], facts: Json) -> str | None:
    """Why nothing can be concluded from these facts."""
    if given.get("unreachable"):
        return "The guest could not be reached."
    if not facts:
        return "The guest gave no facts."
    now, then = text(given.get("boot_id")), text(facts.get("boot_id"))
    if now is None or then is None:
        return "Whether the facts are of this boot cannot be told."
    if now.strip() != then:
        return "The facts are of another boot: the guest was started anew since."
    return None


def _rule(rule: str, verdict: str, detail: str) -> Json:
    return {"id": rule, "verdict": verdict, "detail": detail}


def _role(facts: Json) -> Json:
    role = text(facts.get("role"))
    verdict = UNKNOWN if role is None else PASS if role == "guest" else FAIL
    return _rule("role", verdict, f"Its role is {role or 'not known'}.")


def _readable(facts: Json) -> Json:
    problems = facts.get("problems")
    if not isinstance(problems, list):
        return _rule("readable", UNKNOWN, "Whether there were problems is not known.")
    codes = ", ".join(text(mapping(problem).get("code")) or "no code" for problem in problems)
    return _rule("readable", UNKNOWN if problems else PASS, f"Not readable: {codes}." if problems else "No problem.")


def _host_key(facts: Json, accepted: list[Any]) -> list[Json]:
    if not accepted:
        return []
    hashes = mapping(facts.get("ultravisor")).get("host_key_hashes")
    if not isinstance(hashes, list) or not hashes:
        return [_rule("host_key", UNKNOWN, "The hashes of the host's keys are not known.")]
    plain = {str(one).lower().removeprefix("0x") for one in hashes}
    known = plain & {str(one).lower().removeprefix("0x") for one in accepted}
    detail = f"Host key {min(known)}." if known else f"Its host keys {', '.join(sorted(plain))} are not expected."
    return [_rule("host_key", PASS if known else FAIL, detail)]


def _store(facts: Json) -> dict[int, str] | None:
    """Ids of the secrets by index; None if they are not known."""
    secrets = mapping(facts.get("secrets")).get("list")
    if not isinstance(secrets, list):
        return None
    pairs = ((mapping(secret).get("index"), text(mapping(secret).get("id"))) for secret in secrets)
    return {index: identity for index, identity in pairs if isinstance(index, int) and identity}


def _complete(facts: Json) -> bool:
    secrets = mapping(facts.get("secrets"))
    listed = len(items(secrets.get("list")))
    return secrets.get("complete") is True and secrets.get("total") == listed


def _secrets(facts: Json, store: dict[int, str] | None, wanted: Mapping[str, str]) -> list[Json]:
    if store is None:
        return [_rule(rule, UNKNOWN, "The secrets are not known.") for rule in ("secrets", "no_other_secrets")]
    missing = [name for identity, name in wanted.items() if identity not in store.values()]
    others = [identity for identity in store.values() if identity not in wanted]
    complete = _complete(facts)
    has_all = PASS if not missing else FAIL if complete else UNKNOWN
    has_only = FAIL if others else PASS if complete else UNKNOWN
    partly = "" if complete else " The list of secrets is not complete."
    found = f"{len(wanted) - len(missing)} of {len(wanted)} found"
    lacks = f"; missing: {', '.join(missing)}" if missing else ""
    extra = f"Also has {', '.join(others)}." if others else "Nothing else is listed."
    return [
        _rule("secrets", has_all, f"{found}{lacks}.{partly}"),
        _rule("no_other_secrets", has_only, extra + partly),
    ]


def _locked(facts: Json) -> Json:
    secrets = mapping(facts.get("secrets"))
    locked, source = secrets.get("locked"), text(secrets.get("locked_source"))
    if not isinstance(locked, bool):
        return _rule("locked", UNKNOWN, "Nothing tells whether it is locked.")
    how = {"record": "by this boot's record", "probe": "by asking the ultravisor"}.get(source or "", "by its own word")
    return _rule("locked", PASS if locked else FAIL, f"{'Locked' if locked else 'Open'}, {how}.")


def _queues(queues: Json) -> list[Json]:
    entries, others = queues["entries"], queues["others"]
    verdicts = {entry["verdict"] for entry in entries}
    worst = next((verdict for verdict in _WORST_FIRST if verdict in verdicts), PASS)
    unserved = [entry["wants"] for entry in entries if entry["verdict"] != PASS]
    lacks = f"; not served: {', '.join(unserved)}" if unserved else ""
    if not queues["known"]:
        only = _rule("no_other_queues", UNKNOWN, "The queues are not all known.")
    elif others and queues["dim"]:
        only = _rule("no_other_queues", UNKNOWN, f"Whether {', '.join(others)} is wanted cannot be told.")
    else:
        detail = f"Also holds {', '.join(others)}." if others else "Nothing else is bound."
        only = _rule("no_other_queues", FAIL if others else PASS, detail)
    if not entries and not queues["known"]:
        worst = UNKNOWN
    return [_rule("queues", worst, f"{len(entries) - len(unserved)} of {len(entries)} served{lacks}."), only]


def _secret_list(store: dict[int, str] | None, wanted: Mapping[str, str], facts: Json) -> list[Json]:
    absent = "missing" if store is not None and _complete(facts) else "unknown"
    there = set((store or {}).values())
    expected = [
        {"name": name, "id": identity, "status": "found" if identity in there else absent}
        for identity, name in wanted.items()
    ]
    names = {
        text(mapping(s).get("id")): text(mapping(s).get("name"))
        for s in items(mapping(facts.get("secrets")).get("list"))
    }
    return expected + [
        {"name": names.get(identity), "id": identity, "status": "unexpected"}
        for identity in sorted(there - wanted.keys())
    ]


def _name_of(secret: Any) -> str:
    given = mapping(secret)
    return str(given.get("name") or given.get("id") or secret)


def _id_of(secret: Any) -> str:
    given = mapping(secret)
    identity = str(given.get("id") or secret).lower()
    if _ID.fullmatch(identity) and "name" not in given:
        return identity
    return secret_id(_name_of(secret))


def secret_id(name: str) -> str:
    """The id of a secret of this name."""
    return "0x" + hashlib.sha256(name.encode()).hexdigest()


def mapping(value: Any) -> Json:
    """The value if it is a dictionary, else an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def wanted_list(expected: Mapping[str, Any], key: str) -> list[Any]:
    """What the operator wants to be held against. Read as anything else, a list given as text would let everything pass.

    :raises ValueError: if it is no list; hashes may also be one text with commas between them
    """
    if key not in expected:
        return []
    value = expected[key]
    if key == "host_key_hashes" and isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()] or None
    kind = Mapping if key == "queues" else (str, Mapping) if key == "secrets" else str
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, kind) for each in value):
        of = {"queues": "entries as ap_bind takes them", "secrets": "names or dictionaries"}.get(
            key, "hex hashes in quotes"
        )
        raise ValueError(
            f"compliance_{key} must be a list of {of}, and is {type(value).__name__} here. On the command line, give "
            f"it as JSON: -e '{{\"compliance_{key}\": [...]}}'."
        )
    return list(value)


def wanted_lock(expected: Mapping[str, Any]) -> bool:
    """Whether the operator wants the store to be locked, as a word or a boolean.

    :raises ValueError: if it is neither
    """
    word = str(expected.get("locked", True)).lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError(f"compliance_locked must be true or false, and is {word!r} here.")
    return word in ("true", "yes", "on", "1")


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return list(value) if isinstance(value, (list, tuple)) else []


def text(value: Any) -> str | None:
    """The value if it is a text, else None."""
    return str(value) if isinstance(value, str) else None
