"""RFC 5176 Dynamic Authorization Client: change or end live sessions on MikroTik and similar routers.

Map: `verbs` is what the worker calls; `transport` sends, repeats and matches; `packets` is pure bytes, over
`attributes` (text to value bytes) and the `dictionary/` folder; `abilities` declares what a CoA can change.
"""
