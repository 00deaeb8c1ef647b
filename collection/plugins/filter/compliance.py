# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from jinja2 import TemplateError

from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_attestation
from ansible_collections.seguest.pv.plugins.plugin_utils.compliance import answers, report
from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page
from ansible_collections.seguest.pv.plugins.plugin_utils.fleet_description import Hosts


def compliance_answers(hosts: Any, hostvars: Any, kept: Any) -> list[dict[str, Any]]:
    """See compliance_answers.yml."""
    known = Hosts(hostvars)
    asked, verdicts = fleet_attestation.proofs(hosts, known)
    return answers(hosts, known, bool(kept), asked, verdicts)


def compliance_report(guests: Any, generated_at: str, about: Any = None) -> dict[str, Any]:
    """See compliance_report.yml."""
    if not isinstance(guests, list) or not all(isinstance(guest, dict) and "host" in guest for guest in guests):
        raise AnsibleFilterError("seguest.pv.compliance_report takes a list of dictionaries with at least `host`")
    if not isinstance(about, dict | None):
        raise AnsibleFilterError("seguest.pv.compliance_report takes a dictionary as `about`")
    return report(guests, generated_at, about)


def compliance_page(of: Any) -> str:
    """See compliance_page.yml."""
    try:
        return page(of)
    except (KeyError, TypeError, AttributeError, TemplateError) as fault:
        raise AnsibleFilterError("seguest.pv.compliance_page takes what compliance_report returns") from fault


class FilterModule:
    """Ansible looks here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "compliance_answers": compliance_answers,
            "compliance_report": compliance_report,
            "compliance_page": compliance_page,
        }
