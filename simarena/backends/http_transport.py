"""Bytes to an endpoint and back: the only module that knows the HTTP library (aiohttp).

In: an address, headers and a JSON body. Out: status, headers and body, or AttemptFailed where another attempt may do
better. Exceptions of the library never leave this module: some of them hold the request's headers, secrets included.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from simarena.backends.http_retry import AttemptFailed
from simarena.errors import RequestFailed


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class Transport:
    """A bounded pool of kept connections; the caller bounds it. Opened by the first request, inside its event loop."""

    def __init__(self, headers: Mapping[str, str], *, timeout: float, connect_timeout: float, proxy: bool) -> None:
        self._headers = {"Content-Type": "application/json", **headers}
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: URL, body: bytes) -> Answer:
        """POST `body`. Raises AttemptFailed (no answer, or half of one) or RequestFailed (a bad certificate)."""
        session = self._session or self._open()
        failure: AttemptFailed | RequestFailed
        try:
            async with session.post(url, data=body, allow_redirects=False) as answer:
                return Answer(answer.status, answer.headers, await answer.read())
        except aiohttp.ConnectionTimeoutError:
            failure = AttemptFailed("timeout", f"no connection within {self._connect_timeout:g} s")
        except TimeoutError:
            failure = AttemptFailed("timeout", f"no answer within {self._timeout:g} s")
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError):
            failure = RequestFailed(f"{url.host} has no certificate that this machine trusts; mend it or use http://")
        except (aiohttp.ClientError, OSError) as error:
            failure = AttemptFailed("dropped", _told(error))
        raise failure  # out here, so that it drags no library exception along

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=self._connect_timeout),
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._proxy,
        )
        return self._session

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def __repr__(self) -> str:
        return f"Transport({'open' if self._session else 'closed'})"


def _told(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({error.os_error.strerror or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was cut within the answer"
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError)):
        return "the server cut the connection"
    return f"the connection failed ({type(error).__name__})"
