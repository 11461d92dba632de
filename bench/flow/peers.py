# SPDX-License-Identifier: Apache-2.0
"""What `./dev bench flow` asks of DuckDB and Polars:  python peers.py duckdb|polars WORK THREADS MEMORY OUTPUT INPUT...

MEMORY is a limit in MB for DuckDB, 0 for none. Outputs are those of the Lua files beside this one, in any order of rows where the work has none.
"""
import os
import sys

peer, work, threads, memory, output, *inputs = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = threads


def duckdb_query():
    def csv(path, columns):
        return f"read_csv('{path}', header = false, auto_detect = false, delim = ',', quote = '', columns = {columns})"

    def lines(path):
        return csv(path, {"line": "VARCHAR"}).replace("delim = ','", "delim = '\x01', escape = ''")

    if work in ("words", "words-any"):
        cut = "string_split(line, ' ')" if work == "words" else "regexp_extract_all(line, '[0-9A-Za-z]+')"
        return f"SELECT word, count(*) FROM (SELECT unnest({cut}) AS word FROM {lines(inputs[0])}) WHERE word <> '' GROUP BY word"
    if work == "sort":
        return f"SELECT line FROM {lines(inputs[0])} ORDER BY line"
    if work == "join":
        left, right = csv(inputs[0], {"id": "BIGINT", "name": "VARCHAR"}), csv(inputs[1], {"id": "BIGINT", "value": "BIGINT"})
        return f"SELECT id, name, value FROM {left} AS a JOIN {right} AS b USING (id)"
    if work == "group":
        return f"SELECT key, sum(value) FROM {csv(inputs[0], {'key': 'BIGINT', 'value': 'BIGINT'})} GROUP BY key"
    if work == "json":
        columns = {"id": "BIGINT", "user": "STRUCT(country VARCHAR)", "price": "BIGINT"}
        events = f"read_json('{inputs[0]}', format = 'newline_delimited', auto_detect = false, columns = {columns})"
        return f"SELECT id, user.country FROM {events} WHERE price > 5000"
    return "SELECT 1"


def run_duckdb():
    import duckdb
    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false; SET temp_directory = '{output}.tmp'")
    if memory != "0":
        connection.execute(f"SET memory_limit = '{memory}MB'")
    connection.execute(f"COPY ({duckdb_query()}) TO '{output}' (FORMAT csv, HEADER false, QUOTE '')")


def run_polars():
    import polars
    column = polars.col

    def csv(path, names):
        return polars.scan_csv(path, has_header=False, new_columns=names, quote_char=None)

    def lines(path):
        return polars.scan_csv(path, has_header=False, new_columns=["line"], separator="\x01", quote_char=None,
                               infer_schema_length=0)

    if work in ("words", "words-any"):
        cut = column("line").str.split(" ") if work == "words" else column("line").str.extract_all("[0-9A-Za-z]+")
        frame = lines(inputs[0]).select(cut.alias("word")).explode("word")
        frame = frame.filter(column("word").is_not_null() & (column("word") != "")).group_by("word").len()
    elif work == "sort":
        frame = lines(inputs[0]).sort("line")
    elif work == "join":
        frame = csv(inputs[0], ["id", "name"]).join(csv(inputs[1], ["id", "value"]), on="id")
    elif work == "group":
        frame = csv(inputs[0], ["key", "value"]).group_by("key").agg(column("value").sum())
    elif work == "json":
        events = polars.scan_ndjson(inputs[0])
        frame = events.filter(column("price") > 5000).select("id", column("user").struct.field("country"))
    else:
        frame = polars.LazyFrame({"one": [1]})
    frame.sink_csv(output, include_header=False, quote_style="never")


{"duckdb": run_duckdb, "polars": run_polars}[peer]()
