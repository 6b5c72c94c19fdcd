"""From a template and a row to the bytes of one message."""
