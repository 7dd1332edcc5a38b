"""Count, average and p99 of `latency_ms` by `event_type` by one library; prints how many events were counted, and
the seconds of each repetition, without importing.

aggregate.py MODULE INPUT REPETITIONS, called by src/contenders/python.rs. INPUT is Parquet, or NDJSON by its name.
"""

import sys
import time

module, source, repetitions = sys.argv[1:4]

if module == "polars":
    import polars

    def aggregate():
        latency = polars.col("latency_ms")
        groups = polars.scan_parquet(source).group_by("event_type")
        groups = groups.agg(count=polars.len(), mean=latency.mean(), p99=latency.quantile(0.99))
        return groups.collect()["count"].sum()

elif module == "duckdb":
    import duckdb

    table = "read_parquet(?)"
    if source.endswith(".ndjson"):
        columns = "{event_type: 'VARCHAR', latency_ms: 'DOUBLE'}"
        table = f"read_json(?, format = 'newline_delimited', columns = {columns})"

    def aggregate():
        values = "count(*), avg(latency_ms), quantile_disc(latency_ms, 0.99)"
        rows = duckdb.execute(f"SELECT event_type, {values} FROM {table} GROUP BY event_type", [source]).fetchall()
        return sum(row[1] for row in rows)

else:
    sys.exit(f"no module {module} here")

times = []
for _ in range(1 + int(repetitions)):
    begun = time.perf_counter()
    counted = aggregate()
    times.append(time.perf_counter() - begun)
print(counted, *times[1:])
