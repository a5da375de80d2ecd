-- Sessions that went quiet, raw accounting by month, usage by day and period, and what quotas make of it.

-- `interim_interval_s`: how often this session was told to report. `quiet_at`: two interims after its last word; whoever
-- has not spoken by then may be gone.
ALTER TABLE sessions
    ADD COLUMN interim_interval_s integer NOT NULL DEFAULT 300 CHECK (interim_interval_s > 0),
    ADD COLUMN quiet_at timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00',
    DROP CONSTRAINT sessions_ended_by_check,
    ADD CONSTRAINT sessions_ended_by_check CHECK (ended_by IN ('stop', 'new_start', 'router_restart', 'router_reboot',
        'unknown_to_router', 'missed_interims', 'ended_oldest'));
-- How far a session's bytes are counted: with a long backlog the newest state is stored first, and history is counted later.
ALTER TABLE sessions
    ADD COLUMN counted_at timestamptz,
    ADD COLUMN counted_upload_bytes bigint NOT NULL DEFAULT 0 CHECK (counted_upload_bytes >= 0),
    ADD COLUMN counted_download_bytes bigint NOT NULL DEFAULT 0 CHECK (counted_download_bytes >= 0);
UPDATE sessions SET counted_at = last_seen_at, counted_upload_bytes = upload_bytes, counted_download_bytes = download_bytes;
-- No index has a column that each interim moves, and pages have room: then an interim writes no index at all.
ALTER TABLE sessions SET (fillfactor = 80);
ALTER TABLE usage_hours SET (fillfactor = 80);
-- Whether a router has rebooted since a session's last word is a range of this.
CREATE INDEX sessions_router ON sessions (router_id, started_at);
CREATE INDEX sessions_online ON sessions (operator_id, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_online_router ON sessions (operator_id, router_id, id) WHERE ended_at IS NULL;
-- When a router began to run, as far as it was noticed: it sends no Accounting-Off, and its sessions end without a word.
CREATE TABLE router_boots (
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    booted_at timestamptz NOT NULL,
    noticed_by text NOT NULL CHECK (noticed_by IN ('accounting_on', 'session_ids', 'uptime')),
    closed_sessions integer NOT NULL DEFAULT 0 CHECK (closed_sessions >= 0),
    PRIMARY KEY (router_id, booted_at),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);

-- Every accounting record as it was taken in, a partition a month; no foreign keys, so that a month goes as a whole.
-- Nobody reads pages from here: sessions and usage below are what is looked at.
CREATE TABLE accounting_records (
    operator_id bigint NOT NULL,
    router_id bigint NOT NULL,
    session_id bigint NOT NULL,
    service_id bigint,
    at timestamptz NOT NULL,
    taken_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    node text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('start', 'interim', 'stop')),
    username text NOT NULL,
    acct_session_id text NOT NULL,
    framed_address inet,
    session_time_s bigint NOT NULL,
    upload_bytes bigint NOT NULL,
    download_bytes bigint NOT NULL,
    terminate_cause text NOT NULL DEFAULT ''
) PARTITION BY RANGE (at);
CREATE INDEX accounting_records_session ON accounting_records (session_id, at);
-- What has no month yet, or a clock that is years wrong.
CREATE TABLE accounting_records_other PARTITION OF accounting_records DEFAULT;
ALTER TABLE accounting_records_other ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- Makes the partitions of the months from the last one to `months_ahead`, and drops those older than `keep_months`.
-- Never waits for long: who reads at this moment is not disturbed, and it is tried again the next day.
CREATE FUNCTION keep_accounting_partitions(keep_months integer, months_ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public SET lock_timeout = '2s' AS $$
DECLARE
    month timestamptz;
    name text;
    done integer := 0;
BEGIN
    FOR month IN SELECT generate_series(date_trunc('month', now(), 'UTC') - interval '1 month',
            date_trunc('month', now(), 'UTC') + make_interval(months => months_ahead), interval '1 month') LOOP
        name := 'accounting_records_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass('public.' || name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE public.%I PARTITION OF public.accounting_records FOR VALUES FROM (%L) TO (%L)',
                    name, month, month + interval '1 month');
                EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', name);
                EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', name);
                done := done + 1;
            EXCEPTION WHEN check_violation THEN
                NULL; -- its records lie in the other partition already, and age there
            END;
        END IF;
    END LOOP;
    FOR name IN SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
            WHERE inhparent = 'public.accounting_records'::regclass
                AND child.relname ~ '^accounting_records_[0-9]{4}_[0-9]{2}$'
                AND child.relname < 'accounting_records_' || to_char((date_trunc('month', now(), 'UTC')
                    - make_interval(months => keep_months)) AT TIME ZONE 'UTC', 'YYYY_MM') LOOP
        EXECUTE format('DROP TABLE public.%I', name);
        done := done + 1;
    END LOOP;
    DELETE FROM public.accounting_records_other WHERE taken_in_at < now() - make_interval(months => keep_months);
    RETURN done;
END $$;
REVOKE EXECUTE ON FUNCTION keep_accounting_partitions(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_accounting_partitions(integer, integer) TO ispagents_worker;
SELECT keep_accounting_partitions(12, 2);

-- Bytes of a service in one day of its operator, for plots and reports. `counted_bytes`: what counts towards quotas, after
-- zero-rated hours and multipliers.
ALTER TABLE usage_hours ADD COLUMN counted_bytes bigint NOT NULL DEFAULT 0 CHECK (counted_bytes >= 0);
CREATE TABLE usage_days (
    operator_id bigint NOT NULL,
    service_id bigint NOT NULL,
    day date NOT NULL,
    upload_bytes bigint NOT NULL DEFAULT 0 CHECK (upload_bytes >= 0),
    download_bytes bigint NOT NULL DEFAULT 0 CHECK (download_bytes >= 0),
    counted_bytes bigint NOT NULL DEFAULT 0 CHECK (counted_bytes >= 0),
    PRIMARY KEY (service_id, day),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id)
);
CREATE INDEX usage_days_top ON usage_days (operator_id, day);
ALTER TABLE usage_days SET (fillfactor = 80);

-- What a service has used in a span that its plan has tiers for: a day, a week or a month of the operator, or its billing
-- period. `reached`: how many of the plan's tiers are reached (0: none). `warned_percent`: the highest share that the
-- customer was told of. A span that has ended stays as it was; late records still count into it.
CREATE TABLE usage_spans (
    operator_id bigint NOT NULL,
    service_id bigint NOT NULL,
    span text NOT NULL CHECK (span IN ('day', 'week', 'month', 'period')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    upload_bytes bigint NOT NULL DEFAULT 0 CHECK (upload_bytes >= 0),
    download_bytes bigint NOT NULL DEFAULT 0 CHECK (download_bytes >= 0),
    counted_bytes bigint NOT NULL DEFAULT 0 CHECK (counted_bytes >= 0),
    carried_bytes bigint NOT NULL DEFAULT 0 CHECK (carried_bytes >= 0),
    reached smallint NOT NULL DEFAULT 0 CHECK (reached >= 0),
    warned_percent smallint NOT NULL DEFAULT 0 CHECK (warned_percent BETWEEN 0 AND 100),
    PRIMARY KEY (service_id, span, starts_at),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    CHECK (ends_at > starts_at)
);
ALTER TABLE usage_spans SET (fillfactor = 80);
-- More bytes, bought or given, for one span that is running, or until they are used or `until` comes.
CREATE TABLE usage_topups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    span text NOT NULL CHECK (span IN ('day', 'week', 'month', 'period')),
    bytes bigint NOT NULL CHECK (bytes > 0),
    used_bytes bigint NOT NULL DEFAULT 0 CHECK (used_bytes BETWEEN 0 AND bytes),
    until timestamptz,
    reason text NOT NULL CHECK (reason <> '' AND octet_length(reason) <= 1024),
    granted_by text NOT NULL CHECK (granted_by <> ''),
    invoice_id bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, invoice_id) REFERENCES invoices (operator_id, id)
);
CREATE INDEX usage_topups_open ON usage_topups (operator_id, service_id, id) WHERE ended_at IS NULL;

-- What logins must know of usage: the bytes of each span that runs, as a document, and when the next of them begins anew.
-- It changes only where a decision would: at a tier, at a reset, at a top-up; never with every record.
CREATE TABLE usage_states (
    service_id bigint PRIMARY KEY,
    operator_id bigint NOT NULL,
    document jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(document) = 'object'),
    valid_until timestamptz,
    revision xid8 NOT NULL DEFAULT pg_current_xact_id(),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id)
);
CREATE INDEX usage_states_due ON usage_states (valid_until) WHERE valid_until IS NOT NULL;
CREATE INDEX usage_states_revision ON usage_states (revision);
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON usage_states
    FOR EACH ROW EXECUTE FUNCTION stamp_revision();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['router_boots', 'accounting_records', 'usage_days', 'usage_spans',
        'usage_topups', 'usage_states']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;
CREATE POLICY edge_reports ON accounting_records TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON usage_days TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON usage_spans TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reads ON usage_topups FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reports ON usage_states TO ispagents_edge USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON accounting_records TO ispagents_edge;
GRANT SELECT, INSERT, UPDATE ON usage_days, usage_spans, usage_states TO ispagents_edge;
GRANT SELECT ON usage_topups TO ispagents_edge;
CREATE POLICY edge_reports ON router_boots TO ispagents_edge USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON router_boots TO ispagents_edge;
GRANT INSERT, UPDATE ON router_boots TO ispagents_worker;
GRANT INSERT, UPDATE ON usage_spans, usage_states, usage_topups TO ispagents_worker;
GRANT INSERT, UPDATE ON usage_topups, usage_states TO ispagents_web;
GRANT UPDATE (interim_interval_s, quiet_at) ON sessions TO ispagents_worker;

-- edge counts by billing period; of billing it knows nothing else.
GRANT SELECT (service_id, operator_id, starts_on, anchor_day, billed_until) ON service_billing TO ispagents_edge;
GRANT SELECT (id, operator_id, billing, period_count, period_unit, anchor_day) ON plans TO ispagents_edge;
CREATE POLICY edge_reads ON service_billing FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reads ON plans FOR SELECT TO ispagents_edge USING (true);

-- Rejects are replayed by edge when a person asked for it.
ALTER TABLE spool_rejects
    ADD COLUMN state text NOT NULL DEFAULT 'aside' CHECK (state IN ('aside', 'asked', 'replayed')),
    ADD COLUMN asked_by text NOT NULL DEFAULT '',
    ADD COLUMN replayed_at timestamptz;
CREATE INDEX spool_rejects_asked ON spool_rejects (node, id) WHERE state = 'asked';
GRANT SELECT, UPDATE (state, asked_by) ON spool_rejects TO ispagents_web;
GRANT UPDATE (state, reason, replayed_at) ON spool_rejects TO ispagents_edge;

-- How much room a node's spool has, and how old what waits there is.
ALTER TABLE nodes
    ADD COLUMN spool_free_bytes bigint,
    ADD COLUMN spool_oldest_s double precision NOT NULL DEFAULT 0,
    ADD COLUMN spool_refuses boolean NOT NULL DEFAULT false;

-- As in 0003; and a step that came to nothing while its session goes on reporting: it may have taken effect all the same,
-- though the session is believed to have what is authorised.
CREATE INDEX steps_stuck ON steps (session_id) WHERE state = 'stuck';
CREATE OR REPLACE FUNCTION look_for_drift(after_id bigint, most integer)
    RETURNS TABLE (operator_id bigint, service_id bigint, last bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        WITH page AS (
            SELECT max(service_id) AS last FROM (
                SELECT service_id FROM public.sessions WHERE ended_at IS NULL AND service_id > after_id
                ORDER BY service_id LIMIT most) AS rows),
        drifting AS (
            SELECT DISTINCT session.operator_id, session.service_id
            FROM page JOIN public.sessions AS session
                ON session.ended_at IS NULL AND session.service_id > after_id AND session.service_id <= page.last
            JOIN public.services AS service ON service.id = session.service_id
            WHERE service.authorised_stamp IS NOT NULL
                AND (session.applied_stamp IS DISTINCT FROM service.authorised_stamp
                    OR EXISTS (SELECT FROM public.steps AS step WHERE step.session_id = session.id
                               AND step.state = 'stuck' AND step.ended_at < session.last_seen_at))
                AND NOT EXISTS (SELECT FROM public.steps AS step WHERE step.session_id = session.id
                                AND step.state IN ('waiting', 'started', 'retrying')))
        SELECT drifting.operator_id, drifting.service_id, page.last FROM page LEFT JOIN drifting ON true
        ORDER BY 1, 2
    $$;

-- Customers are told at shares of their quota.
ALTER TABLE notice_channels
    DROP CONSTRAINT notice_channels_events_check,
    ADD CONSTRAINT notice_channels_events_check CHECK (cardinality(events) > 0
        AND events <@ ARRAY['invoice', 'reminder', 'restricted', 'restored', 'receipt', 'usage']);
ALTER TABLE notice_templates
    DROP CONSTRAINT notice_templates_event_check,
    ADD CONSTRAINT notice_templates_event_check
        CHECK (event IN ('invoice', 'reminder', 'restricted', 'restored', 'receipt', 'usage'));
ALTER TABLE notices
    DROP CONSTRAINT notices_event_check,
    ADD CONSTRAINT notices_event_check
        CHECK (event IN ('invoice', 'reminder', 'restricted', 'restored', 'receipt', 'usage'));
-- Operators with a state of usage that changes by itself now.
CREATE FUNCTION operators_with_usage() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT DISTINCT operator_id FROM public.usage_states WHERE valid_until <= now() $$;
REVOKE EXECUTE ON FUNCTION operators_with_usage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operators_with_usage() TO ispagents_worker;

-- A whole calendar marks the debtors once, not once for each of its days.
DROP TRIGGER holidays_review ON holidays;
CREATE FUNCTION review_debtors_of_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reviews (service_id, operator_id, due_at)
        SELECT id, operator_id, now() FROM services
        WHERE operator_id IN (SELECT operator_id FROM days) AND standing NOT IN ('current', 'closed') ORDER BY id
        ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at);
    RETURN NULL;
END $$;
CREATE TRIGGER holidays_added AFTER INSERT ON holidays REFERENCING NEW TABLE AS days
    FOR EACH STATEMENT EXECUTE FUNCTION review_debtors_of_days();
CREATE TRIGGER holidays_changed AFTER UPDATE ON holidays REFERENCING NEW TABLE AS days
    FOR EACH STATEMENT EXECUTE FUNCTION review_debtors_of_days();
CREATE TRIGGER holidays_removed AFTER DELETE ON holidays REFERENCING OLD TABLE AS days
    FOR EACH STATEMENT EXECUTE FUNCTION review_debtors_of_days();

-- For `status`, across operators: what could not be billed, and cycles that have not ended three hours after their time.
CREATE FUNCTION billing_health() RETURNS TABLE (unbilled_services bigint, late_billing_runs bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT (SELECT count(DISTINCT service_id) FROM public.billing_problems WHERE resolved_at IS NULL),
               (SELECT count(*) FROM public.operators AS operator WHERE charges_from IS NOT NULL
                AND standings_from = 'invoices'
                AND extract(hour FROM now() AT TIME ZONE time_zone) >= billing_hour + 3
                AND NOT EXISTS (SELECT FROM public.billing_runs AS run WHERE run.operator_id = operator.id
                    AND run.day = (now() AT TIME ZONE operator.time_zone)::date AND run.finished_at IS NOT NULL))
    $$;
REVOKE EXECUTE ON FUNCTION billing_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_health() TO ispagents_web;

-- Shaped like the standard tables of rlm_sql (schema.sql of FreeRADIUS 3.2), read-only, for tools that read those. The
-- walls hold, since views run with the rights of who asks; secrets and passwords are never in them.
CREATE VIEW radacct WITH (security_invoker = true) AS
SELECT session.id AS radacctid, session.acct_session_id AS acctsessionid,
    md5(session.router_id || ':' || session.session_key) AS acctuniqueid, session.username, ''::text AS realm,
    router.address AS nasipaddress, session.port AS nasportid,
    CASE session.method WHEN 'pppoe' THEN 'Ethernet' WHEN 'hotspot' THEN 'Wireless-802.11' ELSE '' END AS nasporttype,
    session.started_at AS acctstarttime, session.last_seen_at AS acctupdatetime, session.ended_at AS acctstoptime,
    session.interim_interval_s::bigint AS acctinterval, session.session_time_s AS acctsessiontime,
    'RADIUS'::text AS acctauthentic, ''::text AS connectinfo_start, ''::text AS connectinfo_stop,
    session.upload_bytes AS acctinputoctets, session.download_bytes AS acctoutputoctets,
    ''::text AS calledstationid, session.mac AS callingstationid,
    CASE WHEN session.ended_by IS NULL OR session.ended_by = 'stop' THEN session.terminate_cause
        WHEN session.ended_by IN ('router_restart', 'router_reboot') THEN 'NAS-Reboot' ELSE 'Lost-Carrier' END
        AS acctterminatecause,
    CASE WHEN session.method = 'hotspot' THEN 'Login-User' ELSE 'Framed-User' END AS servicetype,
    CASE WHEN session.method = 'pppoe' THEN 'PPP' ELSE '' END AS framedprotocol,
    session.framed_address AS framedipaddress, NULL::inet AS framedipv6address, NULL::inet AS framedipv6prefix,
    NULL::text AS framedinterfaceid, NULL::inet AS delegatedipv6prefix, session.class_stamp AS class
FROM sessions AS session JOIN routers AS router ON router.id = session.router_id;
CREATE VIEW radpostauth WITH (security_invoker = true) AS
SELECT refused.id, refused.username, ''::text AS pass, 'Access-Reject'::text AS reply, ''::text AS calledstationid,
    refused.mac AS callingstationid, refused.last_at AS authdate, refused.reason AS class
FROM refused_logins AS refused
UNION ALL
SELECT -session.id, session.username, '', 'Access-Accept', '', session.mac, session.started_at, session.class_stamp
FROM sessions AS session;
CREATE VIEW nas WITH (security_invoker = true) AS
SELECT router.id, host(router.address) AS nasname, router.name AS shortname, 'mikrotik'::text AS type,
    NULL::integer AS ports, ''::text AS secret, NULL::text AS server, NULL::text AS community, ''::text AS description
FROM routers AS router WHERE router.removed_at IS NULL;
GRANT SELECT ON radacct, radpostauth, nas TO ispagents_web;
