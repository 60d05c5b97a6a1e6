"""Make `import torchaudio` work beside whichever torch is installed.

torchaudio's wheels carry a compiled extension linked against one version of CUDA. Beside a CPU
build of torch, or one for another CUDA, loading it raises, although the pure-Python parts
(transforms, functional) never call it. torchaudio itself runs without the extension when the file
is absent, so an extension that cannot be loaded is parked under a name that torchaudio does not
look for. Run again after another torch was installed: a parked extension gets a new chance.

Usage: PYTHON tools/torchaudio_importable.py, with the Python of the environment to set right.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

PARKED_SUFFIX = ".parked"
IMPORT_AND_USE = (
    "import torch, torchaudio;"
    "torchaudio.transforms.MelSpectrogram(n_fft=64, n_mels=8)(torch.zeros(256))"
)


def extensions(library_folder: Path) -> list[Path]:
    """The compiled extensions that torchaudio would load, parked ones not counted."""
    return sorted([*library_folder.glob("*.so"), *library_folder.glob("*.pyd")])


def park(library_folder: Path) -> None:
    """Rename every extension so that torchaudio does not find it."""
    for extension in extensions(library_folder):
        extension.rename(extension.with_name(extension.name + PARKED_SUFFIX))


def unpark(library_folder: Path) -> None:
    """Undo `park`; an extension freshly installed under its own name wins over a parked one."""
    for parked in library_folder.glob("*" + PARKED_SUFFIX):
        extension = parked.with_name(parked.name.removesuffix(PARKED_SUFFIX))
        if extension.exists():
            parked.unlink()
        else:
            parked.rename(extension)


def trouble_importing(python: str) -> str | None:
    """Why torchaudio cannot be imported and used with `python`, or None when it can."""
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
    unpark(library_folder)
    if trouble_importing(sys.executable) is None:
        return 0
    park(library_folder)
    trouble = trouble_importing(sys.executable)
    if trouble is not None:
        print(f"torchaudio cannot be imported: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
