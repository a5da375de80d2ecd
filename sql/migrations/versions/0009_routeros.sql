-- Control by the RouterOS API: what a router holds for a service, what was read from routers, and what is odd there.

-- A router has RADIUS, an API, or both: without `secret` it is no RADIUS client, without `api_username` nothing asks it.
-- `style`: how things are done there, as `policy.routeros.style` reads it.
ALTER TABLE routers
    ALTER COLUMN secret DROP NOT NULL,
    ADD COLUMN api_address inet,
    ADD COLUMN api_port integer CHECK (api_port BETWEEN 1 AND 65535),
    ADD COLUMN api_security text NOT NULL DEFAULT 'verified' CHECK (api_security IN ('verified', 'pinned', 'plain')),
    ADD COLUMN api_server_name text NOT NULL DEFAULT '' CHECK (octet_length(api_server_name) <= 253),
    ADD COLUMN api_fingerprint text CHECK (api_fingerprint ~ '^[0-9a-f]{64}$'),
    ADD COLUMN api_old_login boolean NOT NULL DEFAULT false,
    ADD COLUMN api_username text CHECK (api_username <> '' AND octet_length(api_username) <= 253),
    ADD COLUMN api_password bytea,
    ADD COLUMN style jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(style) = 'object'),
    ADD CHECK ((api_username IS NULL) = (api_password IS NULL)),
    ADD CHECK (api_security <> 'pinned' OR api_fingerprint IS NOT NULL),
    ADD CHECK (secret IS NOT NULL OR api_username IS NOT NULL);

-- The router whose configuration holds this service; NULL: it is controlled by RADIUS. `device`: what RouterOS needs to
-- know of it besides (server of a lease or a hotspot), by name.
ALTER TABLE services
    ADD COLUMN control_router_id bigint,
    ADD COLUMN device jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(device) = 'object'),
    ADD FOREIGN KEY (operator_id, control_router_id) REFERENCES routers (operator_id, id);
CREATE INDEX services_control ON services (operator_id, control_router_id, id) WHERE control_router_id IS NOT NULL;
CREATE INDEX services_placed ON services (id) WHERE control_router_id IS NOT NULL;

-- What one router holds for one service. `applied_stamp` is what was last proved there, NULL where nobody knows, '' where
-- nothing of it is left; `access_stamp` the access that it stands for. `adopt`: a person agreed that what stands there
-- under the same names becomes ours.
CREATE TABLE placements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    service_id bigint NOT NULL,
    router_id bigint NOT NULL,
    applied_stamp text,
    access_stamp text,
    applied_at timestamptz,
    observed_at timestamptz,
    adopt boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);
CREATE UNIQUE INDEX placements_one ON placements (service_id, router_id) WHERE ended_at IS NULL;
CREATE INDEX placements_router ON placements (operator_id, router_id, service_id) WHERE ended_at IS NULL;

-- A step is about a live session, or about a placement.
ALTER TABLE steps
    ALTER COLUMN session_id DROP NOT NULL,
    ADD COLUMN placement_id bigint,
    DROP CONSTRAINT steps_route_check,
    ADD CONSTRAINT steps_route_check CHECK (route IN ('coa', 'disconnect', 'next_login', 'configure')),
    ADD CHECK ((session_id IS NULL) = (placement_id IS NOT NULL)),
    ADD CHECK ((route = 'configure') = (placement_id IS NOT NULL)),
    ADD FOREIGN KEY (operator_id, placement_id) REFERENCES placements (operator_id, id);
CREATE UNIQUE INDEX steps_one_open_placement ON steps (placement_id) WHERE state IN ('waiting', 'started', 'retrying');
CREATE INDEX steps_placement ON steps (placement_id, id) WHERE placement_id IS NOT NULL;
-- What takes back what an attempt sent, as commands; written before anything is sent.
ALTER TABLE evidence ADD COLUMN undo jsonb;

-- The circuit breaker of each way to a router: a router that takes no CoA may well answer its API.
ALTER TABLE router_health
    ADD COLUMN path text NOT NULL DEFAULT 'coa' CHECK (path IN ('coa', 'api')),
    DROP CONSTRAINT router_health_pkey,
    ADD PRIMARY KEY (router_id, path);

-- What was seen of a router the last time, a row for each way to it; and the hours of that. `failures` and `successes`
-- in a row decide on `state`, never one alone. `facts`: version, uptime, clock and so on, as they were read.
CREATE TABLE router_checks (
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    path text NOT NULL CHECK (path IN ('radius', 'coa', 'api')),
    state text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'online', 'degraded', 'offline')),
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    successes integer NOT NULL DEFAULT 0 CHECK (successes >= 0),
    checked_at timestamptz,
    succeeded_at timestamptz,
    failed_at timestamptz,
    latency_ms real,
    error text NOT NULL DEFAULT '' CHECK (octet_length(error) <= 4096),
    facts jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(facts) = 'object'),
    PRIMARY KEY (router_id, path),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);
CREATE TABLE router_check_hours (
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    path text NOT NULL CHECK (path IN ('radius', 'coa', 'api')),
    hour timestamptz NOT NULL,
    checks integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    latency_sum_ms double precision NOT NULL DEFAULT 0,
    latency_max_ms real NOT NULL DEFAULT 0,
    cpu_sum_percent double precision NOT NULL DEFAULT 0,
    cpu_max_percent real NOT NULL DEFAULT 0,
    PRIMARY KEY (router_id, path, hour),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);

-- When a router was last heard of.
CREATE INDEX refused_logins_router ON refused_logins (router_id, last_at);

-- What a look at a router and at the accounting found that billing does not agree with. `proposal`: what would mend it, as
-- a document; a person takes it, or leaves it with a reason.
CREATE TABLE drift_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    looked_at integer NOT NULL DEFAULT 0 CHECK (looked_at >= 0),
    found integer NOT NULL DEFAULT 0 CHECK (found >= 0),
    error text NOT NULL DEFAULT '' CHECK (octet_length(error) <= 4096),
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id)
);
CREATE INDEX drift_runs_router ON drift_runs (operator_id, router_id, id);
CREATE TABLE drift_findings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL REFERENCES operators,
    router_id bigint NOT NULL,
    service_id bigint,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]+$'),
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) <= 1024),
    cause text NOT NULL CHECK (octet_length(cause) <= 4096),
    proposal jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(proposal) = 'object'),
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    gone_at timestamptz,
    left_at timestamptz,
    left_by text,
    left_reason text CHECK (left_reason <> '' AND octet_length(left_reason) <= 1024),
    UNIQUE (operator_id, id),
    FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id),
    FOREIGN KEY (operator_id, service_id) REFERENCES services (operator_id, id),
    CHECK ((left_at IS NULL) = (left_by IS NULL)),
    CHECK ((left_at IS NULL) = (left_reason IS NULL))
);
CREATE UNIQUE INDEX drift_findings_one ON drift_findings (router_id, kind, key) WHERE gone_at IS NULL;
CREATE INDEX drift_findings_open ON drift_findings (operator_id, id) WHERE gone_at IS NULL AND left_at IS NULL;
CREATE INDEX drift_findings_service ON drift_findings (operator_id, service_id, id) WHERE service_id IS NOT NULL;

-- Routers that are already in use, and lists of subscribers, are taken in like other files: seen first, then applied.
-- `outcome`: what became of a row, as a document (service, what was tagged); it is what an undo takes back.
ALTER TABLE imports
    DROP CONSTRAINT imports_kind_check,
    ADD CONSTRAINT imports_kind_check CHECK (kind IN ('payments', 'standings', 'router', 'subscribers')),
    DROP CONSTRAINT imports_state_check,
    ADD CONSTRAINT imports_state_check CHECK (state IN ('previewed', 'applied', 'dropped', 'undone')),
    DROP CONSTRAINT imports_check,
    ADD COLUMN router_id bigint,
    ADD COLUMN undone_by text,
    ADD COLUMN undone_at timestamptz,
    ADD CHECK ((state IN ('applied', 'undone')) = (applied_at IS NOT NULL)),
    ADD CHECK ((state = 'undone') = (undone_at IS NOT NULL)),
    ADD CHECK ((undone_at IS NULL) = (undone_by IS NULL)),
    ADD FOREIGN KEY (operator_id, router_id) REFERENCES routers (operator_id, id);
ALTER TABLE import_rows ADD COLUMN outcome jsonb;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['placements', 'router_checks', 'router_check_hours', 'drift_runs', 'drift_findings']
    LOOP
        PERFORM operator_wall(name);
    END LOOP;
END $$;
-- `adopt` is a person's consent, so only web may give it.
GRANT INSERT (operator_id, service_id, router_id), UPDATE (applied_stamp, access_stamp, applied_at, observed_at, ended_at)
    ON placements TO ispagents_worker;
GRANT INSERT (operator_id, service_id, router_id, adopt), UPDATE (adopt) ON placements TO ispagents_web;
GRANT INSERT, UPDATE ON router_checks, router_check_hours, drift_runs, drift_findings TO ispagents_worker;
GRANT DELETE ON router_check_hours, drift_runs, drift_findings TO ispagents_worker;
GRANT UPDATE (left_at, left_by, left_reason) ON drift_findings TO ispagents_web;
GRANT UPDATE (outcome) ON import_rows TO ispagents_web;

CREATE OR REPLACE FUNCTION routers_with_work() RETURNS TABLE (operator_id bigint, router_id bigint, node text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT DISTINCT step.operator_id, step.router_id, coalesce(node.name, '')
        FROM public.steps AS step
        JOIN public.routers AS router ON router.id = step.router_id
        JOIN public.operators AS operator ON operator.id = step.operator_id
        LEFT JOIN public.router_health AS health ON health.router_id = step.router_id
            AND health.path = CASE WHEN step.route = 'configure' THEN 'api' ELSE 'coa' END
        LEFT JOIN public.nodes AS node ON node.id = router.node_id
        WHERE step.state IN ('waiting', 'started', 'retrying') AND step.due_at <= now()
            AND operator.writes_stopped_at IS NULL AND coalesce(health.left_alone_until, now()) <= now()
    $$;

CREATE OR REPLACE FUNCTION routers_that_spoke() RETURNS TABLE (operator_id bigint, router_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT health.operator_id, health.router_id FROM public.router_health AS health
        WHERE health.path = 'coa' AND health.down_since IS NOT NULL AND EXISTS (
            SELECT FROM public.sessions AS session WHERE session.router_id = health.router_id
                AND session.ended_at IS NULL AND session.last_seen_at > health.down_since)
    $$;

-- A page of the services that a router's configuration holds, or still holds, after a service id.
CREATE FUNCTION placed_services(after_id bigint, most integer) RETURNS TABLE (operator_id bigint, service_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT * FROM (
            (SELECT service.operator_id, service.id FROM public.services AS service
             WHERE service.control_router_id IS NOT NULL AND service.authorised IS NOT NULL AND service.id > after_id
             ORDER BY service.id LIMIT most)
            UNION
            (SELECT placement.operator_id, placement.service_id FROM public.placements AS placement
             WHERE placement.ended_at IS NULL AND placement.service_id > after_id
             ORDER BY placement.service_id LIMIT most)) AS found
        ORDER BY 2 LIMIT most
    $$;
REVOKE EXECUTE ON FUNCTION placed_services(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION placed_services(bigint, integer) TO ispagents_worker;

-- Routers with an API that were not looked at for so many seconds, over all operators, the longest ago first.
CREATE FUNCTION routers_to_check(older_than_s double precision, most integer)
    RETURNS TABLE (operator_id bigint, router_id bigint, node text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT router.operator_id, router.id, coalesce(node.name, '')
        FROM public.routers AS router
        LEFT JOIN public.router_checks AS seen ON seen.router_id = router.id AND seen.path = 'api'
        LEFT JOIN public.nodes AS node ON node.id = router.node_id
        WHERE router.removed_at IS NULL AND router.api_username IS NOT NULL
            AND (seen.checked_at IS NULL OR seen.checked_at < now() - make_interval(secs => older_than_s))
        ORDER BY seen.checked_at NULLS FIRST, router.id LIMIT most
    $$;
REVOKE EXECUTE ON FUNCTION routers_to_check(double precision, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION routers_to_check(double precision, integer) TO ispagents_worker;

-- As in 0003, with placements: a step that is stuck or late counts whatever it is about.
DROP FUNCTION machine_health();
CREATE FUNCTION machine_health() RETURNS TABLE (stuck_steps bigint, late_steps bigint, waiting_reviews bigint,
        unverified_steps bigint, silent_routers bigint, stopped_operators bigint, offline_routers bigint,
        open_findings bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT (SELECT count(*) FROM public.steps AS step
                LEFT JOIN public.sessions AS session ON session.id = step.session_id
                LEFT JOIN public.placements AS placement ON placement.id = step.placement_id
                WHERE step.state IN ('stuck', 'refused') AND session.ended_at IS NULL AND placement.ended_at IS NULL
                AND NOT EXISTS (SELECT FROM public.steps AS later
                                WHERE later.session_id = step.session_id AND later.id > step.id)
                AND NOT EXISTS (SELECT FROM public.steps AS later
                                WHERE later.placement_id = step.placement_id AND later.id > step.id)),
               (SELECT count(*) FROM public.steps AS step
                JOIN public.operators AS operator ON operator.id = step.operator_id
                LEFT JOIN public.router_health AS health ON health.router_id = step.router_id
                    AND health.path = CASE WHEN step.route = 'configure' THEN 'api' ELSE 'coa' END
                WHERE step.state IN ('waiting', 'started', 'retrying') AND step.route <> 'next_login'
                    AND step.created_at < now() - interval '1 minute'
                    AND operator.writes_stopped_at IS NULL AND coalesce(health.left_alone_until, now()) <= now()),
               (SELECT count(*) FROM public.reviews WHERE due_at < now() - interval '1 minute'),
               (SELECT count(DISTINCT step.session_id) FROM public.steps AS step
                JOIN public.sessions AS session ON session.id = step.session_id
                WHERE step.state = 'unverified' AND session.ended_at IS NULL),
               (SELECT count(DISTINCT health.router_id) FROM public.router_health AS health
                JOIN public.routers AS router ON router.id = health.router_id
                WHERE health.left_alone_until IS NOT NULL AND router.removed_at IS NULL
                    AND EXISTS (SELECT FROM public.steps AS step WHERE step.router_id = health.router_id
                                AND health.path = CASE WHEN step.route = 'configure' THEN 'api' ELSE 'coa' END
                                AND step.state IN ('waiting', 'started', 'retrying') AND step.route <> 'next_login')),
               (SELECT count(*) FROM public.operators WHERE writes_stopped_at IS NOT NULL),
               (SELECT count(DISTINCT seen.router_id) FROM public.router_checks AS seen
                JOIN public.routers AS router ON router.id = seen.router_id
                WHERE seen.path = 'api' AND seen.state = 'offline' AND router.removed_at IS NULL
                    AND router.api_username IS NOT NULL),
               (SELECT count(*) FROM public.drift_findings WHERE gone_at IS NULL AND left_at IS NULL)
    $$;
REVOKE EXECUTE ON FUNCTION machine_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION machine_health() TO ispagents_web;
