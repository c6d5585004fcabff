"""A server before the service that wants a key, as the service itself may: forwards what it lets through."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

READER, ADMIN = "key-of-a-reader", "key-of-an-admin"
_OPEN = ("/static/", "/health/live")
_PASSED = ("content-type", "content-security-policy", "x-orderkeep-cache", "link", "cache-control")


@contextmanager
def key_proxy(url: str) -> Iterator[str]:
    """The address at which `url` is behind keys: `READER` may read, `ADMIN` may change as well."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def log_message(self, *_: object) -> None:
            pass

        def _handle(self) -> None:
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            if self.path != "/" and not self.path.startswith(_OPEN) and key not in (READER, ADMIN):
                self._answer(401, b'{"title":"Unauthorized","status":401,"detail":"no key"}', {})
            elif self.command == "POST" and key != ADMIN:
                self._answer(403, b'{"title":"Forbidden","status":403,"detail":"the key may only read"}', {})
            else:
                answer = client.request(self.command, self.path)
                headers = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
                self._answer(answer.status_code, answer.content, headers)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    client = httpx.Client(base_url=url, timeout=60)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()
