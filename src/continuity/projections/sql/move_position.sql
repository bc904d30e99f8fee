-- Compare and set: no row when somebody else has moved the position, or when a rebuild has taken the schema's place.
UPDATE projection_offsets
SET next_offset = %(next_offset)s, epoch = %(epoch)s, sequencer_id = %(sequencer_id)s, epoch_seq = %(epoch_seq)s,
    closed = %(closed)s, rules_version = %(rules_version)s, commands_topic_id = %(topic_id)s,
    source_generation = %(generation)s, source_offset = %(source_offset)s
WHERE partition = %(partition)s
  AND next_offset = %(was_next_offset)s
  AND (epoch, sequencer_id, epoch_seq, closed) =
      (%(was_epoch)s, %(was_sequencer_id)s::uuid, %(was_epoch_seq)s, %(was_closed)s)
  AND (source_generation, source_offset) = (%(was_generation)s, %(was_source_offset)s)
  AND EXISTS (SELECT FROM schema_version WHERE generation = %(schema_generation)s)
