SELECT project FROM continuity_intake.assignments WHERE tenant = %s AND command_id = %s
