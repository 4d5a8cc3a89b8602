"""What the project claims to cost, measured: `python -m benchmarks` runs all claims, `python -m benchmarks day` one.

A module per claim (those that `python -m benchmarks --help` names), each beside what a user would pick instead, with
the same input and in the same run; times are medians of alternating repetitions, because machines are noisy. The inputs
are made once, in `.state/bench`.
Not here: whether anything works; that is what `data_assets_tests` is for.
"""
