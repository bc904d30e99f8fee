INSERT INTO operators (tenant, operator_id, operator_kind, first_event_at, last_event_at, events)
SELECT tenant, operator_id, operator_kind, first_event_at::timestamptz, last_event_at::timestamptz, events
FROM json_to_recordset(%s::json) AS written (
    tenant text, operator_id text, operator_kind text, first_event_at text, last_event_at text, events bigint)
ON CONFLICT (tenant, operator_id, operator_kind) DO UPDATE
SET first_event_at = least(operators.first_event_at, excluded.first_event_at),
    last_event_at = greatest(operators.last_event_at, excluded.last_event_at),
    events = operators.events + excluded.events
