"""The application: routes, and what every request passes through."""

from __future__ import annotations

from starlette.applications import Starlette

from monitor.web.context import Context
from monitor.web.routes import routes


def make_app(context: Context) -> Starlette:
    """The application with these parts."""
    app = Starlette(routes=routes())
    app.router.redirect_slashes = False  # it would lead to an address without the prefix
    app.state.context = context
    return app
