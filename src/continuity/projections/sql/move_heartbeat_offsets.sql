INSERT INTO heartbeat_offsets (partition, next_offset, topic_id) VALUES (%s, %s, %s)
ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset, topic_id = excluded.topic_id
