"""The kinds of field that a command is made of: each checks a value and knows its JSON Schema. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from continuity.core import limits
from continuity.core.canonical import InvalidJson, check_string
from continuity.core.ids import NAME, UUID_TEXT

NAME_TEXT = re.compile(r"[A-Za-z0-9._:-]+")
DIGEST_TEXT = re.compile(r"[0-9a-f]{64}")
TEXT_PATTERN = r"^[^\x00]*[^\s\x00][^\x00]*$"
ONE_LINE_PATTERN = r"^[^\x00\r\n]*[^\s\x00][^\x00\r\n]*$"
"""What `Text` takes, for readers of a schema: something that is no space, and no U+0000, which Postgres cannot hold."""
EXAMPLE_ID = "3f0f7d3e-6f0e-5d59-9d3c-8f6a1f0f7f10"


class FormError(ValueError):
    """A command that was not understood; `code` is a form refusal of `core.refusals`, `detail` names the field."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Field(Protocol):
    """What every kind can do."""

    def check(self, value: Any, name: str) -> None:
        """Raise FormError, naming the field, unless the value fits."""
        ...

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema (2020-12) of the values that fit."""
        ...


@dataclass(frozen=True, slots=True)
class Text(Field):
    """A string of 1 to `maximum` characters; with `one_line`, without line breaks."""

    maximum: int
    one_line: bool = False

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str):
            raise FormError("invalid_field", f"{name} must be a string.")
        if not value.strip() or len(value) > self.maximum:
            raise FormError("invalid_field", f"{name} must have 1 to {self.maximum} characters, it has {len(value)}.")
        if self.one_line and ("\n" in value or "\r" in value):
            raise FormError("invalid_field", f"{name} must be one line.")
        try:
            check_string(value, name)
        except InvalidJson as error:
            raise FormError(error.code, error.detail) from None

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": self.maximum,
            "pattern": ONE_LINE_PATTERN if self.one_line else TEXT_PATTERN,
        }


@dataclass(frozen=True, slots=True)
class Id(Field):
    """A UUID in its lower-case text form."""

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or not UUID_TEXT.fullmatch(value):
            raise FormError("invalid_field", f"{name} must be a UUID in lower case, like {EXAMPLE_ID}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid", "pattern": f"^{UUID_TEXT.pattern}$"}


@dataclass(frozen=True, slots=True)
class Name(Field):
    """An ASCII name of 1 to `maximum` letters, digits and `._:-`."""

    maximum: int

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or len(value) > self.maximum or not NAME_TEXT.fullmatch(value):
            detail = f"{name} must have 1 to {self.maximum} characters: ASCII letters, digits and ._:- only."
            raise FormError("invalid_field", detail)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{NAME_TEXT.pattern}$", "minLength": 1, "maxLength": self.maximum}


@dataclass(frozen=True, slots=True)
class Project(Field):
    """The name of a project."""

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise FormError("invalid_field", f"{name} must match {NAME.pattern}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{NAME.pattern}$"}


@dataclass(frozen=True, slots=True)
class Digest(Field):
    """A SHA-256 in lower-case hexadecimal."""

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or not DIGEST_TEXT.fullmatch(value):
            raise FormError("invalid_field", f"{name} must be a SHA-256 in 64 lower-case hexadecimal digits.")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{DIGEST_TEXT.pattern}$"}


@dataclass(frozen=True, slots=True)
class Flag(Field):
    """True or false."""

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, bool):
            raise FormError("invalid_field", f"{name} must be true or false.")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer(Field):
    """A whole number within bounds, both included."""

    minimum: int
    maximum: int

    def check(self, value: Any, name: str) -> None:
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise FormError("invalid_field", f"{name} must be an integer from {self.minimum} to {self.maximum}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Choice(Field):
    """One of a few words."""

    words: tuple[str, ...]

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or value not in self.words:
            raise FormError("invalid_field", f"{name} must be one of {', '.join(self.words)}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Many(Field):
    """A list of at most `maximum` different items."""

    item: Text | Id
    maximum: int

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, list):
            raise FormError("invalid_field", f"{name} must be a list.")
        if len(value) > self.maximum:
            raise FormError("invalid_field", f"{name} must have at most {self.maximum} items, it has {len(value)}.")
        for index, item in enumerate(value):
            self.item.check(item, f"{name}[{index}]")
        if len(value) > 1 and len(set(value)) != len(value):
            raise FormError("invalid_field", f"{name} must not hold the same item twice.")

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.maximum, "uniqueItems": True}


@dataclass(frozen=True, slots=True)
class BlockerForm(Field):
    """An object `{text, clears_when?}`."""

    text: Text = Text(limits.BLOCKER_CHARACTERS_MAX)

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise FormError("invalid_field", f"{name} must be an object with text and, if known, clears_when.")
        if unknown := value.keys() - {"text", "clears_when"}:
            raise FormError("unknown_field", f"{name}.{min(unknown)} does not exist.")
        if "text" not in value:
            raise FormError("missing_field", f"{name}.text is missing.")
        for key, item in value.items():
            self.text.check(item, f"{name}.{key}")

    def schema(self) -> dict[str, Any]:
        text = self.text.schema()
        return {
            "type": "object",
            "properties": {"text": text, "clears_when": text},
            "required": ["text"],
            "additionalProperties": False,
        }
