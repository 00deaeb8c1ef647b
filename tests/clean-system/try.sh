#!/usr/bin/env bash
# Does as a newcomer does, on a Debian or Ubuntu that has just been installed: clones the last commit, types what the
# README says, and follows what the answers say until the demonstration passes.
#
#   tests/clean-system/try.sh debian|ubuntu FOLDER [--as root|user] [--test]
#                             [--suite NAME] [--mirror URL] [--keyring FILE] [--base TARBALL]
#
# FOLDER       takes the clean system (kept, so that the next try is quicker) and the try (removed; some GB)
# --as user    as an ordinary user, with root only for the lines that the answers name; else as root
# --test       `cargo xtask test` after `cargo xtask demo`
# --suite, --mirror, --keyring   for debootstrap; a suite that is newer than it needs the mirror too, and Ubuntu on Debian
#                                the keyring of Ubuntu's archive
# --base       a base system in a tarball (of an image, or one that Ubuntu publishes), where debootstrap is not wanted
#
# Needs root, debootstrap unless --base is given, Rust, and a network. Rust's toolchain, names, certificates and the
# settings of pip and cargo are this machine's, mounted or copied; nothing else of it is visible inside.
set -euo pipefail

fail() { echo "try.sh: $*" >&2; exit 1; }
usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 2 ]] || usage
system=$1 folder=$2
shift 2
who=root then=demo mirror='' keyring='' base=''
case $system in
    debian) suite=bookworm script=sid components=main ;;
    ubuntu) suite=noble script=gutsy components=main,universe ;;
    *) usage ;;
esac
while [[ $# -gt 0 ]]; do
    case $1 in
        --test) then="test"; shift; continue ;;
        --as|--suite|--mirror|--keyring|--base) [[ $# -ge 2 ]] || usage ;;&
        --as) [[ $2 == root || $2 == user ]] || usage; who=$2 ;;
        --suite) suite=$2 ;;
        --mirror) mirror=$2 ;;
        --keyring) keyring=$2 ;;
        --base) base=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[[ $(id -u) == 0 ]] || fail "a clean system is made and entered by root"
rust=$(rustc --print sysroot) || fail "Rust is not installed here, and the clean system borrows it"

clean=$folder/$system-$suite
if [[ ! -e $clean/ready ]]; then
    rm -rf "$clean"
    mkdir -p "$clean/system"
    if [[ -n $base ]]; then
        tar -xf "$base" -C "$clean/system" --numeric-owner
    else
        command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap, or give --base"
        [[ -e /usr/share/debootstrap/scripts/$suite ]] && script=$suite
        [[ $script == "$suite" || -n $mirror ]] || fail "this debootstrap does not know $suite: give --mirror, too"
        debootstrap --variant=minbase --components="$components" ${keyring:+"--keyring=$keyring"} \
            "$suite" "$clean/system" ${mirror:+"$mirror" "$script"} >"$clean/debootstrap.log" 2>&1 ||
            fail "debootstrap failed, see $clean/debootstrap.log"
    fi
    touch "$clean/ready"
fi

try=$(mktemp -d "$folder/try.XXXXXX")
trap 'rm -rf "$try"' EXIT
chmod 0755 "$try"
mkdir "$try/upper" "$try/work" "$try/root"
git -C "$here" bundle create --quiet "$try/source.bundle" HEAD
cp "$here/newcomer.sh" "$try/newcomer.sh"

# Proxies and certificates come with the settings; PIP_FIND_LINKS names folders that are not inside.
passed=()
while IFS='=' read -r name _; do
    passed+=("$name=${!name}")
done < <(env | grep -E '^(PIP_|CARGO_(HTTP|NET|REGISTR)|SSL_CERT_|https?_proxy=|no_proxy=|HTTPS?_PROXY=|NO_PROXY=)' |
    grep -v '^PIP_FIND_LINKS=')

# In namespaces of its own, so that nothing stays mounted or running whatever happens. pivot_root and not chroot: the
# kernel lets no process make a user namespace in a chroot.
env -i "${passed[@]}" PATH="$PATH" CARGO_SETTINGS="${CARGO_HOME:-$HOME/.cargo}/config.toml" \
    unshare --mount --pid --fork --kill-child -- bash -euc '
    try=$1 system=$2 rust=$3
    shift 3
    mount --make-rprivate /
    root=$try/root
    mount -t overlay overlay -o "lowerdir=$system,upperdir=$try/upper,workdir=$try/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        set -- $node "$@"
        mknod -m 0666 "$root/dev/$1" c "$2" "$3"
        shift 3
    done
    borrow() {
        mkdir -p "$root$(dirname "$2")"
        if [[ -d $1 ]]; then mkdir -p "$root$2"; else rm -f "$root$2"; touch "$root$2"; fi
        mount --bind "$1" "$root$2"
        mount -o remount,bind,ro "$root$2"
    }
    borrow "$rust" /opt/rust
    borrow "$(readlink -f /etc/resolv.conf)" /etc/resolv.conf
    borrow /etc/hosts /etc/hosts
    if [[ -e /etc/pip.conf ]]; then borrow /etc/pip.conf /etc/pip.conf; fi
    if [[ -e $CARGO_SETTINGS ]]; then borrow "$CARGO_SETTINGS" /opt/cargo-config.toml; fi
    mkdir -p "$root/etc/ssl/certs"
    # Whoever installs ca-certificates writes this file anew, so it cannot be mounted.
    cp /etc/ssl/certs/ca-certificates.crt "$root/opt/certificates.crt"
    cp "$try/source.bundle" "$try/newcomer.sh" "$root/opt/"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    exec /bin/bash /opt/newcomer.sh "$@"
' try "$try" "$clean/system" "$rust" "$who" "$then"
