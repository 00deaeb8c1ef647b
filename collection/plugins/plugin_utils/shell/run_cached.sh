# shellcheck shell=sh disable=SC2154,SC2317
# Runs a binary of the cache, where its hash is its name. The hash was computed when it came; now one program (each that is
# started costs a millisecond) shows that nobody else could have touched it since, and that it has its length.
# build, of the caller, sets h and its length y for a kernel and architecture.

run_from_cache() {
    f=$d/$h;
    [ -x "$f" ] && safe_kept "$f" "$y" || return 1;
    execute;
};

main() {
    build "$a";
    [ -n "$h" ] || { cat >/dev/null; echo "$t no_build $a"; return 0; };
    each_cache run_from_cache && return 0;
    cat >/dev/null;
    echo "$t missing $a";
};
main
