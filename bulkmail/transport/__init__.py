"""One connection to a mail exchanger, how it is opened, and the pool that keeps idle ones."""
