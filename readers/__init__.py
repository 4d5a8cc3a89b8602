"""Parquet that any engine reads: a lake of every dataset, read by real engines of an older day (`make readers`).

Here: real packages of fixed versions, each in an environment of its own. Not here: speed (`benchmarks`), and the
engines that the project itself uses (`data_assets_tests/lake/test_engines.py`).
"""
