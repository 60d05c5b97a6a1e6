#!/bin/sh
# Install, upgrade or remove Auscult as a service on this machine.
#
#   sudo deploy/install.sh               install or upgrade; safe to run again
#   sudo deploy/install.sh --train       also install the trainer (torch, CPU build)
#   sudo deploy/install.sh --no-train    remove the trainer
#   sudo deploy/install.sh --rollback    use the release before again; once more: the newer one
#   sudo deploy/install.sh --uninstall   remove the program; keep configuration, bundles and state
#   sudo deploy/install.sh --uninstall --purge      remove everything
#
# Without --train or --no-train, an installed trainer is kept.
#
# Paths:
#   /opt/auscult                    the program: one folder per release, `venv` links to the current,
#                                   `previous` to the one before
#   /usr/local/bin/auscult          the command
#   /usr/local/lib/systemd/system   the units
#   /etc/auscult                    config.toml, mqtt_password, notify, web, bundles; never overwritten
#   /var/lib/auscult, -notify, -web the services' state, created by systemd
#
# The script downloads from the Python package index and, if something is missing, with apt.
# Environment: PYTHON=/usr/bin/python3.12 selects the interpreter, TORCH_INDEX=URL the package
# index for torch's CPU builds.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
PREFIX=/opt/auscult
ETC=/etc/auscult
UNITS=/usr/local/lib/systemd/system
COMMAND=/usr/local/bin/auscult
# This file exists while running services still use the previous program or unit.
RESTART_DUE=$PREFIX/.restart-due
TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
UNIT_FILES="auscult.service auscult@.service auscult-replay.service auscult-train.service
auscult-train.path auscult-train@.service auscult-train@.path auscult-notify.service
auscult-notify@.service auscult-web.service auscult-web@.service"

say() { printf '%s\n' "$*" >&2; }
fail() { say "install.sh: $*"; exit 69; }
usage() {
    say "install.sh: $*"
    sed -n '4,11s/^# \{0,1\}//p' "$0" >&2
    exit 64
}
systemd_runs() { [ -d /run/systemd/system ]; }

# Only interpreters under /usr: the units hide home folders.
find_python() {
    names="python3 python3.14 python3.13 python3.12 python3.11"
    for candidate in ${PYTHON:-$(for name in $names; do echo "/usr/bin/$name /usr/local/bin/$name"; done)}; do
        if "$candidate" -c 'import sys
sys.exit(sys.version_info < (3, 11) or not sys.base_prefix.startswith("/usr"))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found under /usr (sudo apt-get install python3 python3-venv)"
}

# The release's name: a hash of everything that decides its content.
fingerprint() {
    (
        cd "$ROOT"
        find pyproject.toml constraints.txt auscult monitor training tools \
            -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum
        printf '%s %s\n' "$1" "$2"
    ) | sha256sum | cut -c1-16
}

trainer_is_installed() {
    for torch in "$PREFIX"/venv/lib/python3*/site-packages/torch; do
        [ ! -d "$torch" ] || return 0
    done
    return 1
}

# Sets EXTRAS from the options, or from what is installed.
choose_extras() {
    if [ -z "$TRAIN" ]; then
        TRAIN=no
        if trainer_is_installed; then
            TRAIN=yes
            say "keeping the installed trainer (--no-train removes it)"
        fi
    elif [ "$TRAIN" = no ] && trainer_is_installed; then
        say "removing the trainer"
    fi
    EXTRAS="--extra notify --extra web"
    [ "$TRAIN" = no ] || EXTRAS="$EXTRAS --extra train"
}

install_program() {
    python=$(find_python)
    "$python" "$ROOT/tools/system_packages.py" node
    mkdir -p "$PREFIX/releases"
    release=$PREFIX/releases/$(fingerprint "$python" "$EXTRAS")
    if [ ! -e "$release/.complete" ]; then
        say "installing into $release"
        rm -rf "$release"
        # shellcheck disable=SC2086 # EXTRAS is several words
        "$python" "$ROOT/tools/setup_environment.py" --copy --venv "$release" \
            --torch-index "$TORCH_INDEX" $EXTRAS || { rm -rf "$release"; exit 69; }
        "$release/bin/auscult" --help >/dev/null || fail "the installed command does not start"
        touch "$release/.complete"
    fi
    # What --rollback needs beside the program.
    rm -rf "$release/deploy.new"
    mkdir "$release/deploy.new"
    for unit in $UNIT_FILES; do
        cp "$HERE/$unit" "$release/deploy.new/"
    done
    cp -r "$HERE/README.md" "$HERE/drop-ins" "$HERE/mosquitto" "$ROOT/config.toml" \
        "$release/deploy.new/"
    rm -rf "$release/deploy"
    mv "$release/deploy.new" "$release/deploy"
    use_release "$release"
    mkdir -p "$(dirname "$COMMAND")"
    ln -sfn "$PREFIX/venv/bin/auscult" "$COMMAND"
    # The root directory of auscult-replay.service: systemd mounts there what a replay may read.
    mkdir -p "$PREFIX/root"
}

# Make $1 the current release, and the one that was current the previous one.
use_release() {
    current=$(readlink "$PREFIX/venv" 2>/dev/null) || current=
    if [ "$current" != "$1" ]; then
        touch "$RESTART_DUE"
        [ ! -d "$current" ] || link "$current" "$PREFIX/previous"
    fi
    link "$1" "$PREFIX/venv"
    rm -rf "$PREFIX/share"
    cp -r "$1/deploy" "$PREFIX/share"
    for unit in $UNIT_FILES; do
        rm -f "$PREFIX/share/$unit"
    done
}

# Replace the link $2 in one step.
link() {
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
}

remove_old_releases() {
    current=$(readlink "$PREFIX/venv")
    previous=$(readlink "$PREFIX/previous" 2>/dev/null) || previous=
    for release in "$PREFIX"/releases/*; do
        [ "$release" = "$current" ] || [ "$release" = "$previous" ] || rm -rf "$release"
    done
}

roll_back() {
    previous=$(readlink "$PREFIX/previous" 2>/dev/null) || previous=
    if [ ! -e "$previous/.complete" ] || [ ! -d "$previous/deploy" ]; then
        fail "$PREFIX has no earlier release: there was no upgrade since this one was installed"
    fi
    use_release "$previous"
}

# The group whose members may use the control socket: the units name it.
make_group() {
    number=$(getent group auscult | cut -d: -f3)
    [ -n "$number" ] || { groupadd --system auscult; return; }
    # systemd's range of numbers for groups that exist only while a service runs.
    if [ "$number" -ge 61184 ] && [ "$number" -le 65519 ]; then
        fail "a running service holds the group auscult: stop it (systemctl stop auscult.service)," \
            "run this script again, then start it again"
    fi
}

install_configuration() {
    install -d -m 0755 "$ETC" "$ETC/bundles" "$ETC/machines"
    # The addresses of auscult-notify.service and its instances: they contain passwords.
    install -d -m 0700 "$ETC/notify"
    # The key of the certificate of auscult-web.service.
    install -d -m 0700 "$ETC/web"
    [ -e "$ETC/config.toml" ] || install -m 0644 "$ROOT/config.toml" "$ETC/config.toml"
    [ -e "$ETC/replay.env" ] || install -m 0644 "$HERE/replay.env" "$ETC/replay.env"
    # Readable by root only; systemd passes it to the service as a credential.
    [ -e "$ETC/mqtt_password" ] || install -m 0600 /dev/null "$ETC/mqtt_password"
}

install_units() {
    install -d -m 0755 "$UNITS"
    for unit in $UNIT_FILES; do
        if [ -e "$PREFIX/venv/deploy/$unit" ]; then
            cmp -s "$PREFIX/venv/deploy/$unit" "$UNITS/$unit" || touch "$RESTART_DUE"
            install -m 0644 "$PREFIX/venv/deploy/$unit" "$UNITS/$unit"
        else
            rm -f "$UNITS/$unit" # a release from before this unit
        fi
    done
    systemd_runs || { say "systemd is not running: the units are installed but not started"; return; }
    systemctl daemon-reload
    [ -e "$RESTART_DUE" ] || return 0
    # Restart running services on the new release; stopped ones stay stopped.
    systemctl try-restart auscult.service 'auscult@*.service' auscult-notify.service \
        'auscult-notify@*.service' auscult-web.service 'auscult-web@*.service'
    rm -f "$RESTART_DUE"
}

next_steps() {
    say "installed $(readlink "$PREFIX/venv")"
    systemctl is-active --quiet auscult.service 2>/dev/null && return
    say "next steps:"
    say "  1. edit $ETC/config.toml (as it is: the default microphone, a broker on this computer)"
    say "  2. if the broker needs a password: put it into $ETC/mqtt_password"
    say "  3. sudo auscult check --config $ETC/config.toml"
    say "  4. sudo systemctl enable --now auscult.service: it learns the machine, healthy, for a week"
    say "  5. sudo auscult status shows the progress. For this command, mute, acknowledge and label"
    say "     without sudo: sudo usermod -aG auscult \$USER, then log in again"
    say "  6. sudo systemctl enable --now auscult-web.service: a page at http://127.0.0.1:8737 (docs/web.md)"
    say "  7. for alerts by mail, Telegram, Slack or ntfy: docs/notifications.md"
}

uninstall() {
    if systemd_runs; then
        systemctl disable --now auscult-web.service auscult-notify.service auscult.service \
            auscult-replay.service 2>/dev/null || true
        for instance in $(systemctl list-units --all --plain --no-legend 'auscult@*.service' \
            'auscult-notify@*.service' 'auscult-web@*.service' | cut -d' ' -f1); do
            systemctl disable --now "$instance" 2>/dev/null || true
        done
        systemctl stop auscult-train.service 'auscult-train@*.service' 2>/dev/null || true
    fi
    for unit in $UNIT_FILES; do
        rm -f "$UNITS/$unit"
    done
    rm -f /etc/systemd/system/*.wants/auscult.service /etc/systemd/system/*.wants/auscult@*.service \
        /etc/systemd/system/*.wants/auscult-notify.service \
        /etc/systemd/system/*.wants/auscult-notify@*.service \
        /etc/systemd/system/*.wants/auscult-web.service \
        /etc/systemd/system/*.wants/auscult-web@*.service
    if [ "$(readlink "$COMMAND" 2>/dev/null)" = "$PREFIX/venv/bin/auscult" ]; then
        rm -f "$COMMAND"
    fi
    rm -rf "$PREFIX"
    ! systemd_runs || systemctl daemon-reload
    if [ "$PURGE" = yes ]; then
        rm -rf "$ETC" /var/lib/auscult /var/lib/auscult-* \
            /var/lib/private/auscult /var/lib/private/auscult-* \
            /etc/systemd/system/auscult.service.d /etc/systemd/system/auscult@*.service.d
        groupdel auscult 2>/dev/null || true
        say "uninstalled; configuration, bundles and state are removed"
    else
        say "uninstalled; $ETC and /var/lib/auscult are kept (--uninstall --purge removes them)"
    fi
}

TRAIN=
ROLLBACK=no
UNINSTALL=no
PURGE=no
for argument in "$@"; do
    case $argument in
        --train) TRAIN=yes ;;
        --no-train) TRAIN=no ;;
        --rollback) ROLLBACK=yes ;;
        --uninstall) UNINSTALL=yes ;;
        --purge) PURGE=yes ;;
        *) usage "unknown option: $argument" ;;
    esac
done
[ "$PURGE" = no ] || [ "$UNINSTALL" = yes ] || usage "--purge needs --uninstall"
[ "$ROLLBACK" = no ] || [ $# = 1 ] || usage "--rollback takes no other option"
[ "$(id -u)" = 0 ] || fail "must be root: sudo $0 $*"
umask 022

if [ "$UNINSTALL" = yes ]; then
    uninstall
elif [ "$ROLLBACK" = yes ]; then
    roll_back
    install_units
    say "using $(readlink "$PREFIX/venv") again; --rollback once more uses the newer release"
else
    choose_extras
    make_group
    install_program
    install_configuration
    install_units
    remove_old_releases
    next_steps
fi
