# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the compliance report says beside the guests' answers: what they were asked, by whom, and until when the host key
documents are good. This comes from the controller and from the trusted machine, not from guests.
"""

from __future__ import annotations

import datetime
import json
import os
import pwd
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.release import __version__ as ansible_core

from .compliance_text import Json, mapping, mappings, sentence, text

WARN_DAYS = 30
POLICIES, _ASKED, _DOCUMENTS = 50, 500, 200
# What stands where a guest's own name stood, so that guests that differ only in that are held against one policy.
OWN_NAME = "<inventory_hostname>"
# The module's options that say what is right, and what they are if they are not given.
DEFAULTS: Mapping[str, str | None] = {
    "lock": "true", "lock_exact": "true", "proved_only": "false", "exclusive": "false", "strict": "true",
    "queues_config": None, "queues_src": None,
}  # fmt: skip
_QUEUE = ("name", "secretid", "mode", "mkvp", "serialnr", "mingen", "apqn")


def run(given: Mapping[str, Any]) -> Json:
    """Who made the report, where and with what.

    :param given: ``user``, if Ansible's own user is not who asked, as on AWX; ``limit``; ``inventory``, where it is from;
        ``kept``, whether the answers are those of an earlier run
    """
    sources, _ = _list(given.get("inventory"), 20)
    return {
        "user": text(given.get("user")) or _user(),
        "controller": text(socket.gethostname()) or "unknown",
        "ansible_core": ansible_core,
        "collection": _collection_version(),
        "limit": text(given.get("limit")),
        "inventory": [text(str(source)) for source in sources],
        "kept": given.get("kept") is True,
    }


def _user() -> str:
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # Containers run with users that no file names.
        user = f"user {os.geteuid()}"
    before = text(os.environ.get("SUDO_USER"))
    return f"{user} (sudo by {before})" if before and before != user else user


def _collection_version() -> str:
    """As the collection's own files say it: MANIFEST.json where it was installed, galaxy.yml in a source tree."""
    root = Path(__file__).parents[2]
    for name, pattern in (("MANIFEST.json", r'"version": *"([^"]+)"'), ("galaxy.yml", r"(?m)^version: *(\S+)")):
        try:
            found = re.search(pattern, (root / name).read_text(encoding="utf-8"))
        except OSError:
            continue
        if found:
            return text(found[1]) or "unknown"
    return "unknown"


def policies(given: Any, names: Iterable[str]) -> Json:
    """What the guests were held against: each distinct policy once, with the guests that it applies to.

    :param given: for each guest ``host`` and ``asks``, its options of the module guest
    :param names: the guests of the report
    """
    asked = {text(str(each.get("host")), 260): each for each in mappings(given, 1 << 20)[0]}
    groups: dict[str, Json] = {}
    for name in names:
        asks = _asks(mapping(asked[name].get("asks")), name) if name in asked else None
        groups.setdefault(json.dumps(asks), {"asks": asks, "guests": []})["guests"].append(name)
    largest = sorted(groups.values(), key=lambda group: (-len(group["guests"]), group["guests"]))
    return {"policies": largest[:POLICIES], "more_policies": max(0, len(largest) - POLICIES)}


def _asks(asks: Mapping[str, Any], host: str) -> Json:
    def shown(value: Any) -> str | None:
        plain = _plain(value)
        if plain is None or host not in plain:
            return plain
        return re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", OWN_NAME, plain)

    secrets, more_secrets = mappings(_unpacked(asks.get("secrets")), _ASKED)
    queues, more_queues = mappings(_unpacked(asks.get("queues")), _ASKED)
    hashes, _ = _list(asks.get("host_key_hashes"), _ASKED)
    return {
        "secrets": [shown(secret.get("name")) or shown(secret.get("id")) or "unknown" for secret in secrets],
        "queues": [{key: shown(queue[key]) for key in _QUEUE if queue.get(key) is not None} for queue in queues],
        "host_key_hashes": [shown(each) for each in hashes],
        **{option: shown(asks.get(option)) for option in DEFAULTS},
        "more": more_secrets + more_queues,
    }


def _unpacked(value: Any) -> Any:
    """The list that a variable holds as JSON, as the command line and surveys give it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _plain(value: Any) -> str | None:
    """A value as it is written in an inventory; hex digits that YAML made a number of, as digits again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"0x{value:x}" if value >= 1 << 32 else str(value)
    return text(value) if value is None or isinstance(value, str) else text(str(value))


def documents(given: Any, generated_at: str) -> Json:
    """Until when the host key documents and the revocation lists are good.

    :param given: the result of secret_request in check mode, with ``requests[].host_keys``; None if nobody asked
    :param generated_at: when, UTC
    """
    result, now = mapping(given), _time(generated_at)
    requests, _ = mappings(result.get("requests"), _DOCUMENTS)
    found = {}
    for request in requests:
        for document in mappings(request.get("host_keys"), _DOCUMENTS)[0]:
            entry = _document(document, now)
            found[entry["file"], entry["hash"]] = entry
    faults = [sentence(mapping(request.get("error")).get("detail")) for request in requests if request.get("failed")]
    if not any(faults) and (result.get("failed") or result.get("unreachable")):
        faults = [sentence(result.get("msg")) or "No reason was given."]
    return {
        "looked_at": bool(result) and not result.get("skipped"),
        "faults": sorted({fault for fault in faults if fault}),
        "found": sorted(found.values(), key=lambda entry: entry["file"] or ""),
    }


def _document(document: Mapping[str, Any], now: datetime.datetime | None) -> Json:
    ends, list_ends = text(document.get("not_after")), text(document.get("crl_next_update"))
    warnings = [_warning("The document", ends, now), _warning("A revocation list", list_ends, now)]
    return {
        "file": text(document.get("file"), 260),
        "serial": _plain(document.get("serial")),
        "hash": text(document.get("hash")),
        "ends": ends,
        "list_ends": list_ends,
        "warning": " ".join(filter(None, warnings)) or None,
    }


def _warning(what: str, ends: str | None, now: datetime.datetime | None) -> str | None:
    """What to say if something has ended or ends soon; None if it is good for long, or is not there."""
    if ends is None:
        return None
    at = _time(ends)
    if at is None or now is None:
        return f"{what}: its expiry cannot be determined."
    if at <= now:
        return f"{what} has expired."
    days = (at - now).days
    return f"{what} expires in {days} {'day' if days == 1 else 'days'}." if days <= WARN_DAYS else None


def _time(said: str) -> datetime.datetime | None:
    try:
        at = datetime.datetime.fromisoformat(said)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=datetime.UTC)


def _list(value: Any, limit: int) -> tuple[list[Any], int]:
    """A list, or the one thing that stands in place of it."""
    found = list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return found[:limit], max(0, len(found) - limit)
