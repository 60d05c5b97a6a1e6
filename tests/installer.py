"""deploy/install.sh without a booted system: in a mount namespace, with a stub for Python.

Nothing outside the namespace changes. The stub creates the folders that
tools/setup_environment.py would create, and downloads nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL = Path(__file__).resolve().parent.parent / "deploy" / "install.sh"

STUB_PYTHON = """\
#!/bin/sh
case $1 in */setup_environment.py) ;; *) exit 0 ;; esac
extras=" $* "
while [ "$1" != --venv ]; do shift; done
mkdir -p "$2/bin" "$2/lib/python3.13/site-packages"
case $extras in *" --extra train "*) mkdir "$2/lib/python3.13/site-packages/torch" ;; esac
printf '#!/bin/sh\\n' >"$2/bin/auscult"
chmod +x "$2/bin/auscult"
"""

# $1: a folder for scratch and results. $2: the installer. Then the options of each run.
IN_NAMESPACE = """
set -eu
folder=$1 install=$2
shift 2
mount -t tmpfs tmpfs "$folder/scratch"
for place in etc opt usr/local; do
    mkdir -p "$folder/scratch/$place/upper" "$folder/scratch/$place/work"
    mount -t overlay overlay -o "lowerdir=/$place,\
upperdir=$folder/scratch/$place/upper,workdir=$folder/scratch/$place/work" "/$place"
done
mount -t tmpfs tmpfs /run
# The namespace has one user only, so that the real program cannot write /etc/gshadow.
printf '#!/bin/sh\\necho "$2:x:999:" >>/etc/group\\n' >"$folder/groupadd"
chmod +x "$folder/groupadd"
PATH=$folder:$PATH
touch "$folder/namespace-is-ready"
run=0
for options in "$@"; do
    run=$((run + 1))
    status=0
    # shellcheck disable=SC2086
    PYTHON=$folder/python-$run sh "$install" $options >"$folder/$run.output" 2>&1 || status=$?
    echo "$status" >"$folder/$run.status"
    readlink /opt/auscult/venv >"$folder/$run.release" || true
    ls -d /opt/auscult/venv/lib/*/site-packages/torch >"$folder/$run.torch" 2>/dev/null || true
    ls /opt/auscult/releases >"$folder/$run.kept" 2>/dev/null || true
    tail -n 1 /usr/local/lib/systemd/system/auscult.service >"$folder/$run.unit" 2>/dev/null || true
    # As if each release had a unit of its own.
    unit=/opt/auscult/venv/deploy/auscult.service
    [ ! -e "$unit" ] || grep -q "^# unit of run" "$unit" || echo "# unit of run $run" >>"$unit"
done
"""


@dataclass(frozen=True, slots=True)
class InstallerRun:
    """The outcome of one run of install.sh.

    ``kept``: the names of the releases that are there after it. ``unit``: the last line of the
    unit that it installed.
    """

    status: int
    output: str
    release: str
    has_trainer: bool
    kept: tuple[str, ...]
    unit: str


def run_installer(folder: Path, *options_of_runs: str) -> list[InstallerRun]:
    """Run install.sh once per argument, one after another on the same system.

    Each run uses another interpreter, so that each one installs a new release.
    Skips the calling test if this machine allows no mount namespaces.
    """
    (folder / "scratch").mkdir()
    runs = range(1, len(options_of_runs) + 1)
    for run in runs:
        stub = folder / f"python-{run}"
        stub.write_text(STUB_PYTHON, encoding="utf-8")
        stub.chmod(0o755)
    enter = ["unshare", "--mount", "--map-root-user", "sh", "-c", IN_NAMESPACE, "sh"]
    done = subprocess.run(
        [*enter, str(folder), str(INSTALL), *options_of_runs],
        capture_output=True,
        text=True,
        check=False,
    )
    if not (folder / "namespace-is-ready").exists():
        pytest.skip(f"no mount namespace with overlays: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr

    def text(run: int, what: str) -> str:
        return (folder / f"{run}.{what}").read_text(encoding="utf-8").strip()

    return [
        InstallerRun(
            status=int(text(run, "status")),
            output=text(run, "output"),
            release=text(run, "release"),
            has_trainer=bool(text(run, "torch")),
            kept=tuple(text(run, "kept").split()),
            unit=text(run, "unit"),
        )
        for run in runs
    ]
