"""Turns a CSV file into Parquet and into normalised CSV, by streaming.

The file is read twice in blocks of whole records: once to find each column's
type over all of its values, once to write. Memory depends on the block's size
and not on the file's.
"""
