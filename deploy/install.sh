#!/bin/sh
# Install Auscult as a service on this machine, or upgrade it, or take it away.
#
#   sudo deploy/install.sh               install or upgrade; run it as often as you like
#   sudo deploy/install.sh --train       with what `auscult train` needs (torch without CUDA)
#   sudo deploy/install.sh --uninstall   take it away; configuration, bundles and state stay
#   sudo deploy/install.sh --uninstall --purge      take those away as well
#
# What goes where:
#   /opt/auscult                    the program, a release a folder; `venv` points to the current one
#   /usr/local/bin/auscult          the command
#   /usr/local/lib/systemd/system   the units
#   /etc/auscult                    config.toml, mqtt_password, bundles; never overwritten
#   /var/lib/auscult                the service's state, made by systemd
#
# The network is used for the Python package index and, where something is missing, for apt.
# PYTHON=/usr/bin/python3.12 chooses the interpreter; TORCH_INDEX the index of torch's CPU builds.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
PREFIX=/opt/auscult
ETC=/etc/auscult
UNITS=/usr/local/lib/systemd/system
COMMAND=/usr/local/bin/auscult
# There while something new is installed that running services do not use yet.
RESTART_DUE=$PREFIX/.restart-due
TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
UNIT_FILES="auscult.service auscult@.service auscult-replay.service"

say() { printf '%s\n' "$*" >&2; }
fail() { say "install.sh: $*"; exit 69; }
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 64; }
systemd_runs() { [ -d /run/systemd/system ]; }

# The units hide home folders, so an interpreter that lives in one could not be started by them.
find_python() {
    names="python3 python3.14 python3.13 python3.12 python3.11"
    for candidate in ${PYTHON:-$(for name in $names; do echo "/usr/bin/$name /usr/local/bin/$name"; done)}; do
        if "$candidate" -c 'import sys
sys.exit(sys.version_info < (3, 11) or not sys.base_prefix.startswith("/usr"))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed under /usr (sudo apt-get install python3 python3-venv)"
}

# What is installed depends on these files and the choices made, and on nothing else.
fingerprint() {
    (
        cd "$ROOT"
        find pyproject.toml constraints.txt monitor training tools \
            -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum
        printf '%s %s\n' "$1" "$2"
    ) | sha256sum | cut -c1-16
}

install_program() {
    python=$(find_python)
    "$python" "$ROOT/tools/system_packages.py" node
    mkdir -p "$PREFIX/releases"
    release=$PREFIX/releases/$(fingerprint "$python" "$EXTRAS")
    if [ ! -e "$release/.complete" ]; then
        say "installing into $release"
        rm -rf "$release"
        # shellcheck disable=SC2086 # several words, or none
        "$python" "$ROOT/tools/setup_environment.py" --copy --venv "$release" \
            --torch-index "$TORCH_INDEX" $EXTRAS || { rm -rf "$release"; exit 69; }
        "$release/bin/auscult" --help >/dev/null || fail "the installed command does not start"
        touch "$release/.complete"
    fi
    [ "$(readlink "$PREFIX/venv" 2>/dev/null)" = "$release" ] || touch "$RESTART_DUE"
    ln -sfn "$release" "$PREFIX/venv.new"
    mv -T "$PREFIX/venv.new" "$PREFIX/venv"
    mkdir -p "$(dirname "$COMMAND")"
    ln -sfn "$PREFIX/venv/bin/auscult" "$COMMAND"
    # The replay's root: systemd mounts into it what a replay may see.
    mkdir -p "$PREFIX/root"
    rm -rf "$PREFIX/share"
    mkdir -p "$PREFIX/share"
    cp -r "$HERE/README.md" "$HERE/drop-ins" "$HERE/mosquitto" "$ROOT/config.toml" "$PREFIX/share/"
}

remove_old_releases() {
    current=$(readlink "$PREFIX/venv")
    for release in "$PREFIX"/releases/*; do
        [ "$release" = "$current" ] || rm -rf "$release"
    done
}

install_configuration() {
    install -d -m 0755 "$ETC" "$ETC/bundles" "$ETC/machines"
    [ -e "$ETC/config.toml" ] || install -m 0644 "$ROOT/config.toml" "$ETC/config.toml"
    [ -e "$ETC/replay.env" ] || install -m 0644 "$HERE/replay.env" "$ETC/replay.env"
    # Readable by root alone; systemd hands it to the service, and only to it.
    [ -e "$ETC/mqtt_password" ] || install -m 0600 /dev/null "$ETC/mqtt_password"
}

install_units() {
    install -d -m 0755 "$UNITS"
    for unit in $UNIT_FILES; do
        cmp -s "$HERE/$unit" "$UNITS/$unit" || touch "$RESTART_DUE"
        install -m 0644 "$HERE/$unit" "$UNITS/$unit"
    done
    systemd_runs || { say "systemd does not run here: the units are installed, nothing is started"; return; }
    systemctl daemon-reload
    [ -e "$RESTART_DUE" ] || return 0
    # Services that run go on with what is new; services that do not are left alone.
    systemctl try-restart auscult.service 'auscult@*.service'
    rm -f "$RESTART_DUE"
}

next_steps() {
    say "installed $(readlink "$PREFIX/venv")"
    systemctl is-active --quiet auscult.service 2>/dev/null && return
    say "next: edit $ETC/config.toml, put bundles into $ETC/bundles and, where the broker wants"
    say "one, the password into $ETC/mqtt_password; then"
    say "    auscult check --config $ETC/config.toml && sudo systemctl enable --now auscult.service"
}

uninstall() {
    if systemd_runs; then
        systemctl disable --now auscult.service auscult-replay.service 2>/dev/null || true
        for instance in $(systemctl list-units --all --plain --no-legend 'auscult@*.service' |
            cut -d' ' -f1); do
            systemctl disable --now "$instance" 2>/dev/null || true
        done
    fi
    for unit in $UNIT_FILES; do
        rm -f "$UNITS/$unit"
    done
    rm -f /etc/systemd/system/*.wants/auscult.service /etc/systemd/system/*.wants/auscult@*.service
    if [ "$(readlink "$COMMAND" 2>/dev/null)" = "$PREFIX/venv/bin/auscult" ]; then
        rm -f "$COMMAND"
    fi
    rm -rf "$PREFIX"
    ! systemd_runs || systemctl daemon-reload
    if [ "$PURGE" = yes ]; then
        rm -rf "$ETC" /var/lib/auscult /var/lib/auscult-* \
            /var/lib/private/auscult /var/lib/private/auscult-* \
            /etc/systemd/system/auscult.service.d /etc/systemd/system/auscult@*.service.d
        say "uninstalled, with configuration and state"
    else
        say "uninstalled; $ETC and /var/lib/auscult are kept (--purge takes them away as well)"
    fi
}

EXTRAS=
UNINSTALL=no
PURGE=no
for argument in "$@"; do
    case $argument in
        --train) EXTRAS="--extra train" ;;
        --uninstall) UNINSTALL=yes ;;
        --purge) PURGE=yes ;;
        *) usage ;;
    esac
done
[ "$PURGE" = no ] || [ "$UNINSTALL" = yes ] || usage
[ "$(id -u)" = 0 ] || fail "must be root: sudo $0 $*"
umask 022

if [ "$UNINSTALL" = yes ]; then
    uninstall
else
    install_program
    install_configuration
    install_units
    remove_old_releases
    next_steps
fi
