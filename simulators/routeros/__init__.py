"""The API of a MikroTik router in software: real framing, menus and texts, seeded trouble.

A test starts one so, and asks or changes it from its own thread or loop::

    with RouterOs(RouterOsSettings(users=(ApiUser(name="api", password="made-up"),))) as router:
        client = connect(router.address, router.port)
        router.do(lambda device: device.ppp_login("anna", "made-up", caller_id="02:00:00:00:00:01"))

Where to look::

    router       the class to start, and what a test may do to a running router
    settings     everything that can be set, every undocumented habit as a switch
    customers    who is online: logins by secret, user, cookie and lease; online has the rows made for them
    standing     what a customer gets now: rate and lists
    firewall     what passes: filter, nat, tracked connections, fasttrack
    joined       the same router's NAS (`simulators.nas`): its sessions are the API's too
    entries      entries of address lists with a timeout or a DNS name
    certificates the row of /certificate
    device       a router's state: menus, customers online, what a change brings about
    menus        the form of a menu; menus_access, _hotspot, _network and _system are the tables
    fields       what a field takes and how it is written back
    store        rows: ids, unique keys, references, order
    commands     the verbs: print, add, set, remove, move and the others
    queries      the stack of `?` words
    permissions  users, groups, policies
    server       sockets, logins, tags
    trouble      seeded and ordered faults
    words        the wire
    traps        the texts of refusals

It shares no code with `network`, so that the two ends of a conversation cannot agree on one mistake.
"""

from simulators.routeros.router import RouterOs, many
from simulators.routeros.settings import ApiFaults, ApiUser, Break, RouterOsSettings, TlsFiles

__all__ = ["ApiFaults", "ApiUser", "Break", "RouterOs", "RouterOsSettings", "TlsFiles", "many"]
