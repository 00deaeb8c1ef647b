# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that are secrets, as ansible-core 2.22 and later mask them: in all that the run shows, of any task.

Earlier versions cannot do that; there, only the modules' own results are masked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .controller_files import as_list
from .options import SECRET_OPTIONS


def register_secrets_of(module: str, args: Mapping[str, Any]) -> None:
    """Have Ansible mask the values of a module's secret options, and those in the entries of its lists."""
    if (names := SECRET_OPTIONS.get(module)) and (register := _ansibles_own()):
        register(_secrets(names, args))


def _secrets(names: tuple[str, ...], args: Mapping[str, Any]) -> Iterator[str]:
    entries = (entry for value in args.values() for entry in as_list(value, commas=False) or ())
    for options in (args, *(entry for entry in entries if isinstance(entry, Mapping))):
        yield from (str(value) for name in names if isinstance(value := options.get(name), str) and value)


def _ansibles_own() -> Callable[[Iterable[str]], None] | None:
    try:
        registered: Callable[[Iterable[str]], None] = importlib.import_module(
            "ansible.module_utils.secrets"
        ).register_secrets
    except ImportError:
        return None
    return registered
