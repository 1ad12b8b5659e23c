"""What the device says about itself, one file per source."""
