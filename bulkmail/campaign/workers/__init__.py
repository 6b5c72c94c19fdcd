"""Many cores: worker processes that send, and the parent that plans, routes and keeps the store.

    parent                                          worker, one for each core
      list ▶ store ▶ feed ▶ routes ▶ parcels ─────▶   recipients, read from the store; letters; sessions
      store ◀───────────────────────────────────────  its own log, appended and synced by itself
      totals, events, signals ◀─────────────────────  what ended, what was used, who is left alone

A parcel is a few numbers: whose recipients, and how they are routed. What happens is in the log of the worker
that saw it, on disk before anything depends on it, so no transaction waits for another process; the parent
takes the logs into the store, and counts a parcel as finished only when it has. So whatever dies, and
whenever, the rule of one process holds: what was logged is true, and who is in an intent that was not
closed is in doubt.

- A worker dies: its log is taken in, who it had open is in doubt, the rest of its parcels go to the others.
- The parent dies: each worker ends what it has open, writes it down, and goes. The campaign's lock, which
  all of them have inherited, is free when the last one is gone; the next run takes in what the logs hold.
- All die: the same, but that nobody could write anything down.

`shares` says who sends to which site, `process` how workers live, `channel` and `messages` what is said
between them; `worker` is the child's side, `parent` the other.
"""
