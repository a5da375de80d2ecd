-- A session that was ended to make room for another device has the router's own Stop: its cause is what the router said.
CREATE OR REPLACE VIEW radacct WITH (security_invoker = true) AS
SELECT session.id AS radacctid, session.acct_session_id AS acctsessionid,
    md5(session.router_id || ':' || session.session_key) AS acctuniqueid, session.username, ''::text AS realm,
    router.address AS nasipaddress, session.port AS nasportid,
    CASE session.method WHEN 'pppoe' THEN 'Ethernet' WHEN 'hotspot' THEN 'Wireless-802.11' ELSE '' END AS nasporttype,
    session.started_at AS acctstarttime, session.last_seen_at AS acctupdatetime, session.ended_at AS acctstoptime,
    session.interim_interval_s::bigint AS acctinterval, session.session_time_s AS acctsessiontime,
    'RADIUS'::text AS acctauthentic, ''::text AS connectinfo_start, ''::text AS connectinfo_stop,
    session.upload_bytes AS acctinputoctets, session.download_bytes AS acctoutputoctets,
    ''::text AS calledstationid, session.mac AS callingstationid,
    CASE WHEN session.ended_by IS NULL OR session.ended_by IN ('stop', 'ended_oldest') THEN session.terminate_cause
        WHEN session.ended_by IN ('router_restart', 'router_reboot') THEN 'NAS-Reboot' ELSE 'Lost-Carrier' END
        AS acctterminatecause,
    CASE WHEN session.method = 'hotspot' THEN 'Login-User' ELSE 'Framed-User' END AS servicetype,
    CASE WHEN session.method = 'pppoe' THEN 'PPP' ELSE '' END AS framedprotocol,
    session.framed_address AS framedipaddress, NULL::inet AS framedipv6address, NULL::inet AS framedipv6prefix,
    NULL::text AS framedinterfaceid, NULL::inet AS delegatedipv6prefix, session.class_stamp AS class
FROM sessions AS session JOIN routers AS router ON router.id = session.router_id;
