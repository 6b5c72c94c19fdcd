"""SMTP without I/O: both halves of the protocol, driven by bytes alone (RFC 5321 and its extensions)."""
