"""From candidates to the points worth shipping."""
