"""An internet in a box on loopback: DNS and mail exchangers that behave and misbehave."""
