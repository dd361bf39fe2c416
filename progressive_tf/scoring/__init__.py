"""What a version answers to many inputs that nobody waits for: a table, a folder of images, a file of sentences."""
