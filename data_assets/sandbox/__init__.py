"""Vendor simulators on loopback, and the synthetic market behind them. Nothing here is ever real data."""
