"""The revisions that made the tables what they are; run by `storage.schema`."""
