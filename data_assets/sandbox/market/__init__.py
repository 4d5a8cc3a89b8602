"""One synthetic market, the same for every vendor: prices, chains, greeks, bars."""
