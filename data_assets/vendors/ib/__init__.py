"""Interactive Brokers, through the TWS or IB Gateway that runs on the user's own machine."""
