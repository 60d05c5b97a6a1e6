"""HTML pages from the templates of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.web.scope import prefix_of, viewer_of
from monitor.web.texts import Languages, Texts
from monitor.web.users import Role

IN_A_LANGUAGE = {"Vary": "Accept-Language"}
"""A header of answers that depend on the language."""
_TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """The templates, in all languages. Text in them is escaped; an unknown name is an error."""

    def __init__(self) -> None:
        self.languages = Languages()
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
    ) -> HTMLResponse:
        """A page.

        Templates may use ``url(path)``, ``t(key)`` (a text), ``version``, ``now``, ``page`` (the
        name of the template), and ``values``. ``data`` of them is the document that the scripts of
        the page begin with. ``user`` is empty without a log-in; only the ``role`` ``operator`` may
        change something.
        """
        prefix, viewer, texts = prefix_of(request), viewer_of(request), self.texts(request)
        text = self._environment.get_template(template).render(
            {
                "page": template.removesuffix(".html"),
                "url": lambda path="": link(prefix, path),
                "t": texts.text,
                "texts": texts.document,
                "language": texts.language,
                "version": __version__,
                "now": rfc3339(SYSTEM_CLOCK.unix_s()),
                "user": viewer.name if viewer is not None else "",
                "role": viewer.role if viewer is not None else Role.VIEWER,
                "data": None,
                **(values or {}),
            }
        )
        return HTMLResponse(text, status, IN_A_LANGUAGE)

    def texts(self, request: Request) -> Texts:
        """The texts in the language that a browser asks for."""
        return self.languages.accepted(request.headers.get("accept-language", ""))


def link(prefix: str, path: str) -> str:
    """The address of a path of the application, for example ``machine/pump-7``."""
    return f"{prefix}/{quote(path, safe='/?&=#')}"
