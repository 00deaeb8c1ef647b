# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``src``: a file of the controller, whose content goes to the target among the arguments."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .failure import Failure

MISSING = "file.missing"  # code of the failure when the file to send does not exist
LIMIT = 1024 * 1024  # bytes; requests and queue configurations are a few kilobytes


def with_contents(
    module: str, args: dict[str, Any], find: Callable[[str], str], not_yet: list[Failure] | None = None
) -> dict[str, Any]:
    """The arguments with each ``src`` replaced by what is in that file.

    :param find: the path of a file on the controller, searched as ansible.builtin.copy does
    :param not_yet: in check mode, takes what is missing and an earlier task may still make; the request is marked for the
        module to predict with. One that is known to be built by then is marked, and is none of these.
    """
    if module in ("secret_add", "attest"):
        args = _request(args, find, not_yet)
    if module == "guest" and (challenge := _as_dict(args.get("attest"))) is not None:
        args["attest"] = _request(challenge, find, not_yet)
    if option := {"secret_add": "requests", "guest": "secrets"}.get(module):
        entries = as_list(args.get(option), commas=False)
        if entries is not None:
            args[option] = [_request(each, find, not_yet) if isinstance(each, dict) else each for each in entries]
    if option := {"ap_bind": "src", "guest": "queues_src"}.get(module):
        args = _replaced(args, option, "config_content", find, _text)
    return args


def _request(options: dict[str, Any], find: Callable[[str], str], not_yet: list[Failure] | None) -> dict[str, Any]:
    if isinstance(error := options.get("error"), Mapping):
        code, detail, hint = (str(error.get(key) or "") for key in ("code", "detail", "hint"))
        label = options.get("label") or options.get("name") or "a secret"
        raise Failure(code or "args.invalid", f"There is no request for {label}: {detail}", hint or None, final=True)
    if "content" in options and all(options.get(option) is None for option in ("content", "path", "src")):
        if not_yet is not None:
            return {**options, "pending": True}
        raise Failure(
            MISSING,
            "content is null: the request is not built yet.",
            "In check mode, secret_request and attest_request give null for a request that they would build.",
        )
    try:
        return _replaced(options, "src", "content", find, _base64)
    except Failure as failure:
        if failure.code != MISSING or not_yet is None:
            raise
        not_yet.append(failure)
        return {**{key: value for key, value in options.items() if key != "src"}, "pending": True}


def _replaced(
    options: dict[str, Any], source: str, option: str, find: Callable[[str], str], decode: Callable[[bytes], str]
) -> dict[str, Any]:
    if options.get(source) is None:
        return options
    if options.get(option) is not None:
        raise Failure(
            "args.conflict",
            f"{source} and {option} are given together, but {source} says where to read {option}.",
            f"Give {source}, if the file is on the controller, or {option}.",
        )
    path = find(str(options[source]))
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as fault:
        raise Failure(
            "file.unreadable", f"{path} on the controller cannot be read: {fault.strerror}.", "Look at its permissions."
        ) from fault
    if len(data) > LIMIT:
        raise Failure(
            "file.too_large",
            f"{path} on the controller is larger than {LIMIT} bytes, more than any file that belongs there.",
            f"Look whether {source} names the right file.",
        )
    rest = {key: value for key, value in options.items() if key != source}
    try:
        return {**rest, option: decode(data)}
    except ValueError as fault:
        raise Failure("args.invalid", f"{path} on the controller is not text in UTF-8.", "Name a YAML file.") from fault


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _as_dict(value: Any) -> dict[str, Any] | None:
    """A dictionary, which may be given as JSON; None for anything else, which the module then names."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def as_list(value: Any, commas: bool = True) -> list[Any] | None:
    """A list, which may be given as JSON, or as text with commas in it; None for anything else, which the module then names."""
    if isinstance(value, str):
        if commas and not value.lstrip().startswith("["):
            return [word.strip() for word in value.split(",")]
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, list) else None
