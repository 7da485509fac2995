#!/bin/sh
# The real parts that come as packages of Debian or Ubuntu. Root gets what is missing installed; anybody else is told.
#   parts.sh            what the demo needs
#   parts.sh tests      and a browser, PostgreSQL, Redis, an engine of Debian sid and a base image, for the tests
#   parts.sh engines    and the one of Debian trixie, for make test-engines
#   parts.sh python     what a virtual environment needs
set -eu

roots=/var/cache/flowise-delivery/engines
missing=""
need() { eval "$1" >/dev/null 2>&1 || missing="$missing $2"; }

python=${PYTHON:-python3}
if [ "${1:-}" = python ]; then
    need 'command -v "$python"' python3
    if command -v "$python" >/dev/null && ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$("$python" --version) is too old: Python 3.11 or newer is needed. Set PYTHON=python3.11, for example." >&2
        exit 1
    fi
    need '"$python" -c "import ensurepip"' python3-venv
else
    need 'command -v git' git
    need 'command -v docker-registry || command -v registry' docker-registry
    need 'found=$(command -v busybox) && ! ldd "$found"' busybox-static
    # An engine that answers will do; otherwise one is started, which takes root.
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in unix://*) engine="test -w ${socket#unix://}" ;; *) engine=true ;; esac
    need "$engine || command -v dockerd" docker.io
    need "$engine || command -v ip" iproute2
    if [ "${1:-}" = tests ] || [ "${1:-}" = engines ]; then
        [ "$(id -u)" != 0 ] || need 'command -v debootstrap' debootstrap
        need 'command -v systemd-analyze' systemd
        need 'command -v nginx' nginx-light
        need 'command -v git-lfs' git-lfs
        need 'command -v caddy' caddy
        need 'command -v openssl' openssl
        need 'command -v chromium || command -v google-chrome' chromium
        need 'command -v initdb || ls /usr/lib/postgresql/*/bin/initdb' postgresql
        need 'command -v redis-server' redis-server
    fi
fi

# A Debian of its own in a folder: NAME SUITE PACKAGES. Only root can make one.
system() {
    [ "$(id -u)" = 0 ] && [ ! -d "$roots/$1" ] || return 0
    echo "Making $roots/$1, a Debian $2 with $3, about a minute" >&2
    mkdir -p "$roots"
    rm -rf "$roots/$1.unfinished"
    debootstrap --variant=minbase "--include=$3" "$2" "$roots/$1.unfinished" >"$roots/$1.log" 2>&1 \
        || { tail -n 20 "$roots/$1.log" >&2; echo "debootstrap could not make $roots/$1." >&2; exit 1; }
    mv "$roots/$1.unfinished" "$roots/$1"
}
systems() {
    packages=docker.io,docker-cli,docker-buildx,iptables,ca-certificates
    case ${1:-} in
        tests) system sid sid $packages; system base trixie ca-certificates ;;
        engines) system sid sid $packages; system trixie trixie $packages ;;
    esac
}
[ -n "$missing" ] || { systems "$@"; exit 0; }

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 \
        || { tail -n 20 "$log" >&2; echo "apt-get could not install$missing." >&2; exit 1; }
    rm -f "$log"
    systems "$@"
else
    echo "Missing here:$missing. As root on Debian or Ubuntu: apt-get install$missing" >&2
    exit 1
fi
