"""Make `import torchaudio` work with any build of torch.

torchaudio's wheels contain a compiled extension for one version of CUDA. With a CPU build of torch,
or a build for another CUDA, the import of the extension fails. The pure-Python parts (transforms,
functional) do not need it, and torchaudio works if the file is absent. This script therefore
renames an extension that cannot be loaded. Run it again after you install another torch: it first
restores a renamed extension and tries it.

Usage: PYTHON tools/torchaudio_importable.py, with the Python of the environment to repair.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

DISABLED_SUFFIX = ".parked"
IMPORT_AND_USE = (
    "import torch, torchaudio;"
    "torchaudio.transforms.MelSpectrogram(n_fft=64, n_mels=8)(torch.zeros(256))"
)


def extensions(library_folder: Path) -> list[Path]:
    """The compiled extensions that torchaudio loads, without disabled ones."""
    return sorted([*library_folder.glob("*.so"), *library_folder.glob("*.pyd")])


def disable(library_folder: Path) -> None:
    """Rename every extension, so that torchaudio does not find it."""
    for extension in extensions(library_folder):
        extension.rename(extension.with_name(extension.name + DISABLED_SUFFIX))


def enable(library_folder: Path) -> None:
    """Undo `disable`; a newly installed extension replaces a disabled one of the same name."""
    for disabled in library_folder.glob("*" + DISABLED_SUFFIX):
        extension = disabled.with_name(disabled.name.removesuffix(DISABLED_SUFFIX))
        if extension.exists():
            disabled.unlink()
        else:
            disabled.rename(extension)


def import_error(python: str) -> str | None:
    """The error of importing and using torchaudio with `python`, or None without an error."""
    done = subprocess.run(  # noqa: S603 - the interpreter running this file and a constant
        [python, "-c", IMPORT_AND_USE], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def main() -> int:
    found = importlib.util.find_spec("torchaudio")
    if found is None or found.origin is None:
        print("torchaudio is not installed", file=sys.stderr)
        return 1
    library_folder = Path(found.origin).parent / "lib"
    enable(library_folder)
    if import_error(sys.executable) is None:
        return 0
    disable(library_folder)
    error = import_error(sys.executable)
    if error is not None:
        print(f"torchaudio cannot be imported: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
