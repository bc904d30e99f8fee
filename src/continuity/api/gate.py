"""The door that every request passes: how many at once, who is calling, and what an exception answers.

One wrapper instead of a stack of middleware: it costs a few microseconds a request and keeps the order in one place.
The order is: room, key, then the handler. (Without a key nobody learns which paths or projects exist.)
"""

import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from continuity.api import problems
from continuity.api.metrics import Meter
from continuity.keys import Caller, Keyring

IN_FLIGHT_MAX = 1_024
"""Requests at once. One holds at most 64 KiB of body, so that all together stay under 64 MiB."""

Handler = Callable[[Request, Caller], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Wraps handlers into endpoints. `in_flight` counts what is inside."""

    def __init__(self, keyring: Keyring, meter: Meter, *, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._keyring = keyring
        self._meter = meter
        self._in_flight_max = in_flight_max
        self.in_flight = 0
        meter.watch_in_flight(lambda: self.in_flight)

    def guard(self, handler: Handler, route: str) -> Endpoint:
        """An endpoint that lets authorized callers through to the handler, and answers for it when it raises."""
        observe = self._meter.route(route)

        async def endpoint(request: Request) -> Response:
            started = time.perf_counter()
            if self.in_flight >= self._in_flight_max:
                response = problems.answer(problems.document("overloaded", "Too many requests are in flight."))
                observe(response.status_code, started)
                return response
            self.in_flight += 1
            try:
                response = await handler(request, self.authenticate(request))
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception as error:  # noqa: BLE001 - the last one to ask: everything becomes a problem answer
                response = problems.response(error)
            finally:
                self.in_flight -= 1
            observe(response.status_code, started)
            return response

        return endpoint

    def authenticate(self, request: Request) -> Caller:
        """Who is calling. Raises Problem(unauthorized)."""
        for name, value in request.scope["headers"]:
            if name == b"authorization":
                scheme, _, key = value.decode("latin-1").partition(" ")
                caller = self._keyring.caller(key.strip()) if scheme.lower() == "bearer" else None
                if caller is None:
                    raise problems.Problem("unauthorized", "The key is not known here.")
                return caller
        raise problems.Problem("unauthorized", "The request carries no key.")
