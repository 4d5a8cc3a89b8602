"""One module per engine, run in that engine's environment: it loads a folder and says what it found, as JSON."""
