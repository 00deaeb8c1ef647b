# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on a target without Python: what is accepted, and the shell commands in every shell that is there."""

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
import test_target_script

MARK = "seguest.pv-0123456789abcdef"
DATA = b"some\x00bytes\n"
HASH = hashlib.sha256(DATA).hexdigest()


def setUpModule() -> None:
    lab.import_collection()


class Options(unittest.TestCase):
    def refused(self, because: str, **options: Any) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils.failure import Failure
        from ansible_collections.seguest.pv.plugins.plugin_utils.guest_files import parse

        with self.assertRaises(Failure) as caught:
            parse(options)
        self.assertEqual(caught.exception.code, "args.invalid")
        self.assertIn(because, caught.exception.detail)

    def test_only_plain_absolute_paths_are_taken(self) -> None:
        for dest in ("x", "/", "/a/../b", "/a/./b", "/a b", "/a'b", "/$(id)", "/a\nb", "/a;b", "//a", "/a/", None):
            with self.subTest(dest):
                self.refused("no absolute path of plain names", files=[{"dest": dest, "content": "x"}])

    def test_contradictions_and_unknown_options_are_named(self) -> None:
        self.refused("exactly one of", files=[{"dest": "/a"}])
        self.refused("exactly one of", files=[{"dest": "/a", "content": "", "link": "b"}])
        self.refused("do not exist: owner", files=[{"dest": "/a", "content": "", "owner": "x"}])
        self.refused("the same dest", files=[{"dest": "/a", "content": ""}, {"dest": "/a", "state": "absent"}])
        self.refused("no path of plain names", files=[{"dest": "/a", "link": "b;c"}])
        for files in (None, "x", ["x"]):
            self.refused("a list of dictionaries", files=files)
        self.refused("file", file=[], files=[])

    def test_nobody_else_may_ever_write_such_a_file(self) -> None:
        for mode in ("0666", "0620", "644", "0o600", "u=rw", 420, "04755"):
            with self.subTest(mode):
                self.refused("lets only the owner write", files=[{"dest": "/a", "content": "", "mode": mode}])


class Commands(unittest.TestCase):
    def setUp(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import target_files

        self.commands = target_files
        # Not below /tmp itself: it may be anybody's, and this must be a folder that only its owner can change.
        self.root = Path(tempfile.mkdtemp(prefix="seguest-files-")).resolve()
        self.addCleanup(shutil.rmtree, self.root)
        self.file = self.root / "new" / "file"

    def run_in(self, shell: list[str], command: str, data: bytes = b"") -> str:
        done = subprocess.run([*shell, "-c", command], input=data, capture_output=True, check=False)
        words = re.findall(rf"^{re.escape(MARK)} (.*)$", done.stdout.decode(), re.MULTILINE)
        return "\n".join(words)

    def state(self, shell: list[str], path: Path) -> str:
        return self.run_in(shell, self.commands.look(MARK, [str(path)])).partition("\nat 0 ")[2]

    def test_a_file_arrives_is_seen_and_goes_in_every_shell(self) -> None:
        for name, shell in test_target_script.SHELLS.items():
            with self.subTest(name):
                self.assertEqual(self.state(shell, self.file), "absent")
                put = self.commands.put(MARK, str(self.file), "0750", HASH)
                self.assertEqual(self.run_in(shell, put, DATA), "done")
                self.assertEqual((self.file.read_bytes(), self.file.stat().st_mode & 0o7777), (DATA, 0o750))
                self.assertEqual(self.state(shell, self.file), f"file 0750 {HASH}")
                self.assertEqual(self.run_in(shell, self.commands.remove(MARK, str(self.file))), "done")
                self.assertEqual(list(self.file.parent.iterdir()), [])
                self.assertEqual(self.run_in(shell, self.commands.link(MARK, str(self.file), "../x")), "done")
                self.assertEqual(self.state(shell, self.file), "link ../x")
                self.assertEqual(self.run_in(shell, self.commands.remove(MARK, str(self.file))), "done")

    def test_what_does_not_arrive_whole_is_not_put(self) -> None:
        for name, shell in test_target_script.SHELLS.items():
            with self.subTest(name):
                put = self.commands.put(MARK, str(self.file), "0600", HASH)
                self.assertEqual(self.run_in(shell, put, DATA[:-1]), "broken")
                self.assertEqual(list(self.file.parent.iterdir()), [])

    def test_a_link_in_its_place_is_replaced_and_never_followed(self) -> None:
        shell = test_target_script.SHELLS["sh"]
        other = self.root / "other"
        other.mkdir()
        for target in (other, other / "victim", self.root / "nowhere"):
            with self.subTest(target):
                (other / "victim").write_text("kept")
                self.file.parent.mkdir(exist_ok=True)
                self.file.unlink(missing_ok=True)
                self.file.symlink_to(target)
                put = self.commands.put(MARK, str(self.file), "0600", HASH)
                self.assertEqual(self.run_in(shell, put, DATA), "done")
                self.assertEqual((self.file.is_symlink(), self.file.read_bytes()), (False, DATA))
                self.assertEqual([path.name for path in other.iterdir()], ["victim"])
                self.assertEqual((other / "victim").read_text(), "kept")

    def test_a_folder_that_others_can_change_or_that_is_a_link_is_refused(self) -> None:
        shell = test_target_script.SHELLS["sh"]
        folder = self.file.parent
        folder.mkdir()
        folder.chmod(0o777)
        put = self.commands.put(MARK, str(self.file), "0600", HASH)
        self.assertEqual(self.run_in(shell, put, DATA), "unsafe")
        folder.chmod(0o755)
        real = self.root / "real"
        folder.rename(real)
        folder.symlink_to(real)
        self.assertEqual(self.run_in(shell, put, DATA), "unsafe")
        self.assertEqual(list(real.iterdir()), [])

    def test_a_folder_in_its_place_stays(self) -> None:
        shell = test_target_script.SHELLS["sh"]
        self.file.mkdir(parents=True)
        self.assertEqual(self.state(shell, self.file), "other")
        put = self.commands.put(MARK, str(self.file), "0600", HASH)
        self.assertEqual(self.run_in(shell, put, DATA), "occupied")
        self.assertEqual(self.run_in(shell, self.commands.remove(MARK, str(self.file))), "occupied")
        self.assertTrue(self.file.is_dir())

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a file away")
    def test_a_file_of_another_user_is_not_taken_for_ours(self) -> None:
        shell = test_target_script.SHELLS["sh"]
        self.file.parent.mkdir()
        self.file.write_bytes(DATA)
        os.chown(self.file, 54321, 54321)
        self.assertEqual(self.state(shell, self.file), "foreign")
        put = self.commands.put(MARK, str(self.file), "0600", HASH)
        self.assertEqual(self.run_in(shell, put, DATA), "done")
        self.assertEqual(self.file.stat().st_uid, 0)

    def test_commands_hold_nothing_that_a_login_shell_could_take_apart(self) -> None:
        for command in (
            self.commands.look(MARK, ["/a"]), self.commands.put(MARK, "/a", "0600", HASH),
            self.commands.link(MARK, "/a", "b"), self.commands.remove(MARK, "/a"),
        ):  # fmt: skip
            self.assertNotRegex(command, r"['\\!\n]| #")


if __name__ == "__main__":
    unittest.main()
