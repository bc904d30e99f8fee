INSERT INTO rejections (partition, source_generation, source_offset, epoch, command_id, command_type, tenant, project,
                        workflow_id, operator_id, operator_kind, session_id, code, detail, fix, timestamp, raw)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
