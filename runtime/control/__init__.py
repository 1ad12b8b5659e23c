"""Which point to run, and why: pure, no I/O, no clock."""
