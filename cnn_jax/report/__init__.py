"""Writing for people: the terminal and TensorBoard. Receives records; computes nothing."""
