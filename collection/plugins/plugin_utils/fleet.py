# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptions of a fleet put into requests for the trusted machine to build, and what came of them back to each guest.

Guests that name the same secret share it, and those that agree in all that goes into a request share the request. Nothing is judged
here: the modules do that. What cannot be meant is the row of the guest that is described so, and nobody else's.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from . import known_hosts_files
from .compliance_text import mapping
from .controller_files import as_list
from .failure import Failure
from .fleet_description import OF_FIRMWARE, OF_REQUESTS, PREFIX, Description, Json, is_plain
from .options import OPTIONS

# Read by the playbooks where the requests are built, and not for each guest.
_OF_PLAYBOOKS = ("create_secrets", "known_hosts", "max_fail_percentage", "secret_key_passphrase", "serial", "summary")
_OF_FLEET = ("output", "secrets", "trust_boot_id")
_NAMES = frozenset(
    f"{PREFIX}{name}" for name in (*OF_REQUESTS, *OF_FIRMWARE, *_OF_PLAYBOOKS, *_OF_FLEET, *OPTIONS["guest"])
)
# What has the documents looked at, and nothing about secrets.
_OF_DOCUMENTS = tuple(name for name in OF_REQUESTS if not name.startswith("secret_"))
# What a guest is held against.
_ASKED = (
    "secrets",
    "lock",
    "lock_exact",
    "proved_only",
    "queues",
    "queues_config",
    "queues_src",
    "exclusive",
    "strict",
    "host_key_hashes",
)


def mistakes(groups: Mapping[str, Any], hostvars: Any, in_run: Iterable[str], needed: Iterable[str]) -> list[str]:
    """What is wrong with a run before anything is done, each as a sentence; empty if nothing is.

    :param groups: Ansible's groups
    :param hostvars: Ansible's hostvars
    :param in_run: the hosts that the run's ``--limit`` leaves
    :param needed: the groups of which a host must be among them, and ``localhost``
    """
    found = []
    hosts = set(in_run)
    wanted = set(needed)
    if "localhost" in wanted and "localhost" not in hosts:
        found.append("The report is written on localhost: include it, as in --limit guest1,localhost.")
    for group, what in (("trusted", "the machine that builds requests"), ("guests", "the guests")):
        if not groups.get(group) and (group in wanted or group == "guests"):
            found.append(
                f"The inventory has no host in the group {group}, {what}: name your inventory with -i, or see the example in the "
                "collection's docs/inventory."
            )
        elif group in wanted and not hosts.intersection(groups[group] if group == "guests" else groups[group][:1]):
            found.append(
                f"No host of the group {group}, {what}, is in this run: include it, as in --limit trusted,guest1."
            )
    guests = list(groups.get("guests") or ())
    guests = [host for host in guests if host in hosts] or guests
    named = {host: {name for name in hostvars.raw_get(host) if name.startswith(PREFIX)} for host in guests}
    for name in sorted(set().union(*named.values()) - _NAMES):
        near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.0)
        found.append(f"There is no variable {name}: did you mean {near[0]}?")
    if groups.get("trusted"):
        trusted = hostvars.raw_get(groups["trusted"][0])
        elsewhere = set().union(*named.values()).difference(trusted)
        found += [
            f"The variable {PREFIX}{name} is read on the trusted machine: set it for all hosts, or with -e."
            for name in _OF_PLAYBOOKS
            if f"{PREFIX}{name}" in elsewhere
        ]
        with contextlib.suppress(KeyError):
            found += _no_boolean(f"{PREFIX}create_secrets", trusted[f"{PREFIX}create_secrets"])
        try:
            known_hosts_files.contents(Description(groups["trusted"][0], hostvars).get("known_hosts"))
        except Failure as fault:
            found.append(f"{fault.detail} {fault.hint or ''}".strip())
    words = {
        str(value): value for host in guests if (value := hostvars.raw_get(host).get(f"{PREFIX}attest")) is not None
    }
    found += [sentence for value in words.values() for sentence in _no_boolean(f"{PREFIX}attest", value)]
    return found


def _no_boolean(name: str, value: Any) -> list[str]:
    try:
        # What a template comes to is known when it is used.
        if is_plain(value):
            boolean(value)
    except TypeError:
        return [f"The variable {name} must be true or false, and is neither."]
    return []


def plan(hosts: Iterable[str], hostvars: Any, instead: Mapping[str, Any] | None = None) -> Json:
    """What some guests need, without the value of any secret.

    :param hosts: the guests
    :param hostvars: Ansible's hostvars
    :param instead: options of secret_request that count instead of the guests' own, such as another ``image``
    :return: ``folders`` in which the folders of requests are; ``guests``, for each of them its secrets in order, each with the
        ``label`` of its request and its ``name`` or None; ``failed``, the error of each guest whose description cannot be meant
    """
    shared = _Shared()
    folders: dict[str, None] = {}
    guests: dict[str, list[Json]] = {}
    failed: dict[str, Json] = {}
    for host in hosts:
        described = Description(host, hostvars)
        try:
            # Whole, so that what cannot be read of a secret is found here; it is not kept.
            entries = described.requests(instead, whole=True)
            shared.take(host, entries)
            folders[described.folder()] = None
        except Failure as failure:
            failed[host] = failure.result()["error"]
            continue
        guests[host] = [{"label": entry["label"], "name": entry.get("name")} for entry in entries]
    return {"folders": list(folders), "guests": guests, "failed": failed}


# What one guest adds, and what is known of those before it.
_OwnAndKnown = tuple[dict[str, Any], dict[str, Any]]


class _Shared:
    """What guests share, and must then describe alike."""

    def __init__(self) -> None:
        self._requests: dict[str, tuple[str, Json]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._files: dict[str, tuple[str, str]] = {}
        self._roles: dict[str, tuple[str, str]] = {}

    def take(self, host: str, entries: Iterable[Json]) -> None:
        """Takes up a guest, if all that it shares with those before it is the same."""
        # Of a guest that is not taken up, nothing counts for those behind it.
        requests: _OwnAndKnown = ({}, self._requests)
        names: _OwnAndKnown = ({}, self._names)
        files: _OwnAndKnown = ({}, self._files)
        roles: _OwnAndKnown = ({}, self._roles)
        for entry in entries:
            label, name, file = entry["label"], entry.get("name"), entry.get("secret_file")
            for path, role in _roles(entry):
                other, there = _first(roles, path, (host, role))
                if there != role:
                    raise self._conflict(host, other, f"the file {path}", f"it is {role} and {there}")
            if name is not None and file is not None:
                other, there = _first(names, name, (host, file))
                if there != file:
                    raise self._conflict(
                        host, other, f"the secret {name!r}", f"its file is {file} for one and {there} for the other"
                    )
                other, called = _first(files, file, (host, name))
                if called != name:
                    raise self._conflict(
                        host, other, f"the file {file}", f"it is for the secret {name!r} and for {called!r}"
                    )
            other, before = _first(requests, label, (host, entry))
            differing = sorted(key for key in {*entry, *before} if entry.get(key) != before.get(key))
            if differing:
                raise self._conflict(host, other, f"the request {label}", f"they differ in {', '.join(differing)}")
        for own, known in (requests, names, files, roles):
            known.update(own)

    @staticmethod
    def _conflict(host: str, other: str, what: str, how: str) -> Failure:
        who = f"{host} and {other} share" if host != other else f"{host} has twice"
        return Failure(
            "args.conflict",
            f"{who} {what}, but {how}.",
            "Give both the same options, or give different secrets different names.",
        )


def _roles(entry: Json) -> list[tuple[str, str]]:
    """The files of a request, and what each is: what one writes must not be the secret of another, nor anything else of it, or
    secret_request would refuse them all. Only a secret's own files are shared."""
    label, path, name = entry["label"], str(entry["path"]), entry.get("name")
    id_file = entry.get("id_file") or (
        f"{posixpath.dirname(path)}/{name.replace(' ', '_')}.yaml" if isinstance(name, str) else None
    )
    files = {
        path: f"the request {label}",
        f"{path}.manifest.json": f"the manifest of {label}",
        id_file: "an id file",
        entry.get("secret_file"): "a secret",
    }
    return [(posixpath.normpath(str(file)), role) for file, role in files.items() if file]


def _first(own_and_known: _OwnAndKnown, key: str, value: Any) -> Any:
    """What is known under a key; if nothing is, the value, which is one's own then."""
    own, known = own_and_known
    return known[key] if key in known else own.setdefault(key, value)


def requests(hosts: Iterable[str], hostvars: Any, instead: Mapping[str, Any] | None = None) -> list[Json]:
    """Options of secret_request for each request that some guests need, once however many share it. Never a fact: it may hold secrets.

    :param hosts: guests that plan() could read
    """
    found: dict[str, Json] = {}
    folders: dict[str, None] = {}
    for host in hosts:
        described = Description(host, hostvars)
        folders[described.folder()] = None
        for entry in described.requests(instead, whole=True):
            found.setdefault(entry["label"], entry)
    return [{**entry, "history": list(folders)} for entry in found.values()]


def contents(planned: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, list[Json]]:
    """What each guest's store must hold: the option ``secrets`` of the module guest.

    :param planned: what plan() returned
    :param built: what secret_request returned for it
    """
    known = {entry["label"]: _content(entry) for entry in built.get("requests") or ()}
    wanted = {
        host: [{**known[secret["label"]], **({"name": secret["name"]} if secret["name"] else {})} for secret in secrets]
        for host, secrets in planned["guests"].items()
    }
    return {**wanted, **{host: [{"label": host, "error": error}] for host, error in planned["failed"].items()}}


def _content(entry: Mapping[str, Any]) -> Json:
    given = "error" if entry.get("failed") else "content"
    return {"label": entry["label"], given: entry.get(given)}


def built_for(planned: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, Json]:
    """For each guest what came of its requests, as a task on it would return it: ``changed``, or ``failed`` with the first ``error``.

    :param planned: what plan() returned
    :param built: what secret_request returned for it
    """
    known = {entry["label"]: entry for entry in built.get("requests") or ()}
    found: dict[str, Json] = {}
    for host, secrets in planned["guests"].items():
        entries = [known[secret["label"]] for secret in secrets]
        error = next((entry.get("error") for entry in entries if entry.get("failed")), None)
        changed = any(entry.get("changed") for entry in entries)
        found[host] = {"changed": changed, **({"failed": True, "error": error} if error else {})}
    return {**found, **{host: {"failed": True, "error": error} for host, error in planned["failed"].items()}}


def lost(built: Mapping[str, Any]) -> list[str]:
    """The labels of requests that could not be built for the want of a secret."""
    entries = built.get("requests") or ()
    return [entry["label"] for entry in entries if (entry.get("error") or {}).get("code") == "request.secret_missing"]


def held(planned: Mapping[str, Any], answers: Mapping[str, Any]) -> list[Json]:
    """The ids of the secrets that guests hold, for secret_request to know: its option ``held``.

    A guest is believed only about secrets that it is to have: about those of others it has nothing to say.

    :param planned: what plan() returned
    :param answers: for each guest what facts returned
    """
    found: dict[str, str] = {}
    for host, answer in answers.items():
        own = {identity for secret in planned["guests"].get(host, ()) for identity in _ids(secret.get("name"))}
        facts = mapping(mapping(mapping(answer).get("ansible_facts")).get("ansible_secure_execution"))
        listed = mapping(facts.get("secrets")).get("list")
        for secret in listed if isinstance(listed, list) else ():
            identity = mapping(secret).get("id")
            if isinstance(identity, str) and identity in own:
                found.setdefault(identity, host)
    return [{"id": identity, "by": host} for identity, host in found.items()]


def _ids(name: Any) -> list[str]:
    """The ids that a secret of this name can have: its hash, or its first 31 bytes."""
    raw = name.encode() if isinstance(name, str) else b""
    return [f"0x{hashlib.sha256(raw).hexdigest()}", f"0x{raw[:31].ljust(32, bytes(1)).hex()}"]


def expected(value: Any) -> list[Json]:
    """What a store must hold, known by its names: the option ``secrets`` of the module guest, without requests.

    :param value: ``provision_secrets``; types without a name leave nothing in the store that could be known
    :raises ValueError: if it is no list of dictionaries
    """
    secrets = as_list(value, commas=False)
    if secrets is None or not all(isinstance(secret, Mapping) for secret in secrets):
        raise ValueError("provision_secrets must be a list of dictionaries, each with a name")
    return [{"name": secret["name"], "label": str(secret["name"])} for secret in secrets if "name" in secret]


def policies(hosts: Iterable[str], hostvars: Any) -> list[Json]:
    """What each guest is held against: ``host`` and ``asks``, the options of the module guest as they are set.

    What cannot be read is left out; the guest's own row says so.
    """
    found = []
    for host in hosts:
        described = Description(host, hostvars)
        asks: Json = {}
        for option in _ASKED:
            with contextlib.suppress(Failure):
                # The playbooks themselves set guest_secrets.
                get = described.get if option == "secrets" else described.asked
                asks[option] = get(option, ("name", "type") if option == "secrets" else None)
        with contextlib.suppress(ValueError):
            asks["secrets"] = expected(asks.get("secrets"))
        found.append({"host": host, "asks": asks})
    return found


def documents(hosts: Iterable[str], hostvars: Any) -> list[Json]:
    """Options of secret_request that have each distinct set of host key documents looked at: for a request without a secret."""
    found: dict[str, Json] = {}
    for host in hosts:
        described = Description(host, hostvars)
        with contextlib.suppress(Failure):
            options = {name: value for name in _OF_DOCUMENTS if (value := described.get(name)) is not None}
            if "host_keys" in options:
                found.setdefault(json.dumps(options, default=str, sort_keys=True), {"type": "meta", **options})
    return list(found.values())


def names(value: Any) -> list[str]:
    """The names of hosts, given as a list or as text with commas; sorted, each once.

    :raises ValueError: if it is neither
    """
    listed = as_list(value)
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise ValueError("names of guests must be a list of text, or comma-separated text")
    return sorted({name.strip() for name in listed} - {""})
