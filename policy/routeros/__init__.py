"""A router's configuration as values: what an access means on RouterOS, and the commands that lead there and back.

Pure: nothing here talks to a router (`network/routeros` does), and nothing here knows of the database.
"""
