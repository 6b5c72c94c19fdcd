"""Destinations, sessions and what a reply means for a recipient."""
