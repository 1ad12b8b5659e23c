"""Latency, CPU time, memory and quality, each with its interval."""
