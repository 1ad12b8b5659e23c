"""The device half: watch the device, choose a point, run it."""
