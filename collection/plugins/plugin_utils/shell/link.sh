# shellcheck shell=sh disable=SC2154
# Makes f a symbolic link to l.
main() {
    cat >/dev/null;
    folder || return 0;
    rm -f "$n"; ln -s "$l" "$n" && mv -f "$n" "$f" && synced "$b" && echo "$t done" && return 0;
    rm -f "$n"; echo "$t broken";
};
main
