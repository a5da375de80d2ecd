-- Steps are claimed by priority, then by their time.
DROP INDEX steps_due;
CREATE INDEX steps_due ON steps (router_id, priority, due_at, id) WHERE state IN ('waiting', 'started', 'retrying');

-- Alarms: the proof did not come. Few at any time.
CREATE INDEX steps_unverified ON steps (session_id) WHERE state = 'unverified';

-- The healing of drift in this hour: `steps` were planned, and `held` sessions wait for the next hour (the brake).
CREATE TABLE healing_runs (
    operator_id bigint PRIMARY KEY REFERENCES operators,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    steps integer NOT NULL DEFAULT 0 CHECK (steps >= 0),
    held integer NOT NULL DEFAULT 0 CHECK (held >= 0)
);
ALTER TABLE healing_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE healing_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY operator_wall ON healing_runs TO ispagents_web, ispagents_worker
    USING (operator_id = (SELECT current_operator())) WITH CHECK (operator_id = (SELECT current_operator()));
CREATE POLICY owner_migrates ON healing_runs TO ispagents_owner USING (true) WITH CHECK (true);
GRANT SELECT ON healing_runs TO ispagents_web;
GRANT SELECT, INSERT, UPDATE ON healing_runs TO ispagents_worker;

-- A page of the open sessions after a service id: the services whose session has something else than what is authorised
-- and nothing under way, and the service id where the next page begins (`last`, NULL after the end). One row at least.
CREATE FUNCTION look_for_drift(after_id bigint, most integer)
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
                AND session.applied_stamp IS DISTINCT FROM service.authorised_stamp
                AND NOT EXISTS (SELECT FROM public.steps AS step WHERE step.session_id = session.id
                                AND step.state IN ('waiting', 'started', 'retrying')))
        SELECT drifting.operator_id, drifting.service_id, page.last FROM page LEFT JOIN drifting ON true
        ORDER BY 1, 2
    $$;
REVOKE EXECUTE ON FUNCTION look_for_drift(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION look_for_drift(bigint, integer) TO ispagents_worker;

-- Routers that are taken for down though they have sent accounting since: they live.
CREATE FUNCTION routers_that_spoke() RETURNS TABLE (operator_id bigint, router_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT health.operator_id, health.router_id FROM public.router_health AS health
        WHERE health.down_since IS NOT NULL AND EXISTS (
            SELECT FROM public.sessions AS session WHERE session.router_id = health.router_id
                AND session.ended_at IS NULL AND session.last_seen_at > health.down_since)
    $$;
REVOKE EXECUTE ON FUNCTION routers_that_spoke() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION routers_that_spoke() TO ispagents_worker;

-- Counts for `ispagents status`, over all operators and without anything of theirs. What waits for a router that is left
-- alone, or for a person who stopped the writes, is told by those counts and is not late besides.
DROP FUNCTION machine_health();
CREATE FUNCTION machine_health() RETURNS TABLE (stuck_steps bigint, late_steps bigint, waiting_reviews bigint,
        unverified_steps bigint, silent_routers bigint, stopped_operators bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT (SELECT count(*) FROM public.steps AS step JOIN public.sessions AS session ON session.id = step.session_id
                WHERE step.state IN ('stuck', 'refused') AND session.ended_at IS NULL
                AND NOT EXISTS (SELECT FROM public.steps AS later
                                WHERE later.session_id = step.session_id AND later.id > step.id)),
               (SELECT count(*) FROM public.steps AS step
                JOIN public.operators AS operator ON operator.id = step.operator_id
                LEFT JOIN public.router_health AS health ON health.router_id = step.router_id
                WHERE step.state IN ('waiting', 'started', 'retrying') AND step.route <> 'next_login'
                    AND step.created_at < now() - interval '1 minute'
                    AND operator.writes_stopped_at IS NULL AND coalesce(health.left_alone_until, now()) <= now()),
               (SELECT count(*) FROM public.reviews WHERE due_at < now() - interval '1 minute'),
               (SELECT count(DISTINCT step.session_id) FROM public.steps AS step
                JOIN public.sessions AS session ON session.id = step.session_id
                WHERE step.state = 'unverified' AND session.ended_at IS NULL),
               (SELECT count(*) FROM public.router_health AS health
                JOIN public.routers AS router ON router.id = health.router_id
                WHERE health.left_alone_until IS NOT NULL AND router.removed_at IS NULL
                    AND EXISTS (SELECT FROM public.steps AS step WHERE step.router_id = health.router_id
                                AND step.state IN ('waiting', 'started', 'retrying') AND step.route <> 'next_login')),
               (SELECT count(*) FROM public.operators WHERE writes_stopped_at IS NOT NULL)
    $$;
REVOKE EXECUTE ON FUNCTION machine_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION machine_health() TO ispagents_web;
