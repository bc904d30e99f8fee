INSERT INTO continuity_intake.assignments (tenant, command_id, project) VALUES (%s, %s, %s)
ON CONFLICT (tenant, command_id) DO UPDATE SET project = excluded.project
