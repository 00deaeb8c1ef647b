# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guests of a fleet are asked to prove, and what their answers are compared with, by each guest's own description.

Nothing is judged here: attest_verify does that. A guest whose description cannot be read is not asked; its row says why.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean

from .compliance_text import mapping, text
from .failure import Failure
from .fleet_description import OF_FIRMWARE, Description, Json
from .request_files import file_name

# Options that attest_request and attest_verify share with secret_request.
_OF_DOCUMENTS = ("certificates", "crls", "root_ca", "download_crls")
_FOLDER = "attestation"
_RUN = 4  # bytes by which the files of one run differ from those of another
# Connections that look a host up in known_hosts.
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "libssh")
AFFIRMING = "affirming"
# The most characters that an answer can have: claims as attest_verify reads them; and in base64, the longest request with a
# measurement. What is longer is cut one character later, and so refused by attest_verify as this guest's.
_MOST = {"content": 2 << 20, "claims": 1 << 20}


def challenges(hosts: Iterable[str], hostvars: Any, contents: Mapping[str, Any] | None = None) -> list[Json]:
    """The option ``requests`` of attest_request: one for each guest that is to be attested.

    A guest whose description cannot be read has an ``error`` in place of options, and is not to be passed on.

    Their files have names of their own in each run, so that two runs at once do not replace each other's.

    :param hosts: guests whose description could be read
    :param contents: for each guest what its store must hold; a guest for which a request is missing fails before it could answer
    """
    run = secrets.token_hex(_RUN)
    found = []
    for host in hosts:
        try:
            if (challenge := _challenge(host, hostvars, contents or {}, run)) is not None:
                found.append(challenge)
        except Failure as failure:
            found.append({"label": host, "error": failure.result()["error"]})
    return found


def _challenge(host: str, hostvars: Any, contents: Mapping[str, Any], run: str) -> Json | None:
    described = Description(host, hostvars)
    wanted = _is_wanted(described)
    if wanted is False or any(mapping(entry).get("error") for entry in contents.get(host) or ()):
        return None
    if wanted is None and described.get("output") is None:
        # Of such a guest no playbook has built a request, so there is nothing to compare its answer with.
        return None
    options = _options(described, ("host_keys", "host_key_hashes", "firmware", *_OF_DOCUMENTS))
    path = f"{described.folder(_FOLDER)}/{file_name({'name': host})}.{run}.request"
    return {"label": host, "path": path, **options}


def asked(hosts: Iterable[str], hostvars: Any, made: Mapping[str, Any]) -> dict[str, Json]:
    """The option ``attest`` of the module guest, for each guest for which there is a request.

    :param hosts: the guests
    :param made: what attest_request returned
    """
    entries = _by_label(made, "requests")
    found = {}
    for host in hosts:
        content = mapping(entries.get(host)).get("content")
        if content is not None:
            described = Description(host, hostvars)
            with contextlib.suppress(Failure):
                # Unless somebody insists, a machine that does not attest is no fault of the guest. In check mode the guest is
                # asked, too: that changes nothing.
                found[host] = {
                    "content": content,
                    "optional": _is_wanted(described) is not True,
                    "in_check_mode": True,
                }
    return found


def evidence(answers: Mapping[str, Any], hostvars: Any, made: Mapping[str, Any]) -> list[Json]:
    """The option ``responses`` of attest_verify: one for each guest that answered.

    :param answers: for each guest what the module guest returned
    :param made: what attest_request returned
    """
    sent = _by_label(made, "requests")
    found = []
    for host, answer in answers.items():
        given, request = attestation(answer), mapping(sent.get(host))
        if given is None or not request.get("path"):
            continue
        described = Description(host, hostvars)
        with contextlib.suppress(Failure):
            requests = [
                {"path": entry["path"], "label": entry["label"]}
                for entry in described.requests()
                if isinstance(entry["path"], str)
            ]
            host_keys = described.get("host_keys")
            locked = described.asked("lock")
            found.append(
                {
                    "label": host,
                    "content": _cut(given["content"], "content"),
                    "claims": None if given.get("claims") is None else _cut(given["claims"], "claims"),
                    "request": request["path"],
                    "image": described.get("image"),
                    "secrets": requests,
                    # They may have been added in the order of an earlier description.
                    "ordered": False,
                    "locked": bool(requests) and (True if locked is None else locked),
                    "image_host_keys": host_keys,
                    "attestation_host_keys": host_keys,
                    "cuid_file": _pin(host, described),
                    # Without a key by which a guest is known, its word is all that there is after a reboot.
                    "trust_boot_id": True,
                    **_ssh_host(described, host),
                    **_options(described, (*_OF_DOCUMENTS, *OF_FIRMWARE, "trust_boot_id")),
                }
            )
    return found


def _cut(said: Any, what: str) -> str:
    """A part of a guest's answer, which is text; of anything else nothing is left."""
    return str(said)[: _MOST[what] + 1] if isinstance(said, str) else ""


def leftovers(hosts: Iterable[str], hostvars: Any) -> Json:
    """What attestations of some guests may have left: ``folders``, and ``names``, regular expressions for the files in them.

    :raises Failure: if the description of a guest cannot be read
    """
    folders = {Description(host, hostvars).folder(_FOLDER): None for host in hosts}
    files = (re.escape(file_name({"name": host})) for host in hosts)
    return {
        "folders": list(folders),
        "names": [rf"^{file}\.(cuid|[0-9a-f]{{{2 * _RUN}}}\.request(\.key)?)$" for file in files],
    }


def attestation(answer: Any) -> Mapping[str, Any] | None:
    """The guest's answer to an attestation request, if it gave one."""
    given = mapping(mapping(answer).get("attestation"))
    return given if isinstance(given.get("content"), str) else None


def _verdict(
    host: str, answer: Any, judged: Any, requests: Mapping[Any, Any], responses: Mapping[Any, Any]
) -> Json | None:
    """What was found of a guest's answer: an entry of attest_verify's ``responses``. None for a guest that gave none.

    A request that could not be made, and an answer that was not judged, have the verdict ``none``: that is never a good one.

    :param answer: what the module guest returned
    :param judged: what attest_verify returned for all guests
    :param requests: what became of each guest's request
    :param responses: the entries of ``judged`` by label
    """
    request = mapping(requests.get(host))
    if request.get("failed"):
        return _none(host, mapping(request.get("error")))
    if attestation(answer) is None:
        return None
    if found := responses.get(host):
        return dict(found)
    error = mapping(mapping(judged).get("error"))
    return _none(host, error or {"detail": mapping(judged).get("msg")})


def verdicts_in(hosts: Iterable[str], hostvars: Any) -> dict[str, Json | None]:
    """For each host what was found of its answer, from what the playbooks have registered: of a guest that was part of a batch, in
    that batch. None for a guest that gave none."""
    found = {}
    # Each result is put in order by label once, however many guests are in it. It is kept, so that its id stays its own.
    ordered: dict[int, tuple[Any, Mapping[Any, Any]]] = {}
    for host in hosts:
        variables = hostvars.raw_get(host)
        trusted = trusted_in(variables.get("groups"), hostvars)
        judged = variables.get("fleet_verdicts", trusted.get("fleet_verdicts"))
        if id(trusted) not in ordered:
            ordered[id(trusted)] = trusted, _requests(trusted)
        if id(judged) not in ordered:
            ordered[id(judged)] = judged, _by_label(judged, "responses")
        requests, responses = ordered[id(trusted)][1], ordered[id(judged)][1]
        found[host] = _verdict(host, variables.get("guest_result"), judged, requests, responses)
    return found


def proofs(hosts: Iterable[str], hostvars: Any) -> tuple[list[str] | None, dict[str, Json | None]]:
    """The guests that were asked to prove their state, None if the trusted machine was not part of the run; and the verdicts.

    A guest that could not be asked, though it was to be, was asked in vain: then nothing is proved of it.
    """
    hosts = list(hosts)
    trusted = trusted_in(hostvars.raw_get(hosts[0]).get("groups"), hostvars) if hosts else {}
    if trusted.get("fleet_challenged") is None and trusted.get("fleet_to_challenge") is None:
        return None, {}
    requests = _requests(trusted)
    # In check mode nobody is asked: then an entry has no content.
    asked = [
        host for host in hosts if (request := requests.get(host)) and (request.get("failed") or request.get("content"))
    ]
    return asked, verdicts_in(asked, hostvars)


def _requests(trusted: Mapping[str, Any]) -> Mapping[Any, Any]:
    """What became of each guest's attestation request, by label: an entry of attest_request's ``requests``. One that was not made
    has the error of its guest's description or of the whole task."""
    made = mapping(trusted.get("fleet_challenged"))
    found: dict[Any, Mapping[str, Any]] = _by_label(made, "requests")
    whole = (
        mapping(made.get("error")) or {"detail": made.get("msg")}
        if made.get("failed") or made.get("unreachable")
        else None
    )
    for host, wanted in _wanted(trusted, whole is not None).items():
        error = wanted.get("error") or whole
        if host not in found and error:
            found[host] = {"label": host, "failed": True, "error": error}
    return found


def _wanted(trusted: Mapping[str, Any], failed: bool) -> Mapping[Any, Mapping[str, Any]]:
    """The guests that were to be asked, by name; all of them where the task that was to ask them never came to know."""
    if "fleet_to_challenge" in trusted or not failed:
        return _by_label(trusted, "fleet_to_challenge")
    return {host: {} for host in mapping(trusted.get("groups")).get("guests") or ()}


def trusted_in(groups: Any, hostvars: Any) -> Mapping[str, Any]:
    """The variables of the trusted machine; none if there is no such machine.

    :param groups: Ansible's groups
    :param hostvars: Ansible's hostvars
    """
    names = mapping(groups).get("trusted") or [None]
    variables: Mapping[str, Any] = hostvars.raw_get(names[0]) if names[0] else {}
    return variables


def _by_label(result: Any, list_of: str) -> dict[Any, Mapping[str, Any]]:
    """The entries of a result by their labels, the first of each."""
    entries = mapping(result).get(list_of)
    found = [entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, Mapping)]
    return {entry["label"]: entry for entry in reversed(found) if isinstance(entry.get("label"), str)}


def _none(host: str, error: Mapping[str, Any]) -> Json:
    code = text(error.get("code")) or "attest.not_verified"
    detail = text(error.get("detail")) or "The answer was not verified."
    return {
        "label": host,
        "verdict": "none",
        "checks": [],
        "error": {"code": code, "detail": detail, "hint": text(error.get("hint"))},
    }


def fault_of(verdict: Mapping[str, Any]) -> Json | None:
    """Why a verdict is not affirming: the first check that failed, or why there is none."""
    if verdict.get("verdict") == AFFIRMING:
        return None
    if verdict.get("error"):
        return dict(mapping(verdict["error"]))
    failed = [check for check in verdict.get("checks") or () if mapping(check).get("ok") is False]
    first = mapping(failed[0] if failed else None)
    return {"code": first.get("code"), "detail": first.get("detail"), "hint": first.get("hint")}


def _is_wanted(described: Description) -> bool | None:
    """``provision_attest``: None where the machine decides."""
    value = described.get("attest")
    if value is None:
        return None
    try:
        return bool(boolean(value))
    except TypeError as fault:
        raise Failure("args.invalid", "The variable provision_attest must be true or false.") from fault


def _pin(host: str, described: Description) -> str:
    """The file in which the guest's configuration unique id is pinned."""
    return f"{described.folder(_FOLDER)}/{file_name({'name': host})}.cuid"


def _ssh_host(described: Description, host: str) -> Json:
    """How SSH reaches a guest: what its host keys are looked up by. Empty for a guest that is reached in another way."""
    connection = described.first("ansible_connection")
    if connection is not None and str(connection).rpartition(".")[2] not in _SSH:
        return {}
    address = described.first("ansible_host", "ansible_ssh_host")
    port = described.first("ansible_port", "ansible_ssh_port")
    if port is None:
        port = constants.config.get_config_value("DEFAULT_REMOTE_PORT")
    return {"ssh_host": str(address or host), **({} if port is None else {"ssh_port": port})}


def _options(described: Description, names: Iterable[str]) -> Json:
    return {name: value for name in names if (value := described.get(name)) is not None}
