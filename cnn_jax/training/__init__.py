"""Training: one pure step, one pure loop, and `fit`, which runs the loop in chunks and yields between them."""
