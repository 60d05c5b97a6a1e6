"""``auscult train``: the commands of the trainer, which is all that ``monitor`` loads of it."""

from __future__ import annotations

from monitor.text.arguments import CommandApp
from training.images import cli as image_cli
from training.sound import cli as audio_cli

app = CommandApp(help="Train bundles on recordings, or networks on images.")
audio_cli.register(app)
image_cli.register(app)
