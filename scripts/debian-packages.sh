#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing, without starting or enabling any daemon they bring.
# Usage: scripts/debian-packages.sh PACKAGE...
set -euo pipefail

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian: install the programs of these packages by hand, if they are missing: $*" >&2
    exit 0
fi

missing=()
for package in "$@"; do
    installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    echo "Debian packages are missing, and there is neither root nor sudo to install them. As root, run:" >&2
    echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# dpkg asks policy-rc.d before it starts a daemon; 101 means no. One that is there already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

echo "Installing Debian packages: ${missing[*]}"
log="$(mktemp)"
install() {
    "${as_root[@]}" apt-get update &&
        "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
            apt-get install --yes --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get failed; the whole log is in $log" >&2
    exit 1
fi
rm -f "$log"

# A freshly installed broker must not appear on port 1883 at the next boot either.
for package in "${missing[@]}"; do
    if [ -d /run/systemd/system ] && systemctl cat "$package.service" >/dev/null 2>&1; then
        "${as_root[@]}" systemctl disable --quiet "$package.service"
    fi
done
