"""A small HTTP client of the running server, for the command line and the demo's story.

Standard library only: `alertbridge --help` and `alertbridge list` have to be quick.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from bridge.errors import AlertbridgeError, InvalidInput

DEFAULT_URL = "http://127.0.0.1:9877"
MOST_DOWNLOADED = 64 << 20
"""Bytes of one file."""


class ServerError(AlertbridgeError):
    """The server said no, or did not answer; `status` is 0 then. The message is for people."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Calls of one server. Every call opens a connection of its own and has a deadline (seconds)."""

    def __init__(
        self, url: str = DEFAULT_URL, *, token: str = "", ca_file: str | None = None, timeout: float = 15.0
    ) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            raise InvalidInput(f"{url!r} is no URL") from None
        if parts.scheme not in ("http", "https") or not self._host:
            raise InvalidInput(f"{url!r} is no http:// or https:// URL")
        if any(ord(char) < 33 or ord(char) > 126 for char in token):
            raise InvalidInput("the token has characters that no HTTP header can carry")
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout

    def get(self, path: str, **query: str | int | None) -> Any:
        """Return the answer's JSON; raise ServerError."""
        return self._json("GET", path, query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send `body` as JSON and return the answer's; raise ServerError."""
        return self._json("POST", path, {}, body or {})

    def download(self, path: str, most: int = MOST_DOWNLOADED) -> bytes:
        """Return the answer's bytes, `most` at most; raise ServerError."""
        connection, response = self._call("GET", path, {}, None, timeout=60.0)
        try:
            content = response.read(most + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self.url}{path}: the download broke off: {error}") from error
        finally:
            connection.close()
        if len(content) > most:
            raise ServerError(f"{self.url}{path}: the answer is larger than {most >> 20} MiB")
        return content

    def lines(self, path: str, **query: str | int | None) -> Iterator[dict[str, Any]]:
        """Yield the objects of a stream as they come; raise ServerError. Beats (empty lines) keep it alive."""
        connection, response = self._call("GET", path, query, None, timeout=60.0)
        try:
            while line := response.readline():
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self.url}: the stream broke off: {error}") from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, query: Mapping[str, Any], body: Any = None) -> Any:
        connection, response = self._call(method, path, query, body, timeout=self._timeout, accept="application/json")
        try:
            return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServerError(f"{self.url}{path}: not an answer of alertbridge: {error}") from error
        finally:
            connection.close()

    def _call(
        self, method: str, path: str, query: Mapping[str, Any], body: Any, *, timeout: float, accept: str = "*/*"
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        target = f"{self._path}{path}{'?' if given else ''}{given}"
        connection = self._connect(timeout)
        headers = {**self._headers, "Accept": accept}
        raw = None
        if body is not None:
            raw = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, raw, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ServerError(
                f"no answer from {self.url}: {error}. Is `alertbridge serve` running there? (--url, ALERTBRIDGE_URL)"
            ) from error
        if response.status >= 300:
            text = _problem(response)
            connection.close()
            raise ServerError(text, status=response.status)
        return connection, response

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _problem(response: http.client.HTTPResponse) -> str:
    """Return what a problem document says, or what little is known of another answer."""
    try:
        document = json.loads(response.read(65536))
        lines = [document.get("detail") or document.get("title") or response.reason]
        lines += [error.get("detail", "") for error in document.get("errors", [])]
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError):
        lines = [response.reason]
    hint = " (--token-file, ALERTBRIDGE_TOKEN)" if response.status == 401 else ""
    return "\n  ".join([f"{response.status}: {lines[0]}{hint}", *lines[1:]])
