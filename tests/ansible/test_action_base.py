# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin within real playbooks, with made-up binaries on the target."""

from __future__ import annotations

import json
import os
import shlex
import unittest
from typing import Any

import lab

FACTS = "seguest.pv.facts"
ADD = "seguest.pv.secret_add"


class OnceForAll(lab.Lab):
    """What is not done anew for each host and task."""

    def test_a_binary_is_hashed_once_however_many_hosts_and_tasks_there_are(self) -> None:
        self.answering("facts", {"changed": False})
        hashed = self.root / "hashed"
        script = self.collection / "plugins" / "plugin_utils" / "binaries.py"
        text, original = script.read_text(), "    return hashlib.sha256("
        self.assertIn(original, text)
        script.write_text(text.replace(original, f"    open({str(hashed)!r}, 'a').write('.')\n{original}"))
        self.inventory["all"]["hosts"] = {name: {"ansible_connection": "local"} for name in ("one", "two", "three")}
        for strategy in ("linear", "free", "host_pinned"):
            hashed.write_text("")
            results = self.play({FACTS: {}}, {FACTS: {}}, strategy=strategy)
            self.assertEqual([one["status"] for one in results], ["ok"] * 6, self.output)
            self.assertEqual(hashed.read_text(), ".", strategy)


class HostileTarget(lab.Lab):
    """What a guest says changes nothing but its own result."""

    def test_a_result_adds_no_host_and_sets_no_connection(self) -> None:
        self.answering("facts", {
            "changed": True,
            "add_host": {"host_name": "evil", "groups": ["all"], "host_vars": {"ansible_connection": "local"}},
            "add_group": "evil",
            "rc": 3,
            "_ansible_no_log": True,
            "exception": "x",
            "ansible_facts": {
                "ansible_connection": "evil",
                "inventory_hostname": "evil",
                "mine": "evil",
                "ansible_secure_execution": {"role": "guest", "_ansible_x": 1},
            },
        })  # fmt: skip
        shown = "{{ mine }} {{ ansible_connection }} {{ inventory_hostname }} {{ groups.all }} {{ r }}"
        results = self.playbook([
            {"hosts": "all", "gather_facts": False, "vars": {"mine": "own"}, "tasks": [{FACTS: {}, "register": "r"}]},
            {
                "hosts": "all",
                "gather_facts": False,
                "vars": {"mine": "own"},
                "tasks": [{"ansible.builtin.debug": {"msg": shown}}],
            },
        ])  # fmt: skip
        self.assertEqual([result["host"] for result in results], ["target", "target"])
        first = results[0]["result"]
        self.assertEqual(results[0]["status"], "ok", self.output)
        self.assertEqual(first["ansible_facts"], {"ansible_secure_execution": {"role": "guest"}})
        self.assertEqual(first.keys() - {"_ansible_no_log"}, {"changed", "ansible_facts"})
        self.assertFalse(first.get("_ansible_no_log"))
        self.assertTrue(results[1]["result"]["msg"].startswith("own local target ['target'] "), results[1])

    def test_facts_of_another_module_are_dropped(self) -> None:
        self.answering("secret_add", {"changed": False, "ansible_facts": {"ansible_secure_execution": {"role": "x"}}})
        self.assertNotIn("ansible_facts", self.one({ADD: {"path": "/x"}}))

    def test_a_template_in_a_result_stays_text(self) -> None:
        self.answering("secret_add", {"changed": False, "secrets": [{"name": "{{ 6 * 7 }}"}]})
        task = {ADD: {"path": "/x"}, "register": "r"}
        result = self.one(task, {"ansible.builtin.debug": {"msg": "{{ r.secrets[0].name }}"}})
        self.assertEqual(result["msg"], "{{ 6 * 7 }}")

    def test_a_template_in_a_fact_stays_text_even_from_a_fact_cache(self) -> None:
        trusted = {
            "__ansible_type": "_AnsibleTaggedStr",
            "value": "{{ 6 * 7 }}",
            "tags": [{"__ansible_type": "TrustedAsTemplate"}],
        }
        self.environment = {
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.root / "facts"),
        }
        self.answering("facts", {"changed": False, "ansible_facts": {"ansible_secure_execution": {"role": trusted}}})
        self.one({FACTS: {}})
        result = self.one({"ansible.builtin.debug": {"msg": "{{ ansible_facts.secure_execution.role | string }}"}})
        self.assertIn("6 * 7", result["msg"])

    def lying(self, answer: str) -> dict[str, Any]:
        """The result when the target answers every command with this."""
        shell = self.root / "shell"
        shell.write_text(f'#!/bin/sh\nmark=${{2#*t=}}; cat >/dev/null; echo "${{mark%%;*}} {answer}"\n')
        shell.chmod(0o755)
        self.environment = {"ANSIBLE_EXECUTABLE": str(shell)}
        self.answering("facts", {"changed": False})
        return self.one({FACTS: {}})

    def test_a_binary_that_goes_missing_again_and_again_is_given_up(self) -> None:
        self.assertEqual(self.lying(f"missing Linux {lab.ARCH}")["error"]["code"], "module.not_sent")
        self.assertEqual(self.lying("stored")["error"]["code"], "module.no_result")

    def test_only_builds_of_the_collection_are_sent(self) -> None:
        for arch in ("vax", "../x86_64", ""):
            self.assertEqual(self.lying(f"missing Linux {arch}")["error"]["code"], "args.no_binary_for_arch")

    def no_result(self, script: str) -> str:
        self.binary("facts", script)
        results = self.play({FACTS: {}}, {"ansible.builtin.debug": {"msg": "not reached"}})
        self.assertEqual([result["status"] for result in results], ["failed"], self.output)
        result = results[0]["result"]
        self.assertEqual(result["error"]["code"], "module.no_result")
        self.assertLess(len(json.dumps(result)), 3000)
        return str(result["msg"])

    def test_huge_output_is_refused(self) -> None:
        self.no_result(
            'cat >/dev/null; echo \'{"changed": false, "msg": "\'; head -c 17000000 /dev/zero | tr \'\\0\' x'
        )

    def test_invalid_json_is_refused_and_quoted(self) -> None:
        self.assertIn("oops", self.no_result("cat >/dev/null; echo oops"))

    def test_death_by_signal_is_a_failure_of_the_task(self) -> None:
        self.assertIn("SIGSEGV", self.no_result("kill -SEGV $$"))

    def test_exit_status_255_is_no_lost_connection(self) -> None:
        self.assertIn("255", self.no_result("cat >/dev/null; echo '{\"changed\": true}'; exit 255"))

    def test_what_the_binary_says_on_standard_error_is_quoted(self) -> None:
        self.assertIn("libfoo.so", self.no_result("cat >/dev/null; echo no libfoo.so >&2; exit 127"))

    def test_a_failure_is_passed_on_with_its_code(self) -> None:
        error = {"code": "uv.store_locked", "detail": "d", "hint": "h"}
        self.answering("secret_add", {"changed": False, "failed": True, "msg": "m", "error": error})
        rescue = {"ansible.builtin.debug": {"msg": "{{ ansible_failed_result.error.code }}"}}
        self.assertEqual(self.one({"block": [{ADD: {"path": "/x"}}], "rescue": [rescue]})["msg"], "uv.store_locked")


class Cache(lab.Lab):
    """Which file is run."""

    def test_the_binary_is_sent_once(self) -> None:
        self.answering("facts", {"changed": False})
        results = self.play({FACTS: {}, "loop": [1, 2, 3]}, {FACTS: {}}, args=("-vvv",))
        self.assertEqual([r["status"] for r in results], ["item_ok"] * 3 + ["ok"] * 2, self.output)
        # run, store, run; then one command a task
        self.assertEqual(self.output.count("> EXEC "), 3 + 2 + 1)

    def test_each_item_of_a_loop_gets_its_own_arguments(self) -> None:
        self.binary("secret_add", lab.ECHO)
        results = self.play({ADD: {"path": "/{{ item }}"}, "loop": ["a", "b"]})
        self.assertEqual([r["result"]["secrets"] for r in results[:2]], [{"path": "/a"}, {"path": "/b"}])

    def test_a_tampered_file_is_replaced_and_not_run(self) -> None:
        path = self.answering("facts", {"changed": False, "msg": "good"})
        self.one({FACTS: {}})
        (cached,) = self.cache.iterdir()
        cached.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(self.root / 'evil'))}\necho '{{\"changed\": false}}'\n")
        self.assertEqual(self.one({FACTS: {}})["msg"], "good")
        self.assertFalse((self.root / "evil").exists())
        self.assertEqual(cached.read_bytes(), path.read_bytes())

    def test_a_rebuilt_binary_is_sent_anew(self) -> None:
        self.answering("facts", {"changed": False, "msg": "old"})
        self.assertEqual(self.one({FACTS: {}})["msg"], "old")
        self.answering("facts", {"changed": False, "msg": "new"})
        self.assertEqual(self.one({FACTS: {}})["msg"], "new")

    def test_a_cache_that_others_can_change_is_not_used(self) -> None:
        self.binary("facts", 'cat >/dev/null; echo "{\\"changed\\": false, \\"msg\\": \\"$0\\"}"')
        self.assertIn(str(self.cache), self.one({FACTS: {}})["msg"])
        self.cache.chmod(0o770)
        elsewhere = self.one({FACTS: {}})["msg"]
        self.assertNotIn(str(self.cache), elsewhere)
        self.cache.chmod(0o700)
        self.cache.rename(self.root / "moved")
        self.cache.symlink_to(self.root / "moved")
        self.assertNotIn(str(self.cache), self.one({FACTS: {}})["msg"])

    def test_without_a_cache_the_binary_is_sent_each_time_and_removed(self) -> None:
        wrapper = self.root / "shell"
        wrapper.write_text('#!/bin/sh\nexec /bin/sh -c "command() { return 1; }; $2"\n')
        wrapper.chmod(0o755)
        self.inventory["all"]["hosts"]["target"]["ansible_shell_executable"] = str(wrapper)
        self.environment = {"ANSIBLE_EXECUTABLE": str(wrapper)}
        self.binary("facts", 'echo "{\\"changed\\": false, \\"msg\\": \\"$0 $(wc -c)\\"}"')
        for _run in range(2):
            self.assertIn(f"{self.home}/.ansible/tmp/", self.one({FACTS: {}})["msg"])
            self.assertEqual(list((self.home / ".ansible" / "tmp").iterdir()), [])
        self.assertFalse(self.cache.exists())

    def test_an_architecture_without_build_is_named_with_those_there_are(self) -> None:
        self.answering("facts", {"changed": False}).parent.rename(self.collection / "files" / "vax")
        result = self.one({FACTS: {}})
        self.assertEqual(result["error"]["code"], "args.no_binary_for_arch")
        self.assertIn(lab.ARCH, result["msg"])
        self.assertIn("vax", result["msg"])

    def test_a_collection_without_binaries_says_so(self) -> None:
        result = self.one({FACTS: {}})
        self.assertEqual(result["error"]["code"], "args.no_binary_for_arch")
        self.assertIn("cargo xtask prepare", result["error"]["hint"])


class Connections(lab.Lab):
    """Ways to the target."""

    def whoami(self, **task: Any) -> str:
        self.binary("facts", 'cat >/dev/null; echo "{\\"changed\\": false, \\"msg\\": \\"$(id -un) $0\\"}"')
        result = self.play({FACTS: {}, **task})[-1]
        self.assertEqual(result["status"], "ok", self.output)
        return str(result["result"]["msg"])

    def through_a_program(self, connection: str, text: str, **variables: str) -> None:
        program = self.root / connection
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        variables = {"ansible_connection": connection, "ansible_python_interpreter": "/nonexistent", **variables}
        self.inventory["all"]["hosts"]["target"] = {
            key: value.replace("PROGRAM", str(program)) for key, value in variables.items()
        }

    def through_the_local_connection(self) -> None:
        """As the lab has it."""

    def through_ssh(self) -> None:
        # Does what sshd does with the command: the user's shell gets it as one string.
        self.through_a_program("ssh", 'for c in "$@"; do :; done; exec /bin/sh -c "$c"',
                               ansible_ssh_executable="PROGRAM")  # fmt: skip

    def through_guest_sim(self) -> None:
        self.through_a_program("guest_sim", 'test "$1 $2 $3 $4" = "enter --dir /state --" || exit 9; shift 4; exec "$@"',
                               ansible_guest_sim_dir="/state", ansible_guest_sim_bin="PROGRAM")  # fmt: skip

    def test_every_connection_with_and_without_pipelining(self) -> None:
        for connect in (self.through_the_local_connection, self.through_ssh, self.through_guest_sim):
            for pipelining in ("true", "false"):
                with self.subTest(connect=connect, pipelining=pipelining):
                    connect()
                    self.environment = {"ANSIBLE_PIPELINING": pipelining}
                    self.assertIn(str(self.cache), self.whoami())

    def test_exit_status_255_over_ssh_is_no_lost_connection(self) -> None:
        self.through_ssh()
        self.binary("facts", "cat >/dev/null; exit 255")
        self.assertEqual(self.play({FACTS: {}})[0]["status"], "failed")

    def test_large_arguments_to_a_missing_binary_over_ssh(self) -> None:
        self.through_ssh()
        self.answering("secret_add", {"changed": False})
        self.assertEqual(self.play({ADD: {"content": "x" * 3_000_000}})[0]["status"], "ok", self.output)

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes another user without a password")
    def test_become_another_user_with_a_cache_of_its_own(self) -> None:
        become = {"become": True, "become_user": "nobody", "become_method": "ansible.builtin.su"}
        self.inventory["all"]["vars"] = {"ansible_become_flags": "-s /bin/sh"}
        for connect in (self.through_the_local_connection, self.through_ssh, self.through_guest_sim):
            with self.subTest(connect):
                connect()
                who = self.whoami(**become)
                self.assertTrue(who.startswith(f"nobody {self.shared}/seguest.pv-"), who)
        self.assertFalse(self.cache.exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes another user without a password")
    def test_a_become_password_does_not_leave_the_binary_waiting(self) -> None:
        self.inventory["all"]["vars"] = {"ansible_become_password": "x", "ansible_become_flags": "-s /bin/sh"}
        become = {"become": True, "become_user": "nobody", "become_method": "ansible.builtin.su"}
        self.assertTrue(self.whoami(**become).startswith("nobody "))

    def test_delegation_runs_on_the_other_host(self) -> None:
        other = {"ansible_connection": "local", "ansible_remote_tmp": "/other"}
        self.inventory["all"]["hosts"]["target"] = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"}
        self.inventory["all"]["hosts"]["other"] = other
        self.binary("secret_add", lab.ECHO)
        results = self.play({ADD: {"path": "/x"}, "delegate_to": "other", "run_once": True})
        self.assertEqual(results[0]["status"], "ok", self.output)

    def test_async_is_refused_in_a_sentence(self) -> None:
        self.answering("facts", {"changed": False})
        result = self.one({FACTS: {}, "async": 10, "poll": 0})
        self.assertIn("does not support async", result["msg"])

    def test_no_log_hides_the_result(self) -> None:
        self.answering("secret_add", {"changed": False, "msg": "hidden-marker"})
        result = self.one({ADD: {"content": "hidden-marker"}, "no_log": True}, args=("-vvv",))
        self.assertIn("censored", result)
        self.assertNotIn("hidden-marker", self.output)


if __name__ == "__main__":
    unittest.main()
