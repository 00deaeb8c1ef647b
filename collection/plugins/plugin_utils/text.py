# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that others have written, such as guests, so that every character of them shows and does nothing else."""

from __future__ import annotations

import re
import unicodedata

# What a terminal may obey (control characters but tab and newline), what cannot be written (halves of surrogate pairs), and
# what turns the direction of text around or shows nothing: fillers, joiners, selectors of variants, tags. (Unicode 15: the
# category Cf and the property Default_Ignorable_Code_Point; blank letters.)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile(r"[\t\r\n]+")
_MARKS = 2  # on one letter; more of them run into the lines above and below


def printable(text: str) -> str:
    """The text, on as many lines as it has, with characters written out that a terminal would obey or that show nothing."""
    return _UNSEEN.sub(lambda found: _written_out(found[0]), text)


def visible(text: str) -> str:
    """The text on one line, with characters written out that cannot be seen, or that change how others are seen."""
    line = _BREAKS.sub(" ", text)
    if line.isascii() and line.isprintable():
        return line
    shown, marks = [], 0
    for character in printable(line):
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        shown.append(character if character.isprintable() and marks <= _MARKS else _written_out(character))
    return "".join(shown)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
