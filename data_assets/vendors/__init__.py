"""One folder per data vendor, each with the same files.

`client` (the wire), `schema` (the columns), `day` (a day: whole or not), `intake` (its bytes on their way to the lake),
`component` (the assets).
"""
