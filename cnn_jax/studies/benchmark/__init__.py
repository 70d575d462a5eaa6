"""How fast a config's programs run on this machine, and how fast they could run: times, roofline, layers, profile."""
