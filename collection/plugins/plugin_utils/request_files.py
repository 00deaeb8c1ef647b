# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role ``request`` keeps each secret of a list and the request made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# No folder, nothing hidden, nothing that a shell or a terminal would take for more than a name.
_LABEL = re.compile(r"[A-Za-z0-9_][\w.@+,=-]{0,99}", re.ASCII)
_WITHOUT_SECRET = ("meta",)


def with_files(secrets: Iterable[Mapping[str, Any]], requests_in: str, secrets_in: str) -> list[dict[str, Any]]:
    """Options of secret_request for each secret, with ``label``, ``path`` and ``secret_file`` filled in.

    :param secrets: options of each; what is given stays
    :raises ValueError: if a label cannot be the name of a file, or two are the same
    """
    found: dict[str, int] = {}
    entries = []
    for at, secret in enumerate(secrets):
        if not isinstance(secret, Mapping):
            raise ValueError(f"the secret at position {at} is no dictionary of options of secret_request")
        label = secret.get("label") or str(secret.get("name") or "").replace(" ", "_")
        if not _LABEL.fullmatch(str(label)):
            raise ValueError(
                f"the label {label!r} of the secret at position {at} cannot be the name of a file: give it a `label` of "
                "letters, digits and . _ @ + , = - that begins with a letter, a digit or _"
            )
        if label in found:
            raise ValueError(f"the secrets at positions {found[label]} and {at} both have the label {label!r}")
        found[label] = at
        files = {"label": label, "path": f"{requests_in}/{label}.request"}
        if secret.get("type") not in _WITHOUT_SECRET and secret.get("secret") is None:
            files["secret_file"] = f"{secrets_in}/{label}"
        entries.append({**files, **secret})
    return entries
