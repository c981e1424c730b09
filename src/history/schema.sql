-- Format 1 of the history file. Instants are milliseconds since the Unix epoch.

CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    baseline TEXT NOT NULL,
    pod TEXT NOT NULL,
    UNIQUE (namespace, baseline, pod)
);

CREATE TABLE metric (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- Which metrics a target has.
CREATE TABLE series (
    target INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    PRIMARY KEY (target, metric)
) WITHOUT ROWID;

-- Which metrics the values of an open round are, in order: ids with commas between.
CREATE TABLE layout (
    id INTEGER PRIMARY KEY,
    metrics TEXT NOT NULL UNIQUE
);

-- The open chunk of each target, a row per round. `sequence` tells apart rounds of one instant: the last one wins.
CREATE TABLE round (
    target INTEGER NOT NULL,
    at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    layout INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (target, at, sequence)
) WITHOUT ROWID;

-- Sealed chunks: all metrics of a target over `first` to `last`, which never overlap another chunk of the target
-- and lie less than a day apart. Rows are in order of sealing, so that pages fill up.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    target INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX chunk_by_time ON chunk (target, first);

-- Hourly roll-ups of all metrics of a target; `hour` counts hours since the Unix epoch.
CREATE TABLE roll_up (
    target INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (target, hour)
) WITHOUT ROWID;

CREATE TABLE profile (
    target INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    learnt_at INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (target, metric)
);

-- What each statement of a target usually takes, in the form of `learn::UsualTimes`.
CREATE TABLE usual_times (
    target INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

PRAGMA application_id = 1684172132;
PRAGMA user_version = 1;
