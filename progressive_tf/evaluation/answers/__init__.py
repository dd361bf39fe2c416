"""What a model answered for the rows of a slice, beside what is true: a file for each kind of answer."""
