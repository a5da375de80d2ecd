"""How an ISP wants things done on a router, as a document."""

import json

import pytest
from hypothesis import given
from routeros_model import styles

from policy.errors import PolicyError
from policy.routeros.style import HotspotDenial, Style, Way, read_style, style_document


@given(styles)
def test_a_style_survives_its_document(style):
    """Through JSON, as it is stored."""
    read = read_style(json.loads(json.dumps(style_document(style))))
    assert read == style
    assert isinstance(read.ppp, Way)
    assert isinstance(read.hotspot_denial, HotspotDenial)


def test_a_usual_style_is_an_empty_document():
    """A document says what is special."""
    assert style_document(Style()) == {}
    assert read_style({"dns_servers": ["1.1.1.1"]}).dns_servers == ("1.1.1.1",)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"colour": "red"}, "'colour' is not known in a router's style"),
        ({"ppp": "lease"}, "ppp: 'lease' should be one of profile, queue"),
        ({"dhcp": "profile"}, "dhcp: 'profile' should be one of lease, queue"),
        ({"ppp": ["queue"]}, "ppp: "),
        ({"hotspot_denial": 1}, "hotspot_denial: 1 should be one of user, binding"),
        ({"denied_list": ""}, "denied_list: a name is needed here"),
        ({"denied_list": 5}, "denied_list: 5 should be text"),
        ({"parent_queue": "a\0"}, "parent_queue: "),
        ({"parent_queue": "x" * 254}, "parent_queue: a name is at most 253 bytes"),
        ({"parent_queue": "\ud800"}, "parent_queue: "),
        ({"dns_servers": "1.1.1.1"}, "dns_servers: "),
        ({"dns_servers": ["one"]}, "dns_servers: 'one' is not an IPv4 address"),
        ({"dns_servers": [""]}, "dns_servers: a DNS server needs an address"),
        ({"list_timeout_s": -1}, "list_timeout_s: -1 should be whole seconds"),
        ({"list_timeout_s": True}, "list_timeout_s: "),
        ({"cut_connections": "yes"}, "cut_connections: 'yes' should be true or false"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(document, said):
    """One sentence, and nothing is guessed."""
    with pytest.raises(PolicyError) as raised:
        read_style(document)
    assert str(raised.value).startswith(said)
