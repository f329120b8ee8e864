"""Rows on disk: staged shard by shard under the digest of the code, published whole, read exactly."""
