"""Training: the published losses, and the starter model's recipe."""
