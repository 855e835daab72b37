"""The compiled loops, one module for each instruction-set level. Only ``cecore._dispatch`` imports them."""
