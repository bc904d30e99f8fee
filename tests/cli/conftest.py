"""The stage of the API tests: the command line is tested over real HTTP, without a broker and a database."""

from tests.api.staging import served, stage

__all__ = ["served", "stage"]
