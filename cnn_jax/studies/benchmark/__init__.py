"""How fast a config's programs are on this machine, and how fast they could be: times, roofs, layers, profile."""
