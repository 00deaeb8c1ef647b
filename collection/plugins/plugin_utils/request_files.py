# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role ``request`` keeps each secret of a list and the request made of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# No folder, nothing hidden, nothing that a shell or a terminal would take for more than a name.
_LABEL = re.compile(r"[A-Za-z0-9_][\w.@+,=-]{0,99}", re.ASCII)
WITHOUT_SECRET = ("meta",)


def file_name(secret: Mapping[str, Any]) -> str:
    """The name of the files of a secret: its label, else its name with blanks turned into ``_``, else its type.

    A name that no file can have is its usual id, 64 hex digits.

    :raises ValueError: if a label is given that cannot be the name of a file
    """
    if (label := secret.get("label")) is not None:
        if not _LABEL.fullmatch(str(label)):
            raise ValueError(
                f"the label {label!r} cannot be the name of a file: give a label of letters, digits and . _ @ + , = - that "
                "begins with a letter, a digit or _"
            )
        return str(label)
    name = str(secret.get("name") or secret.get("type") or "association")
    file = name.replace(" ", "_")
    return file if _LABEL.fullmatch(file) else hashlib.sha256(name.encode()).hexdigest()


def with_files(secrets: Iterable[Mapping[str, Any]], requests_in: str, secrets_in: str) -> list[dict[str, Any]]:
    """Options of secret_request for each secret, with ``label``, ``path`` and ``secret_file`` filled in.

    :param secrets: options of each; what is given stays
    :raises ValueError: if a label cannot be the name of a file, or two are the same
    """
    found: dict[str, int] = {}
    entries = []
    for at, secret in enumerate(secrets):
        if not isinstance(secret, Mapping):
            raise ValueError(f"the secret at position {at} is not a dictionary of options of secret_request")
        needs_secret = secret.get("type") not in WITHOUT_SECRET and secret.get("secret") is None
        # Where all files have their names already, a label is only a label.
        named = "path" in secret and ("secret_file" in secret or not needs_secret)
        label = str(secret["label"]) if named and "label" in secret else file_name(secret)
        if label in found:
            raise ValueError(f"the secrets at positions {found[label]} and {at} both have the label {label!r}")
        found[label] = at
        files = {"label": label, "path": f"{requests_in}/{label}.request"}
        if needs_secret:
            files["secret_file"] = f"{secrets_in}/{label}"
        entries.append({**files, **secret})
    return entries
