UPDATE workflows SET stopped_reason = %s WHERE workflow_id = %s AND stopped_reason IS NULL
