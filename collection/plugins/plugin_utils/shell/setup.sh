# shellcheck shell=sh disable=SC2034
# Where the commands run, and what they may trust. The loader makes one line of these files, so every statement ends with a
# semicolon, comments have lines of their own, and there is no single quote, backslash or exclamation mark.
#
# t is set by the caller: the mark that every answer begins with.

# System folders first: a PATH that another user left behind must not choose what is run.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH;

# a: kernel and architecture; Linux 6.1 and newer tell without a program, which would cost a millisecond.
{
    read -r a </proc/sys/kernel/ostype && read -r m </proc/sys/kernel/arch && a="$a $m" || a=$(uname -sm);
} 2>/dev/null;

# H: the home folder with all links resolved.
H=$(cd -P -- "${HOME:-/nonexistent}" 2>/dev/null && pwd -P);
H=${H:-/nonexistent};

# guarded DIR MODE: nobody but the effective user (and root) can put a file into DIR, or another folder in its place: the
# mode of DIR as ls shows it begins with MODE; it and each folder above is no link, belongs to that user or to root, and
# nobody else may write to it unless it is sticky, as /tmp is. ls lists all of them, root first; every line must pass, and
# none may be left over. q: one letter for each folder, o if it is the effective own, else f (foreign, so it has to belong
# to root).
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
