"""Monitor a stream in a loop of your own: 16-bit samples of one channel on standard input.

    arecord -q -t raw -f S16_LE -r 16000 | python monitor_stream.py BUNDLE 16000

The loop decides what happens with an alert. This one prints it.
"""

import sys

import numpy as np

import auscult

BLOCK_S = 0.5

bundle = auscult.load_bundle(sys.argv[1])
sample_rate_hz = int(sys.argv[2])
stream = auscult.Stream(bundle, sample_rate_hz)
state = ""
while raw := sys.stdin.buffer.read(2 * int(BLOCK_S * sample_rate_hz)):
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2") / np.float32(32768)  # full scale +-1
    output = stream.push(samples)
    for span in output.spans:
        print(f"{span.end_s:.1f} s: score {span.score:.2f} of {span.threshold:.2f}")
    for alert in output.alerts:
        ranges = ", ".join(f"{low:.0f} to {high:.0f} Hz" for low, high in alert.bands_hz)
        print(f"{alert.at_s:.1f} s: {alert.kind} {ranges}".rstrip())
    if stream.state != state:
        state = stream.state
        print(f"state: {state} {stream.state_detail}".rstrip())
