"""What a plan may say: its schema, how it is loaded and overridden, and the shipped plans."""
