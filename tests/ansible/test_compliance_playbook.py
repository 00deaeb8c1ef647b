# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook compliance with made-up binaries: what it writes and how it ends."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import lab
import test_compliance as rules
from test_compliance import good, step


def setUpModule() -> None:
    lab.import_collection()


class Playbook(lab.Lab):
    def setUp(self) -> None:
        super().setUp()
        (self.collection / "playbooks").mkdir()
        shutil.copy(lab.REPOSITORY / "playbooks/compliance.yml", self.collection / "playbooks")
        shutil.copytree(lab.REPOSITORY / "playbooks/tasks", self.collection / "playbooks/tasks")
        self.hosts: dict[str, Any] = {"good": {}, "bad": {}}
        self.trusted: dict[str, Any] = {"localhost": {"ansible_connection": "local"}}
        failed = good()["answer"]
        failed.update(failed=True, msg="The secret is not there.", error={"code": "uv.secret_missing"})
        failed["steps"][2] = step("verify", "failed", False, "uv.secret_missing")
        answers = {"good": good()["answer"], "bad": failed}
        for name, answer in answers.items():
            (self.root / f"{name}.json").write_text(json.dumps(answer))
        # Which guest it is, it knows by what it is asked for.
        cases = " ".join(f'*"key of {name}"*) cat {self.root}/{name}.json;;' for name in answers)
        self.binary(
            "guest", f'asked=$(cat); echo "$asked" >>{self.root}/asked; case $asked in {cases} *) exit 3;; esac'
        )
        document = {"file": "HKD-1.crt", "hash": "0x12", "serial": "1", "not_after": "2020-01-01T00:00:00Z",
                    "crl_next_update": None}  # fmt: skip
        self.answering("secret_request", {"changed": True, "requests": [{"failed": False, "host_keys": [document]}]})

    def run_compliance(self, *args: str, **more: str) -> dict[str, Any]:
        """Runs it; the report, or an empty one."""
        variables = {
            "provision_secrets": [
                {"name": "cluster key", "type": "association"},
                {"type": "meta"},
                # What a request needs is not looked up for the guests.
                {
                    "name": "key of {{ inventory_hostname }}",
                    "secret": "{{ lookup('ansible.builtin.file', '/nonexistent') }}",
                },
            ],
            "provision_queues": [{"name": "key of {{ inventory_hostname }}", "mode": "ep11", "mkvp": f"0x{rules.KEY}"}],
            "provision_host_keys": ["HKD-1.crt"],
            "provision_image": "image",
            "compliance_folder": str(self.root),
        }
        guests = {
            name: {"ansible_connection": "local", "ansible_become": False, **host} for name, host in self.hosts.items()
        }
        trusted = {"trusted": {"hosts": self.trusted}}
        self.inventory = {"all": {"vars": variables, "children": {"guests": {"hosts": guests}, **trusted}}}
        self.environment.update(more)
        for old in self.root.glob("compliance.*"):
            old.unlink()
        self.run_book("seguest.pv.compliance", args)
        written = self.root / "compliance.json"
        made: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {}
        if made:
            rules.VALIDATOR.validate(made)
        return made

    def without_sudo(self) -> dict[str, Any]:
        """Variables of a host that lets nobody become root."""
        sudo = self.shared / "no-sudo"
        sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
        sudo.chmod(0o755)
        # Tests may be run by root, who need not become root.
        self.environment["ANSIBLE_BECOME_ALLOW_SAME_USER"] = "true"
        return {"ansible_become": True, "ansible_become_exe": str(sudo)}

    def verdicts(self, made: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
        return {guest["host"]: (guest["verdict"], guest["cause"]) for guest in made["guests"]}

    def test_good_bad_unreachable_and_sudoless_guests_are_told_apart_and_named(self) -> None:
        self.hosts["sudoless"] = self.without_sudo()
        self.hosts["gone"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        self.hosts["odd"] = {"provision_queues": "{{ nothing_of_that_name }}"}
        made = self.run_compliance()
        self.assertEqual(
            self.verdicts(made),
            {"good": ("pass", None), "bad": ("fail", None), "gone": ("unknown", "unreachable"),
             "sudoless": ("unknown", "no_sudo"), "odd": ("unknown", "no_answer")},
            self.output,
        )  # fmt: skip
        reasons = {guest["host"]: guest["reason"] for guest in made["guests"]}
        self.assertIn("sudo: a password is required", reasons["sudoless"])
        self.assertIn("nothing_of_that_name", reasons["odd"])
        self.assertNotEqual(self.code, 0)
        said = " ".join(self.output.split())
        self.assertIn("not right: bad; unknown: gone, odd, sudoless.", said)
        page = (self.root / "compliance.html").read_text()
        self.assertTrue(all(f">{host}<" in page for host in self.hosts))
        # Asked by name alone, and held against what the inventory says.
        asked = [json.loads(line) for line in (self.root / "asked").read_text().splitlines()]
        names = [[secret["name"] for secret in one["secrets"]] for one in asked]
        self.assertIn(["cluster key", "key of good"], names)
        self.assertFalse(any("secret" in secret or "content" in secret for one in asked for secret in one["secrets"]))
        self.assertEqual(made["policies"][0]["asks"]["secrets"], ["cluster key", "key of <inventory_hostname>"])
        self.assertEqual([len(policy["guests"]) for policy in made["policies"]], [4, 1])
        self.assertEqual(made["documents"]["found"][0]["warning"], "The document has expired.")

    def test_all_right_is_no_failure(self) -> None:
        del self.hosts["bad"]
        made = self.run_compliance()
        self.assertEqual((self.code, made["counts"]["pass"]), (0, 1), self.output)
        self.assertEqual((made["run"]["kept"], made["run"]["inventory"]), (False, [str(self.root / "inventory.yml")]))

    def test_guests_that_a_limit_leaves_out_are_in_the_report_as_not_asked(self) -> None:
        made = self.run_compliance("--limit", "good,localhost")
        self.assertEqual((self.verdicts(made), made["not_asked"]), ({"good": ("pass", None)}, ["bad"]), self.output)
        self.assertEqual((self.code, made["run"]["limit"]), (0, "good,localhost"))
        self.assertIn("1 not asked", self.output)

    def test_without_anybody_to_write_the_report_nobody_is_asked(self) -> None:
        self.assertEqual(self.run_compliance("--limit", "good"), {})
        self.assertNotEqual(self.code, 0)
        self.assertIn("include it", self.output)
        self.assertFalse((self.root / "asked").exists())

    def test_no_guest_at_all_is_a_failure_even_of_a_report_only(self) -> None:
        self.assertEqual(self.run_compliance("--limit", "localhost", "-e", "compliance_report_only=true"), {})
        self.assertNotEqual(self.code, 0)
        self.assertIn("No host of the group guests", " ".join(self.output.split()))
        self.hosts = {}
        self.assertEqual(self.run_compliance("-e", "compliance_report_only=true"), {})
        self.assertNotEqual(self.code, 0)
        self.assertIn("no host in the group guests", self.output)

    def test_a_report_only_does_not_fail(self) -> None:
        made = self.run_compliance("-e", "compliance_report_only=true")
        self.assertEqual((self.code, made["counts"]["fail"]), (0, 1), self.output)

    def test_kept_answers_count_only_in_their_boot(self) -> None:
        cache = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.root / "facts")}
        answer = good()["answer"]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        answer["ansible_facts"]["ansible_secure_execution"]["boot_id"] = boot
        (self.root / "good.json").write_text(json.dumps(answer))
        self.run_compliance(**cache)
        without_variables = {"ANSIBLE_INJECT_FACT_VARS": "false"}
        kept = self.run_compliance("-e", "compliance_cached=true", **cache, **without_variables)
        self.assertEqual(self.verdicts(kept)["good"], ("pass", None), self.output)
        del self.environment["ANSIBLE_INJECT_FACT_VARS"]
        kept = self.run_compliance("-e", "compliance_cached=true", **cache)
        self.assertEqual(self.verdicts(kept), {"good": ("pass", None), "bad": ("unknown", "other_boot")}, self.output)
        self.assertTrue(kept["run"]["kept"])
        self.hosts.update(new={}, good=self.without_sudo())
        kept = self.run_compliance("-e", "compliance_cached=true", **cache)
        self.assertEqual(self.verdicts(kept)["new"], ("unknown", "not_kept"))
        self.assertEqual(self.verdicts(kept)["good"], ("unknown", "no_sudo"), self.output)

    def test_where_the_trusted_machine_can_ask_nobody_no_guest_passes_on_its_own_word(self) -> None:
        output = {"provision_output": str(self.root)}
        self.hosts = {"good": output}
        # There is no program attest_request here; then, no machine.
        for trusted in (
            {"localhost": {"ansible_connection": "local"}},
            {"gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}},
        ):
            self.trusted = trusted
            made = self.run_compliance()
            rules_of = {rule["id"]: rule for rule in made["guests"][0]["rules"]}
            self.assertEqual(made["guests"][0]["verdict"], "unknown", self.output)
            self.assertEqual(rules_of["attested"]["verdict"], "unknown")
            self.assertNotEqual(self.code, 0)
        self.hosts = {"good": {**output, "provision_attest": "{{ nothing_of_that_name }}"}}
        made = self.run_compliance()
        self.assertIn("nothing_of_that_name", json.dumps(made["guests"][0]["rules"][0]))
        self.hosts = {"good": {**output, "provision_attest": False}}
        self.assertEqual(self.verdicts(self.run_compliance()), {"good": ("pass", None)}, self.output)

    def test_in_check_mode_nobody_is_asked_for_a_proof_and_no_report_is_said_to_be_written(self) -> None:
        self.answering("attest_request", {"changed": True, "requests": [{"label": "good", "content": None}]})
        self.hosts["good"] = {"provision_output": str(self.root)}
        del self.hosts["bad"]
        self.assertEqual(self.run_compliance("--check"), {})
        self.assertEqual(self.code, 0, self.output)
        self.hosts["gone"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        self.run_compliance("--check")
        said = " ".join(self.output.split())
        self.assertIn("unknown: gone. In check mode no report is written.", said)

    def test_what_a_guest_says_is_no_template(self) -> None:
        evil = good()["answer"]
        evil["steps"][0]["detail"] = "{{ lookup('ansible.builtin.env', 'HOME') }}{% raw %}"
        (self.root / "good.json").write_text(json.dumps(evil))
        made = self.run_compliance()
        details = [rule["detail"] for guest in made["guests"] for rule in guest["rules"]]
        self.assertIn("{{ lookup('ansible.builtin.env', 'HOME') }}{% raw %}", details)
        self.assertIn("{{ lookup(&#39;ansible.builtin.env&#39;", (self.root / "compliance.html").read_text())
        self.assertNotIn(os.fspath(self.home), json.dumps(made["guests"]))


if __name__ == "__main__":
    import unittest

    unittest.main()
