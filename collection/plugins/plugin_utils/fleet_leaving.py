# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exists only for guests that leave a fleet: requests of every image, and secrets that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from .failure import Failure
from .fleet_attestation import leftovers
from .fleet_description import Description, Json


def own_files(hosts: Iterable[str], everybody: Iterable[str], hostvars: Any, folders: Iterable[str]) -> Json:
    """What goes with some guests.

    A secret is another guest's, too, if that names it or uses its file; a request, if it is in that guest's plan.

    :param hosts: the guests that leave
    :param everybody: all guests of the inventory
    :param folders: the folders that are in the folder of requests, of whichever image
    :return: ``requests``, options of secret_request; ``secrets``, paths; ``shared``, names of secrets that others have, too;
        ``unknown``, guests that stay and whose description cannot be read: then no secret is known to be nobody else's;
        ``attestation``, what leftovers() returns
    :raises Failure: if the description of a guest that leaves cannot be read
    """
    leaving = list(hosts)
    staying, unknown = _staying([host for host in everybody if host not in leaving], hostvars)
    requests: dict[str, None] = {}
    secrets: dict[str, None] = {}
    shared: dict[str, None] = {}
    known = list(folders)
    for host in leaving:
        for entry in Description(host, hostvars).requests():
            name, file = entry.get("name"), _file(entry.get("secret_file"))
            paths = {_file(entry["path"]): entry["path"]}
            if name in staying["names"] or file in staying["files"]:
                shared[str(name or file)] = None
            elif name is not None:
                # Its name is in no other guest's requests, whatever image they are for.
                stem = PurePosixPath(entry["path"]).name
                paths.update({_file(path): path for folder in known if (path := f"{folder}/{stem}")})
                if file is not None and not unknown:
                    secrets[entry["secret_file"]] = None
            elif file is not None and not unknown:
                secrets[entry["secret_file"]] = None
            requests.update({path: None for key, path in paths.items() if key not in staying["paths"]})
    return {
        "requests": [{"path": path} for path in requests],
        "secrets": list(secrets),
        "shared": list(shared),
        "unknown": unknown,
        "attestation": leftovers(leaving, hostvars),
    }


def _staying(hosts: Iterable[str], hostvars: Any) -> tuple[dict[str, set[str | None]], list[str]]:
    """The names, files and requests of guests that stay, and those of them whose description cannot be read."""
    found: dict[str, set[str | None]] = {"names": set(), "files": set(), "paths": set()}
    unknown = []
    for host in hosts:
        try:
            entries = Description(host, hostvars).requests()
        except Failure:
            unknown.append(host)
            continue
        found["names"].update(entry["name"] for entry in entries if entry.get("name") is not None)
        found["files"].update(_file(entry["secret_file"]) for entry in entries if entry.get("secret_file") is not None)
        found["paths"].update(_file(entry["path"]) for entry in entries)
    return found, unknown


def _file(path: str | None) -> str | None:
    """A path as it is compared with others."""
    return None if path is None else str(PurePosixPath(path))
