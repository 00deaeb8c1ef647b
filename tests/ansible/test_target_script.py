# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands, without Ansible around them, in every shell that is there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import lab

MARK = "seguest.pv-0123456789abcdef"
BINARY = b'#!/bin/sh\necho "ran $1 $(cat) $X"\n'
HASH = hashlib.sha256(BINARY).hexdigest()
SHELLS = {
    name: [program, *command[1:]]
    for name, command in {
        "sh": ["sh"], "dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"], "ksh": ["ksh"],
    }.items()
    if (program := shutil.which(command[0]))
}  # fmt: skip


def setUpModule() -> None:
    lab.import_collection()


class TargetScript(unittest.TestCase):
    def setUp(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import target_script

        self.script = target_script
        self.root = Path(tempfile.mkdtemp(prefix="seguest-script-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.home = self.root / "home"
        self.home.mkdir(mode=0o700)
        self.cache = self.home / ".cache" / "seguest.pv"
        self.shared = self.root / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)
        self.shell = SHELLS["sh"]
        self.path = os.environ["PATH"]
        self.remote_tmp = "~/.ansible/tmp"

    without_hashes = 'command() { [ "$2" = sha256sum ] && return 1; [ "$1" = -v ]; }; '

    def ask(self, command: str, data: bytes = b"input", prelude: str = "") -> str:
        """What the target answers, without the mark."""
        for path in ("/var/cache/seguest.pv", "/tmp/seguest.pv-$("):
            command = command.replace(path, f"{self.shared}/{path.rsplit('/', 1)[1]}")
        command = command.replace("/var/tmp /tmp", str(self.shared))
        done = subprocess.run(
            [*self.shell, "-c", prelude + command],
            input=data,
            capture_output=True,
            env={"PATH": self.path, "HOME": str(self.home)},
            timeout=20,
            check=False,
        )
        self.errors = done.stderr.decode()
        return done.stdout.decode().replace(f"{MARK} ", "")

    def run_cached(self, data: bytes = b"input", prelude: str = "", environment: str = "") -> str:
        builds = {lab.ARCH: self.build(HASH, len(BINARY)), "s390": self.build("0" * 64, 1)}
        return self.ask(self.script.run_cached(MARK, builds, environment), data, prelude)

    @staticmethod
    def build(sha256: str, size: int) -> Any:
        from ansible_collections.seguest.pv.plugins.plugin_utils.binaries import Build

        return Build(Path("/nonexistent"), sha256, size)

    def store(self, prelude: str = "", data: bytes = BINARY) -> str:
        return self.ask(self.script.store(MARK, HASH, self.remote_tmp), data, prelude)

    def run_temporary(self) -> str:
        return self.ask(self.script.run_temporary(MARK, self.remote_tmp, ""))

    def assertRuns(self, answer: str) -> None:
        self.assertEqual(answer, "begin\nran - input \n\nend 0\n", self.errors)

    def assertMissing(self, answer: str) -> None:
        self.assertEqual(answer, f"missing Linux {lab.ARCH}\n", self.errors)

    def test_every_shell_stores_and_runs(self) -> None:
        for name, self.shell in SHELLS.items():
            with self.subTest(name):
                shutil.rmtree(self.home / ".cache", ignore_errors=True)
                self.assertMissing(self.run_cached())
                self.assertEqual(self.store(), "stored\n", self.errors)
                self.assertRuns(self.run_cached())

    def test_commands_survive_every_login_shell(self) -> None:
        commands = (
            self.script.run_cached(MARK, {"s390x": self.build(HASH, 1)}, ""),
            self.script.store(MARK, HASH, "~/.ansible/tmp"),
            self.script.run_temporary(MARK, "~/.ansible/tmp", ""),
        )
        for command in commands:
            self.assertNotRegex(command, r"['\\!\n]| #")

    def test_what_is_stored_belongs_to_the_user_alone(self) -> None:
        self.store()
        self.assertEqual(self.cache.stat().st_mode & 0o7777, 0o700)
        self.assertEqual((self.cache / HASH).stat().st_mode & 0o7777, 0o700)
        self.assertEqual([path.name for path in self.cache.iterdir()], [HASH])

    def test_the_environment_is_the_modules_alone(self) -> None:
        self.store()
        self.assertEqual(self.run_cached(environment="X='a  $b'"), "begin\nran - input a  $b\n\nend 0\n")

    def test_a_changed_file_in_the_cache_is_not_run(self) -> None:
        self.store()
        (self.cache / HASH).write_text("#!/bin/sh\necho evil\n")
        self.assertMissing(self.run_cached())
        self.assertEqual(self.store(), "stored\n")
        self.assertRuns(self.run_cached())

    def test_a_file_in_the_cache_that_others_could_have_changed_is_not_run(self) -> None:
        self.store()
        for mode in (0o770, 0o707, 0o755):
            (self.cache / HASH).chmod(mode)
            with self.subTest(oct(mode)):
                self.assertMissing(self.run_cached())
        (self.cache / HASH).chmod(0o700)
        self.assertRuns(self.run_cached())

    def test_the_sign_of_a_security_context_or_a_list_of_rights_does_not_disturb(self) -> None:
        # GNU ls writes a dot, a plus or an at sign behind the mode, on each line of SELinux systems.
        self.store()
        for sign in ".+@":
            with self.subTest(sign):
                self.assertRuns(self.run_cached(prelude=f'ls() {{ command ls "$@" | sed "s/^[^ ]*/&{sign}/"; }}; '))

    def test_a_file_in_the_cache_of_another_length_is_not_run(self) -> None:
        self.store()
        for content in (BINARY[:-1], BINARY + b"\n", b""):
            (self.cache / HASH).write_bytes(content)
            with self.subTest(content):
                self.assertMissing(self.run_cached())

    def test_a_file_in_the_cache_that_cannot_be_executed_is_missing(self) -> None:
        self.store()
        (self.cache / HASH).chmod(0o600)
        self.assertMissing(self.run_cached())

    def test_a_link_in_the_cache_is_judged_by_what_it_leads_to(self) -> None:
        self.store()
        (self.cache / HASH).unlink()
        (self.cache / HASH).symlink_to("/bin/echo")
        self.assertMissing(self.run_cached())

    def test_a_cache_that_others_could_write_to_is_not_used(self) -> None:
        self.store()
        for path in (self.cache, self.cache.parent, self.home):
            for mode in (0o770, 0o707):
                with self.subTest(path=path, mode=oct(mode)):
                    path.chmod(mode)
                    self.assertMissing(self.run_cached())
                    path.chmod(0o700)
        self.assertRuns(self.run_cached())

    def test_a_cache_that_others_may_read_is_not_used(self) -> None:
        self.store()
        self.cache.chmod(0o755)
        self.assertMissing(self.run_cached())

    def test_a_cache_that_is_a_link_is_not_used(self) -> None:
        self.store()
        self.cache.rename(self.root / "elsewhere")
        self.cache.symlink_to(self.root / "elsewhere")
        self.assertMissing(self.run_cached())

    def test_a_cache_below_a_link_is_not_used(self) -> None:
        self.store()
        self.cache.parent.rename(self.root / "elsewhere")
        self.cache.parent.symlink_to(self.root / "elsewhere")
        self.assertMissing(self.run_cached())

    def test_a_home_below_a_link_is_used_where_it_really_is(self) -> None:
        (self.root / "link").symlink_to(self.home)
        self.home = self.root / "link"
        self.assertEqual(self.store(), "stored\n")
        self.assertRuns(self.run_cached())
        self.assertEqual(list(self.shared.iterdir()), [])

    def test_nothing_is_stored_behind_a_link(self) -> None:
        elsewhere = self.root / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        for link in (self.cache, self.cache.parent):
            with self.subTest(link):
                shutil.rmtree(self.home)
                link.parent.mkdir(mode=0o700, parents=True)
                link.symlink_to(elsewhere)
                self.store()
                self.assertEqual(list(elsewhere.iterdir()), [])

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a folder away")
    def test_a_cache_of_another_user_is_not_used(self) -> None:
        self.store()
        for path in (self.cache, self.cache.parent, self.home):
            with self.subTest(path):
                os.chown(path, 65534, 65534)
                self.assertMissing(self.run_cached())
                os.chown(path, 0, 0)
        self.assertRuns(self.run_cached())

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a folder away")
    def test_nothing_is_made_in_another_users_home(self) -> None:
        os.chown(self.home, 65534, 65534)
        for prelude in ("", self.without_hashes):
            self.store(prelude)
            self.assertEqual(list(self.home.iterdir()), [])
        self.cache.parent.mkdir()
        os.chown(self.cache.parent, 65534, 65534)
        self.store()
        self.assertEqual(list(self.cache.parent.iterdir()), [])

    def test_without_a_home_the_users_own_shared_folder_serves(self) -> None:
        self.home = Path("/nonexistent")
        self.assertEqual(self.store(), "stored\n", self.errors)
        self.assertRuns(self.run_cached())

    def test_a_shared_folder_that_is_not_sticky_is_not_used(self) -> None:
        self.home = Path("/nonexistent")
        self.store()
        self.shared.chmod(0o777)
        self.assertMissing(self.run_cached())

    def test_without_sha256sum_nothing_is_kept(self) -> None:
        self.assertEqual(self.store(self.without_hashes), "temporary\n", self.errors)
        self.assertFalse(self.cache.exists())
        self.assertRuns(self.run_temporary())
        self.assertEqual(list((self.home / ".ansible" / "tmp").iterdir()), [])

    def test_without_sha256sum_a_cached_file_is_not_run(self) -> None:
        self.store()
        self.assertMissing(self.run_cached(prelude=self.without_hashes))

    def test_without_ls_nothing_is_trusted(self) -> None:
        self.store()
        self.assertMissing(self.run_cached(prelude="ls() { return 127; }; "))

    def test_a_folder_that_ls_does_not_list_is_not_trusted(self) -> None:
        self.store()
        self.assertMissing(self.run_cached(prelude="ls() { command ls $* | head -n -1; }; "))

    def test_a_configured_remote_tmp_is_the_first_temporary_folder(self) -> None:
        self.remote_tmp = f"{self.root}/own tmp"
        self.assertEqual(self.store(self.without_hashes), "temporary\n", self.errors)
        self.assertEqual([path.name for path in (self.root / "own tmp").iterdir()], [MARK])
        self.assertRuns(self.run_temporary())
        self.assertEqual(list((self.root / "own tmp").iterdir()), [])

    def test_a_remote_tmp_that_others_could_write_to_is_not_used(self) -> None:
        (self.root / "open").mkdir()
        (self.root / "open").chmod(0o777)
        self.remote_tmp = f"{self.root}/open"
        self.assertEqual(self.store(self.without_hashes), "temporary\n", self.errors)
        self.assertEqual(list((self.root / "open").iterdir()), [])
        self.assertRuns(self.run_temporary())

    def test_a_temporary_folder_that_somebody_else_made_is_not_used(self) -> None:
        self.home = Path("/nonexistent")
        self.store(self.without_hashes)
        self.remote_tmp = f"{self.root}/first"
        planted = self.root / "first" / MARK / f".{MARK}"
        planted.parent.mkdir(parents=True)
        planted.parent.chmod(0o777)
        planted.write_text("#!/bin/sh\necho evil\n")
        planted.chmod(0o755)
        self.assertRuns(self.run_temporary())

    def test_programs_of_the_system_come_first(self) -> None:
        planted = self.root / "planted"
        planted.mkdir()
        for name in ("uname", "ls", "sha256sum"):
            (planted / name).write_text("#!/bin/sh\necho evil\n")
            (planted / name).chmod(0o755)
        self.path = f"{planted}:{self.path}"
        self.assertEqual(self.store(), "stored\n", self.errors)
        self.assertRuns(self.run_cached())

    def test_a_remote_tmp_with_a_command_in_it_is_not_obeyed(self) -> None:
        self.remote_tmp = "$(touch evil)`touch evil`/tmp"
        self.assertEqual(self.store(self.without_hashes), "temporary\n", self.errors)
        self.assertEqual([path.name for path in (self.home / ".ansible/tmp").iterdir()], [MARK])

    def test_where_nothing_may_be_executed_nothing_is_stored(self) -> None:
        # Stands for a noexec mount, which a test cannot make everywhere.
        answer = self.store("chmod() { return 1; }; ")
        self.assertEqual(answer, "nowhere\n", self.errors)
        self.assertEqual([*self.cache.iterdir(), *(self.home / ".ansible/tmp").iterdir()], [])

    def test_a_transfer_that_breaks_off_leaves_nothing(self) -> None:
        self.assertEqual(self.store(data=BINARY[:-1]), "broken\n")
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_what_a_killed_transfer_left_goes_with_the_next_good_one(self) -> None:
        self.store()
        old, fresh, other = (self.cache / name for name in (f".{MARK}0", f".{MARK}1", "kept"))
        for file in (old, fresh, other):
            file.write_bytes(b"part")
        for file in (old, other):
            os.utime(file, (1, 1))
        self.assertEqual(self.store(data=BINARY[:-1]), "broken\n")
        self.assertTrue(old.exists())
        self.assertEqual(self.store(), "stored\n", self.errors)
        self.assertEqual((old.exists(), fresh.exists(), other.exists()), (False, True, True))

    def test_an_architecture_without_build_is_named(self) -> None:
        command = self.script.run_cached(MARK, {"vax": self.build(HASH, 1)}, "")
        self.assertEqual(self.ask(command), f"no_build Linux {lab.ARCH}\n")

    def test_the_exit_status_is_told_and_not_taken_over(self) -> None:
        for ending, status in (("exit 255", 255), ("kill -9 $$", 137), ("exit 1", 1)):
            with self.subTest(ending):
                binary = f"#!/bin/sh\necho x\n{ending}\n".encode()
                sha256 = hashlib.sha256(binary).hexdigest()
                self.ask(self.script.store(MARK, sha256, "~/.ansible/tmp"), binary)
                answer = self.ask(self.script.run_cached(MARK, {lab.ARCH: self.build(sha256, len(binary))}, ""))
                self.assertEqual(answer, f"begin\nx\n\nend {status}\n")

    def test_input_is_read_to_its_end_even_by_nobody(self) -> None:
        # subprocess raises no error for a broken pipe, ssh does: so the shell is asked how it left its input.
        left = re.compile(r"left (\d+)")
        binary = b"#!/bin/sh\nexit 1\n"
        sha256 = hashlib.sha256(binary).hexdigest()
        self.ask(self.script.store(MARK, sha256, "~/.ansible/tmp"), binary)
        for arch, wanted in (("vax", HASH), (lab.ARCH, HASH), (lab.ARCH, sha256)):
            command = self.script.run_cached(MARK, {arch: self.build(wanted, len(binary))}, "")
            answer = self.ask(f"{command}; echo left $(wc -c)", b"x" * 500_000)
            self.assertEqual(left.findall(answer), ["0"])


if __name__ == "__main__":
    unittest.main()
