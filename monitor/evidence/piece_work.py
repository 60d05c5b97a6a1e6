"""What the thread of the keeper does: clips to pieces on the disk, and reports of losses."""

from __future__ import annotations

import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from monitor.evidence.clip import Clip, Judge, Request
from monitor.evidence.flac import NoFlacError
from monitor.evidence.healthy_space import free_healthy_space
from monitor.evidence.names import HEALTHY, PICTURE, healthy_stem
from monitor.evidence.piece_files import (
    PieceFiles,
    begun_clip,
    begun_files,
    begun_request,
    files_of,
    kept_request,
    lost_metadata,
)
from monitor.evidence.retention import EvidenceLostError, is_healthy_sound
from monitor.evidence.store import EvidenceStore
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_KILLED = "the daemon was killed before the end of the sound"
_KILLED_EARLY = "the daemon was killed before the sound was written"


@dataclass(frozen=True, slots=True)
class EvidenceEvent:
    """A piece was kept, or is lost. ``reason``: why it is lost or not complete; may be empty.

    ``found``: an earlier process has kept it, and was ended before it was diagnosed.
    """

    what: Literal["kept", "lost", "found"]
    request: Request
    reason: str
    n_bytes: int = 0


class PieceWork:
    """Makes and writes pieces. Used by one thread, except ``trouble`` and ``n_lost``.

    ``on_event``, ``on_picture``: what to do with an event, and with the picture of the beginning of
    an alert. A fault in one of them is logged.
    """

    RECENT_S: ClassVar[float] = 600.0
    """What was kept before that and not diagnosed is not diagnosed any more."""
    HEALTHY_S: ClassVar[float] = 86_400.0
    """How old healthy sound is when it is replaced."""
    HEALTHY_SHARE: ClassVar[float] = 0.25
    """The most space for healthy sound, as a share of the limit."""
    HEALTHY_STAYING: ClassVar[int] = 8
    """So many pieces of each operating state stay: a slow fault is not in all of them."""
    HEALTHY_SOON: ClassVar[int] = 3
    """So many are kept as soon as they come, which a diagnosis needs; the others a day apart."""

    def __init__(
        self,
        store: EvidenceStore,
        on_event: Callable[[EvidenceEvent], None],
        on_picture: Callable[[Request, bytes], None],
    ) -> None:
        self.store = store
        self.is_open = False
        self.trouble = ""
        """Why the newest piece could not be kept; empty if it could."""
        self.n_lost = 0
        self._on_event = on_event
        self._on_picture = on_picture
        self._lost: deque[tuple[Request, str]] = deque(maxlen=100)
        """What is lost and could not be noted on the disk."""

    def open(self, judges: Mapping[str, Judge], expected: Iterable[Request]) -> None:
        """Open the folder, and complete what a killed process has left. Raises ``OSError``.

        ``judges``: by machine. ``expected``: pieces that must be there.
        """
        begun = self.store.open()
        self.is_open = True
        self.trouble = ""
        for request in self._not_diagnosed(judges):
            self._call(partial(self._on_event, EvidenceEvent("found", request, "")))
        for piece in begun:
            try:
                described, sound = self.store.read_begun(piece)
                request = begun_request(described, judges)
            except (OSError, ValueError) as error:
                log.warning("evidence is damaged: %s", one_line(error))
                self.store.discard(*piece.key)
                continue
            try:
                self.keep(request, begun_clip(described, sound, _KILLED))
            except (NoFlacError, ValueError):
                self.lost(request, _KILLED_EARLY)
        for request in expected:
            if not self.store.has(request.alert_id, request.number):
                self.lost(request, _KILLED_EARLY)

    def _not_diagnosed(self, judges: Mapping[str, Judge]) -> list[Request]:
        """The pieces that an earlier process kept just before its end, the oldest first."""
        now_s = self.store.running_time.now_s()
        found = []
        for (folder, stem), kept in self.store.retention.kept.items():
            judge = judges.get(kept.machine)
            if judge is None or is_healthy_sound(folder) or kept.at_s < now_s - self.RECENT_S:
                continue
            metadata = self.store.metadata(folder, stem)
            is_done = "diagnosis" in metadata or metadata.get("lost")
            if is_done or metadata.get("moment") == "cleared":
                continue
            with contextlib.suppress(ValueError):
                found.append((kept.at_s, kept_request(metadata, judge)))
        return [request for _, request in sorted(found, key=lambda one: one[0])]

    def failed(self, error: OSError) -> None:
        """The folder cannot be used."""
        reason = f"the folder of evidence cannot be used: {error}"
        if reason != self.trouble:
            log.warning("%s", one_line(reason))
        self.trouble = reason

    def begin(self, request: Request, clip: Clip) -> None:
        """Write the sound so far, in case that the process is killed."""
        try:
            if self.is_open:
                self.store.begin(request.alert_id, request.stem, begun_files(request, clip))
        except (EvidenceLostError, NoFlacError) as error:
            # Reported with the whole piece, which may succeed.
            log.debug("the beginning of evidence was not written: %s", error)

    def keep(self, request: Request, clip: Clip) -> None:
        """Make and write a piece, or report that it is lost."""
        made = files_of(request, clip)
        if request.moment == "raised" and PICTURE in made.files:
            self._call(lambda: self._on_picture(request, made.files[PICTURE]))
        reason = made.metadata["incomplete"] or ""
        try:
            if not self.is_open:
                raise EvidenceLostError(self.trouble or "the folder of evidence is not open")
            if not made.files:
                raise EvidenceLostError(reason or "there is no sound")
            self.store.add(request.alert_id, request.stem, made.files, made.metadata)
        except EvidenceLostError as error:
            self.lost(request, str(error))
            return
        self.trouble = ""
        n_bytes = made.metadata["bytes"]
        log.info(
            "evidence kept",
            extra={
                "machine": request.machine,
                "evidence": request.evidence_id,
                "moment": request.moment,
                "bytes": n_bytes,
                **({"incomplete": reason} if reason else {}),
            },
        )
        self._call(lambda: self._on_event(EvidenceEvent("kept", request, reason, n_bytes)))
        self.note_lost()

    def lost(self, request: Request, reason: str) -> None:
        """Log a loss, report it, and note it on the disk if the disk accepts it."""
        self.n_lost += 1
        self.trouble = self.trouble if not self.is_open else reason
        log.warning(
            "evidence is lost: %s",
            one_line(reason),
            # With the alert, no line is left out as a repetition.
            extra={
                "machine": request.machine,
                "alert_id": request.alert_id,
                "evidence": request.evidence_id,
            },
        )
        self._call(lambda: self._on_event(EvidenceEvent("lost", request, reason)))
        self._lost.append((request, reason))
        self.note_lost()

    def note_lost(self) -> None:
        """Write for each lost piece that it is lost, as soon as the disk accepts it."""
        while self._lost and self.is_open:
            request, reason = self._lost[0]
            try:
                metadata = lost_metadata(request, reason)
                self.store.add(request.alert_id, request.stem, {}, metadata)
            except EvidenceLostError:
                return
            self._lost.popleft()

    def keep_healthy(self, request: Request, clip: Clip) -> None:
        """Replace the healthy sound of an operating state if it is older than a day.

        The first pieces by a bundle also stay under numbers of their own.
        """
        if not self.is_open:
            return
        made = files_of(request, clip, is_alert=False)
        state = made.metadata["operation"] or "running"
        folder = f"{HEALTHY}/{request.machine}"
        made.metadata |= {"evidence_id": "", "alert_id": "", "moment": HEALTHY, "operation": state}
        kept_s = self.store.kept_s(folder, healthy_stem(state))
        if kept_s is None or self.store.running_time.now_s() - kept_s >= self.HEALTHY_S:
            self._add_healthy(folder, healthy_stem(state), made)
        number = self._free_number(folder, state, request.judge.sha256)
        if number is not None:
            self._add_healthy(folder, healthy_stem(state, number), made)

    def _free_number(self, folder: str, state: str, sha256: str) -> int | None:
        """The number of the next piece that stays; None if none is due.

        Those by an earlier bundle are replaced one by one, the oldest first.
        """
        kept = {
            number: (kept_s, self.store.bundle_of(folder, stem))
            for number in range(1, self.HEALTHY_STAYING + 1)
            if (kept_s := self.store.kept_s(folder, stem := healthy_stem(state, number)))
            is not None
        }
        own_s = [kept_s for kept_s, bundle in kept.values() if bundle == sha256]
        since_s = self.store.running_time.now_s() - max(own_s, default=-math.inf)
        if len(own_s) >= self.HEALTHY_SOON and since_s < self.HEALTHY_S:
            return None
        for number in range(1, self.HEALTHY_STAYING + 1):
            if number not in kept:
                return number
        others = [number for number, (_, bundle) in kept.items() if bundle != sha256]
        return min(others, key=lambda number: kept[number][0], default=None)

    def _add_healthy(self, folder: str, stem: str, made: PieceFiles) -> None:
        most = self.HEALTHY_SHARE * self.store.retention.settings.max_bytes
        try:
            if free_healthy_space(self.store, folder, stem, made.metadata["bytes"], most):
                self.store.add(folder, stem, made.files, made.metadata)
        except (EvidenceLostError, OSError) as error:
            log.debug("healthy sound was not kept: %s", error)

    def describe(self, request: Request, more: Mapping[str, Any]) -> None:
        """Add to the metadata of a piece, if it is still there."""
        try:
            if self.is_open:
                self.store.describe(request.alert_id, request.stem, more)
        except EvidenceLostError as error:
            log.warning("the diagnosis of an alert was not kept: %s", one_line(str(error)))

    def _call(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception:  # history and pictures are extras: the evidence is kept all the same
            log.exception("internal error while evidence was reported")
