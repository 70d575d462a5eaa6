"""Is one model better than another, and by more than chance?"""
