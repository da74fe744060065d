#!/usr/bin/env bash
# Installs Debian packages for the local stack, without their services.
#
# Usage, as root: apt-install.sh PACKAGE...
#
# Debian's server packages start a system service, and enable it for the next
# boot. The local stack runs its own processes on its own ports, so while this
# script works a policy file says that no service may be started, and units
# that it brought are disabled. Services that were there before are not
# touched. Everything is put back at the end, also after a failure.
set -euo pipefail

readonly policy="/usr/sbin/policy-rc.d"
readonly kept="${policy}.before-moderate"
readonly marker="# moderate: for the time of an installation"
readonly clusters="/etc/postgresql-common/createcluster.d"
readonly no_cluster="${clusters}/moderate.conf"
readonly lock="/run/lock/moderate-apt-install.lock"
readonly lock_seconds=600

restore() {
    rm --force "${no_cluster}"
    rmdir --ignore-fail-on-non-empty "${clusters}" 2>/dev/null || true
    if [[ -e "${kept}" ]]; then
        mv --force "${kept}" "${policy}"
    elif grep --quiet --fixed-strings "${marker}" "${policy}" 2>/dev/null
    then
        rm --force "${policy}"
    fi
}

forbid_services() {
    restore # What a killed run may have left.
    if [[ -e "${policy}" ]]; then
        mv "${policy}" "${kept}"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "${marker}" >"${policy}"
    chmod 0755 "${policy}"
    mkdir --parents "${clusters}"
    echo "create_main_cluster = false" >"${no_cluster}"
}

install_packages() {
    DEBIAN_FRONTEND=noninteractive apt-get \
        --option "DPkg::Lock::Timeout=${lock_seconds}" \
        --option Dpkg::Options::=--force-confdef \
        --option Dpkg::Options::=--force-confold \
        install --yes --no-install-recommends "$@"
}

# What starts at boot: links to systemd's units, and SysV's start links.
at_boot() {
    find /etc/systemd/system /etc/rc?.d -type l \
        \( -name '*.service' -o -name '*.socket' -o -name 'S*' \) \
        2>/dev/null | sort
}

disable_new() {
    local before="$1" link
    comm -13 <(printf '%s\n' "${before}") <(at_boot) |
        while read -r link; do
            echo "Not to be started at boot: ${link}"
            rm --force "${link}"
        done
}

main() {
    local before
    exec 9>"${lock}"
    flock --timeout "${lock_seconds}" 9
    before="$(at_boot)"
    trap restore EXIT
    trap 'exit 130' INT TERM HUP
    forbid_services
    if ! install_packages "$@"; then
        echo "Reading the package lists anew."
        apt-get --option "DPkg::Lock::Timeout=${lock_seconds}" update
        install_packages "$@"
    fi
    disable_new "${before}"
}

main "$@"
