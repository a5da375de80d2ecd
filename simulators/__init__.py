"""A MikroTik access router in software: real RADIUS over real UDP sockets, seeded faults, many routers a process.

Where to look::

    nas            the router and its verbs: start, login, interim, logout, reboot, cut, stop
    nas_command    ``python -m simulators.nas``: one router from the command line
    settings       everything that can be set, every undocumented habit of RouterOS as a switch
    services       what each service (pppoe, hotspot, hotspot_mac, dhcp) puts into a request
    radius_client  identifiers, retransmission, the second server
    accounting     Start, Interim-Update and Stop
    coa_server     CoA-Request and Disconnect-Request
    sessions       live sessions and their counters
    pools          addresses the router hands out by itself
    rate_limit     what Mikrotik-Rate-Limit says, in bits a second
    packets        authenticators, passwords, Message-Authenticator
    attributes     names and text to bytes and back; `dictionary` is its data
    mschap, md4    MS-CHAPv2 as the client computes it
    udp            sockets with a cable that can be cut
    companion      where the RouterOS API of the same router (`simulators.routeros`) joins in
    faults         seeded loss, duplication, delay and reordering
    clock          the time all of it runs on

Only `ispagents.demo`, `bench` and tests import this package. It shares no code with `network`, so that the two ends
of a conversation cannot agree on one mistake.
"""
