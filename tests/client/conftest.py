"""The stage of the API tests: the SDK is tested over real HTTP, without a broker and a database."""

from tests.api.staging import served, stage

__all__ = ["served", "stage"]
