# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled modules on the controller: files/<arch>/<module>, with their hashes."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILES = Path(__file__).parents[2] / "files"


@dataclass(frozen=True)
class Build:
    """One module for one architecture."""

    path: Path
    sha256: str  # 64 lower-case hex digits
    size: int  # bytes


def builds_of(module: str, files: Path = FILES) -> dict[str, Build]:
    """The builds of a module by architecture, as ``uname -m`` spells it; empty if there are none."""
    builds = {}
    for folder in sorted(files.iterdir()) if files.is_dir() else ():
        path = folder / module
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            sha256 = _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)
            builds[folder.name] = Build(path, sha256, status.st_size)
    return builds


@cache
def _sha256(path: Path, *_version: int) -> str:
    # The file's size, time and inode are arguments so that a rebuilt file is hashed again.
    return hashlib.sha256(path.read_bytes()).hexdigest()
