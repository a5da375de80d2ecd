-- Rights of the running roles, and the walls between operators. The owner migrates and nothing else.

DO $$
DECLARE
    tables text[] := ARRAY['plans', 'plan_versions', 'subscribers', 'routers', 'services', 'invoices', 'payments',
        'allocations', 'holds', 'reviews', 'accesses', 'changes', 'sessions', 'usage_hours', 'refused_logins',
        'steps', 'evidence', 'audit_events'];
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY operator_wall ON %I TO ispagents_web, ispagents_worker '
            'USING (operator_id = (SELECT current_operator())) '
            'WITH CHECK (operator_id = (SELECT current_operator()))', name);
        EXECUTE format('CREATE POLICY owner_migrates ON %I TO ispagents_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO ispagents_web, ispagents_worker', name);
    END LOOP;
END $$;
ALTER TABLE operators ENABLE ROW LEVEL SECURITY;
ALTER TABLE operators FORCE ROW LEVEL SECURITY;
CREATE POLICY operator_wall ON operators TO ispagents_web, ispagents_worker
    USING (id = (SELECT current_operator())) WITH CHECK (id = (SELECT current_operator()));
CREATE POLICY owner_migrates ON operators TO ispagents_owner USING (true) WITH CHECK (true);
GRANT SELECT ON operators TO ispagents_web, ispagents_worker;

-- web and the command line store truth, intents and approvals
GRANT INSERT, UPDATE ON operators, plans, subscribers, routers, services, invoices, holds TO ispagents_web;
GRANT INSERT ON plan_versions, payments, allocations, audit_events TO ispagents_web;
GRANT INSERT, UPDATE ON reviews TO ispagents_web;
-- preview and its hash too: an approval that finds the preview stale renews it
GRANT UPDATE (state, decided_at, decided_by, note, revision, preview, preview_hash) ON changes TO ispagents_web;
GRANT INSERT ON accesses TO ispagents_web;
-- FOR UPDATE of the allocation check
GRANT UPDATE (note) ON payments TO ispagents_web;

-- worker plans, applies and verifies
GRANT INSERT, UPDATE ON changes, steps, evidence TO ispagents_worker;
GRANT INSERT, UPDATE, DELETE ON reviews TO ispagents_worker;
GRANT INSERT ON accesses, audit_events TO ispagents_worker;
GRANT UPDATE (standing, authorised, authorised_stamp, authorised_until, authorised_at, authorised_change_id)
    ON services TO ispagents_worker;
GRANT UPDATE (applied_stamp, applied_at, ended_at, ended_by, terminate_cause) ON sessions TO ispagents_worker;

-- edge reads the authorised truth of all operators and writes what the network reports
GRANT SELECT ON operators, plan_versions, routers, services, accesses, sessions, usage_hours, refused_logins, steps,
    spool_files, spool_rejects, nodes TO ispagents_edge;
GRANT INSERT, UPDATE ON sessions, usage_hours, refused_logins, spool_files, nodes TO ispagents_edge;
GRANT DELETE ON spool_files TO ispagents_edge;
GRANT INSERT ON spool_rejects, audit_events TO ispagents_edge;
GRANT UPDATE (mac, router_id, port) ON services TO ispagents_edge;
GRANT UPDATE (state, proof, ended_at, explanation) ON steps TO ispagents_edge;
CREATE POLICY edge_reads ON operators FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reads ON plan_versions FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reads ON routers FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reads ON services FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_reads ON accesses FOR SELECT TO ispagents_edge USING (true);
CREATE POLICY edge_learns ON services FOR UPDATE TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON sessions TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON usage_hours TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON refused_logins TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON steps TO ispagents_edge USING (true) WITH CHECK (true);
CREATE POLICY edge_reports ON audit_events FOR INSERT TO ispagents_edge WITH CHECK (true);

GRANT SELECT ON nodes TO ispagents_web, ispagents_worker;

-- Names of operators, for a command line that has not chosen one yet. Runs as the owner, returns nothing else.
CREATE FUNCTION operator_names() RETURNS TABLE (id bigint, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$ SELECT id, name FROM public.operators ORDER BY id $$;
REVOKE EXECUTE ON FUNCTION operator_names() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operator_names() TO ispagents_web, ispagents_worker;

-- The time-driven reviews that are due, by operator: the worker asks before it chooses one.
CREATE FUNCTION operators_with_work() RETURNS TABLE (operator_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT id FROM public.operators AS operator
        WHERE EXISTS (SELECT FROM public.reviews WHERE reviews.operator_id = operator.id AND due_at <= now())
           OR EXISTS (SELECT FROM public.services WHERE services.operator_id = operator.id
                      AND authorised_until <= now())
    $$;
REVOKE EXECUTE ON FUNCTION operators_with_work() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operators_with_work() TO ispagents_worker;

CREATE FUNCTION routers_with_work() RETURNS TABLE (operator_id bigint, router_id bigint, node text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT DISTINCT step.operator_id, step.router_id, coalesce(node.name, '')
        FROM public.steps AS step
        JOIN public.routers AS router ON router.id = step.router_id
        LEFT JOIN public.nodes AS node ON node.id = router.node_id
        WHERE step.state IN ('waiting', 'started', 'retrying') AND step.due_at <= now()
    $$;
REVOKE EXECUTE ON FUNCTION routers_with_work() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION routers_with_work() TO ispagents_worker;

-- Counts for `ispagents status`, over all operators and without anything of theirs.
CREATE FUNCTION machine_health() RETURNS TABLE (stuck_steps bigint, late_steps bigint, waiting_reviews bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
        SELECT (SELECT count(*) FROM public.steps AS step JOIN public.sessions AS session ON session.id = step.session_id
                WHERE step.state IN ('stuck', 'refused') AND session.ended_at IS NULL
                AND NOT EXISTS (SELECT FROM public.steps AS later
                                WHERE later.session_id = step.session_id AND later.id > step.id)),
               (SELECT count(*) FROM public.steps WHERE state IN ('waiting', 'started', 'retrying')
                AND route <> 'next_login' AND created_at < now() - interval '1 minute'),
               (SELECT count(*) FROM public.reviews WHERE due_at < now() - interval '1 minute')
    $$;
REVOKE EXECUTE ON FUNCTION machine_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION machine_health() TO ispagents_web;
