"""From the lake to backtest engines: one module per format, and what holds for all of them.

An export says of each of its days which file of the lake it came from (`manifest`), and is refused where a day is
missing, failed, a hole or red on a check, unless that is allowed by name (`days`). Values leave as they are stored;
where a format cannot hold one, that is counted.
"""
