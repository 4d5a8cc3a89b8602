"""Theta Data, through the Theta Terminal that runs on the user's own machine."""
