"""The page at `/` and the documentation at `/docs`, with all they need from the package itself."""

from importlib.resources import files
from typing import Any, Final

from litestar import HttpMethod, Request, Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from orderkeep.api.problems import problem

_TYPES: Final = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_NOWHERE_ELSE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI styles its elements inline and draws its icons from data: addresses.
_DOCS_POLICY: Final = _NOWHERE_ELSE.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
_READ = [HttpMethod.GET, HttpMethod.HEAD]


def page_routes() -> list[HTTPRouteHandler]:
    """The handlers; the files are read once."""
    static, docs = _folder("static"), _folder("docs")

    @route("/", http_method=_READ, include_in_schema=False)
    async def page() -> Response[bytes]:
        return _show(static, "index.html", _NOWHERE_ELSE)

    @route("/static/{name:str}", http_method=_READ, include_in_schema=False)
    async def static_file(name: str) -> Response[bytes]:
        return _show(static, name, _NOWHERE_ELSE)

    @route("/docs", http_method=_READ, include_in_schema=False)
    async def docs_page() -> Response[bytes]:
        return _show(docs, "index.html", _DOCS_POLICY)

    @route("/docs/assets/{name:str}", http_method=_READ, include_in_schema=False)
    async def docs_file(name: str) -> Response[bytes]:
        return _show(docs, name, _DOCS_POLICY)

    @route("/openapi.json", http_method=_READ, include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        return Response(request.app.openapi_schema.to_schema(), headers={"cache-control": "no-cache"})

    @route("/favicon.ico", http_method=_READ, include_in_schema=False)
    async def favicon() -> Response[Any]:
        return problem(404, "The page's icon is /static/favicon.svg.")

    return [page, static_file, docs_page, docs_file, openapi, favicon]


def _folder(name: str) -> dict[str, bytes]:
    folder = files("orderkeep.api").joinpath(name)
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES
    }


def _show(folder: dict[str, bytes], name: str, policy: str) -> Response[bytes]:
    if name not in folder:
        raise NotFoundException(f"There is no file {name!r}.")
    return Response(
        folder[name],
        media_type=_TYPES[name.rpartition(".")[2]],
        headers={
            "content-security-policy": policy,
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
    )
