# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin behind every module: run the compiled module on the target.

One round trip, if the target has the binary already: one shell command picks it by architecture from a cache that
belongs to the effective user, and runs it with the arguments on standard input. So no argument ever lies on
the target's disk or in its list of processes, and no Python is needed there.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound, AnsibleValueOmittedError
from ansible.module_utils.common.json import AnsibleJSONEncoder
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from . import target_output, target_script
from .binaries import Build, builds_of
from .controller_files import MISSING, as_list, with_contents
from .failure import Failure
from .masking import register_secrets_of
from .options import OPTIONS
from .results import RESULT_KEYS
from .text import printable

_CONNECTION_ERROR = 2000  # characters
_BEGINNING = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class BinaryModule(ActionBase):
    """Subclasses only say which module they are."""

    MODULE: str
    # The result that is a list with an entry for each of many, which have nothing to do with each other.
    BATCH: str = ""

    TRANSFERS_FILES = False  # Ansible need not make a temporary folder
    _supports_check_mode = True
    _supports_async = False  # looking after an asynchronous task needs Python on the target

    def __init_subclass__(cls) -> None:
        # Ansible loads the class before it forks a worker for each host and task: what is read and hashed here is known to all.
        if module := getattr(cls, "MODULE", None):
            with contextlib.suppress(OSError):
                target_script.run_cached("", builds_of(module), "")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; what it says, or why it cannot run, is the task's result."""
        super().run(tmp, task_vars)
        # In check mode an earlier task of the play may still make what is missing.
        not_yet: list[Failure] | None = [] if self._task.check_mode else None
        try:
            options, arguments = self._arguments(task_vars or {}, not_yet)
            result = self._run_module(arguments)
        except Failure as failure:
            if failure.code == MISSING and not failure.final and self._task.check_mode:
                return prediction(failure)
            return failure.result()
        if not_yet:
            result["warnings"] = [*result.get("warnings", []), *(missing.warning() for missing in not_yet)]
        if _is_true(options.get("note_warnings")):
            result["noted"] = result.pop("warnings", [])
        return _only_failed(result, options, self.BATCH) if self.BATCH else result

    def _arguments(self, task_vars: dict[str, Any], not_yet: list[Failure] | None) -> tuple[dict[str, Any], bytes]:
        """The options as they are given, and all that goes to the module."""
        of_role = self._variables_of_role(task_vars)
        given, variables = self._with_variables(dict(self._task.args), task_vars, of_role)
        register_secrets_of(self.MODULE, given)
        args = with_contents(self.MODULE, given, self._find_file, not_yet)
        self._update_module_args(f"seguest.pv.{self.MODULE}", args, task_vars)
        # From 2.21 on, ansible-core itself looks at this variable, and says whether the result repeats the options.
        if (invocation := task_vars.get("ansible_inject_invocation")) is not None:
            args.setdefault("_ansible_inject_invocation", self._templar.template(invocation))
        if variables := {**of_role, **variables}:
            # So that messages name what the user has set.
            args["_ansible_seguest_variables"] = variables
        # The encoder knows values from a vault and Ansible's own kinds of strings.
        return args, json.dumps(args, cls=AnsibleJSONEncoder).encode()

    def _variables_of_role(self, task_vars: dict[str, Any]) -> dict[str, str]:
        """The variables of the collection's role that are called like the module's options, those that are set."""
        if self._task._role is None or not self._task._role.get_name().startswith("seguest.pv."):
            return {}
        beginning = self._task._role.get_name(include_role_fqcn=False)
        names = {option: f"{beginning}_{option}" for option in OPTIONS[self.MODULE]}
        return {option: name for option, name in names.items() if name in task_vars}

    def _with_variables(
        self, args: dict[str, Any], task_vars: dict[str, Any], of_role: dict[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The options, with those that are taken from variables, and which of them are.

        The option variables_from names beginnings, such as `guest_`: an option that is not given is what the first variable
        says that is called so. In a role, its own variable may name them. Only variables that are set are looked at, and a role
        needs no template for the option: each saves a fleet milliseconds for each guest.
        """
        if "variables_from" not in OPTIONS[self.MODULE]:
            return args, {}
        if "variables_from" not in args and "variables_from" in of_role:
            with contextlib.suppress(AnsibleValueOmittedError):
                args["variables_from"] = self._templar.template(task_vars[of_role["variables_from"]])
        beginnings = as_list(args.pop("variables_from", None) or [])
        if beginnings is None or not all(isinstance(each, str) and _BEGINNING.fullmatch(each) for each in beginnings):
            raise Failure(
                "args.invalid",
                "The option variables_from must be a list of prefixes of variables.",
                "Give it like variables_from: [guest_].",
            )
        variables = {}
        for option in OPTIONS[self.MODULE]:
            names = [f"{beginning}{option}" for beginning in beginnings if f"{beginning}{option}" in task_vars]
            if option in args or option == "variables_from" or not names:
                continue
            with contextlib.suppress(AnsibleValueOmittedError):
                args[option] = self._templar.template(task_vars[names[0]])
                variables[option] = names[0]
        return args, variables

    def _find_file(self, src: str) -> str:
        try:
            # Like copy's src: a file from a vault is decrypted.
            return str(self._loader.get_real_file(self._find_needle("files", src)))
        except AnsibleFileNotFound as fault:
            raise Failure(
                MISSING,
                f"src: {src} is not on the controller.",
                "It is searched beside the playbook and the role, there in `files` first.",
            ) from fault

    def _run_module(self, arguments: bytes) -> dict[str, Any]:
        builds = builds_of(self.MODULE)
        mark = f"seguest.pv-{secrets.token_hex(8)}"
        environment = self._compute_environment_string()
        run_cached = target_script.run_cached(mark, builds, environment)

        printed = self._on_target(run_cached, arguments)
        word, kernel = target_output.answer(printed["stdout"], mark)
        if word == target_script.NO_BUILD:
            raise self._no_build(kernel, builds)
        if word == target_script.MISSING:
            build = builds.get(kernel.removeprefix("Linux "))
            if build is None:
                raise self._no_build(kernel, builds)
            printed = self._send_and_run(build, mark, run_cached, environment, arguments)
        return target_output.module_result(
            printed["stdout"], printed["stderr"], mark, self.MODULE, RESULT_KEYS[self.MODULE]
        )

    def _send_and_run(
        self, build: Build, mark: str, run_cached: str, environment: str, arguments: bytes
    ) -> dict[str, Any]:
        remote_tmp = self.get_shell_option("remote_tmp", default="~/.ansible/tmp")
        # As input of a command of the effective user: no file ever needs to change hands.
        sent = self._on_target(target_script.store(mark, build.sha256, remote_tmp), build.path.read_bytes())
        word, _rest = target_output.answer(sent["stdout"], mark)
        if word == target_script.STORED:
            printed = self._on_target(run_cached, arguments)
        elif word == target_script.TEMPORARY:
            printed = self._on_target(target_script.run_temporary(mark, remote_tmp, environment), arguments)
        else:
            raise self._not_sent(word, sent)
        if target_output.answer(printed["stdout"], mark)[0] == target_script.MISSING:
            raise self._not_sent(target_script.MISSING, printed)
        return printed

    def _on_target(self, command: str, data: bytes) -> dict[str, Any]:
        if not self._connection.has_pipelining:
            raise Failure(
                "args.connection_without_input",
                f"The connection {self._connection.transport} cannot hand data to a command's standard input.",
                "Use the connection ssh or local.",
            )
        try:
            with self._input_by_pipe():
                # Without any data, ssh would get a terminal, and the command wait for somebody to type.
                result: dict[str, Any] = self._low_level_execute_command(command, in_data=data or b"\n")
        except AnsibleConnectionFailure as fault:
            # ssh takes a command that ends with 255 for a lost connection, and Ansible shows what it printed as it is.
            raise AnsibleConnectionFailure(printable(str(fault))[:_CONNECTION_ERROR]) from None
        return result

    @contextlib.contextmanager
    def _input_by_pipe(self) -> Iterator[None]:
        # With a become password and no pipelining, the local connection gives a command a terminal to read from, and
        # nobody writes to it.
        connection = self._connection
        if connection.transport != "local":
            yield
            return
        before = connection.get_option("pipelining")
        connection.set_option("pipelining", True)
        try:
            yield
        finally:
            connection.set_option("pipelining", before)

    def _no_build(self, kernel: str, builds: dict[str, Build]) -> Failure:
        there_are = ", ".join(f"Linux {arch}" for arch in builds) or "none"
        return Failure(
            "args.no_binary_for_arch",
            f"The collection has no binary of {self.MODULE} for {kernel}; available: {there_are}.",
            "Run the task on a machine of another architecture"
            + ("." if builds else ", or, in a source tree, build the collection first: cargo xtask prepare."),
        )

    def _not_sent(self, word: str, printed: dict[str, Any]) -> Failure:
        reason = {
            target_script.BROKEN: "the file was damaged in transit; the disk may be full",
            target_script.NOWHERE: "no folder is usable: home, remote_tmp, /var/tmp and /tmp are read-only, mounted noexec "
            "or can be written by others",
            target_script.MISSING: "the stored file was gone before it could run",
        }.get(word, "the shell there gave no answer")
        excerpt = printable(printed["stderr"].strip()[-300:])
        return Failure(
            "module.not_sent",
            f"The binary of {self.MODULE} could not be put on the target: {reason}. {excerpt}".strip(),
            "Set ansible_remote_tmp to a folder of the user that runs the task, on a file system that allows execution.",
        )


def _only_failed(result: dict[str, Any], options: Mapping[str, Any], batch: str) -> dict[str, Any]:
    """Of a task that failed, the entries that did: Ansible prints a failure whole, and the reason would be lost among the others.

    With the option ``fail: false``, whoever calls the task looks at all entries, whatever else it fails for.
    """
    entries = result.get(batch)
    wants_all = options.get("fail") is not None and not _is_true(options["fail"])
    if wants_all or not result.get("failed") or not isinstance(entries, list):
        return result
    return {**result, batch: [entry for entry in entries if not _is_good(entry)]}


def _is_good(entry: Any) -> bool:
    return isinstance(entry, dict) and not entry.get("failed") and entry.get("verdict", "affirming") == "affirming"


def _is_true(value: Any) -> bool:
    # What is no boolean the module refuses.
    with contextlib.suppress(TypeError):
        return bool(boolean(value, strict=False))
    return False


def prediction(missing: Failure) -> dict[str, Any]:
    """Check mode's result where the file to send does not exist yet."""
    # An earlier task of the play may make the file, and in check mode has not.
    return {
        "changed": True,
        "predicted": "partial",
        "msg": "The changes cannot be predicted yet.",
        "warnings": [missing.warning()],
    }
