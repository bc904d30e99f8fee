"""The published Avro schemas and FORMAT.md, as data: what a consumer in any language needs."""
