# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.seguest.pv.plugins.plugin_utils import (
    fleet,
    fleet_attestation,
    fleet_leaving,
    known_hosts_files,
    summary,
)
from ansible_collections.seguest.pv.plugins.plugin_utils.failure import Failure
from ansible_collections.seguest.pv.plugins.plugin_utils.fleet_description import Hosts

_NOTHING = object()


def _registered(hosts: Iterable[str], hostvars: Any, registers: list[str]) -> dict[str, Any]:
    """For each guest the first of its results that is a failure, else the first that changed something, else the first."""
    found = {}
    for host in hosts:
        variables = hostvars.raw_get(host)
        results = [variables[name] for name in registers if variables.get(name) is not None]
        found[host] = next(
            (result for result in results if _went(result, "failed") or _went(result, "unreachable")), None
        )
        found[host] = found[host] or next((result for result in results if _went(result, "changed")), None)
        found[host] = found[host] or next(iter(results), None)
    return found


def _went(result: Any, how: str) -> bool:
    return isinstance(result, dict) and result.get(how) is True


def fleet_mistakes(groups: Any, hostvars: Any, in_run: Any, needed: Any) -> list[str]:
    """See fleet_mistakes.yml."""
    return fleet.mistakes(groups, Hosts(hostvars), in_run, needed)


def fleet_plan(hosts: Any, hostvars: Any, instead: Any = None) -> dict[str, Any]:
    """See fleet_plan.yml."""
    return fleet.plan(hosts, Hosts(hostvars), instead)


def fleet_requests(hosts: Any, hostvars: Any, instead: Any = None) -> list[dict[str, Any]]:
    """See fleet_requests.yml."""
    return fleet.requests(hosts, Hosts(hostvars), instead)


def fleet_contents(planned: Any, built: Any) -> dict[str, Any]:
    """See fleet_contents.yml."""
    return fleet.contents(planned, built)


def fleet_built(planned: Any, built: Any) -> dict[str, Any]:
    """See fleet_built.yml."""
    return fleet.built_for(planned, built)


def fleet_lost(built: Any) -> list[str]:
    """See fleet_lost.yml."""
    return fleet.lost(built)


def fleet_among(hosts: Any, others: Any) -> list[str]:
    """See fleet_among.yml."""
    known = set(others)
    return [host for host in hosts if host in known]


def fleet_for(host: str, groups: Any, hostvars: Any, name: str, otherwise: Any = _NOTHING) -> Any:
    """See fleet_for.yml."""
    fact = fleet_attestation.trusted_in(groups, hostvars).get(name)
    found = fact.get(host, otherwise) if isinstance(fact, Mapping) else otherwise
    if found is _NOTHING:
        raise AnsibleFilterError(
            f"The trusted machine has no {name} for {host} in this run: include it, as in --limit trusted,guest1."
        )
    return found


def fleet_held(planned: Any, hostvars: Any, name: str) -> list[dict[str, Any]]:
    """See fleet_held.yml."""
    return fleet.held(planned, {host: hostvars.raw_get(host).get(name) for host in planned["guests"]})


def fleet_own(hosts: Any, everybody: Any, hostvars: Any, folders: Any) -> dict[str, Any]:
    """See fleet_own.yml."""
    try:
        return fleet_leaving.own_files(hosts, everybody, Hosts(hostvars), folders)
    except Failure as fault:
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
    return fleet.policies(hosts, Hosts(hostvars))


def fleet_documents(hosts: Any, hostvars: Any) -> list[dict[str, Any]]:
    """See fleet_documents.yml."""
    return fleet.documents(hosts, Hosts(hostvars))


def fleet_challenges(hosts: Any, hostvars: Any, contents: Any = None) -> list[dict[str, Any]]:
    """See fleet_challenges.yml."""
    return fleet_attestation.challenges(hosts, Hosts(hostvars), contents)


def fleet_asked(hosts: Any, hostvars: Any, made: Any) -> dict[str, Any]:
    """See fleet_asked.yml."""
    return fleet_attestation.asked(hosts, Hosts(hostvars), made)


def fleet_answered(hosts: Any, hostvars: Any, name: str) -> bool:
    """See fleet_answered.yml."""
    return any(fleet_attestation.attestation(hostvars.raw_get(host).get(name)) is not None for host in hosts)


def fleet_known_hosts(value: Any) -> str:
    """See fleet_known_hosts.yml."""
    try:
        return known_hosts_files.contents(value)
    except Failure as fault:
        raise AnsibleFilterError(str(fault)) from fault


def fleet_evidence(hosts: Any, hostvars: Any, made: Any, name: str) -> list[dict[str, Any]]:
    """See fleet_evidence.yml."""
    known = Hosts(hostvars)
    return fleet_attestation.evidence({host: known.raw_get(host).get(name) for host in hosts}, known, made)


def fleet_summary(hosts: Any, hostvars: Any, name: Any, check_mode: bool = False) -> dict[str, Any]:
    """See fleet_summary.yml."""
    named, known = [name] if isinstance(name, str) else name, Hosts(hostvars)
    results = named if isinstance(named, dict) else _registered(hosts, known, named)
    return summary.summary(hosts, results, check_mode, fleet_attestation.verdicts_in(hosts, known))


def fleet_unproved(hosts: Any, hostvars: Any) -> list[str]:
    """See fleet_unproved.yml."""
    verdicts = fleet_attestation.verdicts_in(hosts, Hosts(hostvars))
    return [host for host, verdict in verdicts.items() if verdict and fleet_attestation.fault_of(verdict)]


class FilterModule:
    """Ansible looks here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "fleet_mistakes": fleet_mistakes,
            "fleet_plan": fleet_plan,
            "fleet_requests": fleet_requests,
            "fleet_contents": fleet_contents,
            "fleet_built": fleet_built,
            "fleet_lost": fleet_lost,
            "fleet_among": fleet_among,
            "fleet_for": fleet_for,
            "fleet_held": fleet_held,
            "fleet_own": fleet_own,
            "fleet_names": fleet_names,
            "fleet_expected": fleet_expected,
            "fleet_policies": fleet_policies,
            "fleet_documents": fleet_documents,
            "fleet_challenges": fleet_challenges,
            "fleet_asked": fleet_asked,
            "fleet_answered": fleet_answered,
            "fleet_known_hosts": fleet_known_hosts,
            "fleet_evidence": fleet_evidence,
            "fleet_unproved": fleet_unproved,
            "fleet_summary": fleet_summary,
        }
