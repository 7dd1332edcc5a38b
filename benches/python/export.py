"""NDJSON to Parquet by one library; prints the seconds it took, without importing.

export.py MODULE INPUT OUTPUT, called by src/contenders/python.rs.
"""

import sys
import time

module, source, target = sys.argv[1:4]

if module == "polars":
    import polars

    def export():
        polars.scan_ndjson(source, infer_schema_length=None).sink_parquet(
            target, compression="zstd", compression_level=3
        )

elif module == "duckdb":
    import duckdb

    def export():
        duckdb.execute(
            "COPY (FROM read_json(?, format = 'newline_delimited', sample_size = -1)) "
            "TO '" + target.replace("'", "''") + "' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)",
            [source],
        )

elif module == "pyarrow":
    import pyarrow.json
    import pyarrow.parquet

    def export():
        table = pyarrow.json.read_json(source)
        pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=3)

else:
    sys.exit(f"no module {module} here")

begun = time.perf_counter()
export()
print(time.perf_counter() - begun)
