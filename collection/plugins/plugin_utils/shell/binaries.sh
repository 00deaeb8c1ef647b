# shellcheck shell=sh disable=SC2154,SC2034
# Keeping and running binaries. h is the hash of the wanted one.

safe() { guarded "$1" drwx------; };

# safe_kept FILE SIZE: the same of a program in such a folder.
safe_kept() { guarded "$1" -rwx------ "$2"; };

# each_cache DO: calls DO for each folder d where binaries are kept by their hash, so that versions and modules never meet,
# until one is content. The number of the user is asked for only where it is needed, because each program that is
# started costs a millisecond. Where nothing can compute hashes, nothing is kept.
each_cache() {
    command -v sha256sum >/dev/null 2>&1 || return 1;
    for d in "$H/.cache/seguest.pv" /var/cache/seguest.pv shared; do
        [ "$d" = shared ] && d=/tmp/seguest.pv-$(id -u);
        "$1" && return 0;
    done;
    return 1;
};

# take DIR: makes an empty file n in DIR, if a file there could be executed at all (a mount may be noexec). Not by `:`,
# whose failure ends the shell.
take() {
    n=$1/.$t;
    true >"$n" && chmod 700 "$n" && [ -x "$n" ] && return 0;
    rm -f "$n"; return 1;
};

# Runs f by the function module of the caller, which knows its environment. Not exec: a death by signal would look like a lost connection. The
# status goes into the answer, because ssh takes 255 for a lost connection too. To ssh, data that nobody reads is a lost
# connection as well: so here and elsewhere, standard input is always read to its end.
execute() {
    echo "$t begin"; module; r=$?; [ "$r" = 0 ] || cat >/dev/null;
    echo; echo "$t end $r";
};
