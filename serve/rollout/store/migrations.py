"""The statements that migrate the store's schema from each version to the next.

A new store is created at once from the tables in schema.py, so a migration comes with a change there."""

# In SQL that both databases accept. Append only.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE trail (model TEXT NOT NULL, number INTEGER NOT NULL, rollout TEXT, revision INTEGER, "
        "content TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (model, number))",
        "CREATE INDEX trail_rollout ON trail (rollout)",
        "CREATE TABLE evidence (rollout TEXT PRIMARY KEY, content TEXT NOT NULL)",
        "CREATE TABLE lease (keeper TEXT NOT NULL, until_s DOUBLE PRECISION NOT NULL)",
        "INSERT INTO lease VALUES ('', 0)",
    ),
    (
        "CREATE TABLE answered (model TEXT NOT NULL, id BYTEA NOT NULL, rollout TEXT NOT NULL, "
        "step INTEGER NOT NULL, split DOUBLE PRECISION NOT NULL, sticky BOOLEAN NOT NULL, "
        "candidate BOOLEAN NOT NULL, at_s DOUBLE PRECISION NOT NULL, outcome BOOLEAN, "
        "PRIMARY KEY (model, id))",
        "CREATE INDEX answered_age ON answered (model, at_s)",
    ),
    # The trail may contain qualifications, which older programs cannot read.
    (),
    ("ALTER TABLE evidence ADD COLUMN seal TEXT",),
    (
        "ALTER TABLE answered ADD COLUMN top INTEGER",
        "CREATE TABLE labels (model TEXT NOT NULL, rollout TEXT NOT NULL, step INTEGER NOT NULL, "
        "split DOUBLE PRECISION NOT NULL, sticky BOOLEAN NOT NULL, second BIGINT NOT NULL, "
        "baseline INTEGER NOT NULL, candidate INTEGER NOT NULL, baseline_wrong INTEGER NOT NULL, "
        "candidate_wrong INTEGER NOT NULL, PRIMARY KEY (model, rollout, step, split, sticky, second))",
        "CREATE INDEX labels_rollout ON labels (rollout)",
        "INSERT INTO labels SELECT model, rollout, step, split, sticky, CAST(at_s AS BIGINT), "
        "SUM(CASE WHEN candidate THEN 0 ELSE 1 END), SUM(CASE WHEN candidate THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN candidate OR outcome THEN 0 ELSE 1 END), "
        "SUM(CASE WHEN candidate AND NOT outcome THEN 1 ELSE 0 END) FROM answered "
        "WHERE outcome IS NOT NULL GROUP BY model, rollout, step, split, sticky, CAST(at_s AS BIGINT)",
        "CREATE TABLE held (model TEXT NOT NULL, id BYTEA NOT NULL, correct BOOLEAN, label INTEGER, "
        "told_s DOUBLE PRECISION NOT NULL, PRIMARY KEY (model, id))",
    ),
    (
        "ALTER TABLE answered ADD COLUMN other INTEGER",
        "CREATE TABLE matched (model TEXT NOT NULL, rollout TEXT NOT NULL, label INTEGER NOT NULL, "
        "labelled INTEGER NOT NULL, baseline_alone INTEGER NOT NULL, candidate_alone INTEGER NOT NULL, "
        "neither INTEGER NOT NULL, PRIMARY KEY (model, rollout, label))",
    ),
    (
        "CREATE TABLE row_seals (model TEXT NOT NULL, name TEXT NOT NULL, rollout TEXT NOT NULL, "
        "number INTEGER NOT NULL, total TEXT NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (model, name))",
    ),
)
