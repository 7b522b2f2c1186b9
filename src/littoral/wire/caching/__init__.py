"""The decisions of a shared HTTP cache (RFC 9111), without I/O: fields and times in, decisions out."""
