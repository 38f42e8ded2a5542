"""How good is a model: retrieval ranks and metrics, and the starter's figures."""
