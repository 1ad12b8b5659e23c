"""Plans, their activation, and the hot path."""
