# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of the module guest, put into the rows of a report. Nothing is judged here.

What a guest answers is hostile until it is looked at: no part of it is taken to be there or to be of the right type, and what
is not there is unknown, which never counts as pass. Whatever it says is its own row, of bounded size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .compliance_about import documents, policies, run
from .compliance_text import Json, mapping, mappings, number, sentence, text, texts
from .fleet_attestation import AFFIRMING, fault_of

SCHEMA = "seguest.pv/compliance-report/4"
PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
_WORST_FIRST = (FAIL, UNKNOWN, PASS)
_VERDICTS = {True: PASS, False: FAIL}
# How much of a guest's answer is in its row. Of what is cut, the row says how much there is.
LIMITS = {"secrets": 200, "entries": 500, "queues": 2000, "problems": 20}
_STEPS = 32

# Each rule by its id, in the order of the page: its heading and what it asks. All but the first and the last are steps of the module.
RULES: dict[str, tuple[str, str]] = {
    "attested": ("Attested", "Its ultravisor proves image, machine, secret store and lock"),
    "machine": ("Guest", "Is a Secure Execution guest on an expected machine"),
    "add": ("Requests", "Every request with a secret was added"),
    "verify": ("Secrets", "Every expected secret is in the store"),
    "lock": ("Locked", "The secret store is locked, with the required secrets"),
    "bind": ("Queues", "Every wanted queue is bound and associated"),
    "at_boot": ("Boot", "The guest does the same at each boot"),
    "readable": ("Readable", "All facts could be read"),
}

_BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What Ansible and the programs that it becomes root with say if they do not let it.
_NO_ROOT = re.compile(
    r"(missing|incorrect|invalid) \S{1,20} password|a (password|terminal) is required|not in the sudoers|"
    r"not allowed to (execute|run)|waiting for (become|privilege escalation)|(sudo|doas|su|pbrun|dzdo):.{0,60}not found|"
    r"(sudo|doas): permission denied|sudo: unable to",
    re.IGNORECASE,
)


def report(inputs: Iterable[Mapping[str, Any]], generated_at: str, about: Mapping[str, Any] | None = None) -> Json:
    """The report on a fleet, problems first.

    :param inputs: for each guest what row() takes
    :param generated_at: when, UTC
    :param about: what is known beside the answers: ``group``, the names of all guests; ``asked``, of those that were in this
        run; and what policies(), documents() and run() take, under their names
    """
    about = mapping(about)
    guests = [row(each) for each in inputs]
    answered = {guest["host"] for guest in guests}
    asked = [name for name in map(_host, about.get("asked") or []) if name not in answered]
    guests += [row({"host": name, "lost": True}) for name in asked]
    guests.sort(key=lambda guest: (_WORST_FIRST.index(guest["verdict"]), guest["host"]))
    counts = {verdict: sum(guest["verdict"] == verdict for guest in guests) for verdict in _WORST_FIRST}
    names = [guest["host"] for guest in guests]
    return {
        "schema": SCHEMA,
        "generated_at": generated_at,
        # What a guest says is its own word. Of those that are attested, the ultravisor proves what attestation can prove.
        "self_reported": True,
        "attested": sum(mapping(guest["attestation"]).get("verdict") == AFFIRMING for guest in guests),
        "run": run(mapping(about.get("run"))),
        "rules": [{"id": rule, "heading": heading, "asks": asks} for rule, (heading, asks) in RULES.items()],
        "counts": {"guests": len(guests), **counts},
        "guests": guests,
        "not_asked": sorted({*map(_host, about.get("group") or [])}.difference(names)),
        **policies(about.get("policies"), names),
        "documents": documents(about.get("documents"), generated_at),
    }


def answers(
    hosts: Iterable[str],
    hostvars: Any,
    kept: bool,
    asked: Iterable[str] | None = None,
    verdicts: Mapping[str, Json | None] | None = None,
) -> list[Json]:
    """What row() takes, for each guest, from what the playbook has registered.

    :param hostvars: Ansible's hostvars
    :param kept: whether it is the answers of an earlier run
    :param asked: the names of the guests that were asked to prove their state; None if nobody was
    :param verdicts: what was found of each guest's answer
    """
    found = [{"host": host, **(_kept if kept else _given)(hostvars.raw_get(host))} for host in hosts]
    if kept or asked is None:
        return found
    asked = set(asked)
    return [
        {**each, "proof": {"asked": True, "verdict": (verdicts or {}).get(each["host"])}}
        if each["host"] in asked
        else each
        for each in found
    ]


def _given(variables: Mapping[str, Any]) -> Json:
    return {"answer": variables.get("guest_result")}


def _kept(variables: Mapping[str, Any]) -> Json:
    boot = mapping(variables.get("compliance_boot"))
    said = [text(boot.get(key)) or "" for key in ("stderr", "stdout", "msg")]
    # Of all that is printed, and not of what is shown of it: servers and shells may say something of their own first.
    printed = boot.get("stdout")
    found = _BOOT_ID.search(printed[:65536] if isinstance(printed, str) else "")
    return {
        "boot_id": found[0] if found else "",
        "boot_said": next(filter(None, said), ""),
        "answer": boot if boot.get("unreachable") else _cached(variables),
    }


def _cached(variables: Mapping[str, Any]) -> Any:
    """The answer of an earlier run. Where Ansible is told to inject no facts as variables, it is among the facts."""
    name = "compliance_answer"
    return variables[name] if name in variables else mapping(variables.get("ansible_facts")).get(name, {})


def row(given: Mapping[str, Any]) -> Json:
    """One guest's row.

    :param given: ``host``; ``answer``, the result of the module guest in check mode, with all facts; ``boot_id``, that which
        the guest has now, where the answer is an older one that was kept, and ``boot_said``, what was printed in its place;
        ``lost``, if the guest was asked and nothing is known of what came of it; ``proof``, if it was asked to prove its state, with
        the ``verdict`` on its answer
    """
    try:
        return _row(given)
    except Exception as fault:  # whatever it is, it is this guest's doing and must not end the others' report
        return _no_row(given, "unreadable", f"Its answer cannot be read: {type(fault).__name__}.")


def _row(given: Mapping[str, Any]) -> Json:
    answer = mapping(given.get("answer"))
    facts = mapping(mapping(answer.get("ansible_facts")).get("ansible_secure_execution"))
    steps = _steps(answer)
    unusable = _unusable(given, answer, facts, steps)
    proof = _proof(given)
    rules = [*_attested(proof, answer), *steps, _readable(facts)]
    if unusable:
        return _no_row(given, *unusable, asked=[rule["id"] for rule in rules])
    verdicts = {rule["verdict"] for rule in rules}
    requests, _ = mappings(answer.get("requests"), LIMITS["secrets"])
    entries, more_entries = mappings(answer.get("entries"), LIMITS["entries"])
    held, more_queues = mappings(mapping(facts.get("ap")).get("queues"), LIMITS["queues"])
    problems, more_problems = mappings(facts.get("problems"), LIMITS["problems"])
    secrets, more_secrets = _secrets(answer)
    return {
        "host": _host(given.get("host")),
        "verdict": next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        "cause": None,
        "reason": None,
        "boot_id": text(facts.get("boot_id")),
        "gathered_at": text(facts.get("gathered_at")),
        "rules": rules,
        "secrets": secrets,
        "entries": [_entry(entry) for entry in entries],
        "queues": _queues(held, requests, entries),
        "problems": [{key: sentence(problem.get(key)) for key in ("code", "detail", "hint")} for problem in problems],
        "attestation": _attestation(proof),
        "more": {"secrets": more_secrets, "entries": more_entries, "queues": more_queues, "problems": more_problems},
    }


def _no_row(given: Mapping[str, Any], cause: str, reason: str, asked: Iterable[str] = ()) -> Json:
    """The row of a guest of which nothing can be concluded: what it may have said does not count."""
    rules = [rule for rule in RULES if rule in asked or rule == "readable"]
    return {
        "host": _host(given.get("host")),
        "verdict": UNKNOWN,
        "cause": cause,
        "reason": reason,
        "boot_id": None,
        "gathered_at": None,
        "rules": [_rule(rule, UNKNOWN, reason) for rule in rules],
        **{part: [] for part in LIMITS},
        "attestation": None,
        "more": dict.fromkeys(LIMITS, 0),
    }


def _unusable(
    given: Mapping[str, Any], answer: Mapping[str, Any], facts: Mapping[str, Any], steps: list[Json]
) -> tuple[str, str] | None:
    """Why nothing can be concluded from an answer: the cause and a sentence."""
    if given.get("lost"):
        return (
            "no_answer",
            "The guest was asked, but no answer was kept. See Ansible's output of this run for the cause.",
        )
    said = sentence(answer.get("msg"))
    if answer.get("unreachable"):
        return "unreachable", f"The guest could not be reached. {f'Ansible says: {said}' if said else ''}".strip()
    if not steps:
        return _no_answer("boot_id" in given and not answer, said, text(mapping(answer.get("error")).get("code")))
    said_wrong = any(step.get("right") is not True for step in mappings(answer.get("steps"), _STEPS)[0])
    if answer.get("failed") and not said_wrong and all(rule["verdict"] == PASS for rule in steps):
        return "contradiction", "The module failed, but reported no step as wrong."
    return _of_another_boot(given, facts)


def _no_answer(kept: bool, said: str | None, code: str | None) -> tuple[str, str]:
    if kept:
        return "not_kept", "No answer from an earlier run is cached."
    if said and _NO_ROOT.search(said):
        return "no_sudo", f"No sudo: Ansible could not become root on the guest. Output: {said}"
    said = said or "There was no message."
    return "no_answer", f"The guest gave no usable answer. {said}{f' [{code}]' if code else ''}"


def _of_another_boot(given: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, str] | None:
    then, when = text(facts.get("boot_id")), text(facts.get("gathered_at")) or "an unknown time"
    if then is None:
        return "boot_unknown", "Whether the answer is from this boot cannot be known: it has no boot id."
    if "boot_id" not in given:
        return None
    now = (text(given.get("boot_id")) or "").strip()
    if not now:
        said = sentence(given.get("boot_said")) or "nothing"
        if _NO_ROOT.search(said):
            return "no_sudo", f"No sudo, so whether the answer is from this boot cannot be known. Output: {said}"
        return "boot_unknown", f"Whether the answer is from this boot cannot be known. Output: {said}"
    if now != then:
        return "other_boot", f"The answer is from another boot, of {when}: the guest was restarted since then."
    return None


def _steps(answer: Mapping[str, Any]) -> list[Json]:
    """The steps' verdicts, as the module gives them; of a step that is there twice, the worse."""
    rules: dict[str, Json] = {}
    for step in mappings(answer.get("steps"), _STEPS)[0]:
        rule, right, code = text(step.get("step")), step.get("right"), text(step.get("code"))
        if rule is None or rule not in RULES or rule in ("attested", "readable"):
            continue
        verdict = _VERDICTS[right] if isinstance(right, bool) else UNKNOWN
        detail = sentence(step.get("detail")) or "No reason was given."
        found = _rule(rule, verdict, f"{detail} [{code}]" if code else detail)
        rules[rule] = min(rules.get(rule, found), found, key=lambda each: _WORST_FIRST.index(each["verdict"]))
    return list(rules.values())


def _proof(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return mapping(given["proof"]) if "proof" in given else None


def _attested(proof: Mapping[str, Any] | None, answer: Mapping[str, Any]) -> list[Json]:
    """The rule for a guest that was asked to prove its state: only an affirming verdict on its answer passes."""
    if proof is None:
        return []
    verdict = mapping(proof.get("verdict"))
    if not verdict:
        # That its machine does not attest is the guest's own word, too.
        said = next(filter(None, map(_of_attestation, mappings(answer.get("steps"), _STEPS)[0])), None)
        warned = (text(line, 300) for line in texts(answer.get("noted"), 20))
        said = said or next((line for line in warned if line and "[attest." in line), None)
        return [_rule("attested", UNKNOWN, f"The guest gave no answer that could be verified. {said or ''}".strip())]
    if verdict.get("verdict") == AFFIRMING:
        noted = map(sentence, texts(verdict.get("warnings"), 20))
        proved = f"Proved until {text(verdict.get('valid_until')) or 'an unknown time'}."
        return [_rule("attested", PASS, " ".join([proved, *filter(None, noted)]))]
    fault = fault_of(verdict) or {}
    found = FAIL if verdict.get("verdict") == "contraindicated" else UNKNOWN
    detail, code = sentence(fault.get("detail")) or "No reason was given.", text(fault.get("code"))
    return [_rule("attested", found, f"{detail} [{code}]" if code else detail)]


def _of_attestation(step: Mapping[str, Any]) -> str | None:
    return sentence(step.get("detail")) if step.get("step") == "attest" and step.get("right") is not True else None


def _attestation(proof: Mapping[str, Any] | None) -> Json | None:
    """What is shown of a verdict."""
    verdict = mapping(mapping(proof).get("verdict"))
    if not verdict:
        return None
    checks, _ = mappings(verdict.get("checks"), 32)
    return {
        **{key: text(verdict.get(key)) for key in ("verdict", "cuid", "valid_until")},
        "checks": [
            {
                "name": text(check.get("name")),
                "verdict": _VERDICTS[check["ok"]] if isinstance(check.get("ok"), bool) else UNKNOWN,
                "detail": sentence(check.get("detail")) or "",
            }
            for check in checks
        ],
    }


def _readable(facts: Mapping[str, Any]) -> Json:
    problems = facts.get("problems")
    if not isinstance(problems, list):
        return _rule("readable", UNKNOWN, "It is not known whether there were problems.")
    first, more = mappings(problems, 5)
    codes = ", ".join(text(problem.get("code")) or "no code" for problem in first)
    detail = f"Not readable: {codes}{f' and {more} more' if more else ''}." if problems else "No problem."
    return _rule("readable", UNKNOWN if problems else PASS, detail)


def _rule(rule: str, verdict: str, detail: str) -> Json:
    return {"id": rule, "verdict": verdict, "detail": detail}


def _secrets(answer: Mapping[str, Any]) -> tuple[list[Json], int]:
    """The secrets that were asked for, then what else is in the store; and how many more there are."""
    wanted, more_wanted = mappings(answer.get("requests"), LIMITS["secrets"])
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
    stored, more_stored = mappings(answer.get("secrets"), LIMITS["secrets"])
    others = [
        {"name": text(secret.get("name")), "id": text(secret.get("id")), "status": "other", "evidence": None}
        for secret in stored
        if text(secret.get("id")) not in known
    ]
    return asked + others, more_wanted + more_stored


def _entry(entry: Mapping[str, Any]) -> Json:
    wants = text(entry.get("name")) or text(entry.get("secretid")) or text(entry.get("mode")) or "unknown"
    status = text(entry.get("status"))
    return {
        "wants": wants,
        "status": status,
        "verdict": PASS if status == "served" else FAIL if status else UNKNOWN,
        "reason": text(entry.get("reason")),
        "apqn": text(entry.get("apqn")),
    }


def _queues(
    held: list[Mapping[str, Any]], requests: list[Mapping[str, Any]], entries: list[Mapping[str, Any]]
) -> list[Json]:
    """What the guest holds, each with the name of the secret whose index it is associated with."""
    names = {index: _called(request) for request in requests if (index := number(request.get("index"))) is not None}
    serving = {text(entry.get("apqn")): at for at, entry in enumerate(entries) if entry.get("status") == "served"}
    return [_queue(queue, names, serving) for queue in held]


def _queue(queue: Mapping[str, Any], names: Mapping[int, str | None], serving: Mapping[str | None, int]) -> Json:
    index, apqn = number(queue.get("secret_index")), text(queue.get("apqn"))
    return {
        "apqn": apqn or "unknown",
        "card": number(queue.get("card")),
        "domain": number(queue.get("domain")),
        "mode": text(queue.get("mode")) or "unknown",
        "usable": queue.get("usable") is True,
        "bind": text(queue.get("bind")) or "unknown",
        "associate": text(queue.get("associate")) or "unknown",
        "mkvp": text(queue.get("mkvp")),
        "secret": names.get(index) if index is not None else None,
        "entry": serving.get(apqn) if apqn else None,
    }


def _called(request: Mapping[str, Any]) -> str | None:
    return text(request.get("name")) or text(request.get("label"))


def _host(name: Any) -> str:
    return text(str(name), 260) or "without a name"
