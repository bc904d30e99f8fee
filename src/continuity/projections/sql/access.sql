-- Who may do what with the tables of `schema.sql`, and which rows a tenant sees. Run by their owner, right after it, in the
-- same schema: the first of the search_path.
-- The roles are made by continuity/roles.py, which says what each is for.
--
-- The journal, attempts and completions are never changed: nobody may, by grant. (Their owner could; no service works
-- as the owner but to make tables and to drop them.)

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO continuity_projector, continuity_reader, continuity_tenant,'
                   ' continuity_intake', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO continuity_projector, continuity_reader',
                   current_schema());
END
$$;

GRANT INSERT ON events, step_attempts, completed_steps, late_results TO continuity_projector;
GRANT INSERT, UPDATE ON projection_offsets, rejection_offsets, heartbeat_offsets, workflows, workflow_leases, operators
    TO continuity_projector;
GRANT INSERT, UPDATE, DELETE ON goals, tasks, checkpoints, entities, task_claims, task_dependencies, snapshots,
    rejections TO continuity_projector;

GRANT SELECT ON schema_version, events, workflows, goals, tasks, task_dependencies, checkpoints, entities,
    workflow_leases, task_claims, step_attempts, completed_steps, late_results, snapshots, operators, rejections
    TO continuity_tenant, continuity_intake;

-- Row level security, for the owner, too: a connection that became none of the roles sees no tenant's rows.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'events', 'workflows', 'goals', 'tasks', 'task_dependencies', 'checkpoints', 'entities', 'workflow_leases',
        'task_claims', 'step_attempts', 'completed_steps', 'late_results', 'snapshots', 'operators', 'rejections'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY every_tenant ON %I TO continuity_projector USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY every_tenant_read ON %I FOR SELECT TO continuity_reader USING (true)', name);
    END LOOP;
    -- Without the setting it is null, or empty once it was set: no row has such a tenant. (A comparison that no index
    -- can answer: else the planner would look up a workflow by walking through all of its tenant's.)
    FOREACH name IN ARRAY ARRAY['events', 'workflows', 'late_results', 'operators', 'rejections'] LOOP
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I FOR SELECT TO continuity_tenant, continuity_intake'
            ' USING (tenant || '''' = current_setting(''continuity.tenant'', true))', name);
    END LOOP;
    -- The others belong to whom their workflow belongs to. (A value, and not EXISTS, which the planner may answer by
    -- hashing all workflows of the tenant, for one row.)
    FOREACH name IN ARRAY ARRAY[
        'goals', 'tasks', 'task_dependencies', 'checkpoints', 'entities', 'workflow_leases', 'task_claims',
        'step_attempts', 'completed_steps', 'snapshots'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY own_tenant ON %1$I FOR SELECT TO continuity_tenant, continuity_intake USING ('
            ' (SELECT tenant FROM workflows WHERE workflows.workflow_id = %1$I.workflow_id)'
            ' = current_setting(''continuity.tenant'', true))', name);
    END LOOP;
END
$$;
