"""Name the digits in pictures of one's own."""
