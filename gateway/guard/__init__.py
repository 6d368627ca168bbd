"""Guards: who may come in, how often, for how long."""
