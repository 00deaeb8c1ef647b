# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share: a copy of the collection with made-up binaries, and a controller to run playbooks on."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
ARCH = platform.machine()
BIN = Path(sys.executable).parent


def import_collection() -> None:
    """Makes ansible_collections.seguest.pv importable from the source tree."""
    root = Path(tempfile.mkdtemp(prefix="seguest-import-"))
    unittest.addModuleCleanup(shutil.rmtree, root)
    folder = root / "ansible_collections" / "seguest"
    folder.mkdir(parents=True)
    (folder / "pv").symlink_to(REPOSITORY / "collection")
    sys.path.insert(0, str(root))


# Prints its arguments as a result, and what it was called with.
ECHO = """args=$(cat)
printf '{"changed": false, "msg": "%s %s", "secrets": %s}' "$1" "$(id -un)" "$args"
"""


class Lab(unittest.TestCase):
    """One controller, and its own machine as target, in a temporary folder of their own."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="seguest-lab-"))
        self.addCleanup(shutil.rmtree, self.root)
        # Users that a test becomes must get at the shared folder.
        self.root.chmod(0o711)
        self.home = self.root / "home"
        self.home.mkdir(mode=0o700)
        self.cache = self.home / ".cache" / "seguest.pv"
        self.shared = self.root / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)
        self.collection = self.root / "ansible_collections" / "seguest" / "pv"
        shutil.copytree(REPOSITORY / "collection", self.collection, ignore=shutil.ignore_patterns("files"))
        self._keep_within("/var/cache/seguest.pv", f"{self.root}/system/seguest.pv")
        self._keep_within("/tmp/seguest.pv-$(", f"{self.shared}/seguest.pv-$(")
        self._keep_within("/var/tmp /tmp", str(self.shared))
        self.inventory: dict[str, Any] = {"all": {"hosts": {"target": {"ansible_connection": "local"}}}}
        self.environment: dict[str, str] = {}

    def _keep_within(self, path: str, replacement: str) -> None:
        """Lets the copy use a folder of the lab instead of one of the machine."""
        scripts = [*(self.collection / "plugins" / "plugin_utils" / "shell").glob("*.sh")]
        named = [script for script in scripts if path in script.read_text()]
        assert named, path
        for script in named:
            script.write_text(script.read_text().replace(path, replacement))

    def binary(self, module: str, script: str, arch: str = ARCH) -> Path:
        """Makes a shell script the binary of a module."""
        path = self.collection / "files" / arch / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def answering(self, module: str, result: Any, before: str = "cat >/dev/null") -> Path:
        """A binary that reads its arguments and prints this result."""
        text = result if isinstance(result, str) else json.dumps(result)
        return self.binary(module, f"{before}\ncat <<'RESULT'\n{text}\nRESULT")

    def play(self, *tasks: dict[str, Any], args: tuple[str, ...] = (), **play: Any) -> list[dict[str, Any]]:
        """Runs tasks on the target; returns what the recorder wrote, one entry for each result."""
        return self.playbook([{"hosts": "all", "gather_facts": False, **play, "tasks": list(tasks)}], args=args)

    def playbook(self, plays: list[dict[str, Any]], args: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        book = self.root / "book.yml"
        book.write_text(yaml.safe_dump(plays, sort_keys=False))
        results = self.run_book(str(book), args)
        self.assertTrue(results, self.output)
        return results

    def run_book(self, book: str, args: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Runs a playbook, a file or one of the collection; ``code`` is its exit code."""
        record = self.root / "record"
        record.write_text("")
        (self.root / "inventory.yml").write_text(yaml.safe_dump(self.inventory))
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "HOME": str(self.home),
            "RECORDER_FILE": str(record),
            "ANSIBLE_COLLECTIONS_PATH": str(self.root),
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "recorder",
            "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection_plugins"),
            "ANSIBLE_LOCAL_TEMP": str(self.root / "controller-tmp"),
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "ANSIBLE_DEVEL_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            **self.environment,
        }
        command = [str(BIN / "ansible-playbook"), "-i", str(self.root / "inventory.yml"), *args, book]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, cwd=self.root, check=False
        )
        self.output, self.code = done.stdout + done.stderr, done.returncode
        return [json.loads(line) for line in record.read_text().splitlines()]

    def one(self, *tasks: dict[str, Any], **options: Any) -> dict[str, Any]:
        """The last result of these tasks, without what surrounds it."""
        result: dict[str, Any] = self.play(*tasks, **options)[-1]["result"]
        return result
