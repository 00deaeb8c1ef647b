# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands that look at files on the target and put them there; for the rules see target_script."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .target_script import shell

# What the target can answer, after the mark.
LOOKED, DONE = "looked", "done"
UNSAFE, OCCUPIED, BROKEN, NO_SUM = "unsafe", "occupied", "broken", "no_sum"

_OF_NOTHING = hashlib.sha256(b"").hexdigest()


def look(mark: str, paths: Iterable[str]) -> str:
    """Show what is at each path: LOOKED with kernel and architecture, then a line ``at N STATE`` for each.

    STATE is ``absent``, ``link TARGET``, ``file MODE SHA256``, ``foreign`` for a file of another user than the effective
    one, or ``other``.
    """
    words = " ".join(f'"{path}"' for path in paths)
    return f"t={mark}; {shell('setup', 'look')} main {words}"


def put(mark: str, path: str, mode: str, sha256: str) -> str:
    """Put standard input at a path: written beside it, compared with its hash, synced and renamed.

    For an empty file, standard input is not looked at: it cannot be empty.
    """
    nothing = "cat >/dev/null; exec </dev/null;" if sha256 == _OF_NOTHING else ""
    return f"{_head(mark, path)} m={mode}; h={sha256}; {nothing} {shell('put')}"


def link(mark: str, path: str, target: str) -> str:
    """Make a symbolic link."""
    return f'{_head(mark, path)} l="{target}"; {shell("link")}'


def remove(mark: str, path: str) -> str:
    """Remove a file or link."""
    return f"{_head(mark, path)} {shell('remove')}"


def _head(mark: str, path: str) -> str:
    return f't={mark}; f="{path}"; {shell("setup", "folder")}'
