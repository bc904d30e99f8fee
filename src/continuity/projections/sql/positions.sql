SELECT partition, next_offset, events_topic_id, epoch, sequencer_id, epoch_seq, closed, rules_version,
       commands_topic_id, source_generation, source_offset
FROM projection_offsets
