# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of one guest: its variables ``provision_*``, whichever group or file they come from."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible.errors import AnsibleError
from ansible.vars.hostvars import HostVarsVars
from jinja2 import Undefined, UndefinedError

from .controller_files import as_list
from .failure import Failure
from .options import OPTIONS
from .request_files import WITHOUT_SECRET, file_name

PREFIX = "provision_"

# Options of secret_request that are described for a guest, and not for each of its secrets.
OF_REQUESTS = (
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
# Options of attest_verify about the firmware of a guest's machine.
OF_FIRMWARE = ("firmware", "firmware_url", "firmware_ca")
# What a request is made of beside its secret: whatever differs in it has a folder of its own.
_MATERIAL = ("image", "host_keys", "cck_file", "extension_secret_file")
# Of which the order means nothing.
_SETS = ("host_keys", "certificates", "crls", "host_key_hashes", "secret_recipients", "flags")
# What names a secret and says where it and its request are. That there is a value is enough.
_PLACING = ("name", "label", "type", "secret", "path", "secret_file", "id_file", *_MATERIAL)

Json = dict[str, Any]


class Hosts:
    """Ansible's hostvars, with each host's variables put together only once. Ansible does it at each access, in a millisecond.

    Each use of a filter needs a new one: variables change between tasks.
    """

    def __init__(self, hostvars: Any) -> None:
        self._hostvars = hostvars
        self._known: dict[str, Mapping[str, Any]] = {}

    def raw_get(self, host: str) -> Mapping[str, Any]:
        """The variables of a host, templates as they are."""
        if host not in self._known:
            self._known[host] = self._hostvars.raw_get(host)
        return self._known[host]

    @property
    def _loader(self) -> Any:
        return self._hostvars._loader


class Description:
    """The variables of one guest, each put into its template only if it has one: that takes a millisecond."""

    def __init__(self, host: str, hostvars: Any) -> None:
        self._host = host
        self._raw = hostvars.raw_get(host)
        self._templated = HostVarsVars(self._raw, loader=hostvars._loader, host=host)

    def get(self, name: str, parts: Iterable[str] | None = None) -> Any:
        """The value of ``provision_NAME``, None if it is not set.

        :param parts: of a list of dictionaries, the keys that are wanted; the others are not looked up
        :raises Failure: args.invalid, if a part of it is not defined
        """
        return self._value(f"{PREFIX}{name}", parts)

    def asked(self, option: str, parts: Iterable[str] | None = None) -> Any:
        """What the playbooks ask the module guest under an option: of ``guest_NAME`` and ``provision_NAME`` the first that is there.

        :param parts: as for get()
        :raises Failure: args.invalid, if a part of it is not defined
        """
        own = f"guest_{option}"
        return self._value(own if own in self._raw else f"{PREFIX}{option}", parts)

    def _value(self, variable: str, parts: Iterable[str] | None = None) -> Any:
        value = self._raw.get(variable)
        try:
            value = value if value is None or is_plain(value) else self._templated[variable]
            if variable == f"{PREFIX}secrets" and isinstance(value, str):
                value = as_list(value, commas=False)
            if parts is not None and isinstance(value, (list, tuple)):
                wanted = [each for each in value if isinstance(each, Mapping)]
                if len(wanted) == len(value):
                    return [_parts(each, parts) for each in wanted]
            return _native(value)
        except (AnsibleError, UndefinedError) as fault:
            raise Failure(
                "args.invalid",
                f"The variable {variable} of {self._host} cannot be evaluated: {fault}",
                "Set the variables that it uses, for this guest or for its group.",
            ) from fault

    def first(self, *names: str) -> Any:
        """The value of the first of these variables that is set, None if none is.

        :raises Failure: args.invalid, if a part of it is not defined
        """
        name = next((name for name in names if self._raw.get(name) is not None), None)
        return None if name is None else self._value(name)

    def requests(self, instead: Mapping[str, Any] | None = None, whole: bool = False) -> list[Json]:
        """The options of secret_request for each secret; unless they are ``whole``, those that name and place it.

        :param instead: options that count in place of the guest's own
        :raises Failure: if the description cannot be meant
        """
        return list(self._requests(instead or {}, whole))

    def folder(self, name: str = "requests") -> str:
        """A folder below ``provision_output``; by default that in which the folders of requests are."""
        return f"{self._output()}/{name}"

    def _requests(self, instead: Mapping[str, Any], whole: bool) -> Iterator[Json]:
        output = self._output()
        secrets = self.get("secrets", None if whole else _PLACING)
        if not isinstance(secrets, list) or not all(isinstance(secret, Mapping) for secret in secrets):
            raise self._missing("secrets", "the secrets of the guest's store, a list of dictionaries, each with a name")
        described = {name: self._option(name) for name in (OF_REQUESTS if whole else _MATERIAL)}
        described = {**{name: value for name, value in described.items() if value is not None}, **instead}
        for secret in secrets:
            self._check(secret)
            options = {**described, **{key: _ordered(key, value) for key, value in secret.items()}}
            file = self._file(secret)
            folder = _folder(options)
            files = {"label": f"{folder}/{file}", "path": f"{output}/requests/{folder}/{file}.request"}
            if options.get("type") not in WITHOUT_SECRET and "secret" not in secret:
                files["secret_file"] = f"{output}/secrets/{file}"
            if "name" in secret and secret["name"].replace(" ", "_") != file:
                # The module would call it after the name, which no file can have.
                files["id_file"] = f"{output}/requests/{folder}/{file}.yaml"
            given = {key: secret[key] for key in ("path", "secret_file", "id_file") if key in secret}
            yield {**options, **files, **given}

    def _check(self, secret: Mapping[str, Any]) -> None:
        """What the module would refuse, and with it the requests of all guests."""
        for option in secret:
            if option not in OPTIONS["secret_request"]:
                near = difflib.get_close_matches(str(option), OPTIONS["secret_request"], n=1, cutoff=0.0)
                raise Failure(
                    "args.unknown_option",
                    f"The variable {PREFIX}secrets of {self._host} has an option {option}, which does not exist.",
                    f"Did you mean {near[0]}?",
                )
        if not isinstance(secret.get("name", ""), str):
            raise Failure(
                "args.quote_name",
                f"The variable {PREFIX}secrets of {self._host} has a name that is not text: YAML turned it into something else.",
                "Write the name in quotes.",
            )

    def _file(self, secret: Mapping[str, Any]) -> str:
        try:
            return file_name(secret)
        except ValueError as fault:
            raise Failure("args.invalid", f"The variable {PREFIX}secrets of {self._host}: {fault}.") from fault

    def _output(self) -> str:
        output = self.get("output")
        if not isinstance(output, str):
            raise self._missing("output", "the folder of requests and secrets on the trusted machine, as text")
        return output

    def _option(self, name: str) -> Any:
        return _ordered(name, self.get(name))

    def _missing(self, name: str, what: str) -> Failure:
        return Failure(
            "args.missing",
            f"The variable {PREFIX}{name} of {self._host} must be {what}.",
            "Set it for all guests, for a group of them or for this one.",
        )


def _ordered(name: str, value: Any) -> Any:
    """The same for what means the same, however it is written."""
    if name not in _SETS or value is None:
        return value
    listed = as_list(value)
    return sorted(listed, key=str) if listed is not None else value


def _parts(secret: Mapping[str, Any], parts: Iterable[str]) -> Json:
    return {key: None if key == "secret" else _native(secret[key]) for key in parts if key in secret}


def _folder(options: Mapping[str, Any]) -> str:
    """The folder of all requests that are made of the same but for the secret: an image, and the machines that it may run on."""
    material = [options.get(name) for name in _MATERIAL]
    digest = hashlib.sha256(json.dumps(material, default=str).encode()).hexdigest()[:8]
    return file_name({"name": f"{PurePosixPath(str(options.get('image'))).name}-{digest}"})


def is_plain(value: Any) -> bool:
    """Whether nothing in a value can be a template."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(is_plain(key) and is_plain(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(each) for each in value)
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
