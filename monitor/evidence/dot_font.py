"""Letters of 5 x 7 dots, for the axes of pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HEIGHT, ADVANCE = 7, 6
"""The dots of a letter from top to bottom, and from one letter to the next."""

_COLUMNS = {
    " ": "0000000000",
    "+": "08083E0808",
    "-": "0808080808",
    ".": "0060600000",
    ",": "0050300000",
    "(": "001C224100",
    ")": "0041221C00",
    "0": "3E5149453E",
    "1": "00427F4000",
    "2": "4261514946",
    "3": "2141454B31",
    "4": "1814127F10",
    "5": "2745454539",
    "6": "3C4A494930",
    "7": "0171090503",
    "8": "3649494936",
    "9": "064949291E",
    "B": "7F49494936",
    "H": "7F0808087F",
    "a": "2054545478",
    "b": "7F48444438",
    "c": "3844444420",
    "d": "384444487F",
    "e": "3854545418",
    "f": "087E090102",
    "g": "0C5252523E",
    "h": "7F08040478",
    "i": "00447D4000",
    "k": "7F10284400",
    "l": "00417F4000",
    "m": "7C04180478",
    "n": "7C08040478",
    "o": "3844444438",
    "p": "7C14141408",
    "r": "7C08040408",
    "s": "4854545420",
    "t": "043F444020",
    "u": "3C4040207C",
    "v": "1C2040201C",
    "w": "3C4030403C",
    "x": "4428102844",
    "y": "0C5050503C",
    "z": "4464544C44",
}
"""Five columns of seven dots each, as two hexadecimal digits; the lowest bit is the top."""


def dots(text: str) -> npt.NDArray[np.bool_]:
    """Where the dots of a text are. Shape: ``(7, 6 * len(text))``. Other letters are blank."""
    columns = [
        int(_COLUMNS.get(letter, _COLUMNS[" "])[2 * i : 2 * i + 2], 16) if i < 5 else 0
        for letter in text
        for i in range(ADVANCE)
    ]
    rows = np.arange(HEIGHT)[:, None]
    return (np.array(columns, dtype=np.int64)[None, :] >> rows & 1).astype(bool)
