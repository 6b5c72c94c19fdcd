"""bulkmail: deliver a message to a list of recipients, and account for every one of them."""

__version__ = "0.1.0"
