-- The ones up to that number, but for every tenth and those that a completed step cites, whatever stands before the id.
DELETE FROM snapshots AS old
WHERE workflow_id = %s AND number <= %s AND number %% %s <> 0
  AND NOT EXISTS (
      SELECT FROM completed_steps AS done
      WHERE done.workflow_id = old.workflow_id
        AND (right(result_snapshot_ref, 36) = old.snapshot_id::text
             OR right(result_snapshot_ref, 64) = old.state_s3_key)
  )
