"""Examples: reading them, dividing them into parts, and what is wrong with them."""
