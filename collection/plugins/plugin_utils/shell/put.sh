# shellcheck shell=sh disable=SC2154
# Puts standard input at f with mode m: written beside it, compared with its hash h, synced and renamed.
main() {
    command -v sha256sum >/dev/null 2>&1 || { cat >/dev/null; echo "$t no_sum"; return 0; };
    folder || return 0;
    umask 077; rm -f "$n";
    cat >"$n" && case $(sha256sum <"$n") in
        "$h "*) chmod "$m" "$n" && synced "$n" && mv -f "$n" "$f" && synced "$b" && echo "$t done" && return 0;;
    esac;
    rm -f "$n"; cat >/dev/null; echo "$t broken";
};
main
