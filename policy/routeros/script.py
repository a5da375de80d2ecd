r"""The commands that connect a router (RADIUS, its API, the walled garden, the clock), and those that take them back.

A person pastes them into the router's terminal or imports them as a file, so what has variables stands in braces: a
local variable of a terminal ends with its line. They can be run again: each piece looks before it adds. What is ours
carries a comment `ispagents:...`, or the name `ispagents...` where a menu has no comments. Settings that are there
already (`/ppp aaa`) are noted first, on the router itself; the undo runs the notes.

From the pages Scripting, RADIUS, User, Certificates, Services, NTP and Filter of help.mikrotik.com. **No device was at
hand**: what could not be read there, or differs between releases, is in the list `UNVERIFIED`, and stands at the head
of each script.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from policy.routeros.bootstrap import GROUP, Bootstrap, check
from policy.routeros.garden import DNS_TAG, HOSTS_TAG, Garden, garden_items
from policy.routeros.menus import ADDRESS_LIST, FILTER, NAT
from policy.routeros.objects import Command, Verb, tagged
from policy.routeros.script_parts import BEFORE, joined, marked, note, noted, noted_rows, removed, rules, values
from policy.routeros.terminal import command_text, quoted
from policy.routeros.values import duration_text
from policy.wording import escaped

CERTIFICATE = "ispagents-api"
# A client of ours asks again after a second; RouterOS's own 100 to 1,100 ms are shorter than a refusal takes.
RADIUS_TIMEOUT = "3s"
CERTIFICATE_DAYS = 3650
SIGNING_MAXIMUM_S = 120  # small boards take long for a key

UNVERIFIED = (
    "a certificate that is signed without an authority is its own (older releases of 6)",
    "the list of who may use a service has another name since 7.24, and is asked for by either",
    "commands in a text that this release does not know are caught by on-error (require-message-auth before 7.15)",
)


def connect_script(wanted: Bootstrap) -> str:
    """The script that connects a router. Raises PolicyError for what cannot be meant."""
    check(wanted)
    pieces = [_head(wanted)]
    if wanted.services:
        pieces += [_radius(wanted), _incoming(wanted), *_accounting(wanted)]
    if wanted.api_user:
        pieces += [_user(wanted), _service(wanted)]
    pieces += [_input(wanted), _garden(wanted.garden), *_clock(wanted)]
    return "\n".join(line for piece in pieces for line in (*piece, ""))


def undo_script(name: str, release: int) -> str:
    """The script that takes away what `connect_script` made, and sets back what it changed. It holds no secret.

    Customers' own items (`ispagents:service-...`) stay.
    """
    lines = [
        "# What the settings were before, whoever changed them since.",
        "{",
        f":foreach note in=[/system script find where name~{quoted('^' + BEFORE)}] do={{",
        '  :do {/system script run $note} on-error={:put "A note could not be run; see /system script."}',
        "  /system script remove $note",
        "}",
        "}",
        *removed("/radius", marked("radius")),
        *removed("/ip firewall filter", marked("(input|garden)-[0-9]+")),
        *removed("/ip firewall nat", marked("garden-[0-9]+")),
        *removed("/ip firewall address-list", marked(f"({HOSTS_TAG}|{DNS_TAG})")),
        *removed("/user", marked("api")),
        "# Refused, and left, where somebody else uses them.",
        *(f":do {{{line}}} on-error={{}}" for line in removed("/user group", f"name={quoted(GROUP)}")),
        *(f":do {{{line}}} on-error={{}}" for line in removed("/certificate", f"name={quoted(CERTIFICATE)}")),
    ]
    return "\n".join([*_undo_head(name, release), "", *lines, ""])


def _undo_head(name: str, release: int) -> list[str]:
    return [
        f"# ISPAgents: takes away what `router script` ({escaped(name)}, --for {release}) made, and nothing else.",
        "# What customers have (ispagents:service-...) stays. Paste it into a terminal, or import it as a file.",
    ]


def _head(wanted: Bootstrap) -> list[str]:
    told = [
        f"# ISPAgents: connects {escaped(wanted.name)} with {wanted.server}. For RouterOS {wanted.release}.",
        "# Paste it into a terminal, or import it as a file. It can be run again; --undo makes one that takes it back.",
        *(f"# Not tried on a device: {one}." for one in UNVERIFIED),
    ]
    if wanted.secret is not None or wanted.password is not None:
        told.append("# It holds secrets that are shown only this once: delete the file when it has run.")
    if wanted.services and wanted.secret is None:
        told.append("# The RADIUS secret stays as it is: it is kept sealed. --new-secrets makes another.")
    if not wanted.api_user:
        told.append("# Its API is left alone; --new-password makes a user for it.")
    elif wanted.password is None:
        told.append("# The password of the API's user stays as it is: it is kept sealed. --new-password makes another.")
    return told


def _radius(wanted: Bootstrap) -> list[str]:
    mine = f"[/radius find where {marked('radius')}]"
    fields = (
        f"service={','.join(wanted.services)} address={wanted.server} timeout={RADIUS_TIMEOUT} "
        f"authentication-port={wanted.auth_port} accounting-port={wanted.acct_port} disabled=no"
    )
    foreign = f"/radius find where address={wanted.server} and !({marked('radius')})"
    if wanted.secret is None:
        added = '  :put "There is no RADIUS entry of ours yet, and no secret was made: see --new-secrets."'
        known = f"  /radius set {mine} {fields}"
    else:
        added = f"  /radius add {fields} secret=$word comment={quoted(tagged('radius'))}"
        known = f"  /radius set {mine} {fields} secret=$word"
    lines = ["# RADIUS: who answers logins and takes accounting.", "{"]
    if wanted.secret is not None:
        lines.append(f":local word {quoted(wanted.secret)}")
    lines += [f":if ([:len {mine}] = 0) do={{", added, "} else={", known, "}"]
    if wanted.address:
        # Only an address that the router has can be a source; behind NAT it has another one.
        pattern = quoted("^" + re.escape(wanted.address) + "/")
        lines.append(
            f":if ([:len [/ip address find where address~{pattern}]] > 0) do={{/radius set {mine} "
            f"src-address={wanted.address}}}"
        )
    if wanted.release > 6:
        command = quoted(f"/radius set {mine} require-message-auth=yes-for-request-resp")
        lines.append(
            f":do {{:local signed [:parse {command}]; $signed}} "
            'on-error={:put "Older than 7.15: answers of RADIUS are not asked to be signed."}'
        )
    lines.append(
        f':if ([:len [{foreign}]] > 0) do={{:put "Another RADIUS entry has the same address; remove it if it is not '
        'needed, since CoA is checked with the secret of one of them."}'
    )
    return [*lines, "}"]


def _incoming(wanted: Bootstrap) -> list[str]:
    return [
        "# CoA and Disconnect: changes of sessions that are online.",
        *noted("incoming", "/radius incoming", ("accept",), ("port",)),
        f"/radius incoming set accept=yes port={wanted.coa_port}",
    ]


def _accounting(wanted: Bootstrap) -> Iterable[list[str]]:
    interim = duration_text(wanted.interim_s)
    if "ppp" in wanted.services:
        yield [
            "# PPP asks RADIUS. Users who stand in /ppp secret too are still answered by the router itself.",
            *noted("ppp", "/ppp aaa", ("use-radius", "accounting"), ("interim-update",)),
            f"/ppp aaa set use-radius=yes accounting=yes interim-update={interim}",
        ]
    if "hotspot" in wanted.services:
        menu = "/ip hotspot profile"
        fields = "use-radius=yes radius-accounting=yes radius-interim-update=received"
        yield [
            "# Every hotspot asks RADIUS, and reports as often as RADIUS says.",
            *noted_rows("hotspot", menu, ("use-radius", "radius-accounting"), ("radius-interim-update",)),
            f"{menu} set [{menu} find] {fields}",
        ]
    if "dhcp" in wanted.services:
        yield [
            "# Every DHCP server asks RADIUS; its accounting is one setting for all of them.",
            *noted_rows("dhcp", "/ip dhcp-server", (), ("use-radius",)),
            *noted("dhcp-config", "/ip dhcp-server config", ("accounting",), ("interim-update",)),
            "/ip dhcp-server set [/ip dhcp-server find] use-radius=yes",
            f"/ip dhcp-server config set accounting=yes interim-update={interim}",
        ]


def _user(wanted: Bootstrap) -> list[str]:
    policy = "api,read,write" + (",sensitive" if wanted.read_passwords else "")
    name, group = quoted(wanted.api_user), quoted(GROUP)
    mine = f"[/user find where name={name} and {marked('api')}]"
    foreign = f"[/user find where name={name} and !({marked('api')})]"
    fields = f"group={group} address={_network(wanted.server)} disabled=no"
    if wanted.password is None:
        made = ':put "There is no API user of ours yet, and no password was made: see --new-password."'
        kept = f"/user set {mine} {fields}"
    else:
        made = f"/user add name={name} {fields} password=$word comment={quoted(tagged('api'))}"
        kept = f"/user set {mine} {fields} password=$word"
    grouped = f"[/user group find where name={group}]"
    lines = [
        "# A user for the API alone, who may read and change, but not manage users, read files or reboot.",
        "{",
        f":if ([:len {grouped}] = 0) do={{/user group add name={group}}}",
        f"/user group set {grouped} policy={policy}",
    ]
    if wanted.password is not None:
        lines.append(f":local word {quoted(wanted.password)}")
    lines += [
        f":if ([:len {foreign}] > 0) do={{",
        '  :put "A user of that name is not ours and is left alone; choose another: router api set --user."',
        "} else={",
        f"  :if ([:len {mine}] = 0) do={{{made}}} else={{{kept}}}",
        "}",
        "}",
    ]
    return lines


def _service(wanted: Bootstrap) -> list[str]:
    """Since 7.19 connections are listed among the services, behind them; since 7.24 `address` is `available-from`."""
    service = "api" if wanted.api_plain else "api-ssl"
    address = quoted(_network(wanted.server))
    asked = '(":local old [/ip service get " . $row . " available-from]")'
    read = '(":return [/ip service get " . $row . " " . $word . "]")'
    told = "# A certificate that is there already is kept; else the router makes its own, known by its fingerprint."
    certificate = [] if wanted.api_plain else [told]
    change = f'("/ip service set " . $row . " disabled=no port={wanted.api_port} " . $word . "=" . $allowed)'
    lines = [
        f"# The service {service}, for us and those who were named before; where all were let in, only we are now.",
        *certificate,
        "{",
        f":local row [:pick [/ip service find where name={quoted(service)}] 0]",
        ':local word "address"',
        f':do {{:local probe [:parse {asked}]; $probe; :set word "available-from"}} on-error={{}}',
        f":local read [:parse {read}]",
        *joined("before", "[$read]"),
        *note(
            "service",
            [
                ':local note ("/ip service set " . $row . " " . $word . "=\\"" . $before . "\\"")',
                *values("/ip service get $row", ("disabled",), ("port",)),
                *([] if wanted.api_plain else _certificate_noted()),
            ],
        ),
        f":local allowed {address}",
        ":foreach one in=[$read] do={",
        f"  :if (([:len [:tostr $one]] > 0) and ([:tostr $one] != {address})) do={{",
        '    :set allowed ($allowed . "," . $one)',
        "  }",
        "}",
        f":local change [:parse {change}]",
        "$change",
    ]
    return [*lines, *([] if wanted.api_plain else _certificate(wanted)), "}"]


def _certificate_noted() -> list[str]:
    return [
        ":local named [:tostr [/ip service get $row certificate]]",
        ':if ([:len $named] = 0) do={:set named "none"}',
        ':set note ($note . " certificate=\\"" . $named . "\\"")',
    ]


def _certificate(wanted: Bootstrap) -> list[str]:
    named = f"name={quoted(CERTIFICATE)}"
    subject = f"common-name={quoted(CERTIFICATE)} key-size=2048 days-valid={CERTIFICATE_DAYS}"
    usage = "digital-signature,key-encipherment,key-cert-sign,crl-sign,tls-server"
    signed = f"[/certificate find where {named} and private-key=yes]"
    say = quoted(f"ispagents router api set {_shell(wanted.name)} --fingerprint ")
    return [
        ":local used [:tostr [/ip service get $row certificate]]",
        ':if (($used = "") or ($used = "none")) do={',
        f"  :if ([:len [/certificate find where {named}]] = 0) do={{",
        f"    /certificate add {named} {subject} key-usage={usage}",
        f"    /certificate sign [/certificate find where {named}]",
        "  }",
        "  :local waited 0",
        f"  :while (([:len {signed}] = 0) and ($waited < {SIGNING_MAXIMUM_S})) do={{",
        "    :delay 1s",
        "    :set waited ($waited + 1)",
        "  }",
        f"  :set used {quoted(CERTIFICATE)}",
        "  /ip service set $row certificate=$used",
        "}",
        ':put "Now type this where ISPAgents runs:"',
        f":put ({say} . [/certificate get [/certificate find where name=$used] fingerprint])",
    ]


def _input(wanted: Bootstrap) -> list[str]:
    ports = []
    if wanted.services:
        ports.append(f"protocol=udp dst-port={wanted.coa_port}")
    if wanted.api_user:
        ports.append(f"protocol=tcp dst-port={wanted.api_port}")
    adds = [
        f"/ip firewall filter add chain=input src-address={wanted.server} {rule} action=accept "
        f"comment={quoted(tagged(f'input-{number}'))}"
        for number, rule in enumerate(ports, start=1)
    ]
    return [
        "# What we send is let in, before the firewall's own rules.",
        *rules("/ip firewall filter", "input", marked("input-[0-9]+"), adds),
    ]


def _garden(garden: Garden) -> list[str]:
    """Taken away and made anew, in order: it takes no longer than a blink, and nothing is left in a wrong place."""
    made: dict[str, list[str]] = {ADDRESS_LIST: [], FILTER: [], NAT: []}
    for one in garden_items(garden):
        if one.present:
            fields = (*one.key, *one.fields, ("comment", tagged(one.tag)))
            made[one.menu].append(command_text(Command(Verb.ADD, one.menu, one.key, fields)))
    told = "the walled garden, and those who get nothing" if garden.address_list else "those who get nothing"
    return [
        f"# The firewall for {told}: before fasttrack and before what lets open connections pass, or downloads go on.",
        *removed("/ip firewall address-list", marked(f"({HOSTS_TAG}|{DNS_TAG})")),
        *made[ADDRESS_LIST],
        *rules("/ip firewall filter", "forward", marked("garden-[0-9]+"), made[FILTER]),
        *rules("/ip firewall nat", "dstnat", marked("garden-[0-9]+"), made[NAT]),
    ]


def _clock(wanted: Bootstrap) -> Iterable[list[str]]:
    menu = "/system ntp client"
    if not wanted.ntp:
        advice = quoted("Nothing keeps the clock of this router right: --ntp ADDRESS names a time server.")
        yield [f":if ([{menu} get enabled] = false) do={{:put {advice}}}"]
    elif wanted.release > 6:
        yield [
            "# The clock.",
            *noted("ntp", menu, ("enabled",), (), lists=("servers",)),
            f"{menu} set enabled=yes servers={','.join(wanted.ntp)}",
        ]
    else:
        names = ("primary-ntp", "secondary-ntp")
        servers = " ".join(f"{name}={address}" for name, address in zip(names, wanted.ntp, strict=False))
        yield ["# The clock.", *noted("ntp", menu, ("enabled",), names), f"{menu} set enabled=yes {servers}"]
    if wanted.time_zone:
        yield [
            *noted("clock", "/system clock", ("time-zone-autodetect",), ("time-zone-name",)),
            f"/system clock set time-zone-autodetect=no time-zone-name={quoted(wanted.time_zone)}",
        ]


def _network(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _shell(name: str) -> str:
    """The name as one word of a shell's line, for a command that is read off a screen."""
    return name if re.fullmatch(r"[A-Za-z0-9._-]+", name) else "'" + escaped(name).replace("'", "'\\''") + "'"
