# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands that run on the target, for any POSIX shell; no Python is needed there.

They answer in lines that begin with a mark, which is random and new for each task, so that neither a login shell's
greeting nor anything the module prints is taken for an answer.

Ansible wraps a command in up to four layers of single quotes and hands it to the user's login shell, which may be
csh or fish. So these commands are one line each and hold no single quote, backslash or exclamation mark of their own.
They are files in the folder `shell`; only what differs from task to task is put before them here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from .binaries import Build

# What the target can answer, after the mark.
BEGIN, END = "begin", "end"
MISSING, NO_BUILD = "missing", "no_build"
STORED, TEMPORARY, BROKEN, NOWHERE = "stored", "temporary", "broken", "nowhere"


def run_cached(mark: str, builds: Mapping[str, Build], environment: str) -> str:
    """Run the module from the cache, with its arguments on standard input.

    Answers BEGIN, the module's output and END with its exit status; or MISSING or NO_BUILD with kernel and
    architecture. A file was hashed when it came into the cache; it is missing if others could have touched it since, or if
    it has not its length.

    :param builds: the build for each architecture
    :param environment: assignments for the module, quoted for a shell
    """
    arms = " ".join(f'"Linux {arch}") h={build.sha256}; y={build.size};;' for arch, build in builds.items())
    build = f"build() {{ case $1 in {arms} *) h=;; esac; }};"
    return f"t={mark}; {build} {_module(environment)} {shell('setup', 'binaries', 'run_cached')}"


def store(mark: str, sha256: str, remote_tmp: str) -> str:
    """Take a binary from standard input into the cache, or where none is possible into a temporary folder.

    Answers STORED; TEMPORARY; BROKEN if what arrived is not what was sent; or NOWHERE if no folder will do.

    :param remote_tmp: Ansible's remote_tmp, the first choice for the temporary folder
    """
    return f"t={mark}; h={sha256}; {shell('setup')} T={_path(remote_tmp)}; {shell('binaries', 'store')}"


def run_temporary(mark: str, remote_tmp: str, environment: str) -> str:
    """Run what store() put into a temporary folder, and remove it; answers as run_cached() does."""
    head = f"t={mark}; {_module(environment)} {shell('setup')} T={_path(remote_tmp)};"
    return f"{head} {shell('binaries', 'run_temporary')}"


def _module(environment: str) -> str:
    return f'module() {{ {environment} "$f" -; }};'


def _path(path: str) -> str:
    """A configured folder as a word for the shell: ~ is the effective user's home, variables are the target's."""
    if not re.fullmatch(r"[\w./${}+:@,=~ -]+", path):
        path = "~/.ansible/tmp"
    return f'"{re.sub("^~/", "$H/", path)}"'


@functools.cache
def shell(*names: str) -> str:
    """Files of the folder `shell`, as one line without comments."""
    text = "\n".join((Path(__file__).parent / "shell" / f"{name}.sh").read_text(encoding="utf-8") for name in names)
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("#"))
