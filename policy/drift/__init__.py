"""Drift: billing, router and accounting compared, all three ways, as findings with a cause and a proposal.

finding    what a finding is, and who mends it
held       services that a router's configuration holds: missing, changed by hand, in the way; orphans of ours
online     who is online there against what billing says and what accounting knows; local users that bypass RADIUS
settings   the walled garden's rules, and the settings by which a router asks RADIUS

Pure: nothing is read here, and nothing is changed. A secret is in no finding.
"""
