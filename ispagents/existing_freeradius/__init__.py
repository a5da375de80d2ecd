"""A FreeRADIUS that was here before us: looked at, joined, left again as it was, and examined.

configuration  its configuration language: sections, items and calls, each with its place in the file
layout         one server: its folder, its files with everything they include, its version, its user
hooks          what we add to it, and where
edits          files before and after: shown as a difference, backed up, applied, taken back
running        its own check mode, its restart, and the folder of ours that it reads
joining        install and uninstall, step by step
doctor         what is wrong with a set-up, in plain words: by its files, and by the machine
"""
