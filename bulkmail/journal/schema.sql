-- The journal of one campaign. Times are UTC epoch seconds; ids are dense from 1 in the order of the plan.
--
-- A recipient is in exactly one state, and this is where it is written:
--
--   pending                     inside a row of `pending`            not tried yet
--   deferred                    inside a row of `deferral`           tried, again when due
--   in_doubt                    inside a row of `doubt`              the operator's word is awaited
--   delivered bounced expired
--   cancelled suppressed        in none of the three                 settled: its last `attempt` says which
--   invalid duplicate filtered
--   excluded suppressed skipped never was in `roll`                  a row of `left_out`, or only counted
--
-- Transitions, each in one transaction with the totals:
--
--   (plan)   -> pending
--   pending  -> delivered | bounced | deferred | expired | in_doubt | cancelled | suppressed
--   deferred -> the same
--   in_doubt -> delivered | deferred                                 by the operator, or `on_doubt: resend`
--   pending, deferred with an open intent at a crash -> in_doubt | deferred
--
-- Nothing leads out of a settled state, and nothing back to pending. So the three tables of ranges hold the
-- unfinished only, and reading them costs nothing for what is done, however much that is.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,         -- `planned` is written last of all the plan; without it there is none
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- --- the plan: written once, in id order --------------------------------------------------------------

CREATE TABLE roll (
    number    INTEGER PRIMARY KEY,  -- it holds the ids from 256 * number on, at most 256 of them (from 1)
    addresses TEXT NOT NULL,        -- a line each
    rows      TEXT NOT NULL         -- a line each: the row of the list, as cells or as JSON; see roll.py
) STRICT;

CREATE TABLE shape (
    id      INTEGER PRIMARY KEY,    -- what a row of cells begins with
    columns TEXT NOT NULL           -- a JSON array: how its cells are called
) STRICT;

CREATE TABLE interval (
    first  INTEGER PRIMARY KEY,     -- its identity, too
    last   INTEGER NOT NULL,
    domain TEXT NOT NULL,
    shared INTEGER NOT NULL,        -- all of it may have the same bytes
    seeds  INTEGER NOT NULL,
    rank   INTEGER NOT NULL,        -- the order of delivery: seeds, then by falling size
    open   INTEGER NOT NULL         -- some of it is pending
) STRICT;
-- interval_open and interval_domain are made when the plan is complete: sorting once is cheaper.

CREATE TABLE left_out (
    id      INTEGER PRIMARY KEY,
    state   TEXT NOT NULL,
    file    TEXT NOT NULL,
    line    INTEGER NOT NULL,       -- the row, counted from 1
    address TEXT NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- --- the unfinished: disjoint ranges, carved as parts of them are recorded ----------------------------

CREATE TABLE pending (
    first INTEGER PRIMARY KEY,      -- one row of everybody at first; ranges cross intervals
    last  INTEGER NOT NULL
) STRICT;

CREATE TABLE deferral (
    first    INTEGER PRIMARY KEY,
    last     INTEGER NOT NULL,
    due      REAL NOT NULL,
    attempts INTEGER NOT NULL,      -- made so far; 0: put off for our own reasons
    since    REAL NOT NULL,         -- the first of them
    reply    INTEGER NOT NULL,      -- why, the last time
    taken    INTEGER NOT NULL       -- handed to the running campaign; cleared when it starts
) STRICT;
CREATE INDEX deferral_due ON deferral (due, first) WHERE taken = 0;

CREATE TABLE doubt (
    first    INTEGER PRIMARY KEY,
    last     INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    since    REAL NOT NULL,
    reply    INTEGER NOT NULL
) STRICT;

-- How far each log of what happened (log.py) is taken in; what stands behind is still in its files. In each
-- transaction that takes some in. A log's next segment is always a later one, so nothing is taken in twice.
CREATE TABLE log (
    number  INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset  INTEGER NOT NULL
) STRICT;

-- An end of data that may be on its way. In the log before its first octet, closed with the outcome: what is
-- here, all logs taken in, when no process is alive is exactly who may have been delivered without our knowing.
CREATE TABLE intent (
    first   INTEGER PRIMARY KEY,    -- disjoint: nobody is in two transactions at once
    last    INTEGER NOT NULL,
    log     INTEGER NOT NULL,       -- whose process opened it
    key     INTEGER NOT NULL,
    host    TEXT NOT NULL,
    address TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT;
CREATE INDEX intent_key ON intent (log, key);

-- --- what happened: only ever appended ----------------------------------------------------------------

-- Texts that attempts repeat. Usually each is here once; a second copy does no harm.
CREATE TABLE reply (
    id       INTEGER PRIMARY KEY,
    code     INTEGER,
    enhanced TEXT,
    text     TEXT NOT NULL          -- escaped, for people
) STRICT;

CREATE TABLE place (
    id      INTEGER PRIMARY KEY,
    stage   TEXT NOT NULL,
    host    TEXT NOT NULL,
    address TEXT NOT NULL,
    source  TEXT NOT NULL,
    tls     TEXT NOT NULL
) STRICT;

-- A range never crosses a multiple of 1024, so those that hold one id begin at most 1023 below it and are
-- found without reading the rest.
CREATE TABLE attempt (
    first     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,     -- the order of all attempts of the campaign
    last      INTEGER NOT NULL,
    state     TEXT NOT NULL,        -- where it led
    at        REAL NOT NULL,
    reply     INTEGER NOT NULL,
    place     INTEGER NOT NULL,
    due       REAL,
    attempted INTEGER NOT NULL,     -- 0: decided together with others, never on the wire itself
    PRIMARY KEY (first, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_failed ON attempt (first) WHERE state IN ('bounced', 'expired');

-- --- counters, kept in the commit of what they count --------------------------------------------------

CREATE TABLE total (
    name  TEXT PRIMARY KEY,         -- a state, `source` (the sum of the states), `seq`
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
