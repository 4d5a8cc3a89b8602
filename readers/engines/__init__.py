"""One module an engine, run in the engine's own environment: `python -m readers.engines.<name>`.

Each is told on its input which folders to read, and says on its output what each of them holds. It reads as a person
would who has the folder and nothing of the project.
"""
