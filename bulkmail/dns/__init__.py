"""From a domain to the addresses of its mail exchangers (RFC 5321 section 5)."""
