"""Blobs in S3, or in whatever speaks its protocol. Needs the extra `s3`; `blobs.opened` chooses it.

Objects are made with `If-None-Match: *`, so a blob is written once. An object is whole or not there for S3 itself; what
stands in the bucket damaged all the same is found when it is read, and replaced when it is written again.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from continuity.blobs import missing, ref_of, verified
from continuity.config import Settings
from continuity.errors import ConfigError, ContinuityError, IntegrityError, Retryable

CONNECT_SECONDS_MAX: Final = 2
READ_SECONDS_MAX: Final = 5
TRIES: Final = 2
DEFAULT_REGION: Final = "us-east-1"


class S3:
    """Implements `blobs.Blobs` over one bucket. Thread-safe, as the client is."""

    def __init__(self, settings: Settings, *, read_seconds_max: float = READ_SECONDS_MAX) -> None:
        self._bucket = settings.s3_bucket
        self._prefix = f"{settings.s3_prefix}/" if settings.s3_prefix else ""
        # A session of its own: the default one is shared, and making it is not thread-safe.
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint or None,
            region_name=settings.s3_region or DEFAULT_REGION,
            config=Config(
                connect_timeout=CONNECT_SECONDS_MAX,
                read_timeout=read_seconds_max,
                retries={"total_max_attempts": TRIES, "mode": "standard"},
                # Any store of the protocol, not only those that name a bucket by a host of its own.
                s3={"addressing_style": "path"} if settings.s3_endpoint else {},
            ),
        )

    def key_of(self, ref: str) -> str:
        """The object's key."""
        return self._prefix + ref

    def put(self, content: bytes) -> str:
        """As `Blobs.put`."""
        ref = ref_of(content)
        with self._translated(ref):
            if self._create(ref, content):
                return ref
            try:
                self.get(ref)
            except IntegrityError:
                self._client.put_object(Bucket=self._bucket, Key=self.key_of(ref), Body=content)
        return ref

    def get(self, ref: str) -> bytes:
        """As `Blobs.get`."""
        with self._translated(ref):
            found = self._client.get_object(Bucket=self._bucket, Key=self.key_of(ref))
            with closing(found["Body"]) as body:  # entered itself, it would hand out a stream whose errors are others
                return verified(ref, body.read())

    def _create(self, ref: str, content: bytes) -> bool:
        """Whether it was made; False when there is one of that name."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=self.key_of(ref), Body=content, IfNoneMatch="*")
        except ClientError as error:
            if _status(error) == HTTPStatus.PRECONDITION_FAILED:
                return False
            raise
        return True

    @contextmanager
    def _translated(self, ref: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._translation(ref, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            fix = "Give the service AWS credentials, as any AWS client takes them."
            raise ConfigError(f"There are no credentials for bucket {self._bucket}: {error}.", fix=fix) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise Retryable(f"Bucket {self._bucket} does not answer: {type(error).__name__}.") from error

    def _translation(self, ref: str, error: ClientError) -> ContinuityError:
        code = error.response.get("Error", {}).get("Code", "")
        status = _status(error)
        if code == "NoSuchKey":
            return missing(ref)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST):
            fix = "Correct CONTINUITY_S3_BUCKET, CONTINUITY_S3_ENDPOINT, or what the service's credentials may do."
            return ConfigError(f"Bucket {self._bucket} refuses the service: {code}.", fix=fix)
        return Retryable(f"Bucket {self._bucket} answers {status} {code}.", retry_after_seconds=2)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
