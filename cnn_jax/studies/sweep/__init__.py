"""Try many settings on held-out images, and score the best one on the test images."""
