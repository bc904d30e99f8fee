# The services of continuity: sequencer, projector, API. Broker and database are the official images (docker-compose.yml).
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.lock requirements-dev.lock ./
# The build's own tools are pinned in the developers' list; none of it reaches the image below.
RUN python -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-dev.lock
RUN python -m venv /opt/continuity \
    && /opt/continuity/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY src src
RUN /tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/continuity/bin/pip install --no-cache-dir --no-index --no-deps /wheel/*.whl

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 continuity && install -d -o continuity -m 700 /data
COPY --from=build /opt/continuity /opt/continuity
ENV PATH=/opt/continuity/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CONTINUITY_HOME=/data
USER continuity
VOLUME /data
CMD ["python", "-m", "continuity.api"]
