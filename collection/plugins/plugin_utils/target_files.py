# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands that look at files on the target and put them there; for the rules see target_script."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .target_script import GUARDED, SETUP, one_line

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
    return f"t={mark}; {SETUP} {_LOOK} main {words}"


def put(mark: str, path: str, mode: str, sha256: str) -> str:
    """Put standard input at a path: written beside it, compared with its hash, synced and renamed.

    For an empty file, standard input is not looked at: it cannot be empty.
    """
    nothing = "cat >/dev/null; exec </dev/null;" if sha256 == _OF_NOTHING else ""
    return f"{_head(mark, path)} m={mode}; h={sha256}; {nothing} {_PUT}"


def link(mark: str, path: str, target: str) -> str:
    """Make a symbolic link."""
    return f'{_head(mark, path)} l="{target}"; {_LINK}'


def remove(mark: str, path: str) -> str:
    """Remove a file or link."""
    return f"{_head(mark, path)} {_REMOVE}"


def _head(mark: str, path: str) -> str:
    return f't={mark}; {SETUP} f="{path}"; b=${{f%/*}}; b=${{b:-/}}; n=$b/.$t; {GUARDED} {_FOLDER}'


# Four octal digits of the first column of ls -l.
_MODE = """
    octal() {
        k=$1; set --;
        while [ -n "$k" ]; do
            v=0;
            case $k in r*) v=4;; esac; k=${k#?};
            case $k in w*) v=$((v+2));; esac; k=${k#?};
            case $k in [xst]*) v=$((v+1));; esac; k=${k#?};
            set -- "$@" $v;
        done;
        echo "0$1$2$3";
    };
"""

_LOOK = one_line(f"""
    {_MODE}
    main() {{
        cat >/dev/null;
        echo "$t {LOOKED} $a";
        i=0;
        for f in "$@"; do
            if [ -L "$f" ]; then s="link $(readlink "$f")";
            elif [ -f "$f" ] && [ -O "$f" ]; then
                k=$(LC_ALL=C ls -ldn -- "$f" | cut -c 2-10);
                k=$(octal "$k"); s=$(sha256sum <"$f"); s="file $k ${{s%% *}}";
            elif [ -f "$f" ]; then s=foreign;
            elif [ -e "$f" ]; then s=other;
            else s=absent;
            fi;
            echo "$t at $i $s"; i=$((i+1));
        done;
    }};
""")

# folder: the folder of the file is there, made if it is not, and nobody else can change it.
_FOLDER = one_line(f"""
    folder() {{
        [ -d "$b" ] || ( umask 022; mkdir -p "$b" );
        guarded "$b" d || {{ cat >/dev/null; echo "$t {UNSAFE}"; return 1; }};
        [ -L "$f" ] && [ -d "$f" ] && rm -f "$f";
        [ -d "$f" ] && {{ cat >/dev/null; echo "$t {OCCUPIED}"; return 1; }};
        return 0;
    }};
""")

_SYNC = 'sync "$b" 2>/dev/null || sync;'

_PUT = one_line(f"""
    main() {{
        command -v sha256sum >/dev/null 2>&1 || {{ cat >/dev/null; echo "$t {NO_SUM}"; return 0; }};
        folder || return 0;
        umask 077; rm -f "$n";
        cat >"$n" && case $(sha256sum <"$n") in
            "$h "*) chmod $m "$n" && {{ sync "$n" 2>/dev/null || sync; }} && mv -f "$n" "$f" && {{ {_SYNC} }}
                && echo "$t {DONE}" && return 0;;
        esac;
        rm -f "$n"; cat >/dev/null; echo "$t {BROKEN}";
    }};
    main
""")

_LINK = one_line(f"""
    main() {{
        cat >/dev/null;
        folder || return 0;
        rm -f "$n"; ln -s "$l" "$n" && mv -f "$n" "$f" && {{ {_SYNC} }} && echo "$t {DONE}" && return 0;
        rm -f "$n"; echo "$t {BROKEN}";
    }};
    main
""")

_REMOVE = one_line(f"""
    main() {{
        cat >/dev/null;
        [ -d "$b" ] || {{ echo "$t {DONE}"; return 0; }};
        folder || return 0;
        rm -f "$f" && {{ {_SYNC} }} && echo "$t {DONE}" && return 0;
        echo "$t {BROKEN}";
    }};
    main
""")
