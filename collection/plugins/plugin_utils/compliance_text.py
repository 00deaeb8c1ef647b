# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others say, cut and cleaned for the compliance report.

A guest can say anything, of any type and any length. What leaves this module is of the type that was asked for, of bounded
length, and shows every character that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .text import visible

NAME = 160  # characters of a name, an id, a code
SENTENCE = 600  # characters of a reason

Json = dict[str, Any]


def text(value: Any, limit: int = NAME) -> str | None:
    """The value, cut and cleaned, if it is a text; else None."""
    if not isinstance(value, str):
        return None
    # Cut first: nothing is done for what is not shown.
    plain = str(value)
    shown = visible(plain[:limit])
    return shown if len(plain) <= limit else f"{shown}… (and {len(plain) - limit} more characters)"


def texts(value: Any, most: int) -> list[str]:
    """The texts among the first of a list, as they are; none if it is no list."""
    return [each for each in value[:most] if isinstance(each, str)] if isinstance(value, list) else []


def sentence(value: Any) -> str | None:
    """As text, but for a reason, which may be longer and is None if it is empty."""
    return text(value, SENTENCE) or None


def number(value: Any) -> int | None:
    """The value if it is a number that a position can be, else None."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16 else None


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a dictionary, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any, limit: int) -> tuple[list[Mapping[str, Any]], int]:
    """The first elements of a list, each as a dictionary, and how many more there are; of anything else, none."""
    found = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()
    return [mapping(each) for each in found[:limit]], max(0, len(found) - limit)
