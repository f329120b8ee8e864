"""A feature on disk: format, shards, staging, publishing, reading."""
