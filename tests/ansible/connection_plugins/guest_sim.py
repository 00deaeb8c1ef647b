# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection into a simulated guest; see DOCUMENTATION."""

from __future__ import annotations

import resource
import shlex
import subprocess
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

DOCUMENTATION = """
name: guest_sim
author: The seguest project
short_description: Run tasks in a simulated Secure Execution guest
description:
  - Runs each command by C(guest-sim enter), within the namespaces of a simulated guest on the controller.
  - The guest must be running already, started by C(guest-sim serve).
  - This is for tests and demonstrations. A simulated guest protects nothing.
extends_documentation_fragment:
  - connection_pipelining
options:
  dir:
    description: State folder of the simulated guest, as given to C(guest-sim serve --dir).
    type: path
    required: true
    vars:
      - name: ansible_guest_sim_dir
  executable:
    description: The program C(guest-sim).
    type: path
    default: guest-sim
    vars:
      - name: ansible_guest_sim_bin
  times:
    description: A file to which the seconds of processor time of each command in the guest are added, a line each.
    type: path
    vars:
      - name: ansible_guest_sim_times
"""

display = Display()


class Connection(ConnectionBase):
    """Runs commands in a simulated guest."""

    transport = "guest_sim"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line in the guest; a become plugin has wrapped it already."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"EXEC {cmd}", host=self._play_context.remote_addr)
        return self._enter(["/bin/sh", "-c", cmd], in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the controller into the guest."""
        super().put_file(in_path, out_path)
        source = Path(in_path)
        if not source.exists():
            raise AnsibleFileNotFound(f"{in_path} is not on the controller")
        status, _stdout, stderr = self._enter(["/bin/sh", "-c", f"cat >{shlex.quote(out_path)}"], source.read_bytes())
        if status != 0:
            raise AnsibleError(f"{out_path} could not be written in the guest: {stderr.decode(errors='replace')}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the guest to the controller."""
        super().fetch_file(in_path, out_path)
        status, stdout, stderr = self._enter(["/bin/sh", "-c", f"cat <{shlex.quote(in_path)}"], None)
        if status != 0:
            raise AnsibleError(f"{in_path} could not be read in the guest: {stderr.decode(errors='replace')}")
        Path(out_path).write_bytes(stdout)

    def close(self) -> None:
        """Nothing is held open between commands."""
        self._connected = False

    def _enter(self, command: list[str], data: bytes | None) -> tuple[int, bytes, bytes]:
        before = _processor_time()
        enter = [self.get_option("executable"), "enter", "--dir", self.get_option("dir"), "--", *command]
        try:
            done = subprocess.run(enter, input=data or b"", capture_output=True, check=False)
        except OSError as fault:
            raise AnsibleConnectionFailure(f"{enter[0]} cannot be run: {fault.strerror}") from fault
        if times := self.get_option("times"):
            with Path(times).open("a", encoding="ascii") as file:
                print(_processor_time() - before, file=file)
        return done.returncode, done.stdout, done.stderr


def _processor_time() -> float:
    """Of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
