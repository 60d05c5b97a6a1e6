"""Commands that need an optional extra of the package: the message where it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.errors import ServiceUnavailableError
from monitor.learning.trainers.train_command import PACKAGES

_OWN = frozenset({"auscult", "monitor", "training"})
FOR_DEMO = ("amqtt",)
FOR_FLEET = ("fsspec", "pyarrow")
FOR_NOTIFICATIONS = ("apprise",)
FOR_TRAINING = PACKAGES
FOR_WEB = ("starlette", "uvicorn", "jinja2", "argon2", "prometheus_client")


@contextmanager
def needs_extra(command: str, *extras: str) -> Iterator[None]:
    """Report a missing package of ``extras`` as a ``ServiceUnavailableError`` that names them.

    ``command`` is what the user typed, such as ``auscult train``. A missing module of Auscult
    itself is a bug and keeps its traceback.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in _OWN:
            raise
        raise ServiceUnavailableError(_message(command, extras, package)) from None


def require_installed(*packages: str) -> None:
    """Raise ``ModuleNotFoundError`` for the first of ``packages`` that is not installed.

    Nothing is imported: a long command checks what it needs last before it starts.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _message(command: str, extras: tuple[str, ...], package: str) -> str:
    names = " and ".join(f"'{extra}'" for extra in extras)
    word, it = ("extra", "it") if len(extras) == 1 else ("extras", "them")
    ways = [f"pip install '.[{','.join(extras)}]' (in the folder of the source)"]
    if extras == ("train",):
        ways.append("on a node: sudo deploy/install.sh --train")
    return (
        f"{command} needs the {word} {names} ({package} is not installed): "
        f"install {it} with: {', or '.join(ways)}"
    )
