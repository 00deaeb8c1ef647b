# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages for people: each command of theirs is run, or it is said here why not; what they name exists."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab
import yaml

DOCS = lab.REPOSITORY / "collection/docs"
PLAYBOOKS = lab.REPOSITORY / "playbooks"
# What they are about is tried on simulated guests by tests/playbook; here it is that they can be typed.
PAGES = ("attestation", "backup", "from-pvsecret", "monitoring", "rotation", "upgrade")
PLAYBOOK = re.compile(r"ansible-playbook seguest\.pv\.\w.*")
# What begins a block in a page, and the test that runs it or why none does. Blocks of playbook commands alone need no line here.
OTHERS: dict[str, dict[str, str]] = {
    "attestation": {},
    "backup": {
        "umask 077": "test_what_is_backed_up_is_restored_with_its_modes",
        "openssl cms -decrypt": "test_what_is_backed_up_is_restored_with_its_modes",
    },
    "from-pvsecret": {
        "install -d -m 0700": "test_an_adopted_secret_is_where_the_playbooks_look_for_it",
        "provision_queues_src:": "test_variables_in_the_pages_are_read",
    },
    "monitoring": {
        "[Unit]\nDescription=Ask how": "test_systemd_understands_the_units",
        "[Unit]\nDescription=Ask every night": "test_systemd_understands_the_units",
        "systemctl daemon-reload": "not run: it needs systemd to be the machine's init",
        "jq -r": "test_alerts_are_made_of_a_summary",
        "import json": "test_alerts_are_made_of_a_summary",
        "python3 alert.py": "test_alerts_are_made_of_a_summary",
    },
    "rotation": {
        "ansible guest1 --become -m seguest.pv.ap_bind": "test_modules_on_the_command_line_get_what_is_typed",
        "cd /var/lib/seguest/secrets": "test_a_secrets_new_value_is_private_and_the_old_one_is_kept",
        "provision_secrets:": "test_variables_in_the_pages_are_read",
    },
    "upgrade": {"ansible-galaxy collection install": "test_the_collection_is_installed_as_the_page_says"},
}
# Names that a page says are gone.
GONE = {
    "provision_common_secret", "provision_own_secret", "provision_requests", "rotate_requests",
    "compliance_secrets", "compliance_queues", "compliance_locked", "compliance_host_key_hashes",
}  # fmt: skip


def setUpModule() -> None:
    lab.import_collection()


def part(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.seguest.pv.plugins.plugin_utils.{name}")


def text(page: str) -> str:
    return (DOCS / f"{page}.md").read_text()


def blocks(page: str) -> list[str]:
    """What is between fences in a text, without what it is indented by."""
    found = re.findall(r"^( *)```\w*\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def commands() -> Iterator[str]:
    """Each command line of each page that runs a playbook of the collection, in a block, a unit or a sentence."""
    pages = [*DOCS.glob("*.md"), lab.REPOSITORY / "README.md", lab.REPOSITORY / "collection/README.md"]
    for page in sorted(pages):
        whole = page.read_text()
        for block in blocks(whole):
            lines = (line.removeprefix("ExecStart=/usr/bin/").strip() for line in block.splitlines())
            yield from (line for line in lines if line.startswith("ansible-playbook seguest.pv."))
        prose = re.sub(r"```.*?```", "", whole, flags=re.DOTALL)
        yield from (span for span in re.findall(r"`([^`]+)`", prose) if PLAYBOOK.fullmatch(span))


def variables(arguments: list[str]) -> list[str]:
    """The names that are set by -e."""
    given = [after for option, after in itertools.pairwise(arguments) if option == "-e"]
    return [name for each in given for name in (json.loads(each) if each.startswith("{") else [each.split("=")[0]])]


def is_read(book: str, name: str) -> bool:
    """Whether the collection reads a variable in a run of this playbook."""
    if name.startswith("provision_"):
        return name in part("fleet")._NAMES
    return bool(re.search(rf"\b{name} (\| default\(|is defined)", (PLAYBOOKS / f"{book}.yml").read_text()))


class Names(unittest.TestCase):
    """That the pages name nothing that does not exist."""

    def test_each_block_of_a_page_is_run_by_a_test_or_says_why_not(self) -> None:
        tests = {name for case in (Names, Files, Running) for name in dir(case) if name.startswith("test_")}
        for page, known in OTHERS.items():
            left = dict(known)
            for block in blocks(text(page)):
                if all(line.startswith("ansible-playbook seguest.pv.") for line in block.splitlines()):
                    continue
                shown = block.removeprefix("cd /\n")
                begins = [begin for begin in known if shown.startswith(begin)]
                self.assertEqual(len(begins), 1, f"{page}: no test is named for\n{block}")
                left.pop(begins[0], None)
            self.assertEqual(left, {}, page)
            for how in known.values():
                self.assertTrue(how in tests or how.startswith("not run: "), how)
        self.assertEqual(set(OTHERS), set(PAGES))

    def test_variables_in_the_pages_are_read(self) -> None:
        everything = "".join(book.read_text() for book in PLAYBOOKS.rglob("*.yml"))
        for page in PAGES:
            names = set(re.findall(r"\b(?:provision|compliance|rotate|retire)_[a-z_]+\b", text(page)))
            for name in names - GONE:
                found = name in part("fleet")._NAMES or (not name.startswith("provision_") and name in everything)
                self.assertTrue(found, f"{page}: {name}")
            for block in blocks(text(page)):
                if block.startswith("provision_"):
                    self.assertLessEqual(set(yaml.safe_load(block)), part("fleet")._NAMES)
        self.assertFalse(GONE & set(part("fleet")._NAMES))
        secrets = next(block for block in blocks(text("rotation")) if block.startswith("provision_secrets"))
        options = part("options").OPTIONS["secret_request"]
        self.assertTrue(all(set(each) <= set(options) for each in yaml.safe_load(secrets)["provision_secrets"]))

    def test_error_codes_in_the_pages_exist(self) -> None:
        known = set(re.findall(r"^\| `([a-z]+\.[a-z0-9_]+)` \|", text("error-codes"), re.MULTILINE))
        areas = "|".join({code.split(".")[0] for code in known})
        for page in PAGES:
            named = set(re.findall(rf"`((?:{areas})\.[a-z0-9_]+)`", text(page)))
            self.assertLessEqual(named, known, page)

    def test_options_of_modules_in_the_table_for_pvsecret_exist(self) -> None:
        options = {name for module in part("options").OPTIONS.values() for name in module} - {"requests"}
        rows = [row.split("|") for row in text("from-pvsecret").splitlines() if row.startswith("| `") or "| `" in row]
        for row in rows:
            for name in re.findall(r"`([a-z_]+)(?:: [^`]*)?`", row[2]):
                self.assertIn(name, {*options, *part("options").OPTIONS}, row)

    def test_links_lead_somewhere(self) -> None:
        for page in PAGES:
            for link in re.findall(r"\]\(([^)]+)\)", text(page)):
                path, _, anchor = link.partition("#")
                target = (DOCS / (path or f"{page}.md")).resolve()
                self.assertTrue(target.exists(), f"{page}: {link}")
                headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
                self.assertTrue(not anchor or anchor in anchors, f"{page}: {link}")

    def test_the_example_names_all_three_revocation_lists_and_the_cck(self) -> None:
        example = yaml.safe_load((PLAYBOOKS / "inventory/group_vars/all.yml").read_text())
        self.assertEqual((len(example["provision_certificates"]), len(set(example["provision_crls"]))), (2, 3))
        self.assertIn("provision_cck_file", example)
        self.assertLessEqual(set(example), part("fleet")._NAMES)


class Files(unittest.TestCase):
    """Commands of the pages in a folder in place of the machine's root."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="seguest-pages-"))
        self.addCleanup(shutil.rmtree, self.root)

    def block(self, page: str, begin: str) -> str:
        """The block of a page that has this line's beginning, for the folder in place of the root."""
        found = [block for block in blocks(text(page)) if re.search(rf"^{re.escape(begin)}", block, re.MULTILINE)]
        self.assertEqual(len(found), 1, begin)
        return re.sub(r"(^|(?<=[\s=]))/(?=root|var|etc|$)", f"{self.root}/", found[0], flags=re.MULTILINE)

    def shell(self, lines: str, **environment: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", lines], cwd=self.root, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, f"{lines}\n{done.stdout}{done.stderr}")
        return done.stdout

    def private(self, path: str, content: bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o600)
        return file

    def tree(self) -> dict[str, tuple[int, bytes]]:
        files = [file for top in ("var", "etc", "root/.local", "root/fleet") for file in (self.root / top).rglob("*")]
        return {
            str(file.relative_to(self.root)): (file.stat().st_mode, file.read_bytes() if file.is_file() else b"")
            for file in files
        }

    def test_what_is_backed_up_is_restored_with_its_modes(self) -> None:
        secret = os.urandom(32)
        self.private("var/lib/seguest/secrets/cluster_key", secret)
        request = self.private("var/lib/seguest/requests/guest.img-01234567/cluster_key.request", b"request")
        request.with_name("cluster_key.yaml").write_text("name: cluster key\n")
        self.private("root/.local/state/seguest-pv/manifest.key", os.urandom(32))
        self.private("etc/seguest/cck", os.urandom(32))
        (self.root / "root/fleet").mkdir()
        (self.root / "root/fleet/ansible.cfg").write_text("[defaults]\ninventory = inventory\n")
        self.shell(
            "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=backup -keyout root/backup.key -out root/backup.crt"
        )
        before = self.tree()
        self.shell(self.block("backup", "umask 077"))
        kept = self.root / "root/seguest.backup"
        self.assertEqual(kept.stat().st_mode & 0o077, 0)
        self.assertNotIn(secret, kept.read_bytes())
        for top in ("var", "etc", "root/.local", "root/fleet"):
            shutil.rmtree(self.root / top)
        self.shell(self.block("backup", "openssl cms -decrypt"))
        self.assertEqual(self.tree(), before)

    def test_an_adopted_secret_is_where_the_playbooks_look_for_it(self) -> None:
        (self.root / "hsm-common.secret").write_bytes(os.urandom(32))
        # The folder that the others are in is there on every machine.
        (self.root / "var/lib").mkdir(parents=True)
        self.assertEqual(self.shell(self.block("from-pvsecret", "install -d -m 0700")), "32 600\n")
        name = part("request_files").file_name({"name": "cluster key"})
        self.assertTrue((self.root / "var/lib/seguest/secrets" / name).is_file())

    def test_a_secrets_new_value_is_private_and_the_old_one_is_kept(self) -> None:
        secret = self.private("var/lib/seguest/secrets/cluster_key", b"o" * 32)
        (self.root / "root").mkdir()
        self.shell(self.block("rotation", "cd /var/lib/seguest/secrets"))
        old = self.root / "root/cluster_key.old"
        self.assertEqual((old.read_bytes(), old.stat().st_mode & 0o777), (b"o" * 32, 0o600))
        self.assertEqual((len(secret.read_bytes()), secret.stat().st_mode & 0o777), (32, 0o600))
        self.assertNotEqual(secret.read_bytes(), b"o" * 32)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_systemd_understands_the_units(self) -> None:
        (self.root / "root/fleet").mkdir(parents=True)
        for kind, begin in (("service", "Description=Ask how"), ("timer", "Description=Ask every night")):
            unit = self.block("monitoring", begin).replace(
                "/usr/bin/ansible-playbook", str(lab.BIN / "ansible-playbook")
            )
            (self.root / f"seguest-compliance.{kind}").write_text(unit)
        said = self.shell(
            "systemd-analyze verify --man=no ./seguest-compliance.service ./seguest-compliance.timer 2>&1"
        )
        self.assertNotIn("seguest-compliance", said)

    def test_alerts_are_made_of_a_summary(self) -> None:
        lost = {"failed": True, "error": {"code": "request.secret_missing", "detail": "It is gone.", "hint": None}}
        noted = {"changed": True, "noted": ["The value may differ. [uv.secret_may_differ]"]}
        answers = {"a": lost, "b": {"unreachable": True, "msg": "no route"}, "c": noted, "d": lost, "e": {}}
        told = part("summary").summary(answers, answers, check_mode=True)
        folder = self.root / "var/lib/seguest-reports"
        folder.mkdir(parents=True)
        (folder / "check.json").write_text(json.dumps(told))
        (self.root / "alert.py").write_text(self.block("monitoring", "import json"))
        alert = self.block("monitoring", "python3 alert.py").replace("python3", sys.executable)
        expected = [
            "now request.secret_missing a,d",
            "today unreachable b",
            "today would_change c",
            "note uv.secret_may_differ c",
        ]
        self.assertEqual(self.shell(f"{alert.strip()} || test $? = 1").splitlines(), expected)
        if shutil.which("jq"):
            lines = self.shell(self.block("monitoring", "jq -r")).splitlines()
            self.assertEqual(lines, ["request.secret_missing: a, d", "unreachable: b"])
        fields = set(
            re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| (`.*?) \|", text("monitoring"), re.MULTILINE)))
        )
        self.assertLessEqual(set(told), fields)

    def test_the_collection_is_installed_as_the_page_says(self) -> None:
        path = f"{lab.BIN}:{os.environ['PATH']}"
        home = {"HOME": str(self.root), "PATH": path, "ANSIBLE_COLLECTIONS_PATH": f"{self.root}/.ansible/collections"}
        self.shell(f"ansible-galaxy collection build --output-path . {lab.REPOSITORY}/collection", **home)
        said = self.shell(self.block("upgrade", "ansible-galaxy collection install"), **home)
        version = yaml.safe_load((lab.REPOSITORY / "collection/galaxy.yml").read_text())["version"]
        self.assertRegex(said, rf"seguest\.pv +{re.escape(version)}")


class Running(lab.Lab):
    """Commands of the pages with the Ansible of a controller of their own."""

    def setUp(self) -> None:
        super().setUp()
        shutil.copytree(PLAYBOOKS, self.collection / "playbooks")
        local = {"ansible_connection": "local", "ansible_become": False}
        groups = {"trusted": {"hosts": {"localhost": local}}, "guests": {"hosts": {"guest1": local, "guest2": local}}}
        self.inventory = {"all": {"children": groups}}

    def test_each_playbook_command_can_be_typed(self) -> None:
        found = sorted(set(commands()))
        self.assertGreater(len(found), 10)
        # Ansible takes seconds to start: what is typed for one playbook and the same hosts is looked at in one go.
        together: dict[tuple[str, str], list[str]] = {}
        for line in found:
            _, book, *arguments = shlex.split(line)
            name = book.removeprefix("seguest.pv.")
            self.assertTrue((PLAYBOOKS / f"{name}.yml").is_file(), line)
            for variable in variables(arguments):
                self.assertTrue(is_read(name, variable), line)
            limit = arguments[arguments.index("--limit") + 1] if "--limit" in arguments else ""
            together.setdefault((book, limit), []).extend(arguments)
        for (book, _), arguments in together.items():
            self.run_book(book, (*arguments, "--syntax-check"))
            self.assertEqual(self.code, 0, f"{book} {arguments}\n{self.output}")

    def test_what_is_typed_wrongly_is_noticed(self) -> None:
        self.assertFalse(is_read("provision", "provision_imge"))
        self.assertFalse(is_read("compliance", "compliance_foldr"))
        self.assertFalse(is_read("rotate", "rotate_requests"))
        self.run_book("seguest.pv.provison", ("--syntax-check",))
        self.assertNotEqual(self.code, 0)

    def test_modules_on_the_command_line_get_what_is_typed(self) -> None:
        typed = [
            line
            for page in PAGES
            for block in blocks(text(page))
            for line in block.splitlines()
            if line.startswith("ansible ")
        ]
        self.assertEqual(len(typed), 1)
        (self.root / "inventory.yml").write_text(yaml.safe_dump(self.inventory))
        for line in typed:
            words = shlex.split(line)
            module = words[words.index("-m") + 1].removeprefix("seguest.pv.")
            options = dict(each.split("=") for each in words[words.index("-a") + 1].split())
            self.assertLessEqual(set(options), set(part("options").OPTIONS[module]))
            self.answering(module, {"changed": True}, before=f"cat >{self.root}/asked")
            done = subprocess.run(
                [str(lab.BIN / words[0]), "-i", str(self.root / "inventory.yml"), *words[1:]],
                # Whoever runs the tests may not become root, and need not.
                env={**os.environ, "HOME": str(self.home), "ANSIBLE_COLLECTIONS_PATH": str(self.root)},
                capture_output=True, text=True, timeout=120, cwd=self.root, check=False,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            asked = json.loads((self.root / "asked").read_text())
            self.assertEqual({name: str(asked[name]).lower() for name in options}, options)

    def test_exit_codes_are_those_of_the_page(self) -> None:
        gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        self.inventory = {"all": {"hosts": {"good": {"ansible_connection": "local"}, "gone": gone}}}
        failing = {"ansible.builtin.fail": {}, "when": "inventory_hostname == 'good'"}
        asking = {"ansible.builtin.raw": "true"}
        for tasks, arguments, code in (
            ([asking], ("--limit", "good"), 0),
            ([failing], ("--limit", "good"), 2),
            ([asking], (), 4),
            # The one hides the other.
            ([failing, asking], (), 4),
            ([asking], ("--no-such-option",), 2),
            ([asking], ("-e", "@/nonexistent"), 1),
            ([asking], ("-e", "{broken"), 4),
        ):
            book = self.root / "book.yml"
            book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
            self.run_book(str(book), tuple(arguments))
            self.assertEqual(self.code, code, (arguments, self.output))


if __name__ == "__main__":
    unittest.main()
