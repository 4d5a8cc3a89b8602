"""One folder per data vendor. Vendors never import each other.

Each has `client` (requests and what errors mean), `schema` (the columns), `day` (a day from request to staged file) and
`component` (the blocks of YAML and the assets made of them).
"""
