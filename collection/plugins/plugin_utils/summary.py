# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a playbook for all of its guests, in few lines for a terminal and whole for a program.

Each guest is one row, by what its task returned. What a guest says is hostile: it is looked at part by part, cut, and written out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .compliance_text import Json, mapping, texts
from .fleet_attestation import AFFIRMING, fault_of
from .text import printable

SCHEMA = "seguest.pv/run-summary/1"
# Ansible shows each line in quotes and indented: then it is 80.
_WIDTH = 68
_NAMES = 40  # names in a list on the terminal
_KINDS = 20  # codes and warnings on the terminal
_TEXT = 400  # characters of what a guest says
_WARNINGS = 20  # of one guest
_CODE = re.compile(r"[a-z_]{1,40}\.[a-z0-9_]{1,60}\]")
_BEGINNING = re.compile("^(Task failed: |Action failed: )+")  # Ansible's own
UNREACHABLE, FAILED = "unreachable", "failed"


def summary(
    hosts: Iterable[str],
    results: Mapping[str, Any],
    check_mode: bool = False,
    verdicts: Mapping[str, Json | None] | None = None,
) -> Json:
    """One row for each guest, put together.

    :param hosts: all guests of the run
    :param results: what the task on each guest returned; None where it was not begun
    :param verdicts: what was found of each guest's answer to an attestation request; None where there is none
    :return: ``counts``; ``proved``; ``changed``, ``unchanged`` and ``not_begun``, names; ``failed`` and ``warnings``, each a ``code`` with its ``hosts`` and what
        the first of them said; ``lines``, the same for a terminal
    """
    changed: list[str] = []
    unchanged: list[str] = []
    not_begun: list[str] = []
    failed: dict[str, Json] = {}
    warnings: dict[str, Json] = {}
    proved = 0
    for host in hosts:
        result = results.get(host)
        verdict = mapping((verdicts or {}).get(host))
        for noted in (mapping(result).get("noted"), verdict.get("warnings")):
            for text in texts(noted, _WARNINGS):
                _add(warnings, host, *_coded(text))
        if result is None:
            not_begun.append(host)
        elif (cause := _cause(result) or _unproved(verdicts, host)) is not None:
            _add(failed, host, *cause)
        elif mapping(result).get("changed") is True:
            changed.append(host)
        else:
            unchanged.append(host)
        proved += verdict.get("verdict") == AFFIRMING
    asked = sum(verdict is not None for verdict in (verdicts or {}).values())
    counts = {
        "changed": len(changed),
        "unchanged": len(unchanged),
        "failed": sum(len(kind["hosts"]) for kind in failed.values()),
        "not_begun": len(not_begun),
    }
    told = {
        "schema": SCHEMA,
        "check_mode": check_mode,
        "counts": {"guests": sum(counts.values()), **counts},
        # None where nobody was asked to prove anything.
        "proved": proved if asked else None,
        "changed": changed,
        "unchanged": unchanged,
        "not_begun": not_begun,
        "failed": _most_first(failed),
        "warnings": _most_first(warnings),
    }
    return {**told, "lines": _lines(told)}


def _cause(result: Any) -> tuple[str, str, str | None] | None:
    """Why a guest is not right: a code, a sentence, and what to do next."""
    said = mapping(result)
    error = mapping(said.get("error"))
    if said.get("unreachable"):
        return UNREACHABLE, _text(said.get("msg")), None
    if not said.get("failed"):
        return None
    code = error.get("code")
    if isinstance(code, str):
        return _text(code), _text(error.get("detail") or said.get("msg")), _text(error.get("hint")) or None
    # Ansible itself failed: its message, and what the command printed, such as sudo.
    return FAILED, _text(said.get("msg") or said.get("module_stderr") or said.get("stderr")), None


def _unproved(verdicts: Mapping[str, Json | None] | None, host: str) -> tuple[str, str, str | None] | None:
    """Why a guest's state is not proved, where it was asked to prove it."""
    verdict = (verdicts or {}).get(host)
    fault = fault_of(verdict) if verdict is not None else None
    if fault is None:
        return None
    code, detail = _text(fault.get("code")) or "attest.not_verified", _text(fault.get("detail"))
    return code, f"Not proved: {detail or 'there is no verdict.'}", _text(fault.get("hint")) or None


def _coded(warning: str) -> tuple[str, str, str | None]:
    # The code is at the end, however long the text before it is.
    text, bracket, code = warning[-4 * _TEXT :].rpartition("[")
    if bracket and _CODE.fullmatch(code.rstrip()):
        return code.rstrip()[:-1], _text(text), None
    return "warning", _text(warning), None


def _add(kinds: dict[str, Json], host: str, code: str, detail: str, hint: str | None) -> None:
    kind = kinds.setdefault(code, {"code": code, "hosts": [], "first": {"host": host, "detail": detail, "hint": hint}})
    if host not in kind["hosts"][-1:]:
        kind["hosts"].append(host)


def _most_first(kinds: Mapping[str, Json]) -> list[Json]:
    return sorted(kinds.values(), key=lambda kind: (-len(kind["hosts"]), kind["code"]))


def _lines(told: Json) -> list[str]:
    counts = told["counts"]
    verb = "would change" if told["check_mode"] else "changed"
    lines = [
        f"{counts['guests']} guests: {counts['changed']} {verb}, {counts['unchanged']} unchanged, {counts['failed']} failed"
    ]
    lines[0] += f", {counts['not_begun']} not begun" if counts["not_begun"] else ""
    if told["proved"] is not None:
        lines.append(f"proved by attestation: {told['proved']} of {counts['guests']}")
    if 0 < counts["changed"] < counts["guests"]:
        lines += _wrapped(f"{verb}: {_names(told['changed'])}")
    for heading, kinds in (("FAILED", told["failed"]), ("warning", told["warnings"])):
        for kind in kinds[:_KINDS]:
            first = kind["first"]
            lines += _wrapped(f"{heading} {kind['code']}, {len(kind['hosts'])}: {_names(kind['hosts'])}")
            lines += _wrapped(f"{first['host']}: {first['detail']}", "  ")
            lines += _wrapped(first["hint"], "  ") if first["hint"] else []
        if len(kinds) > _KINDS:
            lines.append(f"and {len(kinds) - _KINDS} other codes")
    return lines


def _names(hosts: list[str]) -> str:
    rest = len(hosts) - _NAMES
    return ", ".join(map(printable, hosts[:_NAMES])) + (f" and {rest} more" if rest > 0 else "")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def _text(value: Any) -> str:
    text = printable(value[: 4 * _TEXT]) if isinstance(value, str) else ""
    text = _BEGINNING.sub("", " ".join(text.split()))
    return text if len(text) <= _TEXT else text[:_TEXT] + "..."
