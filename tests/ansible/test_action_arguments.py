# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugin hands to a binary, within real playbooks and with made-up binaries on the target."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from typing import Any

import lab

FACTS = "seguest.pv.facts"
ADD = "seguest.pv.secret_add"


class Arguments(lab.Lab):
    """What reaches the binary."""

    def echoed(self, task: dict[str, Any], **options: Any) -> dict[str, Any]:
        self.binary("secret_add", lab.ECHO)
        result = self.one(task, **options)
        self.assertTrue(result["msg"].startswith("- "), result)
        arguments: dict[str, Any] = result["secrets"]
        return arguments

    def test_options_arrive_with_their_types(self) -> None:
        options = {"path": "/a b'c\"d$e\\f\ng", "force": True, "timeout": 3, "requests": [{"path": "/x"}]}
        self.assertEqual(self.echoed({ADD: options}), options)

    def test_a_date_arrives_as_text(self) -> None:
        # YAML makes a date of what is not quoted, and a date is no JSON.
        self.assertEqual(self.echoed({ADD: {"path": datetime.date(2026, 1, 2)}}), {"path": "2026-01-02"})

    def test_check_and_diff_mode_reach_the_binary(self) -> None:
        # The plugin drops such keys from results, so the binary answers in words.
        self.binary("secret_add", """args=$(cat)
case $args in *'"_ansible_check_mode": true'*) c=check;; esac
case $args in *'"_ansible_diff": true'*) d=diff;; esac
case $args in *'"_ansible_module_name": "seguest.pv.secret_add"'*) n=name;; esac
echo "{\\"changed\\": true, \\"msg\\": \\"$c $d $n\\", \\"diff\\": [{\\"before\\": \\"old\\", \\"after\\": \\"new\\"}]}"
""")  # fmt: skip
        self.assertEqual(self.one({ADD: {"path": "/x"}}, args=("--check", "--diff"))["msg"], "check diff name")
        self.assertIn("-old", self.output)
        self.assertEqual(self.one({ADD: {"path": "/x"}})["msg"], "  name")

    def test_the_variable_ansible_inject_invocation_decides_whether_a_result_repeats_the_options(self) -> None:
        # With every version of ansible-core; from 2.21 on, it looks at the variable itself.
        self.binary(
            "secret_add",
            """case $(cat) in
*'"_ansible_inject_invocation": true'*) w=yes;; *'"_ansible_inject_invocation": false'*) w=no;; *) w=unsaid;; esac
echo "{\\"changed\\": false, \\"msg\\": \\"$w\\"}"
""",
        )
        for value, said in ((False, "no"), (True, "yes"), ("{{ 1 == 1 }}", "yes")):
            result = self.one({ADD: {"path": "/x"}}, vars={"ansible_inject_invocation": value})
            self.assertEqual(result["msg"], said)

    def test_values_from_a_vault_arrive_in_the_clear(self) -> None:
        password = self.root / "password"
        password.write_text("p")
        encrypted = subprocess.run(
            [lab.BIN / "ansible-vault", "encrypt_string", "--vault-password-file", password, "hidden"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        variables = self.root / "vars.yml"
        variables.write_text(f"it: {encrypted}")
        # In words, because ansible-core 2.22 masks such values in all that it shows.
        self.binary("secret_add", """args=$(cat)
case $args in *'"content": "hidden"'*) w=arrived;; esac
echo "{\\"changed\\": false, \\"msg\\": \\"$w\\"}"
""")  # fmt: skip
        options = {"vars_files": [str(variables)], "args": ("--vault-password-file", str(password))}
        self.assertEqual(self.one({ADD: {"content": "{{ it }}"}}, **options)["msg"], "arrived")

    def test_arguments_never_lie_on_the_targets_disk(self) -> None:
        self.binary("secret_add", "cat >/dev/null\n" + 'echo "{\\"changed\\": false}"')
        self.one({ADD: {"content": "c2VjcmV0LW1hcmtlcg"}}, args=("-vvvvv",))
        self.assertNotIn("c2VjcmV0LW1hcmtlcg", self.output.replace(str(self.root / "book.yml"), ""))
        found = [
            str(path)
            for path in self.root.rglob("*")
            if path.is_file() and path.name != "book.yml" and b"c2VjcmV0LW1hcmtlcg" in path.read_bytes()
        ]
        self.assertEqual(found, [])

    def test_the_environment_of_the_task_reaches_the_binary(self) -> None:
        self.binary("facts", 'cat >/dev/null; echo "{\\"changed\\": false, \\"msg\\": \\"$X\\"}"')
        self.assertEqual(self.one({FACTS: {}, "environment": {"X": "a  'b' $c"}})["msg"], "a  'b' $c")

    def test_large_arguments_arrive_whole(self) -> None:
        self.binary("secret_add", 'echo "{\\"changed\\": false, \\"msg\\": \\"$(wc -c)\\"}"')
        self.assertGreater(int(self.one({ADD: {"content": "x" * 3_000_000}})["msg"]), 3_000_000)

    def test_module_defaults_of_the_group_apply(self) -> None:
        arguments = self.echoed({ADD: {"path": "/x"}}, module_defaults={"group/seguest.pv.all": {"timeout": 7}})
        self.assertEqual(arguments, {"path": "/x", "timeout": 7})

    def test_src_is_read_on_the_controller(self) -> None:
        (self.root / "files").mkdir()
        (self.root / "files" / "one.bin").write_bytes(b"\x00\xff")
        (self.root / "two.bin").write_bytes(b"two")
        one, two = base64.b64encode(b"\x00\xff").decode(), base64.b64encode(b"two").decode()
        self.assertEqual(self.echoed({ADD: {"src": "one.bin"}}), {"content": one})
        entries: Any = [{"src": "two.bin", "label": "l"}, {"path": "/x"}]
        expected = {"requests": [{"content": two, "label": "l"}, {"path": "/x"}]}
        self.assertEqual(self.echoed({ADD: {"requests": entries}}), expected)
        self.assertEqual(self.echoed({ADD: {"requests": json.dumps(entries)}}), expected)

    def test_src_that_is_missing_conflicting_or_too_large_is_named(self) -> None:
        self.binary("secret_add", lab.ECHO)
        (self.root / "large").write_bytes(b"x" * 1024 * 1025)
        (self.root / "small").write_bytes(b"x")
        for options, code in (
            ({"src": "nowhere"}, "file.missing"),
            ({"src": "large"}, "file.too_large"),
            ({"src": "small", "content": "eA=="}, "args.conflict"),
        ):
            with self.subTest(code):
                result = self.one({ADD: options})
                self.assertEqual(result["error"]["code"], code)

    def test_what_an_earlier_task_would_make_is_no_failure_in_check_mode(self) -> None:
        self.binary("secret_add", lab.ECHO)
        for entry in ({"src": "nowhere"}, {"content": None}):
            with self.subTest(entry):
                task = {ADD: {"requests": [entry]}}
                # The guest is asked, and the module knows what is not there yet.
                asked = self.one(task, args=("--check",))["secrets"]
                self.assertEqual([each["pending"] for each in asked["requests"]], [True])
                self.assertEqual(self.one(task)["error"]["code"], "file.missing")

    def test_a_configuration_that_is_not_there_yet_is_no_failure_in_check_mode(self) -> None:
        result = self.one({"seguest.pv.ap_bind": {"src": "nowhere"}}, args=("--check",))
        self.assertEqual((result["changed"], result["predicted"]), (True, "partial"))
        self.assertIn("[file.missing]", result["warnings"][0])

    def test_every_src_of_the_module_guest_is_read(self) -> None:
        self.binary("guest", 'printf \'{"changed": false, "requests": %s}\' "$(cat)"')
        (self.root / "request").write_bytes(b"x")
        (self.root / "queues.yml").write_text("- mode: accel\n")
        given = {"secrets": [{"name": "a", "src": "request"}], "queues_src": "queues.yml"}
        asked = self.one({"seguest.pv.guest": given})["requests"]
        self.assertEqual(asked["secrets"], [{"name": "a", "content": "eA=="}])
        self.assertEqual(asked["config_content"], "- mode: accel\n")

    def test_an_attestation_request_is_read_on_the_controller_and_may_come_later_in_check_mode(self) -> None:
        for module, wrap in (("attest", lambda given: given), ("guest", lambda given: {"attest": given})):
            key = "claims" if module == "attest" else "requests"
            self.binary(module, f'printf \'{{"changed": false, "{key}": %s}}\' "$(cat)"')
            (self.root / "challenge").write_bytes(b"x")
            for given, arrives in (
                ({"src": "challenge", "bind": ["boot_id"]}, {"content": "eA==", "bind": ["boot_id"]}),
                ({"src": "nowhere"}, {"pending": True}),
                ({"content": None}, {"content": None, "pending": True}),
            ):
                with self.subTest(module, given=given):
                    asked = self.one({f"seguest.pv.{module}": wrap(given)}, args=("--check",))[key]
                    options = {name: value for name, value in asked.items() if not name.startswith("_ansible")}
                    self.assertEqual(options, wrap(arrives))
            for given in ({"src": "nowhere"}, {"content": None}):
                self.assertEqual(self.one({f"seguest.pv.{module}": wrap(given)})["error"]["code"], "file.missing")
        as_text = {"seguest.pv.guest": {"attest": json.dumps({"src": "challenge"})}}
        self.assertEqual(self.one(as_text)["requests"]["attest"], {"content": "eA=="})

    def test_options_are_taken_from_variables_that_are_set_and_from_nothing_else(self) -> None:
        self.binary("guest", 'printf \'{"changed": false, "requests": %s}\' "$(cat)"')
        guest = "seguest.pv.guest"
        variables = {"guest_lock": "{{ not true }}", "own_timeout": 7, "guest_timeout": 9, "guest_at_boot": True,
                     "own_at_boot": "{{ omit }}"}  # fmt: skip
        for beginnings in (["own_", "guest_"], "own_,guest_", '["own_", "guest_"]'):
            with self.subTest(beginnings):
                task = {guest: {"variables_from": beginnings, "strict": False}, "vars": variables}
                asked = self.one(task)["requests"]
                options = {key: value for key, value in asked.items() if not key.startswith("_ansible")}
                self.assertEqual(options, {"lock": False, "timeout": 7, "strict": False})
        for wrong in ("guest_ ,a b", [1], {"guest_": 1}):
            with self.subTest(wrong):
                self.assertEqual(self.one({guest: {"variables_from": wrong}})["error"]["code"], "args.invalid")

    def test_src_of_ap_bind_is_a_configuration(self) -> None:
        self.binary("ap_bind", 'printf \'{"changed": false, "entries": %s}\' "$(cat)"')
        (self.root / "queues.yml").write_text("- name: é\n")
        result = self.one({"seguest.pv.ap_bind": {"src": "queues.yml"}})
        self.assertEqual(result["entries"], {"config_content": "- name: é\n"})
        (self.root / "queues.yml").write_bytes(b"\xff")
        self.assertEqual(self.one({"seguest.pv.ap_bind": {"src": "queues.yml"}})["error"]["code"], "args.invalid")
