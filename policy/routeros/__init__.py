"""A router's configuration as values: what an access means on RouterOS, and the commands that lead there and back.

Pure: nothing here talks to a router (`network/routeros` does), and nothing here knows of the database.

    values, menus     what a text of a router means, field by field
    style             how an ISP wants things done on one router
    wanted, profiles  the items for a service with an access; `garden`, `script`: those for a whole router
    reading           what was read of a router; `matching` and `order` find each item and its place
    difference        the plan from what is there to what is wanted, its undo, and the proof; `images` is its result
    cuts, leftovers   what has to be ended for it to hold; what is ours and nobody's any more
    state, placing    the same as a few letters, to compare
    terminal          commands as an operator would type them
"""
