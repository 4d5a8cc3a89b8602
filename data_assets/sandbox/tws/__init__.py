"""A server that speaks the protocol of Trader Workstation."""
