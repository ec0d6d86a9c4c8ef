"""A network that reads a small table and answers for new rows, without a gradient step."""
