# shellcheck shell=sh disable=SC2154
# Runs what store.sh put into a temporary folder, and removes it.

main() {
    for b in "$T" /var/tmp /tmp; do
        [ -n "$b" ] || continue;
        f=$b/$t/.$t;
        [ -x "$f" ] && safe "$b/$t" || continue;
        execute; rm -rf "${b:?}/$t"; return 0;
    done;
    cat >/dev/null;
    echo "$t missing $a";
};
main
