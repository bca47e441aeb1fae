"""What an HTTP status means: ask again, give this request up, or give the run up.

Retryable are 408, 409, 429 and 5xx (and, elsewhere, time-outs and lost connections); never another 4xx.
"""

from __future__ import annotations

from simarena.backends.http_retry import AttemptFailed
from simarena.backends.openai_wire import QUOTA_CODES, ServerError
from simarena.errors import BackendError, RequestFailed, RunFailed

RETRYABLE_4XX = frozenset({408, 409})


def classified(error: ServerError, where: str, retry_after: float | None) -> AttemptFailed | BackendError:
    """The exception that `error` from `where` amounts to; its words are not yet freed of secrets."""
    status, said = error.status, f": {error.message}" if error.message else ""
    if status == 402 or error.code in QUOTA_CODES:
        return RunFailed(f"{where} says the account is spent ({status}{said}); add credit, then run the same command")
    if status == 429 or (status == 503 and retry_after is not None):
        return AttemptFailed("rate", f"rate limit ({status}{said})", retry_after)
    if status >= 500 or status in RETRYABLE_4XX:
        return AttemptFailed("server", f"status {status}{said}", retry_after)
    if status in (401, 403):
        return RunFailed(
            f"{where} refused the key ({status}{said}); check the variable that api_key_env names in the agent file"
        )
    if status == 404:
        return RequestFailed(f"{where} not found ({status}{said}); check base_url and model in the agent file")
    if 300 <= status < 400:
        return RequestFailed(f"{where} has moved ({status}); put its new address into base_url in the agent file")
    return RequestFailed(
        f"{where} refused the request ({status}{said}); see omit, extra and sampling in the agent file"
    )
