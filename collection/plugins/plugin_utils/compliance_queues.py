# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a guest's queues serve the entries that are wanted of it, by the guest's own facts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def served(ap: Mapping[str, Any], store: Mapping[int, str] | None, entries: list[Json]) -> Json:
    """How each entry stands and what each queue is.

    :param ap: the facts of the AP bus; empty if they are not known
    :param store: ids of the secrets by index; None if they are not known
    :param entries: as ap_bind takes them
    :returns: ``entries``, ``queues``, ``others`` (bound queues that serve no entry), ``known``, whether all queues are
        seen, and ``dim``, whether a queue may serve an entry although it does not look so
    """
    listed = ap.get("queues")
    queues = (
        [_queue(queue, store) for queue in listed if isinstance(queue, Mapping)] if isinstance(listed, list) else []
    )
    cards = {card.get("card"): card for card in ap.get("cards") or [] if isinstance(card, Mapping)}
    bound = [queue for queue in queues if queue["bind"] == "bound"]
    vague = [queue for queue in queues if queue["bind"] not in ("bound", "unbound", "-")]
    known = isinstance(listed, list) and not vague
    candidates = [
        [at for at, queue in enumerate(bound) if _fits(entry, queue, cards.get(queue["card"]))] for entry in entries
    ]
    serving = _matching(candidates)
    taken = {at: position for position, at in serving.items()}
    # An EP11 queue whose secret or pattern is not known may be the one.
    dim = not known or store is None or any(q["mode"] == "ep11" and q["mkvp"] is None for q in bound)
    results = []
    for position, entry in enumerate(entries):
        at = serving.get(position)
        verdict = "pass" if at is not None else "unknown" if dim else "fail"
        results.append(
            {"wants": _wants(entry), "verdict": verdict, "apqn": bound[at]["apqn"] if at is not None else None}
        )
    for at, queue in enumerate(bound):
        queue["entry"] = taken.get(at)
    others = [queue["apqn"] for queue in bound if queue["entry"] is None]
    return {"entries": results, "queues": queues, "others": others, "known": known, "dim": dim}


def _queue(queue: Mapping[str, Any], store: Mapping[int, str] | None) -> Json:
    index = queue.get("secret_index")
    associated = str(queue.get("associate")).startswith("associated ")
    return {
        "apqn": str(queue.get("apqn")),
        "card": queue.get("card") if isinstance(queue.get("card"), int) else None,
        "domain": queue.get("domain") if isinstance(queue.get("domain"), int) else None,
        "mode": str(queue.get("mode")),
        "usable": queue.get("usable") is True,
        "bind": str(queue.get("bind")),
        "associate": str(queue.get("associate")),
        "mkvp": _pattern(queue.get("mkvp")),
        "secret_id": (store or {}).get(index) if associated and isinstance(index, int) else None,
        "entry": None,
    }


def _pattern(value: Any) -> str | None:
    """The 32 hex digits that tell one master key from another."""
    digits = str(value).lower().removeprefix("0x") if isinstance(value, str) else ""
    return digits[:32] if re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", digits) else None


def _fits(entry: Json, queue: Json, card: Mapping[str, Any] | None) -> bool:
    card = card or {}
    mode = str(entry.get("mode")).lower()
    generation = re.fullmatch(r"cex([0-9]{1,2})", str(entry.get("mingen") or "").lower())
    found = card.get("generation")
    return (
        queue["mode"] == mode
        and queue["usable"]
        and entry.get("apqn") in (None, queue["apqn"])
        and str(entry.get("serialnr") or card.get("serialnr")) == str(card.get("serialnr"))
        and (generation is None or (isinstance(found, int) and found >= int(generation[1])))
        and (mode != "ep11" or (queue["secret_id"] == _secret(entry) and queue["mkvp"] == _pattern(entry.get("mkvp"))))
    )


def _secret(entry: Json) -> str:
    if entry.get("secretid"):
        return "0x" + str(entry["secretid"]).lower().removeprefix("0x")
    return "0x" + hashlib.sha256(str(entry.get("name")).encode()).hexdigest()


def _wants(entry: Json) -> str:
    return str(entry.get("name") or entry.get("secretid") or entry.get("description") or entry.get("mode"))


def _matching(candidates: list[list[int]]) -> dict[int, int]:
    """For as many entries as can be the queue that serves each, no queue twice."""
    owner: dict[int, int] = {}

    def place(position: int, seen: set[int]) -> bool:
        for at in candidates[position]:
            if at not in seen:
                seen.add(at)
                if at not in owner or place(owner[at], seen):
                    owner[at] = position
                    return True
        return False

    for position in range(len(candidates)):
        place(position, set())
    return {position: at for at, position in owner.items()}
