#!/usr/bin/env bash
# What the newcomer does inside the clean system; try.sh starts it there, as root. Arguments: root or user, demo or test.
set -euo pipefail
who=$1 then=$2
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive

say() { printf '\n[%s] == %s\n' "$(date +%T)" "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# As images do: no package lists stay, so that xtask must get along without.
install() {
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$@" >/opt/apt.log 2>&1 ||
        { cat /opt/apt.log; fail "apt-get cannot install $*"; }
    rm -rf /var/lib/apt/lists/*
}

# A command of the newcomer's, in the clone.
newcomer() {
    local become=() home=/root
    if [[ $who == user ]]; then
        become=(setpriv --reuid newcomer --regid newcomer --init-groups --inh-caps=-all) home=/home/newcomer
    fi
    echo "\$ $*"
    (cd "$home/seguest" 2>/dev/null || cd "$home"
        HOME=$home PATH=/opt/rust/bin:$PATH exec "${become[@]}" "$@" </dev/null)
}

# refuses TEXT COMMAND...: the command must fail, and TEXT must be in what it says.
refuses() {
    local text=$1 said=/opt/said
    shift
    if newcomer "$@" >"$said" 2>&1; then cat "$said"; fail "this should not have passed: $*"; fi
    tail -n 6 "$said"
    grep -qF -- "$text" "$said" || fail "it does not say: $text"
}

lacks() {
    for package in "$@"; do
        if dpkg -s "$package" >/dev/null 2>&1; then fail "$package is installed, so this system is not clean"; fi
    done
}

. /etc/os-release
say "$PRETTY_NAME, as ${who}; installing git, python3 and ca-certificates, which the README takes for granted"
install ca-certificates git python3
cp /opt/certificates.crt /etc/ssl/certs/ca-certificates.crt
python3 --version
lacks gcc make python3-venv pkg-config libssl-dev
useradd --create-home --shell /bin/bash newcomer
for home in /root /home/newcomer; do
    mkdir -p "$home/.cargo"
    if [[ -e /opt/cargo-config.toml ]]; then ln -s /opt/cargo-config.toml "$home/.cargo/config.toml"; fi
done
chown -R newcomer: /home/newcomer
chmod 0644 /opt/source.bundle

say "A fresh clone"
newcomer git -c advice.detachedHead=false clone --quiet /opt/source.bundle seguest
newcomer git log -1 --format='%h %s'
newcomer cargo --version

say "No C compiler: cargo itself says so, because nothing of this project runs yet"
refuses 'linker `cc` not found' cargo xtask demo
install gcc libc6-dev

say "No /dev/fuse"
refuses 'modprobe fuse && chmod 0666 /dev/fuse' cargo xtask demo
mknod -m 0600 /dev/fuse c 10 229
if [[ $who == user ]]; then
    say "/dev/fuse closed to this user"
    refuses 'modprobe fuse && chmod 0666 /dev/fuse' cargo xtask demo
fi
chmod 0666 /dev/fuse

say "No make"
refuses 'apt-get install build-essential' cargo xtask demo
install build-essential

if [[ $who == user ]]; then
    say "No venv module, and an ordinary user cannot install it"
    refuses 'As root: apt-get install python3-venv' cargo xtask demo
    install python3-venv
fi

say "Everything that was named is there now"
started=$SECONDS
newcomer cargo xtask demo
say "The demonstration passed after $((SECONDS - started)) s"
lacks pkg-config libssl-dev
dpkg -s python3-venv | grep -E '^(Status|Version)'
if [[ $then == test ]]; then
    started=$SECONDS
    newcomer cargo xtask test
    say "The tests passed after $((SECONDS - started)) s"
fi
