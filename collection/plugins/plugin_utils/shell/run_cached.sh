# shellcheck shell=sh disable=SC2154,SC2317
# Runs a binary of the cache. A cached file is hashed before each run, and is missing if it is not what was expected.
# build, of the caller, sets h for a kernel and architecture.

run_from_cache() {
    f=$d/$h;
    [ -x "$f" ] && safe "$d" || return 1;
    case $(sha256sum <"$f") in "$h "*) execute; return 0;; esac;
    return 1;
};

main() {
    build "$a";
    [ -n "$h" ] || { cat >/dev/null; echo "$t no_build $a"; return 0; };
    each_cache run_from_cache && return 0;
    cat >/dev/null;
    echo "$t missing $a";
};
main
