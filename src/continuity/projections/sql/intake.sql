-- What the API remembers for itself: which project each claim of a fleet was sent to. Not derived from the log, so it is
-- in a schema of its own that no rebuild touches.
CREATE SCHEMA IF NOT EXISTS continuity_intake;
CREATE TABLE continuity_intake.assignments (
    tenant     TEXT        NOT NULL COLLATE "C",
    command_id UUID        NOT NULL,
    project    TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, command_id)
);
CREATE INDEX idx_assignments_created ON continuity_intake.assignments (created_at);

GRANT USAGE ON SCHEMA continuity_intake TO continuity_intake, continuity_projector;
GRANT SELECT, INSERT, UPDATE ON continuity_intake.assignments TO continuity_intake;
GRANT SELECT, DELETE ON continuity_intake.assignments TO continuity_projector;  -- forgets those of last week
ALTER TABLE continuity_intake.assignments ENABLE ROW LEVEL SECURITY;
ALTER TABLE continuity_intake.assignments FORCE ROW LEVEL SECURITY;
CREATE POLICY every_tenant ON continuity_intake.assignments TO continuity_projector USING (true);
CREATE POLICY own_tenant ON continuity_intake.assignments TO continuity_intake
    USING (tenant || '' = current_setting('continuity.tenant', true))
    WITH CHECK (tenant || '' = current_setting('continuity.tenant', true));
