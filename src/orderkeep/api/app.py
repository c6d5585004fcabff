"""The application: routes, errors and the description of the API, put together."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components
from litestar.types import ASGIApp

from orderkeep.api.access import SECURITY, Access
from orderkeep.api.guard import AllowedHosts, Guard
from orderkeep.api.problems import HANDLERS
from orderkeep.observe.metrics import Metrics


def create_app(
    routes: Sequence[HTTPRouteHandler], hosts: AllowedHosts, metrics: Metrics, access: Access | None = None
) -> ASGIApp:
    """An application of these routes, guarded, with problem+json for every error.

    Without `access` nobody is asked for a key, and nothing of keys is described.
    """
    if access:
        for route in routes:
            access.describe(route)
    description = OpenAPIConfig(
        title="Orderkeep",
        version=version("orderkeep"),
        summary="Orders by id, from memory, byte for byte as they were sent",
        path="/docs/schema",
        render_plugins=[JsonRenderPlugin()],  # the default one loads its scripts from elsewhere
        components=SECURITY if access else Components(),
    )
    app = Litestar(
        route_handlers=routes,
        guards=[access.guard] if access else [],
        exception_handlers=HANDLERS,
        openapi_config=description,
        logging_config=None,
        debug=False,
    )
    metrics.set("orderkeep_build_info", 1, version("orderkeep"), platform.python_version())
    return Guard(app, hosts, metrics)
