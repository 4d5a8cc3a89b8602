"""The engine: many days in, exactly one typed outcome per day out. It knows no vendor."""
