"""Files on a local disk: temporary names, locks, and renames that survive a power cut."""
