# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files on the controller by which an SSH client knows hosts. They are only read here; attest_verify understands them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from .controller_files import as_list
from .failure import Failure

# As ssh_config(5) has them for UserKnownHostsFile and GlobalKnownHostsFile.
_USUAL = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
_LIMIT = 16 * 1024 * 1024  # bytes of one file
_VARIABLE = "provision_known_hosts"


def contents(value: Any) -> str:
    """The content of all files, one after the other.

    A file that somebody named must be there: without it, the guests would be compared with less than was meant. The usual
    ones may be missing. Bytes that are no UTF-8 (a name in a comment) become U+FFFD, so that their line still counts.

    :param value: the variable ``provision_known_hosts``; None if it is not set
    :raises Failure: if it is no list of paths, or a file cannot be read
    """
    if value is None:
        return "\n".join(_read(path.expanduser(), may_be_missing=True) for path in map(Path, _USUAL))
    paths = as_list(value)
    if paths is None or not all(isinstance(path, str) and path for path in paths):
        raise Failure(
            "args.invalid",
            f"The variable {_VARIABLE} must be a list of paths.",
            "Write it like [~/.ssh/known_hosts]. [] compares none.",
        )
    return "\n".join(_read(_whole(path)) for path in paths)


def _whole(path: str) -> Path:
    # expanduser() knows no such user, or no home.
    with contextlib.suppress(RuntimeError):
        if (whole := Path(path).expanduser()).is_absolute():
            return whole
    raise Failure(
        "args.invalid",
        f"The variable {_VARIABLE} names {path}, which is no absolute path.",
        "Write the whole path, or one that begins with ~/.",
    )


def _read(path: Path, may_be_missing: bool = False) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as fault:
        if may_be_missing and isinstance(fault, FileNotFoundError):
            return ""
        raise Failure(
            "file.unreadable",
            f"The file {path}, by which guests are known (variable {_VARIABLE}), cannot be read: {fault.strerror}.",
            "Name files that are on the machine where Ansible runs. [] compares none.",
        ) from fault
    if len(data) > _LIMIT:
        raise Failure("file.unreadable", f"The file {path} (variable {_VARIABLE}) is larger than 16 MiB.")
    return data.decode(errors="replace")
