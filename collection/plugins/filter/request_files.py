# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.seguest.pv.plugins.plugin_utils.request_files import with_files


def request_files(secrets: Any, requests_in: str, secrets_in: str) -> list[dict[str, Any]]:
    """See request_files.yml."""
    try:
        return with_files(secrets, requests_in, secrets_in)
    except (TypeError, ValueError) as fault:
        raise AnsibleFilterError(f"seguest.pv.request_files: {fault}") from fault


class FilterModule:
    """Ansible looks here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"request_files": request_files}
