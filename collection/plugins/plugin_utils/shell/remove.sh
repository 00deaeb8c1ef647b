# shellcheck shell=sh disable=SC2154
# Removes the file or link f.
main() {
    cat >/dev/null;
    [ -d "$b" ] || { echo "$t done"; return 0; };
    folder || return 0;
    rm -f "$f" && synced "$b" && echo "$t done" && return 0;
    echo "$t broken";
};
main
