# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on attested guests: what becomes of them in summaries and in the compliance report."""

from __future__ import annotations

import os
import re
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import lab
from ansible import constants
from test_compliance import good, report
from test_fleet import HostVars, described

ANSWER: dict[str, Any] = {"attestation": {"content": "cmVzcG9uc2U=", "claims": "{}"}}
AFFIRMED: dict[str, Any] = {
    "label": "guest1",
    "verdict": "affirming",
    "cuid": f"0x{'01' * 16}",
    "valid_until": "2026-01-03T00:00:00Z",
    "checks": [{"name": "measurement", "ok": True, "code": None, "detail": "It is good."}],
    "error": None,
}
STORE: dict[str, Any] = {
    "name": "secret_store",
    "ok": False,
    "code": "attest.store_mismatch",
    "detail": "One request is missing.",
}
REFUTED: dict[str, Any] = {
    **AFFIRMED,
    "verdict": "contraindicated",
    "valid_until": None,
    "checks": [*AFFIRMED["checks"], STORE],
}


def setUpModule() -> None:
    lab.import_collection()


class Verdicts(unittest.TestCase):
    """What is concluded about one guest."""

    def hostvars(self, answer: Any, judged: Any, **trusted: Any) -> HostVars:
        groups = {"trusted": ["trusted"], "guests": ["guest1"]}
        guest = {"groups": groups, "guest_result": answer, "fleet_verdicts": judged}
        return HostVars({"guest1": guest, "trusted": {"groups": groups, **trusted}})

    def verdict(self, answer: Any, judged: Any, **trusted: Any) -> Any:
        from ansible_collections.seguest.pv.plugins.plugin_utils.fleet_attestation import verdicts_in

        return verdicts_in(["guest1"], self.hostvars(answer, judged, **trusted))["guest1"]

    def proofs(self, answer: Any, **trusted: Any) -> Any:
        from ansible_collections.seguest.pv.plugins.plugin_utils.fleet_attestation import proofs

        return proofs(["guest1"], self.hostvars(answer, None, **trusted))

    def test_a_guest_that_gave_no_answer_has_no_verdict(self) -> None:
        for answer in (None, {}, {"attestation": None}, {"attestation": {"content": None}}, {"attestation": [1]}):
            self.assertIsNone(self.verdict(answer, {"responses": [AFFIRMED]}))

    def test_an_answer_that_was_not_judged_has_the_verdict_none(self) -> None:
        for judged, code in (
            (None, "attest.not_verified"),
            ({"responses": []}, "attest.not_verified"),
            ({"responses": [{**AFFIRMED, "label": "guest2"}]}, "attest.not_verified"),
            ({"failed": True, "error": {"code": "hkd.revoked", "detail": "d"}}, "hkd.revoked"),
            ({"unreachable": True, "msg": "No route to host"}, "attest.not_verified"),
        ):
            with self.subTest(judged):
                found = self.verdict(ANSWER, judged)
                self.assertEqual((found["verdict"], found["error"]["code"]), ("none", code))

    def test_a_request_that_could_not_be_made_has_the_verdict_none_and_its_reason(self) -> None:
        error = {"code": "hkd.expired", "detail": "d"}
        own = {"fleet_challenged": {"requests": [{"label": "guest1", "failed": True, "error": error}]}}
        described_so = {
            "fleet_to_challenge": [{"label": "guest1", "error": error}],
            "fleet_challenged": {"skipped": True},
        }
        whole = {"fleet_to_challenge": [{"label": "guest1"}], "fleet_challenged": {"failed": True, "error": error}}
        for trusted in (own, described_so, whole):
            for answer in (None, ANSWER):
                found = self.verdict(answer, {"responses": [AFFIRMED]}, **trusted)
                self.assertEqual((found["verdict"], found["error"]["code"]), ("none", "hkd.expired"), trusted)
            self.assertEqual(self.proofs(None, **trusted)[0], ["guest1"], trusted)

    def test_where_the_trusted_machine_cannot_be_reached_each_guest_was_asked_and_none_has_proved_anything(
        self,
    ) -> None:
        gone = {"unreachable": True, "msg": "No route to host"}
        for trusted in ({"fleet_to_challenge": [{"label": "guest1"}]}, {}):
            asked, verdicts = self.proofs(None, fleet_challenged=gone, **trusted)
            self.assertEqual((asked, verdicts["guest1"]["verdict"]), (["guest1"], "none"), trusted)
            self.assertIn("No route to host", verdicts["guest1"]["error"]["detail"])

    def test_nobody_was_asked_where_nobody_is_to_be_or_only_a_prediction_was_made(self) -> None:
        predicted = {"requests": [{"label": "guest1", "content": None}]}
        for trusted in (
            {"fleet_to_challenge": [], "fleet_challenged": {"skipped": True}},
            {"fleet_to_challenge": [{"label": "guest1"}], "fleet_challenged": predicted},
        ):
            self.assertEqual(self.proofs(None, **trusted)[0], [], trusted)
        self.assertIsNone(self.proofs(None)[0])


class Challenges(unittest.TestCase):
    """Who is asked to prove its state."""

    def challenges(self, **variables: Any) -> Any:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_attestation

        return fleet_attestation.challenges(["guest1"], HostVars({"guest1": described(**variables)}))

    def test_a_guest_whose_description_cannot_be_read_is_not_left_out_but_has_an_error(self) -> None:
        for wrong in ({"attest": "maybe"}, {"attest": True, "output": None}, {"output": 7}):
            with self.subTest(wrong):
                (found,) = self.challenges(**wrong)
                self.assertEqual((found["label"], "path" in found), ("guest1", False))
                self.assertTrue(found["error"]["code"].startswith("args."), found)

    def test_a_guest_that_is_not_to_be_attested_or_has_nothing_described_for_it_is_left_out(self) -> None:
        self.assertEqual(self.challenges(attest=False), [])
        self.assertEqual(self.challenges(output=None), [])
        self.assertEqual(len(self.challenges()), 1)


class Evidence(unittest.TestCase):
    """What an answer is compared with."""

    def evidence(self, **variables: Any) -> Any:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_attestation

        made = {"requests": [{"label": "guest 1", "path": "/out/attestation/r"}]}
        hostvars = HostVars({"guest 1": {**described(), **variables}})
        return fleet_attestation.evidence({"guest 1": ANSWER}, hostvars, made)[0]

    def ssh(self, **variables: Any) -> tuple[Any, Any]:
        found = self.evidence(**variables)
        return found.get("ssh_host"), found.get("ssh_port")

    def test_a_guest_is_looked_up_as_ssh_reaches_it_and_no_other_guest_is(self) -> None:
        self.assertEqual(self.ssh(), ("guest 1", None))
        self.assertEqual(self.ssh(ansible_host="10.0.0.7", ansible_port=2222), ("10.0.0.7", 2222))
        self.assertEqual(self.ssh(ansible_ssh_host="g1", ansible_ssh_port="22"), ("g1", "22"))
        with mock.patch.object(constants.config, "get_config_value", return_value=2200):
            self.assertEqual(self.ssh(), ("guest 1", 2200))
            self.assertEqual(self.ssh(ansible_port=22), ("guest 1", 22))
        for connection in ("ssh", "ansible.builtin.ssh", "ansible.netcommon.libssh", "smart"):
            self.assertEqual(self.ssh(ansible_connection=connection)[0], "guest 1", connection)
        for connection in ("local", "community.libvirt.libvirt_qemu", "guest_sim"):
            self.assertEqual(self.ssh(ansible_connection=connection, ansible_host="g1"), (None, None), connection)

    def test_the_firmwares_service_is_asked_only_for_guests_that_are_described_so(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_attestation

        names = ("firmware", "firmware_url", "firmware_ca")
        given = {"firmware": "v1", "firmware_url": "https://proxy/z", "firmware_ca": "/ca.pem"}
        for more, compared in (({}, {}), (given, given)):
            hostvars = HostVars({"guest 1": described(**more)})
            asked = fleet_attestation.challenges(["guest 1"], hostvars)[0]
            self.assertEqual(asked.get("firmware"), compared.get("firmware"))
            found = self.evidence(**described(**more))
            self.assertEqual({name: found[name] for name in names if name in found}, compared)

    def test_what_a_guest_answers_is_sent_on_only_in_its_form_and_no_longer_than_it_can_be(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_attestation

        made = {"requests": [{"label": "guest1", "path": "/out/attestation/r"}]}
        for claims, sent in (
            (None, None),
            ("{}", "{}"),
            ([0] * 9, ""),
            ({"a": 1}, ""),
            (7, ""),
            ("x" * (5 << 20), "x" * ((1 << 20) + 1)),
        ):
            answers = {"guest1": {"attestation": {"content": "A" * (5 << 20), "claims": claims}}}
            (found,) = fleet_attestation.evidence(answers, HostVars({"guest1": described()}), made)
            self.assertTrue(found["claims"] == sent)
            self.assertEqual(len(found["content"]), (2 << 20) + 1)

    def test_whether_the_store_is_to_be_locked_is_what_the_guest_was_asked(self) -> None:
        self.assertIs(self.evidence()["locked"], True)
        self.assertIs(self.evidence(provision_lock=False)["locked"], False)
        self.assertIs(self.evidence(guest_lock=False)["locked"], False)
        self.assertIs(self.evidence(guest_lock=True, provision_lock=False)["locked"], True)
        # One that is there and null is the module's default.
        self.assertIs(self.evidence(guest_lock=None, provision_lock=False)["locked"], True)

    def test_each_guest_has_a_pin_in_the_folder_of_its_requests(self) -> None:
        self.assertEqual(self.evidence()["cuid_file"], "/out/attestation/guest_1.cuid")

    def test_only_a_guests_own_files_go_with_it(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.fleet_attestation import leftovers

        found = leftovers(["g.1"], HostVars({"g.1": described()}))
        self.assertEqual(found["folders"], ["/out/attestation"])
        run = "0a1b2c3d.request"
        own = ["g.1.cuid", f"g.1.{run}", f"g.1.{run}.key"]
        others = ["gx1.cuid", "g.1.b.cuid", f"g.1.b.{run}", "g.1.request", f"xg.1.{run}", f"g.1.{run}.keys"]
        self.assertEqual([name for name in own + others if re.search(found["names"][0], name)], own)


class KnownHosts(unittest.TestCase):
    """The files in which guests are looked up."""

    def contents(self, value: Any) -> str:
        from ansible_collections.seguest.pv.plugins.plugin_utils import known_hosts_files

        return known_hosts_files.contents(value)

    def test_every_file_that_is_named_must_be_there(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.failure import Failure

        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder, "first"), Path(folder, "second")
            first.write_bytes(b"g1 ssh-ed25519 AAAA J\xf6rg\n")
            second.write_text("g2 ssh-ed25519 BBBB")
            self.assertEqual(
                self.contents([str(first), str(second)]),
                "g1 ssh-ed25519 AAAA J\N{REPLACEMENT CHARACTER}rg\n\ng2 ssh-ed25519 BBBB",
            )
            self.assertEqual(self.contents(f"{second}"), second.read_text())
            wrong: list[Any] = [[f"{first}s"], [folder], "known_hosts", [None], {"a": 1}, 7, [""]]
            for value in wrong:
                with self.subTest(value), self.assertRaises(Failure) as refused:
                    self.contents(value)
                self.assertIn("provision_known_hosts", refused.exception.detail)

    def test_of_the_usual_files_each_may_be_missing_and_none_can_be_wanted(self) -> None:
        self.assertEqual(self.contents([]), "")
        with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"HOME": home}):
            before = self.contents(None)
            Path(home, ".ssh").mkdir()
            Path(home, ".ssh", "known_hosts2").write_text("@revoked * ssh-ed25519 AAAA")
            self.assertIn("@revoked * ssh-ed25519 AAAA", self.contents(None).removesuffix(before))


class Summaries(unittest.TestCase):
    """The rows at the end of a run."""

    def test_a_guest_that_is_not_proved_is_a_failed_row_with_the_first_reason(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.summary import summary

        results = {"guest1": {"changed": True}, "guest2": {"changed": False}, "guest3": {"changed": False}}
        told = summary(results, results, False, {"guest1": REFUTED, "guest2": AFFIRMED, "guest3": None})
        self.assertEqual((told["counts"]["failed"], told["proved"], told["unchanged"]), (1, 1, ["guest2", "guest3"]))
        self.assertEqual(told["failed"][0]["code"], "attest.store_mismatch")
        self.assertIn("One request is missing.", told["failed"][0]["first"]["detail"])
        self.assertIn("proved by attestation: 1 of 3", told["lines"])

    def test_what_is_noted_of_a_proved_guest_names_it_among_the_warnings(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.summary import summary

        noted = {**AFFIRMED, "warnings": ["The guest was started again. [attest.new_start]", 1]}
        told = summary(["guest1", "guest2"], {}, False, {"guest1": AFFIRMED, "guest2": noted})
        self.assertEqual(
            [(kind["code"], kind["hosts"]) for kind in told["warnings"]], [("attest.new_start", ["guest2"])]
        )

    def test_where_nobody_was_asked_nothing_is_said_of_proofs(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.summary import summary

        told = summary(["guest1"], {"guest1": {"changed": False}})
        self.assertIsNone(told["proved"])
        self.assertFalse(any("proved" in line for line in told["lines"]))


class Compliance(unittest.TestCase):
    """The rule in the report; its schema is checked with it."""

    def rule(self, verdict: Any, **answer: Any) -> tuple[str, str, str]:
        given = {**good(), "proof": {"asked": True, "verdict": verdict}}
        given["answer"] = {**given["answer"], **answer}
        guest = report(given)["guests"][0]
        rule = next(rule for rule in guest["rules"] if rule["id"] == "attested")
        return rule["verdict"], rule["detail"], guest["verdict"]

    def test_only_an_affirming_verdict_passes(self) -> None:
        self.assertEqual(self.rule(AFFIRMED), ("pass", "Proved until 2026-01-03T00:00:00Z.", "pass"))
        noted = {**AFFIRMED, "warnings": ["It was started again. [attest.new_start]", 1]}
        proved = "Proved until 2026-01-03T00:00:00Z. It was started again. [attest.new_start]"
        self.assertEqual(self.rule(noted), ("pass", proved, "pass"))
        self.assertEqual(self.rule(REFUTED), ("fail", "One request is missing. [attest.store_mismatch]", "fail"))
        for nothing in (
            {"verdict": "none"},
            {**AFFIRMED, "verdict": "none"},
            {"verdict": ["affirming"]},
            {},
            None,
            "affirming",
        ):
            with self.subTest(nothing):
                found, _, whole = self.rule(nothing)
                self.assertEqual((found, whole), ("unknown", "unknown"))

    def test_that_a_machine_does_not_attest_is_the_guests_own_word_and_so_unknown(self) -> None:
        found, detail, _ = self.rule(None, noted=["This machine does not attest. [attest.unsupported]"])
        self.assertEqual(found, "unknown")
        self.assertIn("[attest.unsupported]", detail)

    def test_a_guest_that_failed_to_answer_is_no_contradiction(self) -> None:
        steps = [
            *good()["answer"]["steps"],
            {"step": "attest", "state": "failed", "right": False, "detail": "Refused."},
        ]
        found, detail, whole = self.rule(None, steps=steps, failed=True)
        self.assertEqual((found, whole), ("unknown", "unknown"))
        self.assertIn("Refused.", detail)

    def test_the_page_leads_with_how_many_are_proved_and_shows_each_check(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.compliance_page import page

        proved = {**good(), "proof": {"asked": True, "verdict": AFFIRMED}}
        made = report(proved, {**good("guest2"), "proof": {"asked": True, "verdict": REFUTED}}, good("guest3"))
        self.assertEqual(made["attested"], 1)
        shown = page(made)
        self.assertIn("Proved by attestation: 1 of 3 guests", shown)
        self.assertIn("secret_store", shown)


if __name__ == "__main__":
    unittest.main()
