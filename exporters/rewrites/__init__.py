"""Graph rewrites, one rule per file."""
