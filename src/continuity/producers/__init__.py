"""Command intake: validate, encode, send to the commands topic, await the reply. Usable on its own, without HTTP."""

from continuity.producers.clients import AsyncCommandClient, CommandClient
from continuity.producers.request import Outcome, Request, Wait

__all__ = ["AsyncCommandClient", "CommandClient", "Outcome", "Request", "Wait"]
