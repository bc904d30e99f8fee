"""The stage on which the API is tested without a broker and a database."""

from tests.api.staging import served, stage

__all__ = ["served", "stage"]
