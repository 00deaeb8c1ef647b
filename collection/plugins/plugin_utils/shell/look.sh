# shellcheck shell=sh disable=SC2154
# Shows what is at each path: a line for each, after one with kernel and architecture.

# Four octal digits of the first column of ls -l.
octal() {
    k=$1; set --;
    while [ -n "$k" ]; do
        v=0;
        case $k in r*) v=4;; esac; k=${k#?};
        case $k in w*) v=$((v+2));; esac; k=${k#?};
        case $k in [xst]*) v=$((v+1));; esac; k=${k#?};
        set -- "$@" $v;
    done;
    echo "0$1$2$3";
};

main() {
    cat >/dev/null;
    echo "$t looked $a";
    i=0;
    for f in "$@"; do
        if [ -L "$f" ]; then s="link $(readlink "$f")";
        elif [ -f "$f" ] && [ -O "$f" ]; then
            k=$(LC_ALL=C ls -ldn -- "$f" | cut -c 2-10);
            k=$(octal "$k"); s=$(sha256sum <"$f"); s="file $k ${s%% *}";
        elif [ -f "$f" ]; then s=foreign;
        elif [ -e "$f" ]; then s=other;
        else s=absent;
        fi;
        echo "$t at $i $s"; i=$((i+1));
    done;
};
