INSERT INTO projection_offsets (partition, next_offset, events_topic_id, epoch, sequencer_id, epoch_seq, closed,
                                rules_version, commands_topic_id, source_generation, source_offset)
VALUES (%s, 0, %s, 0, '00000000-0000-0000-0000-000000000000', -1, true, 0, '', 0, -1)
ON CONFLICT (partition) DO NOTHING
