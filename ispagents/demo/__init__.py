"""A small ISP on this machine, and a story that is checked as it is told.

`isp` fills the database, `field` runs the simulated routers, `story` tells and checks, `chapters` are its parts.
"""
