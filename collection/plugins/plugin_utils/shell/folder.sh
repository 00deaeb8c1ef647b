# shellcheck shell=sh disable=SC2154,SC2034
# The folder b of a file f, and a name n in it that nothing else has.
b=${f%/*}; b=${b:-/}; n=$b/.$t;

# folder: it is there, made if it is not, and nobody else can change it.
folder() {
    [ -d "$b" ] || ( umask 022; mkdir -p "$b" );
    guarded "$b" d || { cat >/dev/null; echo "$t unsafe"; return 1; };
    [ -L "$f" ] && [ -d "$f" ] && rm -f "$f";
    [ -d "$f" ] && { cat >/dev/null; echo "$t occupied"; return 1; };
    return 0;
};

# synced PATH: with its content; an old sync knows only everything.
synced() { sync "$1" 2>/dev/null || sync; };
