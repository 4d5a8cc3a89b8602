"""A server that answers as the Theta Terminal does."""
