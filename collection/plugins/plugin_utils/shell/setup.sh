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

# guarded PATH MODE SIZE: nobody but the effective user (and root) can put anything into PATH, or something else in its
# place: its mode as ls shows it begins with MODE; it and each folder above is no link, belongs to that user or to root, and
# nobody else may write to it unless it is sticky, as /tmp is. PATH is a folder, or a program of its own user of SIZE bytes,
# in a folder that nobody else can look into.
# ls lists all of them, root first; every line must pass, and none may be left over. q: one letter for each, o if it is the
# effective own, else f (foreign, so it has to belong to root).
guarded() {
    p=$1; w=$2; z=$3; q=; set --;
    while :; do
        set -- "$p" "$@";
        [ -O "$p" ] && q=o$q || q=f$q;
        [ "$p" = / ] && break;
        p=${p%/*}; p=${p:-/};
    done;
    LC_ALL=C ls -ldn -- "$@" 2>/dev/null | (
        r=; v=;
        while read -r m n o g s x; do
            l=$m; r=${r:-$o};
            case $q in o*) ;; f*) [ "$o" = 0 ] || [ "$o" = "$r" ] || exit 1;; *) exit 1;; esac;
            q=${q#?};
            case $m$q in
                d????????[tT]*) ;; d????w*|d???????w*) exit 1;; d*) ;;
                -rwx------|-rwx------[.+@]) case $v in drwx------*) [ "$s" = "$z" ] || exit 1;; *) exit 1;; esac;;
                *) exit 1;;
            esac;
            v=$m;
        done;
        case $q$l in "$w"*) ;; *) exit 1;; esac
    );
};
