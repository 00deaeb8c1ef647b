# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.seguest.pv.plugins.plugin_utils import fleet, summary
from ansible_collections.seguest.pv.plugins.plugin_utils.failure import Failure


def _registered(hosts: Iterable[str], hostvars: Any, name: str) -> dict[str, Any]:
    return {host: hostvars.raw_get(host).get(name) for host in hosts}


def fleet_mistakes(groups: Any, hostvars: Any, in_run: Any, needed: Any) -> list[str]:
    """See fleet_mistakes.yml."""
    return fleet.mistakes(groups, hostvars, in_run, needed)


def fleet_plan(hosts: Any, hostvars: Any, instead: Any = None) -> dict[str, Any]:
    """See fleet_plan.yml."""
    try:
        return fleet.plan(hosts, hostvars, instead)
    except ValueError as fault:
        raise AnsibleFilterError(f"provision_secrets: {fault}") from fault


def fleet_requests(hosts: Any, hostvars: Any, instead: Any = None) -> list[dict[str, Any]]:
    """See fleet_requests.yml."""
    try:
        return fleet.requests(hosts, hostvars, instead)
    except ValueError as fault:
        raise AnsibleFilterError(f"provision_secrets: {fault}") from fault


def fleet_contents(planned: Any, built: Any) -> dict[str, Any]:
    """See fleet_contents.yml."""
    return fleet.contents(planned, built)


def fleet_lost(built: Any) -> list[str]:
    """See fleet_lost.yml."""
    return fleet.lost(built)


def fleet_held(hosts: Any, hostvars: Any, name: str) -> list[dict[str, Any]]:
    """See fleet_held.yml."""
    return fleet.held(_registered(hosts, hostvars, name))


def fleet_own(hosts: Any, everybody: Any, hostvars: Any, folders: Any) -> dict[str, Any]:
    """See fleet_own.yml."""
    try:
        return fleet.own_files(hosts, everybody, hostvars, folders)
    except (Failure, ValueError) as fault:
        raise AnsibleFilterError(str(fault)) from fault


def fleet_names(value: Any) -> list[str]:
    """See fleet_names.yml."""
    try:
        return fleet.names(value)
    except ValueError as fault:
        raise AnsibleFilterError(f"retire_guest, retire_destroy_secret: {fault}") from fault


def fleet_expected(value: Any) -> list[dict[str, Any]]:
    """See fleet_expected.yml."""
    try:
        return fleet.expected(value)
    except ValueError as fault:
        raise AnsibleFilterError(str(fault)) from fault


def fleet_policies(hosts: Any, hostvars: Any) -> list[dict[str, Any]]:
    """See fleet_policies.yml."""
    return fleet.policies(hosts, hostvars)


def fleet_documents(hosts: Any, hostvars: Any) -> list[dict[str, Any]]:
    """See fleet_documents.yml."""
    return fleet.documents(hosts, hostvars)


def fleet_summary(hosts: Any, hostvars: Any, name: str, check_mode: bool = False) -> dict[str, Any]:
    """See fleet_summary.yml."""
    return summary.summary(hosts, _registered(hosts, hostvars, name), check_mode)


class FilterModule:
    """Ansible looks here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "fleet_mistakes": fleet_mistakes,
            "fleet_plan": fleet_plan,
            "fleet_requests": fleet_requests,
            "fleet_contents": fleet_contents,
            "fleet_lost": fleet_lost,
            "fleet_held": fleet_held,
            "fleet_own": fleet_own,
            "fleet_names": fleet_names,
            "fleet_expected": fleet_expected,
            "fleet_policies": fleet_policies,
            "fleet_documents": fleet_documents,
            "fleet_summary": fleet_summary,
        }
