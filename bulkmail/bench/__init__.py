"""Throughput on this machine, as its user has it: the real `bulkmail run`, from list to journal.

A scenario is written as a campaign and its list into a temporary folder; the command runs there in a process
of its own, its journal on and synced, and delivers through one relay: a sink that the user names, or a
sandbox in another process. What the sandbox counted is compared before a rate is told.
"""
