"""The training core: state, step and loop as pure functions, and the same functions compiled for the devices."""
