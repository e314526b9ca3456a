"""Reading what shops export: any separator, encoding, decimal mark and order of dates; what is detected is told."""
