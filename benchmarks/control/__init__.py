"""The controller beside others and an oracle, in simulation."""
