"""The server of the pages: this machine's own address, for who holds the token alone."""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from gateway.errors import GatewayError
from gateway.view.pages import page, style
from gateway.view.viewed import Viewed

ADDRESS: Final = "127.0.0.1"
_FIELDS = 20
_HEADERS: Final = {
    # Nothing but our own style: no script, no other host, no frame around the page.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The address holds the token.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Viewer:
    """A result, served until it is closed.

    The server listens on the loopback address alone. Who asks has to know the token, 32 random
    bytes in the address, which keeps out other users of the machine; and to ask for this very
    host, which keeps out pages of other sites whose name was made to point here (DNS rebinding).

    Parameters
    ----------
    port
        To listen on; 0 for a free one.

    Raises
    ------
    GatewayError
        Where the port is taken.
    """

    def __init__(self, viewed: Viewed, *, port: int = 0) -> None:
        self.viewed = viewed
        self.token = secrets.token_urlsafe(32)
        # matplotlib draws one figure at a time.
        self.lock = Lock()
        viewer = self

        class Handler(_Handler):
            served = viewer

        try:
            self._server = ThreadingHTTPServer((ADDRESS, port), Handler)
        except OSError as error:
            raise GatewayError(f"cannot listen on port {port}: {error.strerror}") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the first page is."""
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What a browser that was given ``url`` says it asks."""
        return f"{ADDRESS}:{self.port}", f"localhost:{self.port}"

    def serve(self) -> None:
        """Answer until ``close``, or an interrupt."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop answering, and give the port back."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Viewer
    timeout = 30

    def do_GET(self) -> None:
        """Answer with a page, or say that there is none."""
        try:
            asked = urlsplit(self.path)
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, "This is no address.")
            return
        # An address with a host in it counts more than the header (RFC 9112, 3.2.2).
        if (asked.netloc or self.headers.get("Host", "")) not in self.served.hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This is not the host that you asked for.")
            return
        token, _, path = asked.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.served.token.encode()):
            self._answer(HTTPStatus.NOT_FOUND, "There is no such page.")
            return
        if path == "style.css":
            self._answer(HTTPStatus.OK, style(), kind="text/css")
            return
        try:
            query = dict(parse_qsl(asked.query, keep_blank_values=True, max_num_fields=_FIELDS))
        except ValueError:
            query = {}
        with self.served.lock:
            text = page(self.served.viewed, path, query)
        if text is None:
            self._answer(HTTPStatus.NOT_FOUND, "There is no such page.")
        else:
            self._answer(HTTPStatus.OK, text, kind="text/html")

    do_HEAD = do_GET  # noqa: N815  (http.server names it)

    def _answer(self, status: HTTPStatus, text: str, *, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for key, value in _HEADERS.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name no versions."""
        return "gateway"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its signature)
        """Write nothing: the address holds the token."""
