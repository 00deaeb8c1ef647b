# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands that run on the target, for any POSIX shell; no Python is needed there.

They answer in lines that begin with a mark, which is random and new for each task, so that neither a login shell's
greeting nor anything the module prints is taken for an answer.

Ansible wraps a command in up to four layers of single quotes and hands it to the user's login shell, which may be
csh or fish. So these commands are one line each and hold no single quote, backslash or exclamation mark of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# What the target can answer, after the mark.
BEGIN, END = "begin", "end"
MISSING, NO_BUILD = "missing", "no_build"
STORED, TEMPORARY, BROKEN, NOWHERE = "stored", "temporary", "broken", "nowhere"


def run_cached(mark: str, hashes: Mapping[str, str], environment: str) -> str:
    """Run the module from the cache, with its arguments on standard input.

    Answers BEGIN, the module's output and END with its exit status; or MISSING or NO_BUILD with kernel and
    architecture. A cached file is hashed before each run, and is missing if it is not what was expected.

    :param hashes: the SHA-256 of the build for each architecture
    :param environment: assignments for the module, quoted for a shell
    """
    arms = " ".join(f'"Linux {arch}") h={sha256};;' for arch, sha256 in hashes.items())
    choose = f"case $a in {arms} *) h=;; esac;"
    return f"t={mark}; {SETUP} {choose} {_SAFE} {_execute(environment)} {_RUN_CACHED}"


def store(mark: str, sha256: str, remote_tmp: str) -> str:
    """Take a binary from standard input into the cache, or where none is possible into a temporary folder.

    Answers STORED; TEMPORARY; BROKEN if what arrived is not what was sent; or NOWHERE if no folder will do.

    :param remote_tmp: Ansible's remote_tmp, the first choice for the temporary folder
    """
    return f"t={mark}; h={sha256}; {SETUP} T={_shell_path(remote_tmp)}; {_SAFE} {_TAKE} {_STORE}"


def run_temporary(mark: str, remote_tmp: str, environment: str) -> str:
    """Run what store() put into a temporary folder, and remove it; answers as run_cached() does."""
    return f"t={mark}; {SETUP} T={_shell_path(remote_tmp)}; {_SAFE} {_execute(environment)} {_RUN_TEMPORARY}"


def _execute(environment: str) -> str:
    # Not exec: a death by signal would look like a lost connection. The status goes into the answer, because ssh
    # takes 255 for a lost connection too. To ssh, data that nobody reads is a lost connection as well: so here and
    # below, standard input is always read to its end.
    return (
        f'execute() {{ echo "$t {BEGIN}"; {environment} "$f" -; r=$?; [ "$r" = 0 ] || cat >/dev/null; '
        f'echo; echo "$t {END} $r"; }};'
    )


def _shell_path(path: str) -> str:
    """A configured folder as a word for the shell: ~ is the effective user's home, variables are the target's."""
    if not re.fullmatch(r"[\w./${}+:@,=~ -]+", path):
        path = "~/.ansible/tmp"
    return f'"{re.sub("^~/", "$H/", path)}"'


def one_line(script: str) -> str:
    return " ".join(script.split())


# System folders first: a PATH that another user left behind must not choose what is run.
# a: kernel and architecture; Linux 6.1 and newer tell without a program, which would cost a millisecond. H: home with all links resolved.
SETUP = one_line("""
    PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH;
    {
        read -r a </proc/sys/kernel/ostype && read -r m </proc/sys/kernel/arch && a="$a $m" || a=$(uname -sm);
    } 2>/dev/null;
    H=$(cd -P -- "${HOME:-/nonexistent}" 2>/dev/null && pwd -P);
    H=${H:-/nonexistent};
""")

# Where binaries are kept, by their hash, so that versions and modules never meet: d is the next folder to look at.
# The user's number is asked for only where it is needed, because each program that is started costs a millisecond.
_EACH_CACHE = """
    for d in "$H/.cache/seguest.pv" /var/cache/seguest.pv shared; do
        [ "$d" = shared ] && d=/tmp/seguest.pv-$(id -u);
"""

# guarded DIR MODE: nobody but the effective user (and root) can put a file into DIR, or another folder in DIR's place.
# DIR's mode as ls shows it begins with MODE; it and each folder above is no link, belongs to that user or to root, and nobody else may write to it
# unless it is sticky, as /tmp is. ls lists all of them, root first; every line must pass, and none may be left over.
# q: one letter for each folder, o if it is the effective user's own, else f (foreign, so it has to be root's).
GUARDED = one_line("""
    guarded() {
        p=$1; w=$2; q=; set --;
        while :; do
            set -- "$p" "$@";
            [ -O "$p" ] && q=o$q || q=f$q;
            [ "$p" = / ] && break;
            p=${p%/*}; p=${p:-/};
        done;
        LC_ALL=C ls -ldn -- "$@" 2>/dev/null | (
            r=;
            while read -r m n o x; do
                l=$m; r=${r:-$o};
                case $q in o*) ;; f*) [ "$o" = 0 ] || [ "$o" = "$r" ] || exit 1;; *) exit 1;; esac;
                q=${q#?};
                case $m in d????????[tT]*) ;; d????w*|d???????w*) exit 1;; d*) ;; *) exit 1;; esac;
            done;
            case $q$l in "$w"*) ;; *) exit 1;; esac
        );
    };
""")
_SAFE = GUARDED + ' safe() { guarded "$1" drwx------; };'

# take DIR: makes an empty file n in DIR, if a file there could be executed at all (a mount may be noexec).
_TAKE = one_line("""
    take() {
        n=$1/.$t;
        : >"$n" && chmod 700 "$n" && [ -x "$n" ] && return 0;
        rm -f "$n"; return 1;
    };
""")

# Where nothing can compute hashes, nothing is kept.
_RUN_CACHED = one_line(f"""
    main() {{
        [ -n "$h" ] || {{ cat >/dev/null; echo "$t {NO_BUILD} $a"; return 0; }};
        command -v sha256sum >/dev/null 2>&1 &&
        {_EACH_CACHE}
            f=$d/$h;
            [ -x "$f" ] && safe "$d" || continue;
            case $(sha256sum <"$f") in "$h "*) execute; return 0;; esac;
        done;
        cat >/dev/null;
        echo "$t {MISSING} $a";
    }};
    main
""")

# Folders are made only below one that belongs to the effective user, or in /tmp: a HOME that is another user's stays
# as it is.
_STORE = one_line(f"""
    main() {{
        command -v sha256sum >/dev/null 2>&1 && {{
            [ -d "$H/.cache" ] || {{ [ -O "$H" ] && mkdir -m 700 "$H/.cache"; }};
            {_EACH_CACHE}
                b=${{d%/*}};
                [ -d "$d" ] || [ -L "$b" ] || {{ {{ [ -O "$b" ] || [ -k "$b" ]; }} && mkdir -m 700 "$d"; }};
                safe "$d" && take "$d" || continue;
                cat >"$n" && case $(sha256sum <"$n") in
                    "$h "*) mv -f "$n" "$d/$h" && echo "$t {STORED}" && return 0;;
                esac;
                rm -f "$n"; cat >/dev/null; echo "$t {BROKEN}"; return 0;
            done;
        }};
        case $T in "$H"/*) [ -O "$H" ];; esac && ( umask 077; mkdir -p "$T" );
        for b in "$T" /var/tmp /tmp; do
            d=$b/$t;
            mkdir -m 700 "$d" || continue;
            safe "$d" && take "$d" || {{ rmdir "$d"; continue; }};
            cat >"$n" && echo "$t {TEMPORARY}" && return 0;
            rm -rf "$d"; cat >/dev/null; echo "$t {BROKEN}"; return 0;
        done;
        cat >/dev/null;
        echo "$t {NOWHERE}";
    }};
    main
""")

_RUN_TEMPORARY = one_line(f"""
    main() {{
        for b in "$T" /var/tmp /tmp; do
            f=$b/$t/.$t;
            [ -x "$f" ] && safe "$b/$t" || continue;
            execute; rm -rf "$b/$t"; return 0;
        done;
        cat >/dev/null;
        echo "$t {MISSING} $a";
    }};
    main
""")
