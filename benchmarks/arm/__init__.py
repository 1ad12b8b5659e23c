"""Instructions per inference on emulated Arm processors: repeatable anywhere, so a regression figure for Arm."""
