-- Everything here is derived from the log and can be dropped: `continuity rebuild` makes it anew.
-- It is run with search_path set to the schema that it fills: the live one, or a shadow one during a rebuild.
-- A change to any table needs a new SCHEMA_VERSION in continuity/postgres.py.

CREATE TABLE schema_version (
    version    INTEGER     NOT NULL PRIMARY KEY,
    -- Drawn anew by each installation: how a projector notices that a rebuild took the schema's place.
    generation UUID        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- How far each partition of the events topic is projected, and what its reader has to remember (core.acceptance).
-- Every transaction that writes starts by comparing and setting a row of this table.
CREATE TABLE projection_offsets (
    partition         INTEGER NOT NULL PRIMARY KEY,
    next_offset       BIGINT  NOT NULL,
    events_topic_id   TEXT    NOT NULL,
    epoch             BIGINT  NOT NULL,
    sequencer_id      UUID    NOT NULL,
    epoch_seq         BIGINT  NOT NULL,
    closed            BOOLEAN NOT NULL,
    rules_version     INTEGER NOT NULL,
    commands_topic_id TEXT    NOT NULL,
    source_generation BIGINT  NOT NULL,
    source_offset     BIGINT  NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE rejection_offsets (
    partition   INTEGER NOT NULL PRIMARY KEY,
    next_offset BIGINT  NOT NULL,
    topic_id    TEXT    NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE heartbeat_offsets (
    partition   INTEGER NOT NULL PRIMARY KEY,
    next_offset BIGINT  NOT NULL,
    topic_id    TEXT    NOT NULL
) WITH (fillfactor = 50);

-- The journal. The first nine columns, their order, types, keys and indexes are the published contract.
CREATE TABLE events (
    event_id          UUID         NOT NULL UNIQUE,
    workflow_id       UUID         NOT NULL,
    event_seq         BIGINT       NOT NULL,
    event_type        VARCHAR(50)  NOT NULL,
    payload           JSONB        NOT NULL,
    timestamp         TIMESTAMPTZ  NOT NULL,
    schema_version    VARCHAR(10)  NOT NULL,
    producer_version  VARCHAR(20)  NOT NULL,
    checksum          VARCHAR(64)  NOT NULL,
    -- Further fields of the record: all that the hash chain covers, then the log's own.
    tenant            TEXT         NOT NULL,
    project           TEXT         NOT NULL,
    command_id        UUID         NOT NULL,
    command_digest    TEXT         NOT NULL,
    operator_id       TEXT         NOT NULL,
    operator_kind     TEXT         NOT NULL,
    session_id        TEXT,
    goal_id           UUID,
    task_id           UUID,
    step_id           VARCHAR(100),
    from_status       TEXT,
    to_status         TEXT,
    fencing_token     BIGINT,
    delta             TEXT         NOT NULL,  -- canonical JSON, kept as the bytes that were hashed
    state_checksum    TEXT         NOT NULL,
    prev_hash         TEXT         NOT NULL,
    event_hash        TEXT         NOT NULL,
    epoch             BIGINT       NOT NULL,
    sequencer_id      UUID         NOT NULL,
    epoch_seq         BIGINT       NOT NULL,
    source_generation BIGINT       NOT NULL,
    source_offset     BIGINT       NOT NULL,
    log_partition     INTEGER      NOT NULL,
    log_offset        BIGINT       NOT NULL,
    PRIMARY KEY (workflow_id, event_seq)
);
CREATE INDEX idx_events_workflow_seq ON events (workflow_id, event_seq);
CREATE INDEX idx_events_type ON events (event_type);
CREATE INDEX idx_events_command ON events (command_id);
-- The projects of a tenant by name, whatever has become of their rows in `workflows`.
CREATE INDEX idx_events_first ON events (tenant, project COLLATE "C") WHERE event_seq = 1;

-- The head of each workflow's chain, and its next step: which task a reader has to look up, so that the answer is three
-- look-ups by key, whatever the project's size. next_key is the rank's tuple (core.next_step).
CREATE TABLE workflows (
    workflow_id    UUID        NOT NULL PRIMARY KEY,
    tenant         TEXT        NOT NULL COLLATE "C",
    project        TEXT        NOT NULL COLLATE "C",
    partition      INTEGER     NOT NULL,
    head_seq       BIGINT      NOT NULL,
    head_hash      TEXT        NOT NULL,
    head_timestamp TIMESTAMPTZ NOT NULL,
    state_checksum TEXT        NOT NULL,
    token_counter  BIGINT      NOT NULL,  -- part of the state: the last fencing token
    late_results   BIGINT      NOT NULL,  -- how many rows there are in late_results: so that a missing one shows
    stopped_reason TEXT,
    next_rule      SMALLINT    NOT NULL,
    next_task_id   UUID,
    next_key       BIGINT[]    NOT NULL,
    digest         BYTEA       NOT NULL,
    UNIQUE (tenant, project)
) WITH (fillfactor = 60);  -- room on the page: most updates touch no index

-- A row's `doc` is the entity's canonical JSON, `digest` covers it and all other columns (continuity.rows).
-- *_seq of a goal name its best task by each rule of the next step: last changed doing, last changed blocked,
-- oldest ready. So a goal that is paused or reprioritised changes one row, however many tasks it has.
CREATE TABLE goals (
    workflow_id UUID    NOT NULL,
    goal_id     UUID    NOT NULL,
    status      TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    doing_seq   BIGINT,
    blocked_seq BIGINT,
    ready_seq   BIGINT,
    doc         TEXT    NOT NULL,
    digest      BYTEA   NOT NULL,
    PRIMARY KEY (workflow_id, goal_id)
) WITH (fillfactor = 80);
CREATE INDEX idx_goals_doing ON goals (workflow_id, doing_seq DESC)
    WHERE status = 'active' AND doing_seq IS NOT NULL;
CREATE INDEX idx_goals_blocked ON goals (workflow_id, blocked_seq DESC)
    WHERE status = 'active' AND blocked_seq IS NOT NULL;
CREATE INDEX idx_goals_ready ON goals (workflow_id, priority DESC, ready_seq)
    WHERE status = 'active' AND ready_seq IS NOT NULL;

-- unmet_count: dependencies that are not done. checkpoint_seq: the task's checkpoint, so that a missing one shows.
CREATE TABLE tasks (
    workflow_id    UUID    NOT NULL,
    task_id        UUID    NOT NULL,
    goal_id        UUID    NOT NULL,
    status         TEXT    NOT NULL,
    created_seq    BIGINT  NOT NULL,
    changed_seq    BIGINT  NOT NULL,
    unmet_count    INTEGER NOT NULL,
    checkpoint_seq BIGINT,
    doc            TEXT    NOT NULL,
    digest         BYTEA   NOT NULL,
    PRIMARY KEY (workflow_id, task_id)
) WITH (fillfactor = 80);
CREATE INDEX idx_tasks_doing ON tasks (workflow_id, goal_id, changed_seq DESC) WHERE status = 'doing';
CREATE INDEX idx_tasks_blocked ON tasks (workflow_id, goal_id, changed_seq DESC) WHERE status = 'blocked';
CREATE INDEX idx_tasks_ready ON tasks (workflow_id, goal_id, created_seq) WHERE status = 'todo' AND unmet_count = 0;

-- The dependencies of tasks, by what is depended on: whose unmet_count changes when a task is done or reopened.
CREATE TABLE task_dependencies (
    workflow_id UUID NOT NULL,
    depends_on  UUID NOT NULL,
    task_id     UUID NOT NULL,
    PRIMARY KEY (workflow_id, depends_on, task_id)
);

CREATE TABLE checkpoints (
    workflow_id UUID   NOT NULL,
    task_id     UUID   NOT NULL,
    seq         BIGINT NOT NULL,
    doc         TEXT   NOT NULL,
    digest      BYTEA  NOT NULL,
    PRIMARY KEY (workflow_id, task_id)
) WITH (fillfactor = 80);

-- What else the state holds: grants (by task, or "workflow"), steps (by name) and silent deaths (by task, a number).
CREATE TABLE entities (
    workflow_id UUID  NOT NULL,
    collection  TEXT  NOT NULL COLLATE "C",
    key         TEXT  NOT NULL COLLATE "C",
    doc         TEXT  NOT NULL,
    digest      BYTEA NOT NULL,
    PRIMARY KEY (workflow_id, collection, key)
) WITH (fillfactor = 80);

-- The next four tables tell the same grants and steps in columns, by the same transaction as their event. The columns
-- above "Further columns", their order, types, keys and indexes are the published contract.

-- The lease of each workflow that ever had one. Its end, by release or because somebody went over an expired one, never
-- deletes the row nor lowers its token: lease_expires_at becomes the time of the end, and so does ended_at, which is
-- null until then. The last known expiry and sign of life come from renewals (projections.heartbeats) and may lag: who
-- holds what is decided by the sequencer alone.
CREATE TABLE workflow_leases (
    workflow_id      UUID        NOT NULL PRIMARY KEY,
    owner_id         TEXT        NOT NULL,
    acquired_at      TIMESTAMPTZ NOT NULL,
    lease_expires_at TIMESTAMPTZ NOT NULL,
    fencing_token    BIGINT      NOT NULL,
    heartbeat_at     TIMESTAMPTZ NOT NULL,
    -- Further columns.
    ended_at         TIMESTAMPTZ,
    digest           BYTEA       NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX idx_leases_expiry ON workflow_leases (lease_expires_at);

-- The claims that are held: a row goes when its claim ends. Its token is not lost, workflows.token_counter counts on.
CREATE TABLE task_claims (
    workflow_id      UUID        NOT NULL,
    task_id          UUID        NOT NULL,
    owner_id         TEXT        NOT NULL,
    acquired_at      TIMESTAMPTZ NOT NULL,
    lease_expires_at TIMESTAMPTZ NOT NULL,
    fencing_token    BIGINT      NOT NULL,
    heartbeat_at     TIMESTAMPTZ NOT NULL,
    -- Further columns.
    digest           BYTEA       NOT NULL,
    PRIMARY KEY (workflow_id, task_id)
) WITH (fillfactor = 80);

-- Every attempt that was begun. Rows are added and never change.
CREATE TABLE step_attempts (
    workflow_id   UUID         NOT NULL,
    step_id       VARCHAR(100) NOT NULL,
    attempt_id    INT          NOT NULL,
    started_at    TIMESTAMPTZ  NOT NULL,
    fencing_token BIGINT,
    -- Further columns.
    digest        BYTEA        NOT NULL,
    PRIMARY KEY (workflow_id, step_id, attempt_id)
);

-- The completion of a step: one, for ever. Rows are added and never change.
CREATE TABLE completed_steps (
    workflow_id         UUID         NOT NULL,
    step_id             VARCHAR(100) NOT NULL,
    attempt_id          INT          NOT NULL,
    completed_at        TIMESTAMPTZ  NOT NULL,
    result_snapshot_ref TEXT,
    result_checksum     VARCHAR(64),
    -- Further columns.
    digest              BYTEA        NOT NULL,
    PRIMARY KEY (workflow_id, step_id),
    FOREIGN KEY (workflow_id, step_id, attempt_id) REFERENCES step_attempts (workflow_id, step_id, attempt_id)
);

-- Results of executors that had lost their grant: refused, never applied, and kept for a person or the successor.
-- They come in the payload of a sequencer's mark, as a refusal is no event. workflows.late_results counts them.
CREATE TABLE late_results (
    workflow_id     UUID         NOT NULL,
    command_id      UUID         NOT NULL,
    tenant          TEXT         NOT NULL COLLATE "C",
    project         TEXT         NOT NULL COLLATE "C",
    step_id         VARCHAR(100) NOT NULL,
    attempt_id      INT          NOT NULL,
    task_id         UUID,
    fencing_token   BIGINT,
    result_ref      TEXT         NOT NULL,
    result_checksum VARCHAR(64)  NOT NULL,
    operator_id     TEXT         NOT NULL,
    refused_at      TIMESTAMPTZ  NOT NULL,
    digest          BYTEA        NOT NULL,
    PRIMARY KEY (workflow_id, command_id)
);
CREATE INDEX idx_late_results_task ON late_results (workflow_id, task_id, refused_at);

-- A workflow's whole state after one of its events: where a restore begins (continuity.restoring). The first eight
-- columns, their order, types, key and index are the published contract. The state is canonical JSON, to 64 KiB in the
-- row, else in a blob of that name. created_at is the event's time, number counts the workflow's snapshots, window_bytes
-- is the idempotency window (core.window), digest covers all other columns.
CREATE TABLE snapshots (
    snapshot_id    UUID        NOT NULL PRIMARY KEY,
    workflow_id    UUID        NOT NULL,
    step_number    INT         NOT NULL,
    last_event_seq BIGINT      NOT NULL,
    state_inline   JSONB,
    state_s3_key   TEXT,
    state_checksum VARCHAR(64) NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    -- Further columns.
    head_hash      TEXT        NOT NULL,
    number         INT         NOT NULL,
    window_bytes   BYTEA       NOT NULL,
    size_bytes     BIGINT      NOT NULL,
    digest         BYTEA       NOT NULL,
    CHECK ((state_inline IS NULL) <> (state_s3_key IS NULL))
);
CREATE INDEX idx_snapshots_workflow_seq ON snapshots (workflow_id, last_event_seq DESC);

CREATE TABLE operators (
    tenant         TEXT        NOT NULL COLLATE "C",
    operator_id    TEXT        NOT NULL,
    operator_kind  TEXT        NOT NULL,
    first_event_at TIMESTAMPTZ NOT NULL,
    last_event_at  TIMESTAMPTZ NOT NULL,
    events         BIGINT      NOT NULL,
    PRIMARY KEY (tenant, operator_id, operator_kind)
) WITH (fillfactor = 50);

-- What was refused, for seven days. Published at least once: the key makes a repeat harmless.
-- A poison record has neither a command_id nor a tenant that could be trusted, so all but the key may be missing.
CREATE TABLE rejections (
    partition         INTEGER     NOT NULL,
    source_generation BIGINT      NOT NULL,
    source_offset     BIGINT      NOT NULL,
    epoch             BIGINT      NOT NULL,
    command_id        TEXT,
    command_type      TEXT,
    tenant            TEXT,
    project           TEXT,
    workflow_id       TEXT,
    operator_id       TEXT,
    operator_kind     TEXT,
    session_id        TEXT,
    code              TEXT        NOT NULL,
    detail            TEXT        NOT NULL,
    fix               TEXT        NOT NULL,
    timestamp         TIMESTAMPTZ NOT NULL,
    raw               BYTEA,
    PRIMARY KEY (partition, source_generation, source_offset)
);
CREATE INDEX idx_rejections_command ON rejections (command_id, tenant);
CREATE INDEX idx_rejections_timestamp ON rejections (timestamp);
