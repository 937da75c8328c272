"""A whole archive at once: which images, one shard of them, on one machine, and the file that comes of it."""
