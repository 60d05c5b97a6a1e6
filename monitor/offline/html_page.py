"""HTML pages of reports: every text is escaped, and pictures are part of the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from monitor.text.escaping import html_text

_STYLE = (
    "body{font:15px/1.5 system-ui;margin:2em auto;max-width:1000px;padding:0 1em}"
    "img,svg{max-width:100%}table{border-collapse:collapse;margin:1em 0}"
    "th,td{text-align:left;vertical-align:top;padding:.2em 1.2em .2em 0;"
    "border-bottom:1px solid #ddd}"
)


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Text as HTML. ``Html`` stays as it is."""
    return text if isinstance(text, Html) else Html(html_text(text))


def page(title: str, parts: Iterable[Html]) -> str:
    """A whole document, with the title as its first heading."""
    name = escaped(title)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>{name}</title><style>{_STYLE}</style>\n<h1>{name}</h1>\n"
        + "\n".join(parts)
        + "\n</html>\n"
    )


def heading(text: str) -> Html:
    """A heading of a section."""
    return Html(f"<h2>{escaped(text)}</h2>")


def paragraph(text: str) -> Html:
    """A paragraph."""
    return Html(f"<p>{escaped(text)}</p>")


def link(target: str, text: str) -> Html:
    """A link to another file."""
    return Html(f"<a href='{escaped(target)}'>{escaped(text)}</a>")


def facts(values: dict[str, str]) -> Html:
    """A table of names and values, a row each."""
    rows = (f"<tr>{_cell('th', name)}{_cell('td', value)}</tr>" for name, value in values.items())
    return Html(f"<table>{''.join(rows)}</table>")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table with a row of column names."""
    lines = ["".join(_cell("th", name) for name in header)]
    lines += ["".join(_cell("td", value) for value in row) for row in rows]
    return Html("<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>")


def picture(png: bytes, description: str) -> Html:
    """A PNG that is part of the page."""
    data = base64.b64encode(png).decode("ascii")
    return picture_file(f"data:image/png;base64,{data}", description)


def picture_file(source: str, description: str) -> Html:
    """A picture in a file beside the page."""
    return Html(f"<img alt='{escaped(description)}' src='{escaped(source)}'>")


def _cell(tag: str, text: str) -> str:
    return f"<{tag}>{escaped(text)}</{tag}>"
