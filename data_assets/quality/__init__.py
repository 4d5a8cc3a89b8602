"""What makes a day trustworthy: the rules as pure functions on Polars frames, and the asset checks made of them."""
