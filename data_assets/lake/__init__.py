"""The lake: one Parquet file per dataset and day, whole or not there, with its provenance inside.

Here: where files lie, how they are written, read back, checked and queried, on a local folder or an object store.
Not here: where data comes from (`vendors`), when it is fetched (`ingest`), whether its values make sense (`quality`).
"""
