"""The page at `/` and the documentation at `/docs`, with all they need from the package itself."""

import gzip
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple

from litestar import HttpMethod, Request, Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from orderkeep.api.access import OPEN
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
# Trusted types: the browser itself refuses whatever would read text as markup.
_PAGE_POLICY: Final = f"{_NOWHERE_ELSE}; require-trusted-types-for 'script'; trusted-types 'none'"
# Swagger UI styles its elements inline and draws its icons from data: addresses.
_DOCS_POLICY: Final = _NOWHERE_ELSE.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
_READ = [HttpMethod.GET, HttpMethod.HEAD]


class _File(NamedTuple):
    media_type: str
    plain: bytes
    packed: bytes
    etag: str


def page_routes() -> list[HTTPRouteHandler]:
    """The handlers; the files are read, and compressed, once."""
    static, docs = _folder("static"), _folder("docs")

    @route("/", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _show(request, static, "index.html", _PAGE_POLICY)

    @route("/static/{name:path}", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def static_file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        return _show(request, static, name.removeprefix("/"), _PAGE_POLICY)

    @route("/docs", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def docs_page(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _show(request, docs, "index.html", _DOCS_POLICY)

    @route("/docs/assets/{name:str}", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def docs_file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        return _show(request, docs, name, _DOCS_POLICY)

    @route("/openapi.json", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        return Response(request.app.openapi_schema.to_schema(), headers={"cache-control": "no-cache"})

    @route("/favicon.ico", http_method=_READ, opt=OPEN, include_in_schema=False)
    async def favicon() -> Response[Any]:
        return problem(404, "The page's icon is /static/favicon.svg.")

    return [page, static_file, docs_page, docs_file, openapi, favicon]


def _folder(name: str) -> dict[str, _File]:
    return dict(_walk(files("orderkeep.api").joinpath(name), ""))


def _walk(folder: Traversable, path: str) -> list[tuple[str, _File]]:
    """Every file that can be served, by its path below the folder."""
    found: list[tuple[str, _File]] = []
    for entry in folder.iterdir():
        media_type = _TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            found += _walk(entry, f"{path}{entry.name}/")
        elif media_type:
            found.append((path + entry.name, _file(media_type, entry.read_bytes())))
    return found


def _file(media_type: str, plain: bytes) -> _File:
    etag = hashlib.blake2b(plain, digest_size=12).hexdigest()
    return _File(media_type, plain, gzip.compress(plain, 9, mtime=0), f'W/"{etag}"')


def _show(
    request: Request[Any, Any, Any], folder: dict[str, _File], name: str, policy: str
) -> Response[bytes]:
    if name not in folder:
        raise NotFoundException(f"There is no file {name!r}.")
    file = folder[name]
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-cache",
        "etag": file.etag,
        "referrer-policy": "no-referrer",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(file.packed if packed else file.plain, media_type=file.media_type, headers=headers)
