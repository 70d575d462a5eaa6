"""The live part of the lesson: the reader draws, and the trained networks answer in the page itself.

`payload.py` describes the networks as JSON, and `section.py` says what is tried and where. The scripts run the networks
and fill the panels; `state.js` says how they work together and how a panel is added.
"""
