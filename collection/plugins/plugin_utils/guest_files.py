# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin ``guest_files``: puts files on a target that has a shell and no Python.

One command looks at all of them; then one for each that is not as it is to be.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.json import AnsibleJSONEncoder

from . import target_files, target_output
from .binaries import Build, builds_of
from .binary_module import BinaryModule, prediction
from .controller_files import MISSING, with_contents
from .failure import Failure

_PATH = re.compile(r"(/[A-Za-z0-9_.@+=,-]+)+", re.ASCII)
_LINK = re.compile(r"[A-Za-z0-9_.@+=,/-]+", re.ASCII)
_OPTIONS = {"dest", "content", "arguments", "module", "link", "mode", "state"}


@dataclass(frozen=True)
class File:
    """What is to be at one path: a file, a symbolic link, or nothing."""

    dest: str
    mode: str = ""
    content: bytes | None = None
    module: str | None = None
    link: str | None = None

    def wanted(self, builds: dict[str, Build]) -> str:
        """How target_files.look() shows it when it is as it is to be."""
        if self.link is not None:
            return f"link {self.link}"
        if self.module is None and self.content is None:
            return "absent"
        return f"file {self.mode} {hashlib.sha256(self.data(builds)).hexdigest()}"

    def data(self, builds: dict[str, Build]) -> bytes:
        """What the file holds."""
        if self.module is not None:
            return builds[self.module].path.read_bytes()
        return self.content or b""


class GuestFiles(BinaryModule):
    """See plugins/modules/guest_files.py for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, then change what is not as it is to be."""
        # Not BinaryModule's own: that runs a module on the target, and there is none here.
        super(BinaryModule, self).run(tmp, task_vars)
        self.done: list[str] = []
        try:
            return self._files()
        except Failure as failure:
            if failure.code == MISSING and self._task.check_mode:
                return prediction(failure)
            return {**failure.result(), "changed": bool(self.done)}

    def _with_arguments(self, args: dict[str, Any]) -> dict[str, Any]:
        """The options with each ``arguments`` turned into the content of a file that the module reads."""
        given = args.get("files")
        if not isinstance(given, list):
            return args
        files = []
        for one in given:
            if isinstance(one, dict) and isinstance(one.get("arguments"), dict) and one.get("state") != "absent":
                options = with_contents(str(one.get("module")), dict(one["arguments"]), self._find_file)
                rest = {key: value for key, value in one.items() if key not in ("arguments", "module")}
                one = {**rest, "content": json.dumps(options, cls=AnsibleJSONEncoder, sort_keys=True) + "\n"}
            files.append(one)
        return {**args, "files": files}

    def _files(self) -> dict[str, Any]:
        files = parse(self._with_arguments(dict(self._task.args)))
        mark = f"seguest.pv-{secrets.token_hex(8)}"
        arch, found = self._look(files, mark)
        builds = {}
        for module in {file.module for file in files if file.module is not None}:
            build = builds_of(module).get(arch.removeprefix("Linux "))
            if build is None:
                self.MODULE = module
                raise self._no_build(arch, builds_of(module))
            builds[module] = build
        wanted = [file.wanted(builds) for file in files]
        different = [at for at in range(len(files)) if found[at] != wanted[at]]
        if not self._task.check_mode:
            # What starts the others comes last in the list: it is the last to come and the first to go.
            gone = [at for at in different if wanted[at] == "absent"]
            for at in gone[::-1] + [at for at in different if at not in gone]:
                self._put(files[at], mark, builds)
                self.done.append(files[at].dest)
        result: dict[str, Any] = {
            "changed": bool(different),
            "msg": f"{len(different)} of {len(files)} files "
            f"{'would be ' if self._task.check_mode else ''}changed." if different else "Every file is as it is to be.",
            "files": [{"dest": file.dest, "changed": at in different} for at, file in enumerate(files)],
        }  # fmt: skip
        if self._task.diff:
            result["diff"] = [
                {"before_header": files[at].dest, "after_header": files[at].dest,
                 "before": f"{found[at]}\n", "after": f"{wanted[at]}\n"}
                for at in different
            ]  # fmt: skip
        return result

    def _look(self, files: list[File], mark: str) -> tuple[str, list[str]]:
        printed = self._on_target(target_files.look(mark, [file.dest for file in files]), b"")
        word, arch = target_output.answer(printed["stdout"], mark)
        lines = re.findall(rf"^{re.escape(mark)} at (\d+) ([^\r\n]{{0,300}})\r?$", printed["stdout"], re.MULTILINE)
        if word != target_files.LOOKED or [int(line[0]) for line in lines] != list(range(len(files))):
            raise self._not_put("the files there", word, printed)
        return arch, [target_output.printable(state.strip()) for _at, state in lines]

    def _put(self, file: File, mark: str, builds: dict[str, Build]) -> None:
        if file.link is not None:
            command, data = target_files.link(mark, file.dest, file.link), b""
        elif file.module is None and file.content is None:
            command, data = target_files.remove(mark, file.dest), b""
        else:
            data = file.data(builds)
            command = target_files.put(mark, file.dest, file.mode, hashlib.sha256(data).hexdigest())
        printed = self._on_target(command, data)
        word, _rest = target_output.answer(printed["stdout"], mark)
        if word != target_files.DONE:
            raise self._not_put(file.dest, word, printed)

    def _not_put(self, what: str, word: str, printed: dict[str, Any]) -> Failure:
        reason = {
            target_files.UNSAFE: "others than root could exchange it, or a folder above it is a link",
            target_files.OCCUPIED: "something that is neither a file nor a link is in its place",
            target_files.BROKEN: "what arrived is not what was sent; the disk may be full",
            target_files.NO_SUM: "there is no sha256sum",
        }.get(word, "the shell there gave no answer")
        excerpt = target_output.printable(printed["stderr"].strip()[-300:])
        return Failure(
            "module.not_sent",
            f"The guest was asked for {what}: {reason}. {excerpt}".strip(),
            "Look at the folder and its owner, run the task as root (become), and see that sha256sum is installed.",
        )


def parse(args: dict[str, Any]) -> list[File]:
    """The option ``files``.

    :raises Failure: args.invalid
    """
    unknown = args.keys() - {"files"}
    given = args.get("files")
    if unknown or not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise _invalid(
            f"guest_files takes the option files, a list of dictionaries, and not {sorted(unknown) or given}"
        )
    files = [_file(one) for one in given]
    paths = [file.dest for file in files]
    if len(set(paths)) < len(paths):
        raise _invalid("two of the files have the same dest")
    return files


def _file(given: dict[str, Any]) -> File:
    dest, mode = str(given.get("dest")), str(given.get("mode", "0600"))
    if given.keys() - _OPTIONS:
        raise _invalid(f"{dest} has options that do not exist: {', '.join(sorted(given.keys() - _OPTIONS))}")
    if not _PATH.fullmatch(dest) or any(part in (".", "..") for part in dest.split("/")):
        raise _invalid(f"dest {dest!r} is no absolute path of plain names")
    if given.get("state", "present") == "absent":
        return File(dest)
    sources = [given.get(source) for source in ("content", "module", "link")]
    if sum(source is not None for source in sources) != 1:
        raise _invalid(f"{dest} must have exactly one of content, module and link")
    content, module, link = sources
    if link is not None:
        if not _LINK.fullmatch(str(link)):
            raise _invalid(f"link {link!r} of {dest} is no path of plain names")
        return File(dest, link=str(link))
    if not re.fullmatch(r"0[0-7]{3}", mode) or int(mode, 8) & 0o022:
        raise _invalid(
            f"mode {mode!r} of {dest} is none of four octal digits, in quotes, that lets only the owner write"
        )
    if module is not None and not re.fullmatch(r"[a-z_]+", str(module)):
        raise _invalid(f"module {module!r} of {dest} is no name of a module")
    data = None if content is None else str(content).encode()
    return File(dest, mode, data, None if module is None else str(module))


def _invalid(detail: str) -> Failure:
    return Failure("args.invalid", f"{detail[0].upper()}{detail[1:]}.", "See ansible-doc seguest.pv.guest_files.")
