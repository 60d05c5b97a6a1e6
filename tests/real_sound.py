"""How tests train on recordings of real machines."""

from __future__ import annotations

from training.sound.settings import AudioSettings, NetworkSettings

QUICK = AudioSettings(training=NetworkSettings(epochs=2, most_windows_per_epoch=512))
"""A small part of the usual training; the statistics of the evidence do most."""
