# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a fleet, ``provision_*``, of one guest or of many, put into requests for the trusted machine to build.

Each guest is described by its own variables, whichever group or file they come from. Guests that name the same secret share it, and
those that agree in all that goes into a request share the request. Nothing is judged here: the modules do that.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.vars.hostvars import HostVarsVars
from jinja2 import Undefined, UndefinedError

from .controller_files import as_list
from .failure import Failure
from .options import OPTIONS
from .request_files import WITHOUT_SECRET, file_name

PREFIX = "provision_"

# Options of secret_request that are described for a guest, and not for each of its secrets.
_OF_REQUESTS = (
    "image",
    "host_keys",
    "certificates",
    "crls",
    "root_ca",
    "host_key_hashes",
    "download_crls",
    "cck_file",
    "extension_secret_file",
    "secret_recipients",
    "secret_key_file",
)
# What a request is made of beside its secret: whatever differs in it has a folder of its own.
_MATERIAL = ("image", "host_keys", "cck_file", "extension_secret_file")
# What names a secret and says where it and its request are. That there is a value is enough.
_PLACING = ("name", "label", "type", "secret", "path", "secret_file", "id_file", *_MATERIAL)
# What has the documents looked at, and nothing about secrets.
_OF_DOCUMENTS = tuple(name for name in _OF_REQUESTS if not name.startswith("secret_"))
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
_LISTS = ("host_keys", "certificates", "crls", "host_key_hashes", "secret_recipients")
# Read by the playbooks themselves.
_OF_PLAYBOOKS = (
    "output",
    "secrets",
    "create_secrets",
    "secret_key_passphrase",
    "serial",
    "max_fail_percentage",
    "summary",
)
_NAMES = frozenset(f"{PREFIX}{name}" for name in (*_OF_REQUESTS, *_OF_PLAYBOOKS, *OPTIONS["guest"]))

Json = dict[str, Any]


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
        found.append("The report is written on localhost: name it, too, as in --limit guest1,localhost.")
    for group, what in (("trusted", "the machine that builds requests"), ("guests", "the guests")):
        if not groups.get(group) and (group in wanted or group == "guests"):
            found.append(
                f"The inventory has no host in the group {group}, {what}: name your inventory with -i, or see the example in the "
                "collection's docs/inventory."
            )
        elif group in wanted and not hosts.intersection(groups[group] if group == "guests" else groups[group][:1]):
            found.append(
                f"No host of the group {group}, {what}, is in this run: name it, as in --limit trusted,guest1."
            )
    guests = list(groups.get("guests") or ())
    guests = [host for host in guests if host in hosts] or guests
    unread = {name for host in guests for name in hostvars.raw_get(host) if name.startswith(PREFIX)} - _NAMES
    for host in guests[:1]:
        may_create = hostvars.raw_get(host).get(f"{PREFIX}create_secrets", False)
        try:
            boolean(may_create)
        except TypeError:
            found.append(f"The variable {PREFIX}create_secrets must be true or false, and is neither.")
    for name in sorted(unread):
        near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.0)
        found.append(f"Nothing reads the variable {name}: did you mean {near[0]}?")
    return found


def plan(hosts: Iterable[str], hostvars: Any, instead: Mapping[str, Any] | None = None) -> Json:
    """What some guests need, without any secret: the value of none is looked up.

    :param hosts: the guests
    :param hostvars: Ansible's hostvars
    :param instead: options of secret_request that count instead of the guests' own, such as another ``image``
    :return: ``folders`` in which the folders of requests are; ``guests``, for each of them its secrets in order, each with the ``label`` of its
        request and its ``name`` or None; ``failed``, the error of each guest whose description cannot be read
    :raises ValueError: if two secrets would be one file
    """
    owners: dict[str, str] = {}
    folders: dict[str, None] = {}
    guests: dict[str, list[Json]] = {}
    failed: dict[str, Json] = {}
    for host in hosts:
        described = _Description(host, hostvars)
        try:
            entries = list(described.requests(instead or {}))
        except Failure as failure:
            failed[host] = failure.result()["error"]
            continue
        for entry in entries:
            name, secret = str(entry.get("name")), entry.get("secret_file")
            if secret is not None and owners.setdefault(secret, name) != name:
                raise ValueError(
                    f"the secrets {owners[secret]!r} and {name!r} would both be in the file {secret}: give one of them another name"
                )
        guests[host] = [{"label": entry["label"], "name": entry.get("name")} for entry in entries]
        folders[f"{described.get('output')}/requests"] = None
    return {"folders": list(folders), "guests": guests, "failed": failed}


def requests(hosts: Iterable[str], hostvars: Any, instead: Mapping[str, Any] | None = None) -> list[Json]:
    """Options of secret_request for each request that some guests need, once however many share it. Never a fact: it may hold secrets.

    :param hosts: guests whose descriptions can be read
    :raises ValueError: if two requests would be one file
    """
    found: dict[str, Json] = {}
    first: dict[str, str] = {}
    for host in hosts:
        for entry in _Description(host, hostvars).requests(instead or {}, whole=True):
            label = entry["label"]
            if found.setdefault(label, entry) != entry:
                raise ValueError(
                    f"the guests {first[label]} and {host} both have the request {label}, and not of the same options: "
                    "give one of the secrets another name"
                )
            first.setdefault(label, host)
    return list(found.values())


def contents(planned: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, list[Json]]:
    """What each guest's store must hold: the option ``secrets`` of the module guest.

    :param planned: what plan() returned
    :param built: what secret_request returned for it
    """
    entries = {entry["label"]: entry for entry in built.get("requests") or ()}
    known = {label: _content(label, entry) for label, entry in entries.items()}
    wanted = {
        host: [{**known[secret["label"]], **({"name": secret["name"]} if secret["name"] else {})} for secret in secrets]
        for host, secrets in planned["guests"].items()
    }
    return {**wanted, **{host: [{"label": host, "error": error}] for host, error in planned["failed"].items()}}


def _content(label: str, entry: Mapping[str, Any]) -> Json:
    if entry.get("failed"):
        return {"label": label, "error": entry.get("error")}
    return {"label": label, "content": entry.get("content")}


def lost(built: Mapping[str, Any]) -> list[str]:
    """The labels of requests that could not be built for the want of a secret."""
    entries = built.get("requests") or ()
    return [entry["label"] for entry in entries if (entry.get("error") or {}).get("code") == "request.secret_missing"]


def held(answers: Mapping[str, Any]) -> list[Json]:
    """The ids of the secrets that guests hold, for secret_request to know: its option ``held``.

    :param answers: for each guest what facts returned
    """
    found: dict[str, str] = {}
    for host, answer in answers.items():
        facts = _mapping(_mapping(_mapping(answer).get("ansible_facts")).get("ansible_secure_execution"))
        listed = _mapping(facts.get("secrets")).get("list")
        for secret in listed if isinstance(listed, list) else ():
            identity = _mapping(secret).get("id")
            if isinstance(identity, str):
                found.setdefault(identity, host)
    return [{"id": identity, "by": host} for identity, host in found.items()]


def own_files(hosts: Iterable[str], everybody: Iterable[str], hostvars: Any, folders: Iterable[str]) -> Json:
    """What exists only for some guests, to be removed with them.

    :param hosts: the guests
    :param everybody: all guests of the inventory
    :param folders: the folders that are in the folder of requests, of whichever image
    :return: ``requests``, options of secret_request; ``secrets``, paths; ``shared``, names of secrets that others have, too
    """
    leaving = list(hosts)
    staying = {name for host in everybody if host not in leaving for name in _Description(host, hostvars).secrets()}
    requests: dict[str, None] = {}
    secrets: dict[str, None] = {}
    shared: dict[str, None] = {}
    known = list(folders)
    for host in leaving:
        described = _Description(host, hostvars)
        for entry in described.requests({}):
            stem = PurePosixPath(entry["path"]).name
            if described.secret_name(entry) in staying:
                shared[described.secret_name(entry)] = None
                continue
            requests.update(dict.fromkeys([entry["path"], *(f"{folder}/{stem}" for folder in known)]))
            if entry.get("secret_file"):
                secrets[entry["secret_file"]] = None
    return {"requests": [{"path": path} for path in requests], "secrets": list(secrets), "shared": list(shared)}


def names(value: Any) -> list[str]:
    """The names of hosts, given as a list or as text with commas; sorted, each once.

    :raises ValueError: if it is neither
    """
    listed = as_list(value)
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise ValueError("names of guests must be a list of text, or text with commas between them")
    return sorted({name.strip() for name in listed} - {""})


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
        described = _Description(host, hostvars)
        asks: Json = {}
        for option in _ASKED:
            with contextlib.suppress(Failure):
                asks[option] = described.get(option, ("name", "type") if option == "secrets" else None)
        with contextlib.suppress(ValueError):
            asks["secrets"] = expected(asks.get("secrets"))
        found.append({"host": host, "asks": asks})
    return found


def documents(hosts: Iterable[str], hostvars: Any) -> list[Json]:
    """Options of secret_request that have each distinct set of host key documents looked at: for a request without a secret."""
    found: dict[str, Json] = {}
    for host in hosts:
        described = _Description(host, hostvars)
        with contextlib.suppress(Failure):
            options = {name: value for name in _OF_DOCUMENTS if (value := described.get(name)) is not None}
            if "host_keys" in options:
                found.setdefault(json.dumps(options, default=str, sort_keys=True), {"type": "meta", **options})
    return list(found.values())


class _Description:
    """The variables of one guest, each put into its template only if it has one: that takes a millisecond."""

    def __init__(self, host: str, hostvars: Any) -> None:
        self._host = host
        self._raw = hostvars.raw_get(host)
        self._templated = HostVarsVars(self._raw, loader=hostvars._loader, host=host)

    def get(self, name: str, parts: Iterable[str] | None = None) -> Any:
        """The value of ``provision_NAME``, None if it is not set.

        :param parts: of a list of dictionaries, the keys that are wanted; the others are not looked up
        """
        variable = f"{PREFIX}{name}"
        value = self._raw.get(variable)
        try:
            value = value if value is None or _is_plain(value) else self._templated[variable]
            if name == "secrets" and isinstance(value, str):
                value = as_list(value, commas=False)
            if parts is not None and isinstance(value, (list, tuple)):
                wanted = [each for each in value if isinstance(each, Mapping)]
                if len(wanted) == len(value):
                    return [
                        {key: None if key == "secret" else _native(each[key]) for key in parts if key in each}
                        for each in wanted
                    ]
            return _native(value)
        except (AnsibleError, UndefinedError) as fault:
            raise Failure(
                "args.invalid",
                f"The variable {variable} of {self._host} has no value: {fault}",
                "Set what it is made of, for this guest or for its group.",
            ) from fault

    def secrets(self) -> Iterator[str]:
        """What distinguishes each secret from others: its name."""
        return (self.secret_name(entry) for entry in self.requests({}))

    @staticmethod
    def secret_name(entry: Mapping[str, Any]) -> str:
        """What distinguishes a secret from others: its name, or for types without one its file or label."""
        return str(entry.get("name") or entry.get("secret_file") or entry["label"])

    def requests(self, instead: Mapping[str, Any], whole: bool = False) -> Iterator[Json]:
        """The options of secret_request for each secret; unless they are ``whole``, those that name and place it."""
        output = self.get("output")
        if not isinstance(output, str):
            raise self._missing("output", "the folder of requests and secrets on the trusted machine, as text")
        secrets = self.get("secrets", None if whole else _PLACING)
        if not isinstance(secrets, list) or not all(isinstance(secret, Mapping) for secret in secrets):
            raise self._missing("secrets", "the secrets of the guest's store, a list of dictionaries, each with a name")
        described = {name: self._option(name) for name in (_OF_REQUESTS if whole else _MATERIAL)}
        described = {**{name: value for name, value in described.items() if value is not None}, **instead}
        for secret in secrets:
            options = {**described, **secret}
            file = file_name(secret)
            folder = _folder(options)
            files = {"label": f"{folder}/{file}", "path": f"{output}/requests/{folder}/{file}.request"}
            if options.get("type") not in WITHOUT_SECRET and "secret" not in secret:
                files["secret_file"] = f"{output}/secrets/{file}"
            if "name" in secret and str(secret["name"]).replace(" ", "_") != file:
                # The module would call it after the name, which no file can have.
                files["id_file"] = f"{output}/requests/{folder}/{file}.yaml"
            given = {key: secret[key] for key in ("path", "secret_file", "id_file") if key in secret}
            yield {**options, **files, **given, "history": [f"{output}/requests"]}

    def _option(self, name: str) -> Any:
        value = self.get(name)
        # The same list, however it is written, is the same folder.
        return as_list(value) or value if name in _LISTS and isinstance(value, str) else value

    def _missing(self, name: str, what: str) -> Failure:
        return Failure(
            "args.missing",
            f"The variable {PREFIX}{name} of {self._host} must be {what}.",
            "Set it for all guests, for a group of them or for this one.",
        )


def _folder(options: Mapping[str, Any]) -> str:
    """The folder of all requests that are made of the same but for the secret: an image, and the machines that it may run on."""
    material = [options.get(name) for name in _MATERIAL]
    material = [sorted(map(str, value)) if isinstance(value, list) else value for value in material]
    digest = hashlib.sha256(json.dumps(material, default=str).encode()).hexdigest()[:8]
    return file_name({"name": f"{PurePosixPath(str(options.get('image'))).name}-{digest}"})


def _is_plain(value: Any) -> bool:
    """Whether nothing in a value can be a template."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, (bool, int, float))


def _native(value: Any) -> Any:
    """The value with all that is in it put into its template, too.

    :raises UndefinedError: if a part of it is not defined
    """
    if isinstance(value, Undefined):
        raise UndefinedError(str(value._undefined_message))
    if isinstance(value, Mapping):
        return {key: _native(value[key]) for key in value}
    return [_native(each) for each in value] if isinstance(value, (list, tuple)) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
