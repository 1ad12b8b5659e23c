"""Exits on the samples: how much sooner answers come, what a cut costs, whether promises hold, and what drift does."""
