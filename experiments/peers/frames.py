"""Spikes with pandas, polars and DuckDB: lag, jump, threshold, and three numbers per group.

Input: `user`, `group` and `after` of every join in order, `base` before a user's first,
`threshold`. Answer by group: joiners, spikes, mean jump.

And a log converted by DuckDB. Input: `user`, `group` and `time` in the order of time, as a
Parquet file. Answer: the earliest join of each user and group, users and groups numbered, in
the order of user and time, as Parquet files; told by number and digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, digest_of, serve

Answer = Callable[[], Mapping[str, Any]]


def by_pandas(given: Arrays) -> Answer:
    import pandas as pd

    frame = pd.DataFrame({name: given[name] for name in ("user", "group", "after")})
    base, threshold = float(given["base"]), float(given["threshold"])

    def work() -> dict[str, Any]:
        before = frame.groupby("user", sort=False)["after"].shift().fillna(base)
        jump = frame["after"] - before
        rows = pd.DataFrame({"group": frame["group"], "jump": jump, "spike": jump > threshold})
        found = rows.groupby("group").agg(
            joiners=("jump", "size"), spikes=("spike", "sum"), mean=("jump", "mean")
        )
        return {"group": found.index, **{name: found[name] for name in found}}

    return work


def by_polars(given: Arrays) -> Answer:
    import polars as pl

    frame = pl.DataFrame({name: given[name] for name in ("user", "group", "after")})
    base, threshold = float(given["base"]), float(given["threshold"])

    def work() -> dict[str, Any]:
        before = pl.col("after").shift(1).over("user").fill_null(base)
        found = (
            frame.lazy()
            .with_columns(jump=pl.col("after") - before)
            .group_by("group")
            .agg(joiners=pl.len(), spikes=(pl.col("jump") > threshold).sum(),
                 mean=pl.col("jump").mean())
            .sort("group")
            .collect()
        )  # fmt: skip
        return {name: found[name].to_numpy() for name in found.columns}

    return work


QUERY = """
WITH jumps AS (
    SELECT "group",
           after - coalesce(lag(after) OVER (PARTITION BY "user" ORDER BY row), $base) AS jump
    FROM joins
)
SELECT "group", count(*) AS joiners, count(*) FILTER (jump > $threshold) AS spikes,
       avg(jump) AS mean
FROM jumps GROUP BY "group" ORDER BY "group"
"""


def by_duckdb(given: Arrays) -> Answer:
    import duckdb
    import pyarrow as pa

    table = pa.table({name: given[name] for name in ("user", "group", "after")})
    table = table.append_column("row", pa.array(np.arange(len(table), dtype=np.int64)))
    connection = duckdb.connect()
    connection.register("source", table)
    connection.execute("CREATE TABLE joins AS SELECT * FROM source")
    chosen = {"base": float(given["base"]), "threshold": float(given["threshold"])}

    def work() -> dict[str, Any]:
        return dict(connection.execute(QUERY, chosen).fetchnumpy())

    return work


NUMBERED = """
CREATE TEMP TABLE firsts AS
    SELECT "user", "group", min("time") AS "time" FROM 'theirs.parquet' GROUP BY "user", "group";
CREATE TEMP TABLE users AS
    SELECT "user" AS name, row_number() OVER (ORDER BY "user") - 1 AS id
    FROM (SELECT DISTINCT "user" FROM firsts);
CREATE TEMP TABLE groups AS
    SELECT "group" AS name, row_number() OVER (ORDER BY "group") - 1 AS id
    FROM (SELECT DISTINCT "group" FROM firsts);
COPY (
    SELECT users.id AS "user", groups.id AS "group", "time"
    FROM firsts JOIN users ON users.name = "user" JOIN groups ON groups.name = "group"
    ORDER BY 1, 3, 2
) TO 'joins.parquet';
COPY (SELECT name FROM users ORDER BY id) TO 'users.parquet';
COPY (SELECT name FROM groups ORDER BY id) TO 'groups.parquet';
"""


def conversion(given: Arrays) -> Answer:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = pa.array(given["time"].astype(np.int32)).cast(pa.date32())
    table = pa.table({"user": given["user"], "group": given["group"], "time": days})
    pq.write_table(table, "theirs.parquet")

    def work() -> dict[str, Any]:
        with duckdb.connect("scratch.duckdb") as connection:
            connection.execute("SET memory_limit = '1GiB'; SET temp_directory = 'spilled'")
            connection.execute(NUMBERED)
        return {"joins": lambda: pq.read_metadata("joins.parquet").num_rows, "digest": digest}

    def digest() -> int:
        joins = pq.read_table("joins.parquet")
        user, group = (
            pq.read_table(f"{of}s.parquet")["name"].to_numpy()[joins[of].to_numpy()]
            for of in ("user", "group")
        )
        return digest_of(user, group, joins["time"].to_numpy().astype(np.int64))

    return work


if __name__ == "__main__":
    serve({"pandas": by_pandas, "polars": by_polars, "duckdb": by_duckdb, "convert": conversion})
