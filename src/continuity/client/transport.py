"""What httpx gave, in the words of `wire`: the same for the synchronous and the asynchronous client."""

import httpx

from continuity.client import wire


def received(response: httpx.Response) -> wire.Received:
    """An answer that was read to its end."""
    return wire.Received(
        response.status_code,
        response.headers.get("retry-after"),
        response.content,
        response.headers.get("content-type", ""),
    )


def failed(error: httpx.RequestError) -> wire.Failed:
    """No answer. Where there was no connection, nothing was sent."""
    if isinstance(error, httpx.ConnectError):
        return wire.Failed(str(error) or "no connection", connected=False)
    return wire.Failed(str(error) or type(error).__name__)
