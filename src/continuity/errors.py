"""Exceptions, named for what the caller does next. Refusals of a command are data (`core.refusals`), never these.

Adapters translate the errors of their libraries into one of these; nobody else catches. (Design, section 6.)
"""


class ContinuityError(Exception):
    """Something that the caller must act on: `detail` says what happened to which thing, `fix` what to do next."""

    def __init__(self, detail: str, *, fix: str = "", code: str | None = None) -> None:
        super().__init__(f"{detail} {fix}".strip())
        self.detail = detail
        self.fix = fix
        if code is not None:
            self.code = code

    code = "error"


class Retryable(ContinuityError):
    """The outcome is unknown or a part is away: repeat with the same `command_id`, after `retry_after_seconds`."""

    code = "unavailable"

    def __init__(
        self, detail: str, *, fix: str = "", code: str | None = None, retry_after_seconds: float = 1.0
    ) -> None:
        super().__init__(detail, fix=fix or "Repeat the same call with the same command_id.", code=code)
        self.retry_after_seconds = retry_after_seconds


class Fenced(ContinuityError):
    """Somebody newer owns what this process wrote to: stop, and read the state again before doing anything."""

    code = "fenced"


class IntegrityError(ContinuityError):
    """A stored record does not agree with its checksum or chain. It is named, and never served.

    `event_seq` is None when the whole workflow is meant; `field` names what disagrees.
    """

    code = "integrity"

    def __init__(
        self, detail: str, *, workflow_id: str, event_seq: int | None = None, field: str | None = None, fix: str = ""
    ) -> None:
        super().__init__(
            detail, fix=fix or "Run `continuity rebuild`: it makes every derived row anew from the verified log."
        )
        self.workflow_id = workflow_id
        self.event_seq = event_seq
        self.field = field


class ConfigError(ContinuityError):
    """A setting, or the cluster it points to, cannot work. `fix` names the setting and a value that does."""

    code = "configuration"
